//! Callouts: registration, notification, flow contexts.

mod harness;

use harness::*;
use nt_sys::fwpm::*;
use nt_sys::fwps::*;
use nt_sys::status::*;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use wfp_sim::{Direction, Host, Outcome, PacketFate, WSAEACCES};

const REFUSED: Outcome = Outcome::Refused(WSAEACCES);

// E26: learn.microsoft.com "Registering Callouts with the Filter Engine"
#[test]
fn a_callout_has_one_id_whichever_half_comes_first() {
    let mut bench = Bench::new();
    let registered = bench.registered(|call| call.permit());
    assert_eq!(bench.session.add_callout(registered.key, CONNECT_V4), Ok(registered.id));

    let key = fresh_key();
    let added = bench.session.add_callout(key, CONNECT_V4).unwrap();
    let fake = Fake::register(key, 0, |call| call.permit()).unwrap();
    assert_eq!(fake.id, added);
    assert_eq!(fake.unregister(), STATUS_SUCCESS);
}

// E27: learn.microsoft.com "Calling Other Windows Filtering Platform Functions"
#[test]
fn a_filter_needs_the_management_half_of_its_callout() {
    let mut bench = Bench::new();
    let fake = bench.registered(|call| call.permit());
    let added = bench.session.add(&filter(CONNECT_V4).terminating(fake.key));
    assert_eq!(added, Err(STATUS_FWP_CALLOUT_NOT_FOUND));
}

/// What a connect meets when the filter's callout is not registered.
fn unregistered(draft: impl Fn(FilterDraft, nt_sys::types::GUID) -> FilterDraft) -> Outcome {
    let bench = Bench::new();
    let key = fresh_key();
    bench.session.add_callout(key, CONNECT_V4).unwrap();
    bench.session.add(&draft(filter(CONNECT_V4), key)).unwrap();
    bench.connect().outcome()
}

// E28: learn.microsoft.com "FWPM_FILTER0", "Callout"
#[test]
fn a_terminating_filter_blocks_while_its_callout_is_not_registered() {
    assert_eq!(unregistered(|draft, key| draft.terminating(key)), REFUSED);
}

// E29: learn.microsoft.com "FWPM_FILTER0", "Callout"
#[test]
fn an_unknown_filter_blocks_while_its_callout_is_not_registered() {
    assert_eq!(unregistered(|draft, key| draft.unknown(key)), REFUSED);
}

// E30: learn.microsoft.com "FWPM_FILTER0", "Callout"
#[test]
fn an_inspection_filter_is_ignored_while_its_callout_is_not_registered() {
    assert_eq!(unregistered(|draft, key| draft.inspection(key)), Outcome::Connected);
}

// E31: learn.microsoft.com "FWPM_FILTER0"; ebpf-for-windows pull request 5496
#[test]
fn a_filter_may_ask_to_permit_while_its_callout_is_not_registered() {
    const PERMIT: u32 = FWPM_FILTER_FLAG_PERMIT_IF_CALLOUT_UNREGISTERED;
    assert_eq!(unregistered(|draft, key| draft.terminating(key).flags(PERMIT)), Outcome::Connected);
    assert_eq!(unregistered(|draft, key| draft.unknown(key).flags(PERMIT)), Outcome::Connected);
    let bench = Bench::new();
    assert_eq!(bench.session.add(&filter(CONNECT_V4).flags(PERMIT)), Err(STATUS_FWP_INVALID_FLAGS));
}

// E32: learn.microsoft.com "FWPS_CALLOUT_NOTIFY_FN0"
#[test]
fn a_callout_can_refuse_a_filter() {
    let mut bench = Bench::new();
    let fake = bench.callout(CONNECT_V4, |call| call.permit());
    fake.notify_status.store(STATUS_UNSUCCESSFUL, Ordering::SeqCst);
    let added = bench.session.add(&filter(CONNECT_V4).terminating(fake.key));
    assert_eq!(added, Err(STATUS_FWP_CALLOUT_NOTIFICATION_FAILED));
    assert!(bench.engine.snapshot().filters.is_empty());
    assert_eq!(fake.notified_of(FWPS_CALLOUT_NOTIFY_DELETE_FILTER), 0);
}

