//! Sockets that close and processes that exit while they are held.

use e2e::{Machine, Outcome, every_setting};
use wire::settings::Settings;
use wire::verdict::{Outcome as Fate, Verdict};

const REMOTES: [&str; 2] = ["192.0.2.1:443", "[2001:db8::1]:443"];

/// D16, R32: nobody promises that an operation can be completed after its socket is gone, so it is completed before.
#[test]
fn a_socket_that_closes_while_it_is_held_is_completed_before_it_is_gone() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        for remote in REMOTES {
            let (connect, request) = machine.hold(&program, &service, remote);
            connect.close();
            assert_eq!(machine.engine().snapshot().pended, 0, "when close returns, nothing is pended");
            machine.settle();
            assert_eq!(connect.outcome(), Outcome::Closed);
            assert_eq!(service.answer(&request, Verdict::PERMIT), Fate::STALE);
        }
        let stats = service.stats();
        assert_eq!((stats.doors.closure, stats.pended), (2, 0));
        machine.advance(3_000);
        let stats = service.stats();
        assert_eq!(stats.claimed + stats.unclaimed, 2, "no verdict waits for ever");
    });
}

/// D16: the kernel closes the sockets of a process that exits.
#[test]
fn a_process_that_exits_while_it_is_held_leaves_nothing() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let (delivered, request) = machine.hold(&program, &service, REMOTES[0]);
        let queued = machine.connect(&program, REMOTES[1]);
        program.kill();
        machine.settle();
        assert_eq!((delivered.outcome(), queued.outcome()), (Outcome::Closed, Outcome::Closed));
        assert_eq!(service.take().len(), 0, "what was not asked yet is not asked any more");
        assert_eq!(service.answer(&request, Verdict::PERMIT), Fate::STALE);
        assert_eq!(service.stats().doors.closure, 2);
    });
}

/// D16, D17: the other order. The answer is on its way when the socket closes.
#[test]
fn a_socket_may_close_between_its_answer_and_its_reauthorize() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let (connect, request) = machine.hold(&program, &service, REMOTES[0]);
        assert_eq!(service.answer(&request, Verdict::PERMIT), Fate::ACCEPTED);
        connect.close();
        machine.settle();
        assert_ne!(connect.outcome(), Outcome::Pending);
        machine.advance(3_000);
        let stats = service.stats();
        assert_eq!((stats.doors.verdict, stats.doors.closure, stats.claimed + stats.unclaimed), (1, 0, 1));
    });
}

/// D16: one closure, and only it, ends what its socket holds.
#[test]
fn the_closure_of_one_socket_releases_no_other() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let (stays, request) = machine.hold(&program, &service, REMOTES[0]);
        let (closes, _) = machine.hold(&program, &service, REMOTES[0]);
        drop(closes);
        machine.settle();
        assert_eq!(stays.outcome(), Outcome::Pending);
        service.answer(&request, Verdict::PERMIT);
        machine.settle();
        assert_eq!(stays.outcome(), Outcome::Connected);
    });
}
