//! The end of endpoints: what is reported, what may still be completed, and how a callout holds it.

mod harness;

use harness::*;
use nt_sys::fwpm::*;
use nt_sys::fwps::*;
use nt_sys::status::*;
use nt_sys::types::GUID;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use wfp_sim::{
    AcceptEndpoint, CloseWhilePended, Config, Connect, ConnectSpec, Engine, Knobs, Outcome, ProcessSpec, SynFate,
};

const PEER: &str = "198.51.100.7:40000";
const WEB: &str = "0.0.0.0:80";

/// Operations and closures that callouts hold.
#[derive(Clone, Default)]
struct Holder {
    operations: Arc<Mutex<Vec<Context>>>,
    closures: Arc<Mutex<Vec<ClassifyHandle>>>,
}

impl Holder {
    /// Holds every operation at `layer`, and permits it afterwards.
    fn operations(&self, bench: &mut Bench, layer: GUID) -> Arc<Fake> {
        let keep = Arc::clone(&self.operations);
        bench.callout_at(100, layer, move |call| {
            if call.is_reauthorization() {
                return call.permit();
            }
            let context = call.pend();
            keep.lock().unwrap().push(context);
        })
    }

    /// Holds every closure, once.
    fn closures(&self, bench: &mut Bench) -> Arc<Fake> {
        let keep = Arc::clone(&self.closures);
        bench.callout_at(100, CLOSURE_V4, move |call| {
            let handle = call.pend_classify();
            keep.lock().unwrap().push(handle);
        })
    }

    fn complete(&self) {
        let contexts = std::mem::take(&mut *self.operations.lock().unwrap());
        contexts.into_iter().for_each(Context::complete);
    }

    fn end_closures(&self) {
        let handles = std::mem::take(&mut *self.closures.lock().unwrap());
        handles.into_iter().for_each(ClassifyHandle::end);
    }

    fn take_closure(&self) -> ClassifyHandle {
        self.closures.lock().unwrap().remove(0)
    }
}

fn endpoints(fake: &Fake) -> Vec<(u64, Option<u64>)> {
    let mut endpoints: Vec<_> = fake.seen().iter().map(|seen| (seen.endpoint, seen.parent())).collect();
    endpoints.sort_unstable();
    endpoints
}

// E89: learn.microsoft.com "ALE Endpoint Lifetime Management"
#[test]
fn listener_and_children_are_reported_closed_once_each() {
    each_knob(|mut bench| {
        let closure = bench.watch(CLOSURE_V4);
        let release = bench.watch(FWPM_LAYER_ALE_RESOURCE_RELEASE_V4);
        let listener = bench.listen(WEB);
        for port in 1..=3 {
            listener.syn_from(addr(&format!("198.51.100.7:{port}")));
        }
        let accepted = listener.accept().unwrap();
        let parent = listener.endpoint();
        listener.close();
        let seen = endpoints(&closure);
        assert_eq!(seen.iter().filter(|(_, of)| *of == Some(parent)).count(), 2, "what nobody accepted goes too");
        assert!(seen.contains(&(parent, None)) && seen.len() == 3);
        assert!(accepted.flow().is_live(), "what was accepted stays");
        accepted.close();
        assert_eq!(closure.seen().last().unwrap().endpoint, accepted.endpoint());
        assert_eq!(release.seen().iter().map(|seen| seen.endpoint).collect::<Vec<_>>(), [parent]);
        assert!(bench.engine.flows().is_empty());
    });
}

// E89: "an ALE endpoint closure is indicated for every ... ALE authorize receive accept layer indication"
#[test]
fn a_syn_that_was_dropped_is_reported_closed_if_it_had_an_endpoint() {
    for (accept_endpoint, closures) in [(AcceptEndpoint::Child, 1), (AcceptEndpoint::Listener, 0)] {
        let mut bench = Bench::with_knobs(Knobs { accept_endpoint, ..Knobs::default() });
        let closure = bench.watch(CLOSURE_V4);
        bench.session.add(&filter(ACCEPT_V4).block()).unwrap();
        let listener = bench.listen(WEB);
        listener.syn_from(addr(PEER));
        assert_eq!(closure.calls(), closures);
    }
}

