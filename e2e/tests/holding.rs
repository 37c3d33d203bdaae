//! Holding connections: each waits for its own verdict, and gets it.

use e2e::{Connect, ConnectSpec, Machine, Outcome, ReauthMode, WSAEACCES, every_combination, every_setting};
use std::net::SocketAddr;
use wire::settings::{Fallback, Settings};
use wire::verdict::{Answer, MAX_ANSWERS, Outcome as Fate, Verdict};

/// D01, D04, learn.microsoft.com "FwpsCompleteOperation0".
#[test]
fn a_connection_waits_until_it_is_permitted_or_blocked() {
    every_combination(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        for (verdict, outcome) in [(Verdict::PERMIT, Outcome::Connected), (Verdict::BLOCK, Outcome::Refused(WSAEACCES))]
        {
            for remote in ["192.0.2.1:443", "[2001:db8::1]:443"] {
                let (connect, request) = machine.hold(&program, &service, remote);
                assert_eq!(service.answer(&request, verdict), Fate::ACCEPTED);
                if options.knobs.reauth_mode != ReauthMode::Deferred {
                    assert_eq!(connect.outcome(), outcome, "the reauthorize finds the verdict at once");
                }
                machine.settle();
                assert_eq!(connect.outcome(), outcome);
            }
        }
        let stats = service.stats();
        assert_eq!((stats.held, stats.doors.verdict, stats.claimed), (4, 4, 4));
        assert_eq!((stats.orphaned, stats.unclaimed, stats.foreign_reauthorized), (0, 0, 0));
        let totals = machine.engine().snapshot().totals;
        assert_eq!((totals.pended, totals.completed), (4, 4));
    });
}

/// D02, learn.microsoft.com "Processing Classify Callouts Asynchronously": each pended operation has its unique state.
#[test]
fn a_thousand_connections_answered_in_any_order_each_get_their_own_verdict() {
    let settings = Settings { max_pended: 1_000, max_pended_per_process: 1_000, ..Settings::INITIAL };
    for reauth_mode in [ReauthMode::Inline, ReauthMode::Deferred, ReauthMode::DeferredInClassify] {
        let mut options = e2e::Options { seed: 7, ..e2e::Options::default() };
        options.knobs.reauth_mode = reauth_mode;
        let machine = Machine::with_driver(options);
        let service = machine.service(settings);
        let program = machine.program("node.exe");
        let connects: Vec<Connect> = (0..1_000_u32)
            .map(|n| {
                let remote = SocketAddr::from(([192, 0, (n >> 8) as u8, n as u8], 443));
                program.connect_with(machine.engine(), ConnectSpec::to(remote))
            })
            .collect();
        machine.settle();
        let mut requests = service.take();
        assert_eq!(requests.len(), 1_000);
        shuffle(&mut requests);
        let answers: Vec<Answer> =
            requests.iter().map(|one| Answer::once(one.id(), verdict_for(one.remote()))).collect();
        for batch in answers.chunks(MAX_ANSWERS as usize / 3) {
            assert!(service.submit(batch).iter().all(|fate| *fate == Fate::ACCEPTED));
        }
        machine.settle();
        for (n, connect) in connects.iter().enumerate() {
            let remote = SocketAddr::from(([192, 0, (n >> 8) as u8, n as u8], 443));
            let expected = match verdict_for(remote) {
                Verdict::PERMIT => Outcome::Connected,
                _ => Outcome::Refused(WSAEACCES),
            };
            assert_eq!(connect.outcome(), expected, "{remote}");
        }
        let stats = service.stats();
        assert_eq!((stats.claimed, stats.unclaimed, stats.orphaned), (1_000, 0, 0));
    }
}

fn verdict_for(remote: SocketAddr) -> Verdict {
    let SocketAddr::V4(remote) = remote else { panic!("{remote} is IPv4") };
    if remote.ip().octets()[3].is_multiple_of(3) { Verdict::BLOCK } else { Verdict::PERMIT }
}

