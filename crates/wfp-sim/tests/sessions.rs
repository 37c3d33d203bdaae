//! Sessions, transactions, lifetimes.

mod harness;

use harness::*;
use nt_sys::fwpm::*;
use nt_sys::fwps::*;
use nt_sys::status::*;
use nt_sys::types::GUID;
use std::sync::atomic::{AtomicBool, Ordering};
use wfp_sim::{Config, Host, Outcome, ProcessSpec};

const DYNAMIC: u32 = FWPM_SESSION_FLAG_DYNAMIC;
const ONE_HOUR_MS: u64 = 60 * 60 * 1000;

fn named(key: GUID) -> Common {
    Common { key, ..Common::default() }
}

fn filters(bench: &Bench) -> usize {
    bench.engine.snapshot().filters.len()
}

/// One object of every kind in `session`, the filter naming all of them.
fn add_one_of_each(session: Session, callout: GUID) {
    let (provider, sublayer) = (fresh_key(), fresh_key());
    session.add_provider(named(provider), None).unwrap();
    session.add_sublayer_as(Common { provider: Some(provider), ..named(sublayer) }, 10).unwrap();
    session.add_callout(callout, CONNECT_V4).unwrap();
    session.add(&filter(CONNECT_V4).at(sublayer).provider(provider).terminating(callout)).unwrap();
}

// E01: learn.microsoft.com "Object Management"
#[test]
fn the_objects_of_a_dynamic_session_end_with_it() {
    let mut bench = Bench::new();
    bench.session.add(&filter(CONNECT_V4)).unwrap();
    let before = bench.engine.snapshot();
    let fake = bench.registered(|call| call.permit());
    let dynamic = bench.session(DYNAMIC);
    add_one_of_each(dynamic, fake.key);
    assert_eq!(filters(&bench), 2);

    dynamic.close().unwrap();

    let after = bench.engine.snapshot();
    assert_eq!((after.providers, after.sublayers, after.filters), (before.providers, before.sublayers, before.filters));
    assert!(after.callouts.iter().all(|callout| callout.name.is_none()));
    assert_eq!(fake.notified_of(FWPS_CALLOUT_NOTIFY_DELETE_FILTER), 1);
}

// E02: learn.microsoft.com "Object Management"
#[test]
fn a_dying_process_aborts_its_transaction_and_loses_its_dynamic_objects() {
    let mut bench = Bench::new();
    let fake = bench.registered(|call| call.permit());
    let process = bench.engine.process(ProcessSpec::new(99, r"\Device\HarddiskVolume3\agent.exe"));
    let session = Session(process.open_session(DYNAMIC).unwrap());
    add_one_of_each(session, fake.key);
    session.begin().unwrap();
    session.add(&filter(CONNECT_V4).terminating(fake.key)).unwrap();

    process.kill();

    assert_eq!(filters(&bench), 0);
    assert_eq!(fake.notified_of(FWPS_CALLOUT_NOTIFY_ADD_FILTER), 2);
    assert_eq!(fake.notified_of(FWPS_CALLOUT_NOTIFY_DELETE_FILTER), 2);
    bench.session.begin().expect("the lock is free");
    bench.session.abort().unwrap();
}

// E03: learn.microsoft.com "FwpmTransactionBegin0", "WFP Error Codes"
#[test]
fn a_second_begin_fails_and_leaves_the_first_usable() {
    let bench = Bench::new();
    bench.session.begin().unwrap();
    assert_eq!(bench.session.begin(), Err(STATUS_FWP_TXN_IN_PROGRESS));
    bench.session.add(&filter(CONNECT_V4)).unwrap();
    bench.session.commit().unwrap();
    assert_eq!(filters(&bench), 1);
}

// E04: learn.microsoft.com "WFP Error Codes"
#[test]
fn commit_and_abort_need_a_transaction() {
    let bench = Bench::new();
    assert_eq!(bench.session.commit(), Err(STATUS_FWP_NO_TXN_IN_PROGRESS));
    assert_eq!(bench.session.abort(), Err(STATUS_FWP_NO_TXN_IN_PROGRESS));
}

// E05: learn.microsoft.com "WFP Error Codes"
#[test]
fn a_read_only_transaction_reads_and_does_not_write() {
    let bench = Bench::new();
    let id = bench.session.add(&filter(CONNECT_V4).weight(Weight::U64(7))).unwrap();
    bench.session.begin_with(FWPM_TXN_READ_ONLY).unwrap();
    assert_eq!(bench.session.add(&filter(CONNECT_V4)), Err(STATUS_FWP_INCOMPATIBLE_TXN));
    assert_eq!(bench.session.weight_of(id), Ok(7));
    bench.session.commit().unwrap();
}