// R32, E110 for children: a listener closes while SYNs are held, and its callout completes them in the closure
#[test]
fn held_syns_can_be_completed_when_their_listener_closes() {
    each_knob(|mut bench| {
        let holder = Holder::default();
        holder.operations(&mut bench, ACCEPT_V4);
        let closing = holder.clone();
        let fake = bench.callout(CLOSURE_V4, move |_| closing.complete());
        bench.session.add(&filter(CLOSURE_V4).inspection(fake.key)).unwrap();
        let listener = bench.listen(WEB);
        let accepts: Vec<_> = (1..=3).map(|port| listener.syn_from(addr(&format!("198.51.100.7:{port}")))).collect();
        listener.close();
        bench.host.run_deferred();
        assert!(accepts.iter().all(|accept| accept.fate() != SynFate::Held));
        let status = bench.engine.snapshot();
        assert_eq!((status.pended, status.flows, status.listeners.len()), (0, 0, 0));
    });
}

// E110 for children: no page says what a completion does whose listener is gone
#[test]
fn a_late_completion_of_a_syn_is_accepted_or_fatal() {
    for accept_endpoint in [AcceptEndpoint::Child, AcceptEndpoint::Listener] {
        for close_while_pended in [CloseWhilePended::Tolerant, CloseWhilePended::ReauthAnyway, CloseWhilePended::Hazard]
        {
            let mut bench = Bench::with_knobs(Knobs { accept_endpoint, close_while_pended, ..Knobs::default() });
            let holder = Holder::default();
            let fake = holder.operations(&mut bench, ACCEPT_V4);
            let listener = bench.listen(WEB);
            listener.syn_from(addr(PEER));
            listener.close();
            if close_while_pended == CloseWhilePended::Hazard {
                assert_eq!(violation(|| holder.complete()), "V-PEND-01");
            } else {
                holder.complete();
                bench.host.run_deferred();
                assert_eq!((fake.calls(), bench.engine.snapshot().pended), (1, 0));
            }
        }
    }
}

// learn.microsoft.com "FwpsPendClassify0", "ALE Endpoint Lifetime Management": the endpoint stays until the closure is complete
#[test]
fn a_held_closure_keeps_the_endpoint() {
    each_knob(|mut bench| {
        let release = bench.watch(FWPM_LAYER_ALE_RESOURCE_RELEASE_V4);
        let established = bench.watch(FWPM_LAYER_ALE_FLOW_ESTABLISHED_V4);
        let holder = Holder::default();
        let closure = holder.closures(&mut bench);
        let connect = bench.connect();
        associate(connect.flow().id(), FWPS_LAYER_ALE_FLOW_ESTABLISHED_V4, established.id, 5);
        connect.close();
        assert_eq!((closure.calls(), release.calls()), (1, 0));
        assert_eq!((established.flow_deletes(), bench.engine.snapshot().closures_held), (vec![], 1));
        assert!(!connect.flow().is_live());
        holder.take_closure().end();
        bench.host.run_deferred();
        assert_eq!((closure.calls(), release.calls()), (1, 1), "an answer is final");
        assert_eq!((established.flow_deletes(), bench.engine.snapshot().closures_held), (vec![5], 0));
        assert_eq!(bench.engine.snapshot().flows, 0);
    });
}

