//! The base filtering engine starts late, stops and starts; and what of it is logged.

#![expect(unsafe_code, reason = "calls a notify function as the filter engine does")]

use e2e::{Machine, Options, Outcome, WSAEACCES, every_setting};
use nt::wfp::engine::Session;
use nt_sys::dbg::{
    DPFLTR_ERROR_LEVEL, DPFLTR_IHVDRIVER_ID, DPFLTR_INFO_LEVEL, DPFLTR_TRACE_LEVEL, DPFLTR_WARNING_LEVEL,
};
use nt_sys::fwps::{FWPS_CALLOUT_NOTIFY_ADD_FILTER_POST_COMMIT, FWPS_CALLOUT_NOTIFY_DELETE_FILTER};
use nt_sys::status::STATUS_SUCCESS;
use std::ptr::{null, null_mut};
use wire::settings::{Fallback, Settings};
use wire::verdict::Verdict;

const REMOTE: &str = "192.0.2.1:443";
const BLOCK: Settings = Settings { fallback_outbound: Fallback::BLOCK, ..Settings::INITIAL };

/// D25, R40, learn.microsoft.com "Calling Other Windows Filtering Platform Functions": at boot it may start after us.
#[test]
fn a_driver_that_is_loaded_first_waits_for_the_base_filtering_engine() {
    every_setting(|options| {
        let machine = Machine::with_driver(Options { bfe_running: false, ..options });
        let service = machine.service(BLOCK);
        let program = machine.program("node.exe");
        assert_eq!(service.stats().filtering, 0);
        assert_eq!(machine.connect(&program, REMOTE).outcome(), Outcome::Connected, "nothing asks us yet");

        machine.engine().bfe_start();
        machine.settle();
        assert_eq!(service.stats().filtering, 1);
        let (connect, request) = machine.hold(&program, &service, REMOTE);
        service.answer(&request, Verdict::BLOCK);
        machine.settle();
        assert_eq!(connect.outcome(), Outcome::Refused(WSAEACCES));
    });
}

/// R42, learn.microsoft.com "Object Management": at boot others may be busy with it for seconds.
#[test]
fn a_driver_that_is_loaded_while_others_hold_the_filter_engine_waits_for_them() {
    every_setting(|options| {
        let machine = Machine::boot(options);
        let mut other = Session::open(nt::name!("Other"), 0).unwrap();
        let transaction = other.begin().unwrap();
        assert_eq!(machine.load(), Ok(()));
        assert_eq!(machine.client().stats().filtering, 0);
        drop(transaction);
        machine.advance(1_000);
        assert_eq!(machine.client().stats().filtering, 1);
    });
}

/// D25: it goes without having been needed.
#[test]
fn a_driver_unloads_while_the_base_filtering_engine_does_not_run() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        machine.engine().bfe_stop();
        machine.settle();
        assert!(machine.unload());
        machine.engine().bfe_start();
        machine.settle();
        assert_eq!(machine.engine().snapshot().filters.len(), 0);
        drop(machine);
        assert!(Machine::with_driver(Options { bfe_running: false, ..options }).unload());
    });
}

/// D25: a restart takes the filters of a dynamic session with it; they are added again.
#[test]
fn after_a_restart_of_the_base_filtering_engine_connections_are_held_again() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(BLOCK);
        let program = machine.program("node.exe");
        for _ in 0..3 {
            machine.engine().bfe_stop();
            machine.settle();
            assert_eq!(service.stats().filtering, 0);
            machine.engine().bfe_start();
            machine.settle();
            assert_eq!(service.stats().filtering, 1);
            assert_eq!(machine.engine().snapshot().filters.len(), 6, "each once");
            let (connect, request) = machine.hold(&program, &service, REMOTE);
            service.answer(&request, Verdict::PERMIT);
            machine.settle();
            assert_eq!(connect.outcome(), Outcome::Connected);
        }
    });
}

