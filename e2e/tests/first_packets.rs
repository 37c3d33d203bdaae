//! The first packets of held outbound operations: UDP, ICMP, raw. Each leaves the machine once after a permit, and never else.

use e2e::{DatagramSocket, Machine, Options, Program, Rival, Rule, SecondPacket, Sent, Service, Wired, every_setting};
use nt_sys::fwp::{
    FWP_CONDITION_REAUTHORIZE_REASON_NEW_ARRIVAL_INTERFACE, FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE,
};
use std::net::SocketAddr;
use wire::request::{Because, Direction};
use wire::settings::{Fallback, Settings};
use wire::verdict::{Answer, Outcome as Fate, Scope, Verdict};

/// GRE: a protocol without ports.
const GRE: u8 = 47;

/// A kind of socket and where it sends.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Udp(&'static str),
    Icmp(&'static str),
    Raw(&'static str),
}

const KINDS: [Kind; 6] = [
    Kind::Udp("192.0.2.53:53"),
    Kind::Udp("[2001:db8::53]:53"),
    Kind::Icmp("192.0.2.1:0"),
    Kind::Icmp("[2001:db8::1]:0"),
    Kind::Raw("192.0.2.1:0"),
    Kind::Raw("[2001:db8::1]:0"),
];
const UDP: Kind = KINDS[0];

impl Kind {
    fn remote(self) -> SocketAddr {
        let (Self::Udp(remote) | Self::Icmp(remote) | Self::Raw(remote)) = self;
        remote.parse().unwrap()
    }

    fn open(self, machine: &Machine, program: &Program) -> DatagramSocket {
        let is_v6 = self.remote().is_ipv6();
        match self {
            Self::Udp(_) => program.udp(machine.engine(), is_v6),
            Self::Icmp(_) => program.icmp(machine.engine(), is_v6),
            Self::Raw(_) => program.raw(machine.engine(), GRE, is_v6),
        }
    }

    fn send(self, machine: &Machine, socket: &DatagramSocket, payload: &[u8]) -> Sent {
        let sent = match self {
            Self::Icmp(_) => socket.echo_bytes(self.remote(), 7, payload),
            _ => socket.send_bytes(self.remote(), payload),
        };
        machine.settle();
        sent
    }
}

fn payloads(wire: &[Wired]) -> Vec<&[u8]> {
    wire.iter().map(|packet| packet.payload.as_slice()).collect()
}

fn nothing_is_kept(machine: &Machine, service: &Service) {
    let stats = service.stats();
    assert_eq!((stats.kept_packets, stats.kept_bytes, machine.engine().outstanding_packets()), (0, 0, 0));
}

/// R17, R21, R22, R23, learn.microsoft.com "FwpsPendOperation0": pending drops the packet, so its copy is injected.
#[test]
fn a_first_packet_leaves_once_after_a_permit() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("dig.exe");
        for (n, kind) in KINDS.into_iter().enumerate() {
            let socket = kind.open(&machine, &program);
            assert_ne!(kind.send(&machine, &socket, b"first"), Sent::Sent);
            assert_eq!(machine.engine().wire().len(), 2 * n, "{kind:?} is held");
            let request = service.take_held();
            assert_eq!((request.remote().ip(), request.fixed.direction), (kind.remote().ip(), Direction::OUTBOUND));
            assert_eq!(service.stats().kept_packets, 1);
            assert_eq!(service.answer(&request, Verdict::PERMIT), Fate::ACCEPTED);
            machine.settle();
            // The next one goes straight on.
            assert_eq!(kind.send(&machine, &socket, b"second"), Sent::Sent, "{kind:?}");
            let wire = machine.engine().wire();
            assert_eq!(payloads(&wire[2 * n..]), [b"first".as_slice(), b"second"], "{kind:?}");
            assert_eq!(wire[2 * n].remote.ip(), kind.remote().ip());
            assert!(service.take().is_empty(), "nothing more is asked");
            nothing_is_kept(&machine, &service);
        }
        let stats = service.stats();
        assert_eq!((stats.packets_kept, stats.packets_released, stats.inject_failed), (6, 6, 0));
    });
}