// E06: learn.microsoft.com "Object Management", "FWPM_SESSION0"
#[test]
fn a_session_waits_fifteen_seconds_for_the_lock_unless_it_says() {
    let mut bench = Bench::new();
    let other = bench.session(0);
    bench.session.begin().unwrap();
    let start_ms = bench.host.now_ms();
    assert_eq!(other.begin(), Err(STATUS_FWP_TIMEOUT));
    assert_eq!(bench.host.now_ms() - start_ms, 15_000);
    bench.session.abort().unwrap();
}

// E07: learn.microsoft.com "FWPM_SESSION0"
#[test]
fn a_session_waits_as_long_as_it_says() {
    let bench = Bench::new();
    let brief = Session::open_as(GUID::default(), 0, 100).unwrap();
    let patient = Session::open_as(GUID::default(), 0, u32::MAX).unwrap();
    bench.session.begin().unwrap();
    let start_ms = bench.host.now_ms();
    assert_eq!(brief.begin(), Err(STATUS_FWP_TIMEOUT));
    assert_eq!(bench.host.now_ms() - start_ms, 100);

    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| patient.begin());
        while bench.host.now_ms() < start_ms + ONE_HOUR_MS / 60 {
            std::thread::yield_now();
        }
        assert!(!waiting.is_finished());
        bench.session.commit().unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(()));
    });
    patient.close().unwrap();
    brief.close().unwrap();
}

// E08: learn.microsoft.com "Object Management", "Best Practices"
#[test]
fn a_call_outside_a_transaction_waits_for_the_lock_too() {
    let mut bench = Bench::new();
    let other = bench.session(0);
    bench.session.begin().unwrap();
    assert_eq!(other.add(&filter(CONNECT_V4)), Err(STATUS_FWP_TIMEOUT));
    bench.session.commit().unwrap();
    other.add(&filter(CONNECT_V4)).expect("the lock is free");
}

// E09: learn.microsoft.com "Object Management"
#[test]
fn a_user_session_loses_a_transaction_that_it_holds_for_an_hour() {
    let bench = Bench::new();
    let user = Session(bench.process.open_session(0).unwrap());
    user.begin().unwrap();
    user.add(&filter(CONNECT_V4)).unwrap();
    bench.host.advance_ms(ONE_HOUR_MS);

    bench.session.begin().expect("others go on");
    bench.session.commit().unwrap();

    assert_eq!(filters(&bench), 0);
    assert_eq!(user.commit(), Err(STATUS_FWP_TXN_ABORTED));
    assert_eq!(user.commit(), Err(STATUS_FWP_NO_TXN_IN_PROGRESS), "it is told once");
}

// E10: learn.microsoft.com "Object Management"
#[test]
fn a_kernel_session_may_hold_a_transaction_for_ever() {
    let bench = Bench::new();
    bench.session.begin().unwrap();
    bench.session.add(&filter(CONNECT_V4)).unwrap();
    bench.host.advance_ms(10 * ONE_HOUR_MS);
    bench.session.commit().unwrap();
    assert_eq!(filters(&bench), 1);
}

// E11: learn.microsoft.com "Object Management"
#[test]
fn a_failed_call_does_not_spoil_its_transaction() {
    let bench = Bench::new();
    let key = fresh_key();
    bench.session.begin().unwrap();
    bench.session.add(&filter(CONNECT_V4).key(key)).unwrap();
    assert_eq!(bench.session.add(&filter(CONNECT_V4).key(key)), Err(STATUS_FWP_ALREADY_EXISTS));
    bench.session.commit().unwrap();
    assert_eq!(filters(&bench), 1);
}

// E12: learn.microsoft.com "Object Management"
#[test]
fn an_abort_takes_back_what_callouts_heard_and_never_reuses_its_ids() {
    let mut bench = Bench::new();
    let fake = bench.callout(CONNECT_V4, |call| call.permit());
    let draft = filter(CONNECT_V4).terminating(fake.key);
    bench.session.begin().unwrap();
    let aborted: Vec<u64> = (0..3).map(|_| bench.session.add(&draft).unwrap()).collect();
    bench.session.abort().unwrap();

    assert_eq!(filters(&bench), 0);
    let deleted: Vec<u64> = fake
        .notified()
        .iter()
        .filter(|one| one.what == FWPS_CALLOUT_NOTIFY_DELETE_FILTER)
        .map(|one| one.filter)
        .collect();
    assert_eq!(deleted, aborted);
    assert!(!aborted.contains(&bench.session.add(&draft).unwrap()));
}