// E33: learn.microsoft.com "FWPS_CALLOUT_NOTIFY_FN0"
#[test]
fn a_deletion_comes_without_a_key_and_cannot_be_refused() {
    let mut bench = Bench::new();
    let fake = bench.callout(CONNECT_V4, |call| call.permit());
    let key = fresh_key();
    let id = bench.session.add(&filter(CONNECT_V4).key(key).terminating(fake.key)).unwrap();
    fake.notify_status.store(STATUS_UNSUCCESSFUL, Ordering::SeqCst);
    bench.session.delete_filter(key).unwrap();
    assert!(bench.engine.snapshot().filters.is_empty());
    let heard: Vec<_> = fake.notified().iter().map(|one| (one.what, one.key, one.filter)).collect();
    assert_eq!(heard, [(FWPS_CALLOUT_NOTIFY_ADD_FILTER, Some(key), id), (FWPS_CALLOUT_NOTIFY_DELETE_FILTER, None, id)]);
}

// E34: learn.microsoft.com "FWPS_CALLOUT_NOTIFY_FN0"
#[test]
fn a_callout_registered_later_hears_of_deletions_only() {
    let mut bench = Bench::new();
    let key = fresh_key();
    bench.session.add_callout(key, CONNECT_V4).unwrap();
    let ids: Vec<u64> = (0..3).map(|_| bench.session.add(&filter(CONNECT_V4).inspection(key)).unwrap()).collect();
    let fake = Fake::register(key, 0, |_| {}).unwrap();
    for id in ids {
        bench.session.delete(id).unwrap();
    }
    assert_eq!(fake.notified_of(FWPS_CALLOUT_NOTIFY_ADD_FILTER), 0);
    assert_eq!(fake.notified_of(FWPS_CALLOUT_NOTIFY_DELETE_FILTER), 3);
    assert_eq!(fake.unregister(), STATUS_SUCCESS);
    bench.session.close().unwrap();
    bench.session = Session::open(0).unwrap();
}

// E36: learn.microsoft.com "FWPS_CALLOUT_NOTIFY_FN0"
#[test]
fn a_callout_chooses_the_context_of_its_filters() {
    let mut bench = Bench::new();
    let fake = bench.callout(CONNECT_V4, |call| call.permit());
    fake.notify_context.store(0xABCD, Ordering::SeqCst);
    let first = bench.session.add(&filter(CONNECT_V4).terminating(fake.key).context(1)).unwrap();
    bench.connect();
    assert_eq!(fake.seen()[0].filter_context, 0xABCD);

    bench.session.delete(first).unwrap();
    fake.notify_context.store(0, Ordering::SeqCst);
    bench.session.add(&filter(CONNECT_V4).terminating(fake.key).context(2)).unwrap();
    bench.connect();
    assert_eq!(fake.seen()[1].filter_context, 2, "else it is the caller's");
}

// E37: learn.microsoft.com "FWPS_CALLOUT_NOTIFY_TYPE"
#[test]
fn a_commit_is_announced_to_callouts_that_ask_for_it() {
    let mut bench = Bench::new();
    let fake = bench.registered_with(FWP_CALLOUT_FLAG_ENABLE_COMMIT_ADD_NOTIFY, |call| call.permit());
    bench.session.add_callout(fake.key, CONNECT_V4).unwrap();
    let draft = filter(CONNECT_V4).terminating(fake.key);
    let committed = || fake.notified_of(FWPS_CALLOUT_NOTIFY_ADD_FILTER_POST_COMMIT);
    bench.session.begin().unwrap();
    bench.session.add(&draft).unwrap();
    assert_eq!(committed(), 0);
    bench.session.abort().unwrap();
    assert_eq!(committed(), 0);
    bench.session.begin().unwrap();
    bench.session.add(&draft).unwrap();
    bench.session.commit().unwrap();
    assert_eq!(committed(), 1);
}

// E38: learn.microsoft.com "FwpsCalloutRegister0"
#[test]
fn a_key_is_registered_once() {
    let mut bench = Bench::new();
    let fake = bench.registered(|call| call.permit());
    assert_eq!(Fake::register(fake.key, 0, |_| {}).err(), Some(STATUS_FWP_ALREADY_EXISTS));
}