// The same for what is held at either layer: it may be completed until the closure is complete, whatever the knobs say.
#[test]
fn a_held_closure_lets_operations_be_completed() {
    each_knob(|mut bench| {
        let holder = Holder::default();
        let connects = holder.operations(&mut bench, CONNECT_V4);
        let accepts = holder.operations(&mut bench, ACCEPT_V4);
        holder.closures(&mut bench);
        let listener = bench.listen(WEB);
        let accept = listener.syn_from(addr(PEER));
        let connect = bench.connect();
        connect.close();
        listener.close();
        assert_eq!(connect.outcome(), Outcome::Closed, "the application does not wait");
        holder.complete();
        bench.host.run_deferred();
        holder.end_closures();
        bench.host.run_deferred();
        assert_eq!((connects.calls(), accepts.calls()), (1, 1), "nothing is authorized for a socket that closes");
        assert_ne!(accept.fate(), SynFate::Held);
        let status = bench.engine.snapshot();
        assert_eq!((status.pended, status.closures_held, status.flows), (0, 0, 0));
    });
}

// And after the closure is complete, it is too late again.
#[test]
fn a_closure_that_is_complete_ends_the_grace() {
    let mut bench = Bench::with_knobs(Knobs { close_while_pended: CloseWhilePended::Hazard, ..Knobs::default() });
    let holder = Holder::default();
    holder.operations(&mut bench, CONNECT_V4);
    holder.closures(&mut bench);
    bench.connect().close();
    holder.take_closure().end();
    assert_eq!(violation(|| holder.complete()), "V-PEND-01");
}

// learn.microsoft.com "FwpsCompleteClassify0": without an answer, the indication is made again
#[test]
fn a_closure_completed_without_an_answer_is_indicated_again() {
    each_knob(|mut bench| {
        let release = bench.watch(FWPM_LAYER_ALE_RESOURCE_RELEASE_V4);
        let holder = Holder::default();
        let closure = holder.closures(&mut bench);
        bench.connect().close();
        for calls in 1..=3 {
            assert_eq!((closure.calls(), release.calls()), (calls, 0));
            let handle = holder.take_closure();
            if calls < 3 {
                handle.again()
            } else {
                handle.complete()
            }
            handle.release();
            bench.host.run_deferred();
        }
        assert_eq!((closure.calls(), release.calls()), (3, 1));
        let endpoints: Vec<u64> = closure.seen().iter().map(|seen| seen.endpoint).collect();
        assert!(endpoints.iter().all(|endpoint| *endpoint == endpoints[0]));
    });
}

// learn.microsoft.com "FwpsPendClassify0": pending takes a reference, so the handle may be released first
#[test]
fn a_handle_may_be_released_before_its_classify_is_completed() {
    each_knob(|mut bench| {
        let keep = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&keep);
        let fake = bench.callout_at(1, CLOSURE_V4, move |call| {
            let handle = call.pend_classify();
            handle.release();
            *kept.lock().unwrap() = Some(handle);
        });
        bench.connect().close();
        keep.lock().unwrap().take().unwrap().complete();
        bench.host.run_deferred();
        assert_eq!((fake.calls(), bench.engine.snapshot().closures_held), (1, 0));
    });
}

// E98 for classifies: completed before the classify has returned
#[test]
fn a_classify_may_complete_itself() {
    each_knob(|mut bench| {
        let release = bench.watch(FWPM_LAYER_ALE_RESOURCE_RELEASE_V4);
        let fake = bench.callout_at(1, CLOSURE_V4, |call| {
            let handle = call.pend_classify();
            if call.fake.calls() == 1 {
                handle.again()
            } else {
                handle.complete()
            }
            handle.release();
        });
        bench.connect().close();
        bench.host.run_deferred();
        assert_eq!((fake.calls(), release.calls()), (2, 1));
    });
}