// E13: learn.microsoft.com "Object Management"
#[test]
fn a_transaction_is_visible_to_its_own_session_only() {
    let mut bench = Bench::new();
    let other = bench.session(0);
    bench.session.begin().unwrap();
    let id = bench.session.add(&filter(CONNECT_V4).block().weight(Weight::U64(3))).unwrap();
    assert_eq!(bench.session.weight_of(id), Ok(3));
    assert_eq!(other.weight_of(id), Err(STATUS_FWP_TIMEOUT));
    assert_eq!(bench.connect().outcome(), Outcome::Connected, "nor do classifies see it");
    bench.session.commit().unwrap();
    assert_eq!(other.weight_of(id), Ok(3));
    assert_eq!(bench.connect().outcome(), Outcome::Refused(wfp_sim::WSAEACCES));
}

// E14: learn.microsoft.com "Object Management" (ACID)
#[test]
fn a_classify_sees_all_of_a_commit_or_nothing() {
    const SWAPS: usize = 200;
    let bench = Bench::new();
    let (heavy, light) = (bench.session.add_sublayer(200).unwrap(), bench.session.add_sublayer(100).unwrap());
    // Both states permit; a mixture of a soft permit with the block under it would not.
    let hard_permit = filter(CONNECT_V4).at(heavy).flags(FWPM_FILTER_FLAG_CLEAR_ACTION_RIGHT);
    let soft_permit = filter(CONNECT_V4).at(heavy);
    let block = filter(CONNECT_V4).at(light).block();
    let mut hard = [bench.session.add(&hard_permit).unwrap(), bench.session.add(&block).unwrap()];
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            let mut connects = 0;
            while !is_over.load(Ordering::SeqCst) || connects < 10_000 {
                assert_eq!(bench.connect().outcome(), Outcome::Connected);
                connects += 1;
            }
        });
        for _ in 0..SWAPS {
            bench.session.begin().unwrap();
            bench.session.delete(hard[0]).unwrap();
            let soft = bench.session.add(&soft_permit).unwrap();
            bench.session.delete(hard[1]).unwrap();
            bench.session.commit().unwrap();
            bench.session.begin().unwrap();
            let blocking = bench.session.add(&block).unwrap();
            bench.session.delete(soft).unwrap();
            hard = [bench.session.add(&hard_permit).unwrap(), blocking];
            bench.session.commit().unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
        connecting.join().unwrap();
    });
}

// E17: learn.microsoft.com "FwpmEngineOpen0"
#[test]
fn two_sessions_cannot_have_one_key() {
    let _bench = Bench::new();
    let key = fresh_key();
    let first = Session::open_as(key, 0, 0).unwrap();
    assert_eq!(Session::open_as(key, 0, 0).unwrap_err(), STATUS_FWP_ALREADY_EXISTS);
    first.close().unwrap();
    Session::open_as(key, 0, 0).expect("the key is free").close().unwrap();
}

// E18: learn.microsoft.com "Object Management"
#[test]
fn an_object_refers_only_to_what_outlives_it() {
    let mut bench = Bench::new();
    let (own, other) = (fresh_key(), fresh_key());
    for key in [own, other] {
        let persistent = Common { flags: FWPM_PROVIDER_FLAG_PERSISTENT, ..named(key) };
        bench.session.add_provider(persistent, None).unwrap();
    }
    let (dynamic, foreign) = (bench.session(DYNAMIC), bench.session(DYNAMIC));
    let sublayer = |session: Session, flags, provider| {
        let key = fresh_key();
        session.add_sublayer_as(Common { flags, provider, ..named(key) }, 5).unwrap();
        key
    };
    let targets = [
        FWPM_SUBLAYER_UNIVERSAL,
        sublayer(bench.session, FWPM_SUBLAYER_FLAG_PERSISTENT, Some(own)),
        sublayer(bench.session, FWPM_SUBLAYER_FLAG_PERSISTENT, Some(other)),
        sublayer(bench.session, 0, None),
        sublayer(dynamic, 0, None),
        sublayer(foreign, 0, None),
    ];
    let persistent = filter(CONNECT_V4).flags(FWPM_FILTER_FLAG_PERSISTENT).provider(own);
    let plain = filter(CONNECT_V4);
    let rows = [
        (bench.session, &persistent, [true, true, false, false, false, false]),
        (bench.session, &plain, [true, true, true, true, false, false]),
        (dynamic, &plain, [true, true, true, true, true, false]),
    ];
    for (row, (session, draft, may)) in rows.into_iter().enumerate() {
        for (column, (target, may)) in targets.into_iter().zip(may).enumerate() {
            let added = session.add(&draft.clone().at(target)).map(drop);
            let expected = if may { Ok(()) } else { Err(STATUS_FWP_LIFETIME_MISMATCH) };
            assert_eq!(added, expected, "row {row}, column {column}");
        }
    }
}

