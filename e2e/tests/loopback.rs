//! Connections of the machine with itself: classified at both ends.

use e2e::{LoopbackInjection, Machine, Options, Outcome, Service, every_setting};
use std::net::SocketAddr;
use wire::request::{Because, Direction, RequestFlags};
use wire::settings::{Holds, Settings};
use wire::verdict::{Answer, Scope, Verdict};

const BOTH_HALVES: Settings = Settings { hold: Holds::all().bits(), ..Settings::INITIAL };

/// What loopback is not: its inbound half is permitted and reported, and its outbound half is held.
fn permits_outbound(machine: &Machine, service: &Service) {
    let request = service.take_held();
    assert_eq!(request.fixed.direction, Direction::OUTBOUND);
    assert!(request.fixed.flags().contains(RequestFlags::LOOPBACK));
    service.answer(&request, Verdict::PERMIT);
    machine.settle();
}

/// R38, D12: the outbound half is held; of the inbound half the service hears.
#[test]
fn the_inbound_half_is_permitted_and_reported() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let (server, client) = (machine.program("httpd.exe"), machine.program("curl.exe"));
        for address in ["127.0.0.1:80", "[::1]:80"] {
            let listener = server.listen(machine.engine(), address);
            let connect = machine.connect(&client, address);
            assert_eq!(connect.outcome(), Outcome::Pending);
            permits_outbound(&machine, &service);
            assert_eq!(connect.outcome(), Outcome::Connected);
            assert_eq!(listener.accepted().len(), 1);
            let report = service.take_one();
            assert_eq!((report.fixed.direction, report.fixed.because), (Direction::INBOUND, Because::LOOPBACK));
            assert_eq!((report.fixed.verdict, report.is_held()), (Verdict::PERMIT, false));
            assert_eq!(report.path, server.path());
        }
    });
}

/// The same for datagrams. What we injected on its way out is no stranger to us on its way in, but it is reported.
#[test]
fn the_inbound_half_of_a_datagram_is_permitted_and_reported() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let (server, client) = (machine.program("named.exe"), machine.program("dig.exe"));
        let inbox = server.udp_at(machine.engine(), "127.0.0.1:53");
        let socket = client.udp_at(machine.engine(), "127.0.0.1:4000");
        socket.send_bytes("127.0.0.1:53".parse().unwrap(), b"query");
        machine.settle();
        permits_outbound(&machine, &service);
        let from: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        assert_eq!(inbox.received(), [(from, b"query".to_vec())]);
        let report = service.take_one();
        assert_eq!((report.fixed.direction, report.fixed.because), (Direction::INBOUND, Because::LOOPBACK));
    });
}

/// A block that the service has given for the server holds on loopback, too.
#[test]
fn a_remembered_block_blocks_the_inbound_half() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let (server, client) = (machine.program("httpd.exe"), machine.program("curl.exe"));
        let listener = server.listen(machine.engine(), "0.0.0.0:80");
        let stranger = listener.syn_from("192.0.2.7:40000".parse().unwrap());
        machine.settle();
        let request = service.take_held();
        service.submit(&[Answer { scope: Scope::PROGRAM, ..Answer::once(request.id(), Verdict::BLOCK) }]);
        machine.settle();
        let connect = machine.connect(&client, "127.0.0.1:80");
        permits_outbound(&machine, &service);
        assert_ne!(connect.outcome(), Outcome::Connected);
        assert_eq!(listener.accepted().len(), 0);
        drop(stranger);
    });
}

/// With `ACCEPT_LOOPBACK` both halves are questions, of two programs.
#[test]
fn both_halves_are_held_when_the_settings_say_so() {
    every_setting(|options: Options| {
        for verdict in [Verdict::PERMIT, Verdict::BLOCK] {
            let machine = Machine::with_driver(options);
            let service = machine.service(BOTH_HALVES);
            let (server, client) = (machine.program("httpd.exe"), machine.program("curl.exe"));
            let listener = server.listen(machine.engine(), "127.0.0.1:80");
            let inbox = server.udp_at(machine.engine(), "127.0.0.1:53");
            let connect = machine.connect(&client, "127.0.0.1:80");
            let socket = client.udp_at(machine.engine(), "127.0.0.1:4000");
            permits_outbound(&machine, &service);
            socket.send_bytes("127.0.0.1:53".parse().unwrap(), b"query");
            machine.settle();
            let [inbound, outbound]: [_; 2] = service.take().try_into().unwrap();
            assert!(inbound.is_held() && inbound.fixed.direction == Direction::INBOUND, "{inbound:?}");
            assert_eq!(inbound.path, server.path());
            assert_eq!(connect.outcome(), Outcome::Pending);
            service.answer(&outbound, Verdict::PERMIT);
            machine.settle();
            let datagram = service.take_held();
            assert_eq!((datagram.fixed.direction, datagram.fixed.protocol), (Direction::INBOUND, 17));
            for request in [&inbound, &datagram] {
                service.answer(request, verdict);
            }
            machine.settle();
            // Whether an injection arrives on loopback is not documented (R25): when it does not, it is counted.
            let arrives =
                verdict == Verdict::PERMIT && options.knobs.loopback_injection == LoopbackInjection::Delivered;
            assert_eq!(connect.outcome() == Outcome::Connected, arrives);
            assert_eq!((listener.accepted().len(), inbox.received().len()), (arrives.into(), arrives.into()));
            let failed = if verdict == Verdict::PERMIT && !arrives { 2 } else { 0 };
            assert_eq!((service.stats().inject_failed, service.stats().kept_packets), (failed, 0));
        }
    });
}