// Two products may hold one closure; the last to complete ends it.
#[test]
fn a_closure_can_be_held_by_several() {
    let mut bench = Bench::new();
    let release = bench.watch(FWPM_LAYER_ALE_RESOURCE_RELEASE_V4);
    let keep = Arc::new(Mutex::new(Vec::new()));
    let first = Arc::clone(&keep);
    bench.callout_at(2, CLOSURE_V4, move |call| first.lock().unwrap().push(call.pend_classify()));
    let second = Arc::clone(&keep);
    bench.callout_at(1, CLOSURE_V4, move |call| {
        if call.seen.has_right {
            second.lock().unwrap().push(call.pend_classify());
        }
    });
    bench.connect().close();
    let handles = std::mem::take(&mut *keep.lock().unwrap());
    assert_eq!(handles.len(), 1, "the heavier took the right to set the action");
    assert_eq!(release.calls(), 0);
    handles.into_iter().for_each(ClassifyHandle::end);
    assert_eq!(release.calls(), 1);
}

// learn.microsoft.com "FwpsPendClassify0": STATUS_FWP_CANNOT_PEND at layers without asynchronous classification
#[test]
fn classifies_of_other_layers_cannot_be_pended() {
    let mut bench = Bench::new();
    let layers = [CONNECT_V4, ACCEPT_V4, FWPM_LAYER_ALE_FLOW_ESTABLISHED_V4, FWPM_LAYER_ALE_RESOURCE_RELEASE_V4];
    let fakes = layers.map(|layer| {
        bench.callout_at(1, layer, |call| {
            assert!(!call.classify_context.is_null());
            let handle = call.acquire().unwrap();
            assert_eq!(call.pend_classify_only(handle), Err(STATUS_FWP_CANNOT_PEND));
            handle.release();
            call.permit();
        })
    });
    let _listener = bench.listen(WEB);
    bench.connect_to("127.0.0.1:80").close();
    assert!(fakes.iter().all(|fake| fake.calls() > 0));
}

// learn.microsoft.com "FwpsAcquireClassifyHandle0", "FwpsPendClassify0": reserved and required arguments
#[test]
fn classify_handles_check_their_arguments() {
    let mut bench = Bench::new();
    bench.callout_at(1, CLOSURE_V4, |call| {
        assert_eq!(acquire_raw(std::ptr::null(), 0), STATUS_FWP_NULL_POINTER);
        assert_eq!(acquire_raw(call.classify_context, 1), STATUS_INVALID_PARAMETER);
        let handle = call.acquire().unwrap();
        assert_eq!(pend_raw(handle, call.filter_id, 0, std::ptr::null_mut()), STATUS_FWP_NULL_POINTER);
        assert_eq!(pend_raw(handle, call.filter_id, 1, call.out), STATUS_INVALID_PARAMETER);
        handle.release();
        call.permit();
    });
    bench.connect().close();
}

#[expect(unsafe_code, reason = "calls a C function")]
fn acquire_raw(context: *const std::ffi::c_void, flags: u32) -> i32 {
    let mut handle = 0;
    // SAFETY: the result lives for the call; the context is only compared.
    unsafe { FwpsAcquireClassifyHandle0(context.cast_mut(), flags, &mut handle) }
}

#[expect(unsafe_code, reason = "calls a C function")]
fn pend_raw(handle: ClassifyHandle, filter: u64, flags: u32, out: *mut FWPS_CLASSIFY_OUT0) -> i32 {
    // SAFETY: the engine looks everything up.
    unsafe { FwpsPendClassify0(handle.0, filter, flags, out) }
}

/// The rule that a callout at ENDPOINT_CLOSURE breaks.
fn broken_by(answer: impl Fn(&mut Call<'_>) + Send + Sync + 'static) -> &'static str {
    let mut bench = Bench::new();
    bench.callout_at(1, CLOSURE_V4, answer);
    let connect = bench.connect();
    violation(|| connect.close())
}

// learn.microsoft.com "FwpsPendClassify0": filterId and classifyOut are those of the classify
#[test]
fn pending_a_classify_as_another_is_found() {
    let as_another_filter = |call: &mut Call<'_>| {
        let handle = call.acquire().unwrap();
        pend_raw(handle, call.filter_id + 1, 0, call.out);
    };
    assert_eq!(broken_by(as_another_filter), "V-HDL-03");
    let in_another_record = |call: &mut Call<'_>| {
        let handle = call.acquire().unwrap();
        let mut out = *call.out;
        pend_raw(handle, call.filter_id, 0, &mut out);
    };
    assert_eq!(broken_by(in_another_record), "V-HDL-03");
    let twice = |call: &mut Call<'_>| {
        let handle = call.pend_classify();
        pend_raw(handle, call.filter_id, 0, call.out);
    };
    assert_eq!(broken_by(twice), "V-HDL-03");
}