// E39: learn.microsoft.com "FwpsCalloutUnregisterById0"
// E42: a driver's code must not go while a function of it runs
#[test]
fn unregistering_waits_for_a_running_classify_and_excludes_another() {
    let mut bench = Bench::new();
    assert_eq!(unregister(0xDEAD), STATUS_FWP_CALLOUT_NOT_FOUND);

    let (entered, is_entered) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let fake = bench.callout_at(1, CONNECT_V4, move |call| {
        entered.send(()).unwrap();
        released.lock().unwrap().recv().unwrap();
        call.permit();
    });
    let bench = &bench;
    std::thread::scope(|scope| {
        let connecting = scope.spawn(|| bench.connect().outcome());
        is_entered.recv().unwrap();
        let unregistering = scope.spawn(|| fake.unregister());
        // Time passes only while the engine waits.
        while bench.host.now_ms() == 0 {
            std::thread::yield_now();
        }
        assert_eq!(fake.unregister(), STATUS_FWP_IN_USE);
        assert!(!unregistering.is_finished());
        release.send(()).unwrap();
        assert_eq!(unregistering.join().unwrap(), STATUS_SUCCESS);
        assert_eq!(connecting.join().unwrap(), Outcome::Connected);
    });
}

// E40: learn.microsoft.com "FwpsCalloutUnregisterById0"
#[test]
fn a_callout_can_be_unregistered_under_its_filters() {
    let mut bench = Bench::new();
    let fake = bench.callout_at(1, CONNECT_V4, |call| call.permit());
    assert_eq!(bench.connect().outcome(), Outcome::Connected);
    assert_eq!(fake.unregister(), STATUS_SUCCESS);
    assert_eq!(bench.connect().outcome(), REFUSED);
    assert_eq!(fake.calls(), 1);
}

// E41: learn.microsoft.com "Unloading a Callout Driver"
#[test]
fn a_callout_with_flow_contexts_is_busy_until_it_has_removed_them() {
    let mut bench = Bench::new();
    let fake = bench.callout_at(1, CONNECT_V4, |call| call.permit());
    let connect = bench.connect();
    let flow = connect.flow().id();
    assert_eq!(associate(flow, FWPS_LAYER_ALE_AUTH_CONNECT_V4, fake.id, 7), STATUS_SUCCESS);
    assert_eq!(fake.unregister(), STATUS_DEVICE_BUSY);
    let calls = fake.calls();
    assert_eq!(bench.connect().outcome(), REFUSED, "it is out of service already");
    assert_eq!(fake.calls(), calls);
    assert_eq!(dissociate(flow, FWPS_LAYER_ALE_AUTH_CONNECT_V4, fake.id), STATUS_SUCCESS);
    assert_eq!(fake.flow_deletes(), [7]);
    assert_eq!(fake.unregister(), STATUS_SUCCESS);
}

// E43: learn.microsoft.com "WFP Error Codes"
#[test]
fn a_callout_serves_one_layer() {
    let mut bench = Bench::new();
    let fake = bench.callout(CONNECT_V4, |call| call.permit());
    let added = bench.session.add(&filter(CONNECT_V6).terminating(fake.key));
    assert_eq!(added, Err(STATUS_FWP_INCOMPATIBLE_LAYER));
    assert_eq!(
        bench.session.add_callout(fresh_key(), fresh_key()),
        Err(STATUS_FWP_LAYER_NOT_FOUND),
        "and the layer has to exist"
    );
}

// E44: learn.microsoft.com "FWPS_CALLOUT0"
#[test]
fn a_callout_may_ask_for_flows_with_a_context_only() {
    let mut bench = Bench::new();
    let fake = bench.registered_with(FWP_CALLOUT_FLAG_CONDITIONAL_ON_FLOW, |call| call.permit());
    bench.session.add_callout(fake.key, CONNECT_V4).unwrap();
    bench.session.add(&filter(CONNECT_V4).unknown(fake.key)).unwrap();
    let connect = bench.connect();
    assert_eq!(fake.calls(), 0);
    associate(connect.flow().id(), FWPS_LAYER_ALE_AUTH_CONNECT_V4, fake.id, 42);
    connect.flow().reauthorize(FWP_CONDITION_REAUTHORIZE_REASON_PROFILE_CROSSING);
    assert_eq!(fake.seen().iter().map(|seen| seen.flow_context).collect::<Vec<_>>(), [42]);
}