/// R17: what is blocked is thrown away, by whichever door it leaves.
#[test]
fn a_first_packet_never_leaves_without_a_permit() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let settings = Settings { fallback_outbound: Fallback::BLOCK, deadline_ms: 1_000, ..Settings::INITIAL };
        let service = machine.service(settings);
        let program = machine.program("dig.exe");
        for kind in KINDS {
            let [answered, late, closed] = [(); 3].map(|()| kind.open(&machine, &program));
            kind.send(&machine, &answered, b"answered");
            let request = service.take_held();
            service.answer(&request, Verdict::BLOCK);
            machine.settle();
            kind.send(&machine, &closed, b"closed");
            closed.close();
            machine.settle();
            kind.send(&machine, &late, b"late");
            machine.advance(1_500);
        }
        // What belonged to a socket that is gone waits for a reauthorization that may not come.
        machine.advance(3_000);
        assert!(machine.engine().wire().is_empty());
        nothing_is_kept(&machine, &service);
        let stats = service.stats();
        assert_eq!((stats.packets_dropped, stats.doors.closure, stats.doors.deadline), (18, 6, 6));
    });
}

/// The fallback permits at the deadline, when the service goes, and when the driver goes: the packet leaves once each time.
#[test]
fn a_permit_by_the_fallback_lets_the_packet_leave() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let program = machine.program("dig.exe");
        let sockets = [(); 3].map(|()| UDP.open(&machine, &program));
        let service = machine.service(Settings { deadline_ms: 1_000, ..Settings::INITIAL });
        UDP.send(&machine, &sockets[0], b"deadline");
        machine.advance(1_500);
        UDP.send(&machine, &sockets[1], b"detach");
        service.kill();
        machine.settle();
        let service = machine.service(Settings::INITIAL);
        UDP.send(&machine, &sockets[2], b"unload");
        // The driver unloads when its last handle is closed, and what it held is released by one of the two.
        assert!(!machine.unload());
        service.close();
        machine.settle();
        assert_eq!(payloads(&machine.engine().wire()), [b"deadline".as_slice(), b"detach", b"unload"]);
        assert_eq!(machine.engine().outstanding_packets(), 0);
    });
}

/// R15: a further packet of a held flow is no second question, and waits behind the first.
#[test]
fn further_packets_wait_with_the_first_and_keep_their_order() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("game.exe");
        for (n, kind) in KINDS.into_iter().enumerate() {
            let socket = kind.open(&machine, &program);
            for payload in [b"first", b"secon", b"third"] {
                kind.send(&machine, &socket, payload);
            }
            let request = service.take_held();
            service.answer(&request, Verdict::PERMIT);
            machine.settle();
            let wire = machine.engine().wire();
            // Whether the stack shows further packets of a held flow, or drops them by itself, is not documented.
            match options.knobs.second_packet {
                SecondPacket::ClassifyAgain => {
                    assert_eq!(payloads(&wire[3 * n..]), [b"first".as_slice(), b"secon", b"third"], "{kind:?}");
                }
                SecondPacket::Absorb => assert_eq!(payloads(&wire[n..]), [b"first".as_slice()], "{kind:?}"),
            }
            nothing_is_kept(&machine, &service);
        }
    });
}

/// R20, learn.microsoft.com "NET_BUFFER_LIST": one list may carry several packets.
#[test]
fn all_packets_of_one_list_are_kept() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("quic.exe");
        let socket = UDP.open(&machine, &program);
        socket.send_many(UDP.remote(), &[b"one", b"two", b"three"]);
        machine.settle();
        assert_eq!(service.stats().kept_packets, 3);
        let request = service.take_held();
        service.answer(&request, Verdict::PERMIT);
        machine.settle();
        assert_eq!(payloads(&machine.engine().wire()), [b"one".as_slice(), b"two", b"three"]);
        nothing_is_kept(&machine, &service);
    });
}