/// D25: what is held stays held over a restart, and gets its verdict.
#[test]
fn a_connection_stays_held_while_the_base_filtering_engine_restarts() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let service = machine.service(BLOCK);
        let program = machine.program("node.exe");
        for (verdict, outcome) in [(Verdict::PERMIT, Outcome::Connected), (Verdict::BLOCK, Outcome::Refused(WSAEACCES))]
        {
            let (connect, request) = machine.hold(&program, &service, REMOTE);
            machine.engine().bfe_stop();
            machine.settle();
            assert_eq!(connect.outcome(), Outcome::Pending);
            machine.engine().bfe_start();
            machine.settle();
            assert_eq!(connect.outcome(), Outcome::Pending);
            service.answer(&request, verdict);
            machine.settle();
            assert_eq!(connect.outcome(), outcome);
        }
    });
}

/// D25, D26: adding the filters fails although it runs; the driver tries again by itself.
#[test]
fn filters_that_cannot_be_added_are_added_a_little_later() {
    every_setting(|options| {
        let machine = Machine::with_driver(Options { bfe_running: false, ..options });
        machine.kernel().fail_nth_call(1);
        machine.engine().bfe_start();
        machine.settle();
        assert_eq!(machine.kernel().fault_hit(), Some("FwpmEngineOpen0"));
        let lines = machine.kernel().debug_lines();
        let line = lines.iter().find(|line| line.text.contains("cannot add filters")).expect("a line");
        assert_eq!(line.level, DPFLTR_ERROR_LEVEL);
        machine.advance(100);
        assert_eq!(machine.client().stats().filtering, 1);
        assert_eq!(machine.engine().snapshot().filters.len(), 6);
    });
}

/// learn.microsoft.com "Reading and Filtering Debugging Messages": independent drivers print under DPFLTR_IHVDRIVER_ID.
#[test]
fn filters_that_come_and_go_are_logged() {
    every_setting(|options| {
        let machine = Machine::with_driver(options);
        let ids: Vec<u64> = machine.engine().snapshot().filters.iter().map(|filter| filter.id).collect();
        assert_eq!(ids.len(), 6);
        assert!(machine.unload());
        let lines = machine.kernel().debug_lines();
        assert!(lines.iter().all(|line| line.component == DPFLTR_IHVDRIVER_ID && line.text.ends_with('\n')));
        for id in ids {
            for change in ["Added", "Deleted"] {
                let text = format!("Tollgate: filter {id} {change}\n");
                let levels: Vec<u32> = lines.iter().filter(|line| line.text == text).map(|line| line.level).collect();
                assert_eq!(levels, [DPFLTR_INFO_LEVEL], "{text}");
            }
        }
        let level = |text: &str| lines.iter().find(|line| line.text.starts_with(text)).map(|line| line.level);
        assert_eq!(level("Tollgate: started"), Some(DPFLTR_TRACE_LEVEL));
        assert_eq!(level("Tollgate: stopped"), Some(DPFLTR_TRACE_LEVEL));
    });
}

/// A driver that waits says so.
#[test]
fn waiting_for_the_base_filtering_engine_is_logged_as_a_warning() {
    let machine = Machine::with_driver(Options { bfe_running: false, ..Options::default() });
    let lines = machine.kernel().debug_lines();
    let line = lines.iter().find(|line| line.text.contains("waiting for the base filtering engine")).expect("a line");
    assert_eq!(line.level, DPFLTR_WARNING_LEVEL);
}

/// E35, R44, learn.microsoft.com "FWPS_CALLOUT_NOTIFY_FN2": kinds of a later system are taken with success and change
/// nothing; a delete comes without a key, and perhaps for a filter that was never announced.
#[test]
fn notifications_of_unknown_kind_or_unknown_filters_are_taken_with_success() {
    const UNKNOWN: u32 = 0x7FFF;
    let machine = Machine::with_driver(Options::default());
    let service = machine.service(Settings::INITIAL);
    let before = service.stats();
    for callout in machine.engine().snapshot().callouts {
        let notify = machine.engine().notify_function(callout.id).expect("our callouts are registered");
        for kind in [UNKNOWN, FWPS_CALLOUT_NOTIFY_ADD_FILTER_POST_COMMIT, FWPS_CALLOUT_NOTIFY_DELETE_FILTER] {
            // SAFETY: a notify function takes null for a key; one for a filter too is stricter than the engine is.
            assert_eq!(unsafe { notify(kind, null(), null_mut()) }, STATUS_SUCCESS);
        }
    }
    assert_eq!(service.stats(), before);
    let program = machine.program("node.exe");
    machine.hold(&program, &service, REMOTE);
}