// E19: learn.microsoft.com "Object Management"
#[test]
fn what_a_filter_refers_to_cannot_be_deleted() {
    let bench = Bench::new();
    let (provider, sublayer, callout) = (fresh_key(), fresh_key(), fresh_key());
    bench.session.add_provider(named(provider), None).unwrap();
    bench.session.add_sublayer_as(named(sublayer), 1).unwrap();
    bench.session.add_callout(callout, CONNECT_V4).unwrap();
    let draft = filter(CONNECT_V4).at(sublayer).provider(provider).inspection(callout);
    let id = bench.session.add(&draft).unwrap();
    let delete_all = || {
        [
            bench.session.delete_sublayer(sublayer),
            bench.session.delete_callout(callout),
            bench.session.delete_provider(provider),
        ]
    };
    assert_eq!(delete_all(), [Err(STATUS_FWP_IN_USE); 3]);
    bench.session.delete(id).unwrap();
    assert_eq!(delete_all(), [Ok(()); 3]);
    assert_eq!(
        delete_all(),
        [Err(STATUS_FWP_SUBLAYER_NOT_FOUND), Err(STATUS_FWP_CALLOUT_NOT_FOUND), Err(STATUS_FWP_PROVIDER_NOT_FOUND)]
    );
}

// E20: learn.microsoft.com "WFP Error Codes"
#[test]
fn what_is_built_in_cannot_be_deleted() {
    let bench = Bench::new();
    assert_eq!(bench.session.delete_sublayer(FWPM_SUBLAYER_UNIVERSAL), Err(STATUS_FWP_BUILTIN_OBJECT));
}

// E21: learn.microsoft.com "WFP Error Codes", "FwpmFilterDeleteById0"
#[test]
fn a_session_deletes_no_dynamic_object_of_another() {
    let mut bench = Bench::new();
    let (owner, stranger) = (bench.session(DYNAMIC), bench.session(DYNAMIC));
    let dynamic = owner.add(&filter(CONNECT_V4)).unwrap();
    let fixed = bench.session.add(&filter(CONNECT_V4)).unwrap();
    assert_eq!(stranger.delete(dynamic), Err(STATUS_FWP_WRONG_SESSION));
    assert_eq!(stranger.delete(fixed), Err(STATUS_FWP_DYNAMIC_SESSION_IN_PROGRESS));
    owner.delete(dynamic).unwrap();
    assert_eq!(bench.session.delete(dynamic), Err(STATUS_FWP_FILTER_NOT_FOUND));
}

// E22: learn.microsoft.com "WFP Error Codes"
#[test]
fn every_object_needs_a_name() {
    let bench = Bench::new();
    let nameless = Common { is_nameless: true, ..Common::default() };
    let refused = Err(STATUS_FWP_NULL_DISPLAY_NAME);
    assert_eq!(bench.session.add_provider(nameless, None), refused);
    assert_eq!(bench.session.add_sublayer_as(nameless, 0), refused);
    assert_eq!(bench.session.add_callout_as(nameless, CONNECT_V4).map(drop), refused);
    assert_eq!(bench.session.add(&filter(CONNECT_V4).nameless()).map(drop), refused);
}

// E23: learn.microsoft.com "Object Management"
#[test]
fn keys_are_made_up_on_request_and_unique_per_kind() {
    let bench = Bench::new();
    bench.session.add(&filter(CONNECT_V4)).unwrap();
    bench.session.add(&filter(CONNECT_V4)).unwrap();
    let status = bench.engine.snapshot();
    assert_ne!(status.filters[0].key, status.filters[1].key);
    assert_ne!(status.filters[0].key, GUID::default());

    let key = fresh_key();
    bench.session.add_sublayer_as(named(key), 0).unwrap();
    assert_eq!(bench.session.add_sublayer_as(named(key), 0), Err(STATUS_FWP_ALREADY_EXISTS));
    bench.session.add_provider(named(key), None).expect("another kind may have the same key");
}