// E90: learn.microsoft.com "FwpsFlowAssociateContext0", "FwpsFlowRemoveContext0"
#[test]
fn flow_contexts_are_given_and_taken_by_the_book() {
    const LAYER: u16 = FWPS_LAYER_ALE_AUTH_CONNECT_V4;
    let mut bench = Bench::new();
    let removed = Arc::new(Mutex::new(Vec::new()));
    let statuses = Arc::clone(&removed);
    let fake = bench.callout_at(1, CONNECT_V4, move |call| {
        if call.seen.flow_context != 0 {
            let status = dissociate(call.seen.flow, LAYER, call.fake.id);
            statuses.lock().unwrap().push((status, call.fake.flow_deletes().len()));
        }
        call.permit();
    });
    let connect = bench.connect();
    let flow = connect.flow().id();
    assert_eq!(associate(flow, LAYER, fake.id, 0), STATUS_INVALID_PARAMETER);
    assert_eq!(dissociate(flow, LAYER, fake.id), STATUS_UNSUCCESSFUL);
    assert_eq!(associate(flow, LAYER, fake.id, 5), STATUS_SUCCESS);
    assert_eq!(associate(flow, LAYER, fake.id, 6), STATUS_OBJECT_NAME_EXISTS);

    connect.flow().reauthorize(FWP_CONDITION_REAUTHORIZE_REASON_PROFILE_CROSSING);

    assert_eq!(*removed.lock().unwrap(), [(STATUS_PENDING, 0)], "a classify had it in hand");
    assert_eq!(fake.flow_deletes(), [5], "and gave it back after");
}

// E91: learn.microsoft.com "Processing Flow Delete Callouts"
#[test]
fn the_end_of_a_flow_is_told_once_for_each_context() {
    const LAYER: u16 = FWPS_LAYER_ALE_AUTH_CONNECT_V4;
    let mut bench = Bench::new();
    let fake = bench.callout(CONNECT_V4, |call| if call.is_reauthorization() { call.block() } else { call.permit() });
    let watched = bench.session.add(&filter(CONNECT_V4).terminating(fake.key)).unwrap();

    let closed = bench.connect();
    associate(closed.flow().id(), LAYER, fake.id, 1);
    closed.close();
    closed.close();
    assert_eq!(fake.flow_deletes(), [1]);

    let blocked = bench.connect();
    associate(blocked.flow().id(), LAYER, fake.id, 2);
    assert_eq!(blocked.flow().reauthorize(FWP_CONDITION_REAUTHORIZE_REASON_NEW_ARRIVAL_INTERFACE), PacketFate::Dropped);
    blocked.close();
    assert_eq!(fake.flow_deletes(), [1, 2]);

    bench.session.delete(watched).unwrap();
    let socket = bench.engine.udp_open(&bench.process, addr("0.0.0.0:0"));
    socket.send(addr("9.9.9.9:53"));
    let idle = socket.flow(addr("9.9.9.9:53")).unwrap();
    associate(idle.id(), LAYER, fake.id, 3);
    assert_eq!(idle.packet(Direction::Inbound), PacketFate::Passed);
    bench.host.advance_ms(61_000);
    socket.send(addr("9.9.9.9:53"));
    assert_eq!(fake.flow_deletes(), [1, 2, 3]);
}

// V-OBJ-01: unregistering from inside would wait for itself
#[test]
fn a_callout_does_not_unregister_itself_from_its_classify() {
    let mut bench = Bench::with(at_passive());
    bench.callout_at(1, CONNECT_V4, |call| assert_eq!(call.fake.unregister(), STATUS_SUCCESS));
    assert_eq!(violation(|| bench.connect()), "V-OBJ-01");
}

// V-OBJ-02: learn.microsoft.com "Unloading a Callout Driver"
#[test]
fn a_callout_left_registered_is_found_at_shutdown() {
    let engine = wfp_sim::Engine::boot(wfp_sim::Config::default(), wfp_sim::TestHost::new());
    Fake::register(fresh_key(), 0, |_| {}).unwrap();
    assert_eq!(violation(|| engine.shutdown()), "V-OBJ-02");
}