// learn.microsoft.com "Types of Callouts": a pended classify blocks, and takes the right
#[test]
fn a_pended_classify_that_does_not_block_is_found() {
    let silent = |call: &mut Call<'_>| {
        let handle = call.acquire().unwrap();
        call.pend_classify_only(handle).unwrap();
    };
    assert_eq!(broken_by(silent), "V-PEND-03");
    let open = |call: &mut Call<'_>| {
        let handle = call.acquire().unwrap();
        call.pend_classify_only(handle).unwrap();
        call.block_soft();
    };
    assert_eq!(broken_by(open), "V-CLS-06");
}

// learn.microsoft.com "FwpsReleaseClassifyHandle0", "FwpsCompleteClassify0": once each
#[test]
fn handles_are_released_and_classifies_completed_once() {
    let released_twice = |call: &mut Call<'_>| {
        let handle = call.acquire().unwrap();
        handle.release();
        handle.release();
    };
    assert_eq!(broken_by(released_twice), "V-HDL-01");
    let completed_unpended = |call: &mut Call<'_>| call.acquire().unwrap().complete();
    assert_eq!(broken_by(completed_unpended), "V-PEND-01");
    let completed_twice = |call: &mut Call<'_>| {
        let handle = call.pend_classify();
        handle.complete();
        handle.complete();
    };
    assert_eq!(broken_by(completed_twice), "V-PEND-01");
    let stale_context = |call: &mut Call<'_>| {
        static LAST: Mutex<usize> = Mutex::new(0);
        *LAST.lock().unwrap() = call.classify_context.addr();
        acquire_raw(std::ptr::without_provenance(*LAST.lock().unwrap() + 8), 0);
    };
    assert_eq!(broken_by(stale_context), "V-HDL-01");
}

// V-HDL-02: "Any time FwpsAcquireClassifyHandle0 is called, a corresponding call to FwpsReleaseClassifyHandle0 must be made"
#[test]
fn a_handle_that_is_not_released_is_found() {
    let mut bench = Bench::new();
    let fake = bench.callout_at(1, CLOSURE_V4, |call| {
        call.pend_classify().complete();
    });
    bench.connect().close();
    assert_eq!(violation(|| fake.unregister()), "V-HDL-02");
}

// V-PEND-02: a closure left pended keeps its endpoint for ever
#[test]
fn a_closure_left_pended_is_found() {
    {
        let mut bench = Bench::new();
        let fake = bench.callout_at(1, CLOSURE_V4, |call| {
            call.pend_classify().release();
        });
        bench.connect().close();
        assert_eq!(violation(|| fake.unregister()), "V-PEND-02");
    }
    let engine = Engine::boot(Config::default(), wfp_sim::TestHost::new());
    let session = Session::open(0).unwrap();
    let fake = Fake::register(fresh_key(), 0, |call| {
        call.pend_classify().release();
    })
    .unwrap();
    session.add_callout(fake.key, CLOSURE_V4).unwrap();
    session.add(&filter(CLOSURE_V4).terminating(fake.key)).unwrap();
    let process = engine.process(ProcessSpec::new(1, r"\Device\a.exe"));
    engine.tcp_connect(&process, ConnectSpec::to(addr(REMOTE))).close();
    assert_eq!(violation(|| engine.shutdown()), "V-HDL-02");
}

