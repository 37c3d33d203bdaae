//! The service is absent, dies, closes its handle, comes back.

use e2e::{Connect, ConnectSpec, Machine, Options, Outcome, WSAEACCES, every_setting};
use nt_sys::status::{STATUS_CANCELLED, STATUS_SUCCESS};
use std::net::SocketAddr;
use wire::hello::HelloOutcome;
use wire::settings::{Fallback, Settings};
use wire::verdict::{Answer, Outcome as Fate, Scope, Verdict};

const FALLBACKS: [(Fallback, Outcome); 3] = [
    (Fallback::PERMIT, Outcome::Connected),
    (Fallback::BLOCK, Outcome::Refused(WSAEACCES)),
    (Fallback::LAST, Outcome::Refused(WSAEACCES)),
];

/// D13: before a service has said anything, everything is permitted.
#[test]
fn without_a_service_nothing_is_held() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let program = machine.program("node.exe");
        for remote in ["192.0.2.1:443", "[2001:db8::1]:443"] {
            assert_eq!(machine.connect(&program, remote).outcome(), Outcome::Connected);
        }
        let stats = machine.client().stats();
        assert_eq!((stats.attached, stats.filtering, stats.held, stats.fell_back), (0, 1, 0, 2));
    });
}

/// D13: what is held when the service dies is released at once, by its fallback, which stays in force.
#[test]
fn when_the_service_dies_the_fallback_releases_what_it_held() {
    every_setting(|options| {
        for (fallback, outcome) in FALLBACKS {
            let machine = Machine::with_driver(options);
            let service = machine.service(Settings { fallback_outbound: fallback, ..Settings::INITIAL });
            let program = machine.program("node.exe");
            let (delivered, _request) = machine.hold(&program, &service, "192.0.2.1:443");
            let queued = machine.connect(&program, "[2001:db8::1]:443");
            service.kill();
            machine.settle();
            assert_eq!((delivered.outcome(), queued.outcome()), (outcome, outcome));
            assert_eq!(machine.connect(&program, "192.0.2.2:443").outcome(), outcome, "now nothing is held");
            let stats = machine.client().stats();
            assert_eq!((stats.attached, stats.doors.detach, stats.pended, stats.queued), (0, 2, 0, 0));
        }
    });
}

/// D13: closing the handle in good order is no different.
#[test]
fn when_the_service_closes_its_handle_the_fallback_releases_what_it_held() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings { fallback_outbound: Fallback::BLOCK, ..Settings::INITIAL });
        let program = machine.program("node.exe");
        let (connect, _request) = machine.hold(&program, &service, "192.0.2.1:443");
        let parked = [service.park(), service.park()];
        service.close();
        machine.settle();
        assert_eq!(connect.outcome(), Outcome::Refused(WSAEACCES));
        assert!(parked.iter().all(|call| call.result() == Some((STATUS_CANCELLED, vec![]))));
    });
}

/// D13: the last known verdict is that of the cache, even of an old epoch.
#[test]
fn the_last_fallback_goes_by_what_was_said_last() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let settings = Settings { fallback_outbound: Fallback::LAST, ..Settings::INITIAL };
        let service = machine.service(settings);
        let program = machine.program("node.exe");
        let (first, request) = machine.hold(&program, &service, "192.0.2.1:443");
        service.submit(&[Answer { scope: Scope::REMOTE, ..Answer::once(request.id(), Verdict::PERMIT) }]);
        service.configure(Settings { epoch: 1, ..settings });
        let (again, _) = machine.hold(&program, &service, "192.0.2.1:443");
        let (unknown, _) = machine.hold(&program, &service, "192.0.2.2:443");
        service.kill();
        machine.settle();
        assert_eq!((first.outcome(), again.outcome()), (Outcome::Connected, Outcome::Connected));
        assert_eq!(unknown.outcome(), Outcome::Refused(WSAEACCES));
    });
}

/// D13: a thousand are released within a second of virtual time, and the next service need not wait.
#[test]
fn a_thousand_held_connections_are_released_at_once_and_a_new_service_attaches() {
    let machine = Machine::with_driver(Options::default());
    let settings = Settings { max_pended: 1_000, max_pended_per_process: 1_000, ..Settings::INITIAL };
    let service = machine.service(settings);
    let program = machine.program("node.exe");
    let connects: Vec<Connect> = (0..1_000_u32)
        .map(|n| {
            let remote = SocketAddr::from(([192, 0, (n >> 8) as u8, n as u8], 443));
            program.connect_with(machine.engine(), ConnectSpec::to(remote))
        })
        .collect();
    machine.settle();
    assert_eq!(service.stats().pended, 1_000);
    let started = machine.kernel().now_ms();
    service.kill();
    machine.settle();
    assert!(connects.iter().all(|connect| connect.outcome() == Outcome::Connected));
    let next = machine.service(settings);
    assert!(machine.kernel().now_ms() - started < 1_000);
    let (_connect, request) = machine.hold(&program, &next, "192.0.2.1:80");
    assert!(request.is_held());
}

/// D13, D15: an id belongs to one attachment.
#[test]
fn a_new_service_cannot_answer_what_the_one_before_was_asked() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let settings = Settings { fallback_outbound: Fallback::BLOCK, ..Settings::INITIAL };
        let service = machine.service(settings);
        let program = machine.program("node.exe");
        let (connect, request) = machine.hold(&program, &service, "192.0.2.1:443");
        service.close();
        let next = machine.service(settings);
        assert_eq!(next.answer(&request, Verdict::PERMIT), Fate::STALE);
        machine.settle();
        assert_eq!(connect.outcome(), Outcome::Refused(WSAEACCES));
    });
}

/// One attached service at a time; the reply names the one that is in the way.
#[test]
fn a_second_service_is_told_who_is_attached() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let other = machine.client();
        let (status, reply) = other.hello(wire::VERSION, Settings::INITIAL);
        let reply = reply.unwrap();
        assert_eq!((status, reply.outcome), (STATUS_SUCCESS, HelloOutcome::BUSY));
        assert_eq!(reply.attached_process_id, service.pid());
        let own = service.hello(wire::VERSION, Settings::INITIAL).1.unwrap();
        assert_eq!((own.outcome, own.attached_process_id), (HelloOutcome::BUSY, service.pid()));
        other.close();
        assert_eq!(service.stats().attached_process_id, service.pid(), "a handle that is not attached takes nothing");
    });
}

/// A service of another release learns both versions and is not attached.
#[test]
fn a_service_of_another_version_is_told_both_versions() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let client = machine.client();
        for version in [0, wire::VERSION + 1, u16::MAX] {
            let (status, reply) = client.hello(version, Settings::INITIAL);
            let reply = reply.unwrap();
            assert_eq!((status, reply.outcome), (STATUS_SUCCESS, HelloOutcome::VERSION_MISMATCH));
            assert_eq!((reply.driver_version, reply.service_version), (wire::VERSION, version));
        }
        assert_eq!(client.stats().attached, 0);
        client.attach(Settings::INITIAL);
    });
}