// E24: learn.microsoft.com "FWPM_FILTER0", "FWPM_CALLOUT0", "FWPM_PROVIDER0"
#[test]
fn flags_that_only_the_engine_sets_are_refused() {
    let bench = Bench::new();
    let refused = Err(STATUS_FWP_INVALID_FLAGS);
    let both = FWPM_FILTER_FLAG_PERSISTENT | FWPM_FILTER_FLAG_BOOTTIME;
    for flags in [both, FWPM_FILTER_FLAG_DISABLED] {
        assert_eq!(bench.session.add(&filter(CONNECT_V4).flags(flags)).map(drop), refused);
    }
    let callout = Common { flags: FWPM_CALLOUT_FLAG_REGISTERED, ..named(fresh_key()) };
    assert_eq!(bench.session.add_callout_as(callout, CONNECT_V4).map(drop), refused);
    let provider = Common { flags: FWPM_PROVIDER_FLAG_DISABLED, ..named(fresh_key()) };
    assert_eq!(bench.session.add_provider(provider, None), refused);
}

// E25: learn.microsoft.com "Object Management"
#[test]
fn a_restart_keeps_what_is_persistent_and_disables_it_without_its_service() {
    let bench = Bench::new();
    let (with_service, without) = (fresh_key(), fresh_key());
    for (key, service) in [(with_service, "Runs"), (without, "Gone")] {
        let persistent = Common { flags: FWPM_PROVIDER_FLAG_PERSISTENT, ..named(key) };
        bench.session.add_provider(persistent, Some(service)).unwrap();
    }
    let block = |port, flags| {
        let draft = filter(CONNECT_V4).flags(flags).block();
        draft.when(FWPM_CONDITION_IP_REMOTE_PORT, FWP_MATCH_EQUAL, Operand::U16(port))
    };
    bench.session.add(&block(1, FWPM_FILTER_FLAG_PERSISTENT).provider(with_service)).unwrap();
    bench.session.add(&block(2, FWPM_FILTER_FLAG_PERSISTENT).provider(without)).unwrap();
    bench.session.add(&block(3, 0)).unwrap();
    bench.session.add(&block(4, FWPM_FILTER_FLAG_BOOTTIME)).unwrap();
    let blocked = || {
        let port = |port: &u16| bench.connect_to(&format!("10.1.1.1:{port}")).outcome() != Outcome::Connected;
        (1..=4).filter(port).collect::<Vec<u16>>()
    };
    assert_eq!(blocked(), [1, 2, 3]);
    bench.engine.set_service_starts("Gone", false);

    bench.engine.bfe_stop();
    assert_eq!(blocked(), [4], "only boot-time filters are in force while the engine does not run");
    assert_eq!(bench.session.begin(), Err(STATUS_INVALID_HANDLE));
    assert!(Session::open(0).is_err());

    bench.engine.bfe_start();
    assert_eq!(blocked(), [1]);
    let disabled: Vec<bool> = bench.engine.snapshot().filters.iter().map(|filter| filter.is_disabled).collect();
    assert_eq!(disabled, [false, true, false]);
}

// V-OBJ-04: learn.microsoft.com "FwpmEngineClose0"
#[test]
fn a_handle_is_closed_once() {
    let bench = Bench::new();
    bench.session.close().unwrap();
    assert_eq!(violation(|| bench.session.close()), "V-OBJ-04");
}

// V-OBJ-04: an open handle keeps the driver's objects for ever
#[test]
fn a_handle_left_open_is_found_at_shutdown() {
    let host = wfp_sim::TestHost::new();
    let engine = wfp_sim::Engine::boot(Config::default(), host);
    Session::open(0).unwrap();
    assert_eq!(violation(|| engine.shutdown()), "V-OBJ-04");
}

// IRQL: learn.microsoft.com "FwpmEngineOpen0"
#[test]
fn management_functions_run_at_passive_level() {
    let bench = Bench::new();
    assert_eq!(violation(|| bench.host.at_irql(2, || bench.session.begin())), "IRQL");
}

// V-CLS-11: learn.microsoft.com "Callout Driver Programming Considerations"
#[test]
fn management_functions_are_not_called_from_a_classify() {
    let mut bench = Bench::with(at_passive());
    let session = bench.session;
    bench.callout_at(1, CONNECT_V4, move |_| assert_eq!(session.begin(), Ok(())));
    assert_eq!(violation(|| bench.connect()), "V-CLS-11");
}

// Every call that can fail on Windows can be made to fail here, and changes nothing then.
#[test]
fn a_failing_call_changes_nothing() {
    let bench = Bench::new();
    let before = bench.engine.snapshot();
    bench.host.fail_nth(0);
    assert_eq!(bench.session.add(&filter(CONNECT_V4)), Err(STATUS_INSUFFICIENT_RESOURCES));
    assert_eq!(bench.engine.snapshot(), before);
    bench.session.add(&filter(CONNECT_V4)).unwrap();
}
