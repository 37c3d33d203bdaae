//! Deadlines and limits: nothing is held for ever, nor without bounds.

use e2e::{Connect, Machine, Outcome, WSAEACCES, every_setting};
use wire::request::Because;
use wire::settings::{Fallback, Settings};
use wire::verdict::{Outcome as Fate, Verdict};

const BLOCKED: Outcome = Outcome::Refused(WSAEACCES);

/// D14, R31: the driver's own watchdog releases what nobody answers.
#[test]
fn a_connection_that_nobody_decides_is_released_by_the_fallback() {
    every_setting(|options| {
        for (fallback, outcome) in [(Fallback::PERMIT, Outcome::Connected), (Fallback::BLOCK, BLOCKED)] {
            let machine = Machine::with_driver(options);
            let settings = Settings { fallback_outbound: fallback, deadline_ms: 5_000, ..Settings::INITIAL };
            let service = machine.service(settings);
            let program = machine.program("node.exe");
            let (delivered, request) = machine.hold(&program, &service, "192.0.2.1:443");
            let queued = machine.connect(&program, "[2001:db8::1]:443");
            machine.advance(4_900);
            assert_eq!((delivered.outcome(), queued.outcome()), (Outcome::Pending, Outcome::Pending));
            machine.advance(200);
            assert_eq!((delivered.outcome(), queued.outcome()), (outcome, outcome));
            assert_eq!(service.answer(&request, Verdict::PERMIT), Fate::STALE);
            assert_eq!(service.take().len(), 0, "what is decided is not asked any more");
            let stats = service.stats();
            assert_eq!((stats.doors.deadline, stats.stale_answers, stats.claimed), (2, 1, 2));
        }
    });
}

/// D14: ten minutes is the longest deadline there is.
#[test]
fn no_deadline_is_longer_than_ten_minutes() {
    let machine = Machine::with_driver(e2e::Options::default());
    let service = machine.service(Settings { deadline_ms: *Settings::DEADLINE_MS.end(), ..Settings::INITIAL });
    let program = machine.program("node.exe");
    let (connect, _request) = machine.hold(&program, &service, "192.0.2.1:443");
    machine.advance(599_900);
    assert_eq!(connect.outcome(), Outcome::Pending);
    machine.advance(200);
    assert_eq!(connect.outcome(), Outcome::Connected);
}

/// D18: beyond the limits the fallback answers at once, and the service is told.
#[test]
fn connections_beyond_a_limit_are_decided_at_once() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let settings = Settings {
            fallback_outbound: Fallback::BLOCK,
            max_pended: 5,
            max_pended_per_process: 3,
            ..Settings::INITIAL
        };
        let service = machine.service(settings);
        let (greedy, other) = (machine.program("greedy.exe"), machine.program("other.exe"));
        let mut held: Vec<Connect> = (0..3).map(|_| machine.connect(&greedy, "192.0.2.1:443")).collect();
        assert_eq!(machine.connect(&greedy, "192.0.2.1:443").outcome(), BLOCKED, "the fourth of one process");
        held.extend((0..2).map(|_| machine.connect(&other, "192.0.2.1:443")));
        assert_eq!(machine.connect(&other, "192.0.2.1:443").outcome(), BLOCKED, "the sixth of all");
        assert!(held.iter().all(|connect| connect.outcome() == Outcome::Pending));

        let (requests, reports): (Vec<_>, Vec<_>) = service.take().into_iter().partition(|one| one.is_held());
        assert_eq!((requests.len(), reports.len()), (5, 2));
        for report in &reports {
            assert_eq!((report.fixed.verdict, report.fixed.because), (Verdict::BLOCK, Because::LIMIT));
        }
        assert_eq!(service.stats().limited, 2);

        service.answer(&requests[0], Verdict::PERMIT);
        machine.settle();
        held.push(machine.connect(&greedy, "192.0.2.1:443"));
        assert_eq!(held[5].outcome(), Outcome::Pending, "there is room again");
    });
}

/// D18: what is held costs nothing more than what was set aside for it.
#[test]
fn holding_connections_takes_no_more_pool() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings { max_pended: 64, max_pended_per_process: 64, ..Settings::INITIAL });
        let program = machine.program("node.exe");
        let before = machine.kernel().all_pool_bytes();
        let held: Vec<Connect> = (0..100).map(|_| machine.connect(&program, "192.0.2.1:443")).collect();
        assert_eq!(service.stats().pended, 64);
        assert_eq!(machine.kernel().all_pool_bytes(), before);
        drop(held);
        assert_eq!(machine.kernel().all_pool_bytes(), before);
    });
}

/// D14, D18: new settings hold for what is held already, and lose nothing of it.
#[test]
fn settings_can_change_while_connections_are_held() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let start = Settings { max_pended: 8, max_pended_per_process: 8, deadline_ms: 20_000, ..Settings::INITIAL };
        let service = machine.service(start);
        let program = machine.program("node.exe");
        let (first, request) = machine.hold(&program, &service, "192.0.2.1:443");
        let second = machine.connect(&program, "192.0.2.2:443");
        let third = machine.connect(&program, "192.0.2.3:443");

        let larger = Settings { max_pended: 100, max_cached: 10_000, epoch: 7, ..start };
        service.configure(larger);
        assert_eq!(service.answer(&request, Verdict::BLOCK), Fate::ACCEPTED, "ids stay good");
        let smaller = Settings {
            max_pended: 1,
            max_pended_per_process: 1,
            deadline_ms: 1_000,
            fallback_outbound: Fallback::BLOCK,
            ..larger
        };
        service.configure(smaller);
        machine.settle();
        assert_eq!(first.outcome(), BLOCKED);
        let [request, _] = service.take().try_into().expect("the other two are still asked about");
        assert_eq!(service.answer(&request, Verdict::PERMIT), Fate::ACCEPTED);
        machine.advance(1_100);
        assert_eq!((second.outcome(), third.outcome()), (Outcome::Connected, BLOCKED));
        let stats = service.stats();
        assert_eq!((stats.epoch, stats.doors.verdict, stats.doors.deadline), (7, 2, 1));
    });
}
