//! Connections and packets that come in: held, asked about, and continued by the very packet that began them.

use e2e::{
    Accept, AcceptEndpoint, DatagramSocket, Listener, Machine, Options, PacketFate, Program, Service, SynFate,
    every_setting,
};
use std::net::SocketAddr;
use wire::request::Direction;
use wire::settings::{Fallback, Settings};
use wire::verdict::{Outcome as Fate, Verdict};

const PEERS: [&str; 2] = ["192.0.2.7:40000", "[2001:db8::7]:40000"];
const BLOCK_IN: Settings = Settings { fallback_inbound: Fallback::BLOCK, deadline_ms: 1_000, ..Settings::INITIAL };

fn any(is_v6: bool, port: u16) -> String {
    if is_v6 { format!("[::]:{port}") } else { format!("0.0.0.0:{port}") }
}

fn listen(machine: &Machine, program: &Program, peer: &str) -> Listener {
    program.listen(machine.engine(), &any(peer.starts_with('['), 80))
}

fn syn(machine: &Machine, listener: &Listener, peer: &str) -> Accept {
    let accept = listener.syn_from(peer.parse().unwrap());
    machine.settle();
    accept
}

fn nothing_is_kept(machine: &Machine, service: &Service) {
    let stats = service.stats();
    assert_eq!((stats.pended, stats.kept_packets, stats.kept_bytes), (0, 0, 0), "{stats:?}");
    assert_eq!((machine.engine().snapshot().pended, machine.engine().outstanding_packets()), (0, 0));
}

/// R17, R18, R20, learn.microsoft.com "FwpsCompleteOperation0": the injected copy of the SYN is the continuation.
#[test]
fn a_connection_that_comes_in_waits_until_it_is_permitted_or_blocked() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("httpd.exe");
        for peer in PEERS {
            let listener = listen(&machine, &program, peer);
            let first = syn(&machine, &listener, peer);
            assert_eq!(first.fate(), SynFate::Held);
            let request = service.take_held();
            let fixed = request.fixed;
            assert_eq!((fixed.direction, fixed.protocol, fixed.local_port), (Direction::INBOUND, 6, 80));
            assert_eq!((request.remote(), request.path.as_str()), (peer.parse().unwrap(), program.path()));
            assert_eq!(service.answer(&request, Verdict::PERMIT), Fate::ACCEPTED);
            machine.settle();
            assert_eq!(first.fate(), SynFate::Established);
            assert_eq!(listener.accepted(), [peer.parse().unwrap()]);
            let second = syn(&machine, &listener, &peer.replace("40000", "40001"));
            let request = service.take_held();
            service.answer(&request, Verdict::BLOCK);
            machine.settle();
            assert_eq!(second.fate(), SynFate::Dropped, "a blocked SYN is not answered");
            nothing_is_kept(&machine, &service);
        }
        let stats = service.stats();
        assert_eq!((stats.packets_released, stats.packets_dropped, stats.inject_failed), (2, 2, 0));
        assert_eq!((stats.claimed, stats.unclaimed), (4, 0));
    });
}

/// O8: the remote repeats a SYN that gets no answer. It is no second question, and no second connection.
#[test]
fn a_syn_that_comes_again_is_no_second_question() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("httpd.exe");
        for peer in PEERS {
            let listener = listen(&machine, &program, peer);
            let accept = syn(&machine, &listener, peer);
            let request = service.take_held();
            for _ in 0..3 {
                accept.retransmit();
                machine.settle();
            }
            assert_eq!((service.take().len(), service.stats().kept_packets), (0, 1));
            service.answer(&request, Verdict::PERMIT);
            machine.settle();
            assert_eq!(accept.fate(), SynFate::Established);
            assert_eq!(listener.accepted().len(), 1);
            nothing_is_kept(&machine, &service);
        }
    });
}

/// R31, Q10: the fallback for inbound connections, when nobody answers and when nobody is there any more.
#[test]
fn a_connection_that_nobody_decides_gets_the_inbound_fallback() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let program = machine.program("httpd.exe");
        for (settings, fate) in [
            (BLOCK_IN, SynFate::Dropped),
            (
                Settings { fallback_inbound: Fallback::PERMIT, fallback_outbound: Fallback::BLOCK, ..BLOCK_IN },
                SynFate::Established,
            ),
        ] {
            let listener = program.listen(machine.engine(), "0.0.0.0:80");
            let service = machine.service(settings);
            let late = syn(&machine, &listener, "192.0.2.7:40000");
            machine.advance(1_500);
            assert_eq!(late.fate(), fate);
            let detached = syn(&machine, &listener, "192.0.2.7:40001");
            assert_eq!(detached.fate(), SynFate::Held);
            service.kill();
            machine.settle();
            assert_eq!(detached.fate(), fate);
            assert_eq!(syn(&machine, &listener, "192.0.2.7:40002").fate(), fate, "no service");
        }
    });
}

/// R45, R46: an unload completes what came in, and waits for what it injects.
#[test]
fn an_unload_releases_what_came_in() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let program = machine.program("httpd.exe");
        let listener = program.listen(machine.engine(), "0.0.0.0:80");
        let socket = program.udp_at(machine.engine(), "0.0.0.0:53");
        let service = machine.service(Settings::INITIAL);
        let accept = syn(&machine, &listener, PEERS[0]);
        socket.deliver(PEERS[0].parse().unwrap(), b"query");
        assert!(!machine.unload(), "the service has the device open");
        service.close();
        machine.settle();
        assert_eq!(accept.fate(), SynFate::Established);
        assert_eq!(socket.received().len(), 1);
        assert_eq!(machine.engine().outstanding_packets(), 0);
    });
}

