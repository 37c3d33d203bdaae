//! One short story for each way through the driver's unsafe code, for Miri, which takes a minute and more for each: `cargo xtask
//! test` runs three under it (`MIRI_STORIES`), and whoever changes the unsafe code runs all of them. Other tests boot thousands of
//! machines.
//!
//! Not under Miri: threads that race (`races`, `orderings`: hours), every setting of the emulators (the unsafe code is the
//! same under each), the service and its database (no unsafe code of ours that a host runs, and SQLite is C).

use e2e::{Machine, Options, Outcome, SynFate, WSAEACCES};
use nt_sys::status::STATUS_CANCELLED;
use wire::ioctl;
use wire::settings::{Fallback, Settings};
use wire::verdict::{Answer, Outcome as Fate, Scope, Verdict};

/// Tables of these sizes are filled element by element.
const SMALL: Settings =
    Settings { max_pended: 8, max_pended_per_process: 8, max_cached: 16, deadline_ms: 500, ..Settings::INITIAL };

#[test]
fn connections_are_held_and_permitted_or_blocked() {
    let machine = Machine::with_driver(Options::default());
    let service = machine.service(SMALL);
    let program = machine.program("node.exe");
    let (permitted, request) = machine.hold(&program, &service, "192.0.2.1:443");
    assert_eq!(service.answer(&request, Verdict::PERMIT), Fate::ACCEPTED);
    let (blocked, request) = machine.hold(&program, &service, "[2001:db8::1]:443");
    assert_eq!(service.answer(&request, Verdict::BLOCK), Fate::ACCEPTED);
    machine.settle();
    assert_eq!((permitted.outcome(), blocked.outcome()), (Outcome::Connected, Outcome::Refused(WSAEACCES)));
    assert_eq!(service.stats().claimed, 2);
    service.close();
}

#[test]
fn a_verdict_is_remembered_and_forgotten() {
    let machine = Machine::with_driver(Options::default());
    let service = machine.service(SMALL);
    let program = machine.program("node.exe");
    let (_connect, request) = machine.hold(&program, &service, "192.0.2.1:443");
    let answer = Answer { scope: Scope::REMOTE, lifetime_ms: 1_000, ..Answer::once(request.id(), Verdict::BLOCK) };
    assert_eq!(service.submit(&[answer]), [Fate::ACCEPTED]);
    machine.settle();
    assert_eq!(machine.connect(&program, "192.0.2.1:443").outcome(), Outcome::Refused(WSAEACCES));
    service.configure(Settings { epoch: 1, ..SMALL });
    let (_connect, _request) = machine.hold(&program, &service, "192.0.2.1:443");
    service.close();
}

#[test]
fn nobody_answers_in_time_and_the_fallback_does() {
    let machine = Machine::with_driver(Options::default());
    let service = machine.service(Settings { fallback_outbound: Fallback::BLOCK, ..SMALL });
    let program = machine.program("node.exe");
    let (connect, request) = machine.hold(&program, &service, "192.0.2.1:443");
    machine.advance(u64::from(SMALL.deadline_ms) + 100);
    assert_eq!(connect.outcome(), Outcome::Refused(WSAEACCES));
    assert_eq!(service.answer(&request, Verdict::PERMIT), Fate::STALE);
    service.close();
}

#[test]
fn a_service_that_dies_leaves_nothing_held_and_its_calls_end() {
    let machine = Machine::with_driver(Options::default());
    let service = machine.service(SMALL);
    let program = machine.program("node.exe");
    let (connect, _request) = machine.hold(&program, &service, "192.0.2.1:443");
    let call = service.park();
    service.kill();
    machine.settle();
    assert_eq!(call.result().map(|(status, _)| status), Some(STATUS_CANCELLED));
    assert_eq!(connect.outcome(), Outcome::Connected);
}