/// A limit of bytes: beyond it further packets are refused, and an operation whose first has no room is not held.
#[test]
fn what_is_kept_has_limits() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let settings = Settings {
            max_packet_bytes: 4_096,
            max_packet_bytes_per_operation: 2_048,
            fallback_outbound: Fallback::BLOCK,
            ..Settings::INITIAL
        };
        let service = machine.service(settings);
        let program = machine.program("flood.exe");
        let socket = UDP.open(&machine, &program);
        for _ in 0..8 {
            UDP.send(&machine, &socket, &[7; 1_000]);
        }
        let stats = service.stats();
        assert_eq!(stats.kept_packets, 1, "a second one would be beyond the limit of one operation");
        assert!((1_000..=1_000 + 8 + 256).contains(&stats.kept_bytes), "{}", stats.kept_bytes);
        if options.knobs.second_packet == SecondPacket::ClassifyAgain {
            assert_eq!(stats.packets_refused, 7);
        }
        let others: Vec<_> = (0..4).map(|_| UDP.open(&machine, &program)).collect();
        for other in &others {
            UDP.send(&machine, other, &[7; 1_000]);
        }
        assert!(service.stats().kept_bytes <= 4_096);
        let requests = service.take();
        let limited = requests.iter().filter(|request| request.fixed.because == Because::LIMIT).count();
        assert_eq!((requests.len(), limited), (5, 2), "{requests:?}");
        let large = UDP.open(&machine, &program);
        UDP.send(&machine, &large, &[7; 3_000]);
        assert_eq!(service.take_one().fixed.because, Because::LIMIT);
        for request in requests.iter().filter(|request| request.is_held()) {
            service.answer(request, Verdict::PERMIT);
        }
        machine.settle();
        assert_eq!(machine.engine().wire().len(), 3);
        nothing_is_kept(&machine, &service);
    });
}

/// A cached verdict decides without a copy.
#[test]
fn a_remembered_verdict_needs_no_copy() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("dig.exe");
        let first = UDP.open(&machine, &program);
        UDP.send(&machine, &first, b"first");
        let request = service.take_held();
        service.submit(&[Answer {
            scope: Scope::REMOTE,
            lifetime_ms: 0,
            ..Answer::once(request.id(), Verdict::PERMIT)
        }]);
        machine.settle();
        let second = UDP.open(&machine, &program);
        assert_eq!(UDP.send(&machine, &second, b"second"), Sent::Sent);
        assert_eq!(payloads(&machine.engine().wire()), [b"first".as_slice(), b"second"]);
        assert_eq!(service.stats().packets_kept, 1);
    });
}

/// R15: two sockets that send to one remote are two questions, and each gets its own packet.
#[test]
fn sockets_that_send_to_one_remote_do_not_share_packets() {
    let machine = Machine::with_driver(Options::default());
    let service = machine.service(Settings::INITIAL);
    let program = machine.program("dig.exe");
    let [permitted, blocked] = [(); 2].map(|()| UDP.open(&machine, &program));
    UDP.send(&machine, &permitted, b"permitted");
    let first = service.take_held();
    UDP.send(&machine, &blocked, b"blocked");
    let second = service.take_held();
    service.answer(&second, Verdict::BLOCK);
    service.answer(&first, Verdict::PERMIT);
    machine.settle();
    assert_eq!(payloads(&machine.engine().wire()), [b"permitted".as_slice()]);
}

/// R11, R13, R15: others have a held flow authorized again. It stays held, and the packet that was the occasion is kept if it
/// goes the way of the layer, within reason once.
#[test]
fn a_foreign_reauthorize_leaves_a_held_packet_held() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("dig.exe");
        let socket = UDP.open(&machine, &program);
        UDP.send(&machine, &socket, b"first");
        let request = service.take_held();
        for reason in
            [FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE, FWP_CONDITION_REAUTHORIZE_REASON_NEW_ARRIVAL_INTERFACE]
        {
            socket.flow(UDP.remote()).expect("it is held").reauthorize(reason);
        }
        drop(Rival::lighter(Rule::Permit));
        machine.settle();
        assert_eq!((service.take().len(), machine.engine().wire().len()), (0, 0));
        assert_eq!(service.stats().pended, 1);
        service.answer(&request, Verdict::PERMIT);
        machine.settle();
        let first = machine.engine().wire().iter().filter(|packet| packet.payload == b"first").count();
        assert_eq!(first, 1);
        nothing_is_kept(&machine, &service);
    });
}

/// R12, R23: who cannot set the action keeps nothing: the packet may go its way all the same.
#[test]
fn a_packet_that_others_permit_for_good_leaves_once() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("dig.exe");
        let socket = UDP.open(&machine, &program);
        UDP.send(&machine, &socket, b"held");
        let request = service.take_held();
        let rival = Rival::heavier(Rule::PermitForGood);
        UDP.send(&machine, &socket, b"others");
        service.answer(&request, Verdict::PERMIT);
        machine.settle();
        drop(rival);
        let wire = machine.engine().wire();
        for payload in [b"held".as_slice(), b"others"] {
            assert!(wire.iter().filter(|packet| packet.payload == payload).count() <= 1, "{wire:?}");
        }
        machine.advance(3_000);
        nothing_is_kept(&machine, &service);
    });
}