/// R32: a listener that closes takes with it what waits for it, and one connection that ends only itself (O9).
#[test]
fn a_listener_that_closes_releases_what_waits_for_it() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("httpd.exe");
        for peer in PEERS {
            let listener = listen(&machine, &program, peer);
            let accepts =
                ["40000", "40001", "40002"].map(|port| syn(&machine, &listener, &peer.replace("40000", port)));
            assert_eq!(service.take().len(), 3);
            accepts[0].reset();
            machine.settle();
            if options.knobs.accept_endpoint == AcceptEndpoint::Child {
                assert_eq!(service.stats().pended, 2, "one that ends takes only itself");
            }
            listener.close();
            machine.settle();
            assert!(accepts.iter().all(|accept| accept.fate() != SynFate::Held), "{accepts:?}");
            nothing_is_kept(&machine, &service);
        }
        let stats = service.stats();
        assert_eq!((stats.doors.closure, stats.packets_dropped, stats.packets_released), (6, 6, 0));
    });
}

/// How a packet comes in.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Udp,
    Icmp,
}

impl Kind {
    fn open(self, machine: &Machine, program: &Program, is_v6: bool) -> DatagramSocket {
        match self {
            Self::Udp => program.udp_at(machine.engine(), &any(is_v6, 53)),
            Self::Icmp => {
                let socket = program.icmp(machine.engine(), is_v6);
                assert!(socket.bind());
                socket
            }
        }
    }

    fn deliver(self, machine: &Machine, socket: &DatagramSocket, peer: SocketAddr, payload: &[u8]) -> PacketFate {
        let fate = match self {
            Self::Udp => socket.deliver(peer, payload),
            Self::Icmp => socket.deliver_echo(peer, 7, payload),
        };
        machine.settle();
        fate
    }
}

fn payloads(socket: &DatagramSocket) -> Vec<Vec<u8>> {
    socket.received().into_iter().map(|(_, payload)| payload).collect()
}

/// R17, R18: datagrams and pings arrive once, in order, after a permit, and never after a block.
#[test]
fn a_packet_that_comes_in_waits_until_it_is_permitted_or_blocked() {
    every_setting(|options| {
        for kind in [Kind::Udp, Kind::Icmp] {
            for peer in PEERS {
                let peer: SocketAddr = peer.parse().unwrap();
                let machine = Machine::with_driver(options);
                let service = machine.service(Settings::INITIAL);
                let program = machine.program("named.exe");
                let socket = kind.open(&machine, &program, peer.is_ipv6());
                assert_eq!(kind.deliver(&machine, &socket, peer, b"first"), PacketFate::Dropped);
                assert_eq!(payloads(&socket).len(), 0, "{kind:?} is held");
                let request = service.take_held();
                assert_eq!((request.fixed.direction, request.remote().ip()), (Direction::INBOUND, peer.ip()));
                service.answer(&request, Verdict::PERMIT);
                machine.settle();
                assert_eq!(payloads(&socket), [b"first"], "{kind:?}");
                assert_eq!(kind.deliver(&machine, &socket, peer, b"again"), PacketFate::Passed);
                assert_eq!(payloads(&socket), [b"first", b"again"], "{kind:?}");
                assert_eq!(service.take().len(), 0);

                let other = SocketAddr::new(peer.ip(), 50_000);
                let stranger = kind.open(&machine, &machine.program("other.exe"), peer.is_ipv6());
                if matches!(kind, Kind::Udp) {
                    kind.deliver(&machine, &socket, other, b"never");
                    let request = service.take_held();
                    service.answer(&request, Verdict::BLOCK);
                    machine.settle();
                    assert_eq!(payloads(&socket), [b"first", b"again"]);
                }
                drop(stranger);
                nothing_is_kept(&machine, &service);
            }
        }
    });
}

/// R15: further packets from a remote that is held wait behind the first, as far as the stack shows them.
#[test]
fn further_packets_that_come_in_keep_their_order() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("named.exe");
        let socket = program.udp_at(machine.engine(), "0.0.0.0:53");
        let peer = PEERS[0].parse().unwrap();
        for payload in [b"1", b"2", b"3"] {
            Kind::Udp.deliver(&machine, &socket, peer, payload);
        }
        let kept = service.stats().kept_packets;
        assert!(kept == 1 || kept == 3, "{kept}");
        let request = service.take_held();
        service.answer(&request, Verdict::PERMIT);
        machine.settle();
        assert_eq!(payloads(&socket), [b"1", b"2", b"3"][..kept as usize]);
        nothing_is_kept(&machine, &service);
    });
}

/// A socket that closes while packets for it are held.
#[test]
fn packets_for_a_socket_that_closes_are_dropped() {
    every_setting(|options: Options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("named.exe");
        let socket = program.udp_at(machine.engine(), "[::]:53");
        for peer in ["[2001:db8::1]:1", "[2001:db8::2]:1"] {
            Kind::Udp.deliver(&machine, &socket, peer.parse().unwrap(), b"query");
        }
        assert_eq!(service.stats().pended, 2);
        socket.close();
        machine.settle();
        assert_eq!((service.stats().doors.closure, service.stats().packets_dropped), (2, 2));
        nothing_is_kept(&machine, &service);
    });
}