#[test]
fn a_socket_that_closes_while_it_is_held_ends_its_record() {
    let machine = Machine::with_driver(Options::default());
    let service = machine.service(SMALL);
    let program = machine.program("node.exe");
    let (connect, request) = machine.hold(&program, &service, "192.0.2.1:443");
    connect.close();
    machine.settle();
    assert_eq!(service.answer(&request, Verdict::PERMIT), Fate::STALE);
    assert_eq!(service.stats().doors.closure, 1);
    service.close();
}

/// One machine for all three, because a boot is most of the time.
#[test]
fn first_packets_out_and_in_are_kept_and_injected_or_dropped() {
    let machine = Machine::with_driver(Options::default());
    let service = machine.service(SMALL);
    let program = machine.program("node.exe");
    let socket = program.udp(machine.engine(), false);
    for (remote, verdict) in [("192.0.2.1:53", Verdict::PERMIT), ("192.0.2.2:53", Verdict::BLOCK)] {
        socket.send_bytes(remote.parse().expect("an address"), b"first");
        machine.settle();
        assert_eq!(service.answer(&service.take_held(), verdict), Fate::ACCEPTED);
        machine.settle();
    }
    let wire = machine.engine().wire();
    assert_eq!(wire.iter().map(|packet| packet.payload.as_slice()).collect::<Vec<_>>(), [b"first"]);
    let listener = program.listen(machine.engine(), "0.0.0.0:80");
    let accept = listener.syn_from("192.0.2.7:40000".parse().expect("an address"));
    machine.settle();
    assert_eq!(service.answer(&service.take_held(), Verdict::PERMIT), Fate::ACCEPTED);
    machine.settle();
    assert_eq!(accept.fate(), SynFate::Established);
    assert_eq!(machine.engine().outstanding_packets(), 0);
    socket.close();
    service.close();
}

#[test]
fn the_driver_is_unloaded_and_loaded_again_under_a_live_connection() {
    let machine = Machine::with_driver(Options::default());
    let service = machine.service(SMALL);
    let program = machine.program("node.exe");
    let (connect, _request) = machine.hold(&program, &service, "192.0.2.1:443");
    service.close();
    assert!(machine.unload());
    assert_eq!(connect.outcome(), Outcome::Connected);
    assert_eq!(machine.load(), Ok(()));
}

#[test]
fn calls_with_bad_bytes_change_nothing() {
    let machine = Machine::with_driver(Options::default());
    let service = machine.service(SMALL);
    for code in [ioctl::HELLO, ioctl::NEXT_REQUESTS, ioctl::SUBMIT_VERDICTS, ioctl::CONFIGURE, ioctl::FORGET, 7] {
        for input in [&[][..], &[1], &[0xFF; 40]] {
            let call = service.ioctl(code, input, 3);
            assert!(call.result().is_some_and(|(status, _)| status < 0), "{code:#x} {input:?}");
        }
    }
    service.close();
}

/// Of the other methods the system buffer is only as long as the input, or not there. learn.microsoft.com "Buffer
/// Descriptions for I/O Control Codes".
#[test]
fn a_call_of_another_transfer_method_is_refused_and_nothing_is_written() {
    let machine = Machine::with_driver(Options::default());
    let service = machine.service(SMALL);
    for code in [ioctl::HELLO, ioctl::NEXT_REQUESTS, ioctl::SUBMIT_VERDICTS, ioctl::STATS] {
        for method in 1..=3 {
            let (status, _) = service.call(code | method, &[0; 8], 512);
            assert!(status < 0, "{code:#x} by method {method}");
        }
    }
    service.close();
}

#[test]
fn the_base_filtering_engine_restarts_under_the_driver() {
    let machine = Machine::with_driver(Options::default());
    machine.engine().bfe_stop();
    machine.advance(200);
    machine.engine().bfe_start();
    machine.advance(200);
    let service = machine.service(SMALL);
    let program = machine.program("node.exe");
    let (_connect, _request) = machine.hold(&program, &service, "192.0.2.1:443");
    service.close();
}