/// Fisher and Yates, with the steps of a fixed sequence.
fn shuffle<T>(items: &mut [T]) {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    for last in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(last, (state % (last as u64 + 1)) as usize);
    }
}

/// D03, R15: nothing said about a connection reaches the next one with the same ends.
#[test]
fn a_tuple_that_is_used_again_is_asked_about_again() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let local = "10.0.0.9:5000".parse().unwrap();
        let again = || ConnectSpec::to("192.0.2.1:443".parse().unwrap()).from(local);
        for verdict in [Verdict::PERMIT, Verdict::BLOCK, Verdict::PERMIT] {
            let connect = program.connect_with(machine.engine(), again());
            machine.settle();
            assert_eq!(connect.outcome(), Outcome::Pending);
            service.answer(&service.take_one(), verdict);
            machine.settle();
            assert_eq!(connect.outcome() == Outcome::Connected, verdict == Verdict::PERMIT);
        }
        assert_eq!(service.stats().held, 3);
    });
}

/// D03, R15: the first of the two is closed while it is held; its answer, which comes late, is for nobody.
#[test]
fn the_verdict_of_a_connection_that_is_gone_does_not_reach_its_successor() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let again = || {
            let spec = ConnectSpec::to("192.0.2.1:443".parse().unwrap()).from("10.0.0.9:5000".parse().unwrap());
            let connect = program.connect_with(machine.engine(), spec);
            machine.settle();
            connect
        };
        let first = again();
        let request = service.take_one();
        first.close();
        let second = again();
        assert_eq!(service.answer(&request, Verdict::PERMIT), Fate::STALE);
        machine.settle();
        assert_eq!(second.outcome(), Outcome::Pending);
        service.answer(&service.take_one(), Verdict::BLOCK);
        machine.settle();
        assert_eq!(second.outcome(), Outcome::Refused(WSAEACCES));
    });
}

/// D12: the service must reach the network while its own answer is what everybody waits for.
#[test]
fn the_service_connects_while_it_holds_connections() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings { fallback_outbound: Fallback::BLOCK, ..Settings::INITIAL });
        let program = machine.program("node.exe");
        let (connect, request) = machine.hold(&program, &service, "192.0.2.1:443");
        for remote in ["198.51.100.1:443", "[::1]:8080"] {
            let own = service.connect(machine.engine(), remote);
            machine.settle();
            assert_eq!(own.outcome(), Outcome::Connected);
        }
        assert_eq!(service.take().len(), 0, "nothing is asked or told about it");
        assert_eq!(service.stats().exempted, 2);
        service.answer(&request, Verdict::PERMIT);
        machine.settle();
        assert_eq!(connect.outcome(), Outcome::Connected);
    });
}

/// D12: only the attached service itself is exempt.
#[test]
fn another_administrator_with_the_device_open_is_not_exempt() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let other = machine.client();
        let connect = other.connect(machine.engine(), "192.0.2.1:443");
        machine.settle();
        assert_eq!(connect.outcome(), Outcome::Pending);
        assert_eq!(service.take_one().fixed.process_id, other.pid());
    });
}

/// Q1: no wake-up is lost, whichever of the call and the connection comes first.
#[test]
fn a_parked_call_is_answered_as_soon_as_there_is_a_request() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(Settings::INITIAL);
        let program = machine.program("node.exe");
        let calls = [service.park(), service.park()];
        assert!(calls.iter().all(|call| call.is_pending()));
        let first = machine.connect(&program, "192.0.2.1:443");
        assert!(!calls[0].is_pending(), "first in, first out");
        assert!(calls[1].is_pending());
        let second = machine.connect(&program, "192.0.2.2:443");
        assert!(!calls[1].is_pending());
        let remotes: Vec<String> =
            calls.iter().map(|call| e2e::read_batch(call).remove(0).remote().to_string()).collect();
        assert_eq!(remotes, ["192.0.2.1:443", "192.0.2.2:443"]);
        drop((first, second));
    });
}