// R7: a completed closure may be indicated again inside the completion, and need the same lock
#[test]
fn completing_a_classify_with_a_spin_lock_held_is_found() {
    let mut bench = Bench::new();
    let holder = Holder::default();
    holder.closures(&mut bench);
    bench.connect().close();
    assert_eq!(violation(|| bench.host.with_spin_lock(|| holder.take_closure().complete())), "V-PEND-05");
}

// Either call may fail; the callout then answers at once.
#[test]
fn holding_a_closure_may_fail() {
    for (n, acquired) in [(0, false), (1, true)] {
        let mut bench = Bench::new();
        let host = Arc::clone(&bench.host);
        bench.callout_at(1, CLOSURE_V4, move |call| {
            host.fail_nth(n);
            match call.acquire() {
                Ok(handle) => {
                    assert!(acquired);
                    assert_eq!(call.pend_classify_only(handle), Err(STATUS_INSUFFICIENT_RESOURCES));
                    handle.release();
                }
                Err(status) => assert_eq!((status, acquired), (STATUS_INSUFFICIENT_RESOURCES, false)),
            }
            call.permit();
        });
        let connect = bench.connect();
        connect.close();
        assert_eq!(bench.engine.snapshot().flows, 0);
    }
}

// A process may end inside a classify of its own connection: the endpoint closes when that has returned.
#[test]
fn a_socket_may_be_closed_inside_its_own_classify() {
    each_knob(|mut bench| {
        let closure = bench.watch(CLOSURE_V4);
        let process = bench.process.clone();
        bench.callout_at(1, CONNECT_V4, move |call| {
            process.kill();
            call.permit();
        });
        let connect = bench.connect();
        assert_eq!((connect.outcome(), closure.calls()), (Outcome::Connected, 0));
        bench.host.run_deferred();
        assert_eq!((closure.calls(), bench.engine.snapshot().flows), (1, 0));
    });
}

// And inside the completion of what was held, by whoever hears of the outcome.
#[test]
fn a_socket_may_be_closed_inside_its_completion() {
    each_knob(|mut bench| {
        let holder = Holder::default();
        holder.operations(&mut bench, CONNECT_V4);
        holder.closures(&mut bench);
        let process = bench.process.clone();
        let spec = ConnectSpec::to(addr(REMOTE)).then(move |_| process.kill());
        let connect = bench.engine.tcp_connect(&bench.process, spec);
        holder.complete();
        bench.host.run_deferred();
        assert_eq!((connect.outcome(), bench.engine.snapshot().closures_held), (Outcome::Connected, 1));
        holder.take_closure().end();
        bench.host.run_deferred();
        assert_eq!(bench.engine.snapshot().flows, 0);
    });
}

// A socket that closes while its classify runs on another thread is reported closed after that, and what it held is known.
#[test]
fn closing_waits_for_a_classify_on_another_thread() {
    each_knob(|mut bench| {
        let holder = Holder::default();
        let closure = holder.closures(&mut bench);
        let closer = Arc::new(Mutex::new(None));
        let (keep, closer_then, process) = (holder.clone(), Arc::clone(&closer), bench.process.clone());
        bench.callout_at(100, CONNECT_V4, move |call| {
            let process = process.clone();
            *closer_then.lock().unwrap() = Some(std::thread::spawn(move || process.kill()));
            (0..20).for_each(|_| std::thread::yield_now());
            assert_eq!(keep.closures.lock().unwrap().len(), 0, "the endpoint stays while it is authorized");
            keep.operations.lock().unwrap().push(call.pend());
        });
        let connect = bench.connect();
        closer.lock().unwrap().take().unwrap().join().unwrap();
        assert_eq!((connect.outcome(), closure.calls()), (Outcome::Closed, 1));
        holder.complete();
        holder.take_closure().end();
        bench.host.run_deferred();
        assert_eq!(bench.engine.snapshot().flows, 0);
    });
}

