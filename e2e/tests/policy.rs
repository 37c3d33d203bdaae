//! What is held is what the settings say, protocol by protocol and way by way (R26).

use e2e::{Machine, Options, Outcome, Program, Service, SynFate, every_setting};
use wire::request::Because;
use wire::settings::{Fallback, Holds, Settings};

/// GRE: a protocol without ports.
const GRE: u8 = 47;

/// Every kind of operation that has a setting of its own, once; the bits of those that were held, in the order of the bits.
fn held_of_each_kind(machine: &Machine, service: &Service, program: &Program) -> Holds {
    let (remote, engine) = ("192.0.2.7:1000".parse().unwrap(), machine.engine());
    let mut held = Holds::empty();
    let mut note = |kind| {
        machine.settle();
        let request = service.take_one();
        held.set(kind, request.is_held());
        assert!(request.is_held() || request.fixed.because == Because::FALLBACK, "{request:?}");
    };
    let connect = program.connect(engine, "192.0.2.7:443");
    note(Holds::CONNECT_TCP);
    let udp = program.udp(engine, false);
    udp.send(remote);
    note(Holds::CONNECT_UDP);
    let ping = program.icmp(engine, false);
    ping.echo(remote, 1);
    note(Holds::CONNECT_ICMP);
    let raw = program.raw(engine, GRE, false);
    raw.send_bytes("192.0.2.7:0".parse().unwrap(), b"tunnel");
    note(Holds::CONNECT_OTHER);
    let listener = program.listen(engine, "0.0.0.0:80");
    let accept = listener.syn_from(remote);
    note(Holds::ACCEPT_TCP);
    let inbox = program.udp_at(engine, "0.0.0.0:53");
    inbox.deliver(remote, b"query");
    note(Holds::ACCEPT_UDP);
    let pinged = program.icmp(engine, false);
    assert!(pinged.bind());
    pinged.deliver_echo("192.0.2.9:0".parse().unwrap(), 2, b"ping");
    note(Holds::ACCEPT_ICMP);
    assert_eq!(connect.outcome() == Outcome::Pending, held.contains(Holds::CONNECT_TCP));
    assert_eq!(accept.fate() == SynFate::Held, held.contains(Holds::ACCEPT_TCP));
    held
}

const KINDS: Holds = Holds::CONNECT_TCP
    .union(Holds::CONNECT_UDP)
    .union(Holds::CONNECT_ICMP)
    .union(Holds::CONNECT_OTHER)
    .union(Holds::ACCEPT_TCP)
    .union(Holds::ACCEPT_UDP)
    .union(Holds::ACCEPT_ICMP);

fn settings(hold: Holds) -> Settings {
    Settings {
        hold: hold.bits(),
        fallback_outbound: Fallback::BLOCK,
        fallback_inbound: Fallback::BLOCK,
        ..Settings::INITIAL
    }
}

#[test]
fn all_kinds_are_held_or_none() {
    every_setting(|options| {
        for hold in [Holds::USUAL, Holds::empty()] {
            let machine = Machine::with_driver(options);
            let service = machine.service(settings(hold));
            let program = machine.program("node.exe");
            assert_eq!(held_of_each_kind(&machine, &service, &program), hold & KINDS);
        }
    });
}

#[test]
fn each_kind_has_a_setting_of_its_own() {
    for kind in KINDS.iter() {
        for hold in [kind, Holds::USUAL - kind] {
            let machine = Machine::with_driver(Options::default());
            let service = machine.service(settings(hold));
            let program = machine.program("node.exe");
            assert_eq!(held_of_each_kind(&machine, &service, &program), hold & KINDS, "{kind:?}");
        }
    }
}
