//! With a service that permits everything, programs see what they would see without the driver.

use e2e::{ConnectSpec, Direction, Machine, Options, Rival, Rule, Service, every_setting};
use nt_sys::fwp::FWP_CONDITION_REAUTHORIZE_REASON_NEW_ARRIVAL_INTERFACE;
use wfp_sim::Handshake;
use wire::settings::Settings;
use wire::verdict::Verdict;

/// Everything that programs can do, with what each step returned. `decide` answers what is held.
fn trace(machine: &Machine, decide: impl Fn()) -> Vec<String> {
    let mut seen = Vec::new();
    let (node, curl) = (machine.program("node.exe"), machine.program("curl.exe"));
    let mut open = Vec::new();
    for remote in ["192.0.2.1:443", "127.0.0.1:80", "[2001:db8::1]:443", "[::1]:80", "[::ffff:192.0.2.7]:443"] {
        for (program, handshake) in [(&node, Handshake::Accepted), (&curl, Handshake::Refused)] {
            let mut spec = ConnectSpec::to(remote.parse().unwrap());
            spec.handshake = handshake;
            let connect = program.connect_with(machine.engine(), spec);
            machine.settle();
            decide();
            seen.push(format!("{remote}: {:?}, again {}", connect.outcome(), connect.connect_again()));
            open.push(connect);
        }
    }
    let again = ConnectSpec::to("192.0.2.1:443".parse().unwrap()).from("10.0.0.9:5000".parse().unwrap());
    let bound = node.connect_with(machine.engine(), again);
    machine.settle();
    decide();
    seen.push(format!("bound to {}: {:?}", bound.local(), bound.outcome()));
    for (remote, is_v6) in [("9.9.9.9:53", false), ("[2001:db8::53]:53", true)] {
        let remote = remote.parse().unwrap();
        let (udp, icmp) = (node.udp(machine.engine(), is_v6), curl.icmp(machine.engine(), is_v6));
        udp.connect(remote);
        for _ in 0..3 {
            // What the call returns differs while its packet waits; what arrives must not.
            let (_, _) = (udp.send(remote), icmp.echo(remote, 7));
            machine.settle();
            decide();
            let wire = machine.engine().wire();
            seen.push(format!("{remote}: {:?}", wire.iter().map(|packet| &packet.bytes).collect::<Vec<_>>()));
            machine.advance(30_100);
        }
    }
    for (rule, direction) in [(Rule::Permit, Direction::Outbound), (Rule::PermitForGood, Direction::Inbound)] {
        let rival = Rival::heavier(rule);
        seen.extend(open.iter().map(|one| format!("packet: {:?}", one.flow().packet(direction))));
        drop(rival);
    }
    let reason = FWP_CONDITION_REAUTHORIZE_REASON_NEW_ARRIVAL_INTERFACE;
    seen.push(format!("reauthorized: {}", machine.engine().reauthorize_all(reason)));
    seen.extend(open.iter().map(|one| format!("{:?}", one.outcome())));
    curl.kill();
    bound.close();
    seen.extend(open.iter().map(|one| format!("{:?}, {:?}", one.outcome(), one.flow().packet(Direction::Inbound))));
    seen
}

fn permit_all(machine: &Machine, service: &Service) {
    for request in service.take().into_iter().filter(e2e::Request::is_held) {
        service.answer(&request, Verdict::PERMIT);
    }
    machine.settle();
}

/// D38.
#[test]
fn programs_see_no_difference_when_everything_is_permitted() {
    every_setting(|options: Options| {
        let machine = Machine::boot(options);
        let without = trace(&machine, || ());
        drop(machine);

        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let with = trace(&machine, || permit_all(&machine, &service));
        assert_eq!(with, without);
        assert_eq!(service.stats().doors.verdict, 15, "everything was held");
    });
}