// E89: as many closures as authorizations and listeners, whatever became of them
#[test]
fn every_authorization_is_followed_by_one_closure() {
    for seed in 1..=50 {
        let mut bench = Bench::with(Config { seed, ..Config::default() });
        let holder = Holder::default();
        let closure = bench.watch(CLOSURE_V4);
        let fakes = [CONNECT_V4, ACCEPT_V4].map(|layer| {
            let (keep, turn) = (holder.clone(), AtomicU64::new(seed));
            bench.callout_at(100, layer, move |call| {
                if call.is_reauthorization() {
                    return call.permit();
                }
                match turn.fetch_add(1, Ordering::SeqCst) % 3 {
                    0 => call.permit(),
                    1 => call.block(),
                    _ => {
                        let context = call.pend();
                        keep.operations.lock().unwrap().push(context);
                    }
                }
            })
        });
        let listeners = ["0.0.0.0:80", "0.0.0.0:81"].map(|local| bench.listen(local));
        for n in 0..12 {
            listeners[n % 2].syn_from(addr(&format!("198.51.100.7:{}", n + 1)));
            bench.connect_to("127.0.0.1:80").close();
            bench.connect().close();
            drop(listeners[0].accept().filter(|_| n % 3 == 0));
        }
        holder.complete();
        listeners.iter().for_each(wfp_sim::Listener::close);
        bench.host.run_deferred();
        let authorized = |fake: &Fake| fake.seen().iter().filter(|seen| !seen.is_reauthorization()).count();
        assert_eq!(closure.calls(), fakes.iter().map(|fake| authorized(fake)).sum::<usize>() + listeners.len());
        let mut endpoints: Vec<u64> = closure.seen().iter().map(|seen| seen.endpoint).collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        assert_eq!(endpoints.len(), closure.calls(), "each endpoint once");
    }
}

// Two threads: one completes what it took out before the socket closed, the other closes it.
#[test]
fn closing_races_with_completing() {
    for round in 0..200 {
        let mut knobs = Knobs::all();
        knobs.retain(|knobs| knobs.close_while_pended == CloseWhilePended::Hazard);
        let mut bench = Bench::with_knobs(knobs[round % knobs.len()]);
        let holder = Holder::default();
        holder.operations(&mut bench, CONNECT_V4);
        holder.closures(&mut bench);
        let connect: Connect = bench.connect();
        std::thread::scope(|scope| {
            scope.spawn(|| connect.close());
            scope.spawn(|| holder.complete());
        });
        bench.host.run_deferred();
        holder.end_closures();
        bench.host.run_deferred();
        let status = bench.engine.snapshot();
        assert_eq!((status.pended, status.closures_held, status.flows), (0, 0, 0));
    }
}

// The same for a listener: SYNs arrive, are completed and lose their listener all at once.
#[test]
fn closing_a_listener_races_with_its_syns() {
    const SYNS: u16 = 20;
    let mut all = Knobs::all();
    all.retain(|knobs| knobs.close_while_pended == CloseWhilePended::Hazard);
    for round in 0..100 {
        let mut bench = Bench::with_knobs(all[round % all.len()]);
        let holder = Holder::default();
        holder.operations(&mut bench, ACCEPT_V4);
        holder.closures(&mut bench);
        let listener = bench.listen(WEB);
        let syn = |port: u16| listener.syn_from(addr(&format!("198.51.100.7:{}", port + 1)));
        std::thread::scope(|scope| {
            scope.spawn(|| (0..SYNS).for_each(|port| drop(syn(port))));
            scope.spawn(|| (0..SYNS).for_each(|_| holder.complete()));
            scope.spawn(|| {
                while bench.engine.snapshot().totals.syns < u64::from(SYNS / 2) {
                    std::thread::yield_now();
                }
                listener.close();
            });
        });
        for _ in 0..3 {
            holder.complete();
            bench.host.run_deferred();
            holder.end_closures();
        }
        bench.host.run_deferred();
        let status = bench.engine.snapshot();
        assert_eq!((status.pended, status.closures_held, status.flows, status.listeners.len()), (0, 0, 0, 0));
    }
}
