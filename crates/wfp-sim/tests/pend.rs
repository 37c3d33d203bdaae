//! Pending, completing, reauthorizing.

mod harness;

use harness::*;
use nt_sys::fwpm::*;
use nt_sys::fwps::*;
use nt_sys::status::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use wfp_sim::{
    CloseWhilePended, Connect, ConnectSpec, Direction, Knobs, Outcome, PacketFate, ReauthMode, SecondPacket, Sent,
    WSAEACCES, WSAEALREADY, WSAEISCONN,
};

const REFUSED: Outcome = Outcome::Refused(WSAEACCES);
const POLICY_CHANGE: u32 = FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE;
const COMPLETION: u32 = FWP_CONDITION_REAUTHORIZE_REASON_CLASSIFY_COMPLETION;
const HOUR_MS: u64 = 60 * 60 * 1000;

/// A callout that holds every new operation, and what it holds.
#[derive(Clone, Default)]
struct Gate {
    held: Arc<Mutex<Vec<Context>>>,
    blocks: Arc<AtomicBool>,
}

impl Gate {
    fn at(bench: &mut Bench, weight: u16) -> (Self, Arc<Fake>) {
        let gate = Self::default();
        let (held, blocks) = (Arc::clone(&gate.held), Arc::clone(&gate.blocks));
        let fake = bench.callout_at(weight, CONNECT_V4, move |call| match call.is_reauthorization() {
            false => {
                let context = call.pend();
                held.lock().unwrap().push(context);
            }
            true if !call.seen.has_right => {}
            true if blocks.load(Ordering::SeqCst) => call.block(),
            true => call.permit(),
        });
        (gate, fake)
    }

    fn new(bench: &mut Bench) -> (Self, Arc<Fake>) {
        Self::at(bench, 100)
    }

    fn take(&self) -> Context {
        self.held.lock().unwrap().remove(0)
    }

    fn complete(&self, bench: &Bench) {
        self.take().complete();
        bench.host.run_deferred();
    }

    fn block(&self) {
        self.blocks.store(true, Ordering::SeqCst);
    }
}

fn with_close(close_while_pended: CloseWhilePended) -> Bench {
    Bench::with_knobs(Knobs { close_while_pended, ..Knobs::default() })
}

// E93: learn.microsoft.com "ALE Reauthorization", "Processing Classify Callouts Asynchronously"
#[test]
fn a_completed_connect_is_authorized_again_once_and_connects() {
    each_knob(|mut bench| {
        let (gate, fake) = Gate::new(&mut bench);
        let connect = bench.connect();
        assert_eq!(connect.outcome(), Outcome::Pending);
        gate.complete(&bench);
        assert_eq!(connect.outcome(), Outcome::Connected);
        let seen = fake.seen();
        assert_eq!(seen.len(), 2);
        let (first, again) = (&seen[0], &seen[1]);
        assert!(again.is_reauthorization());
        assert_eq!(again.reason(), COMPLETION);
        assert!(again.has(FWPS_METADATA_FIELD_PACKET_DIRECTION));
        assert_eq!(again.direction, FWP_DIRECTION_OUTBOUND);
        assert!(!again.has_packet);
        assert_eq!((again.endpoint, again.flow, again.pid), (first.endpoint, first.flow, first.pid));
    });
}

// E93: in the mode that is inline, before the completing call returns
#[test]
fn the_mode_decides_when_the_reauthorization_runs() {
    for (reauth_mode, is_inline) in
        [(ReauthMode::Inline, true), (ReauthMode::Deferred, false), (ReauthMode::DeferredInClassify, true)]
    {
        let mut bench = Bench::with_knobs(Knobs { reauth_mode, ..Knobs::default() });
        let (gate, fake) = Gate::new(&mut bench);
        let connect = bench.connect();
        gate.take().complete();
        assert_eq!(fake.calls() == 2, is_inline);
        assert_eq!(bench.host.run_deferred() == 0, is_inline);
        assert_eq!(connect.outcome(), Outcome::Connected);
    }
}

// E94: a block of the reauthorization is what a block of a connect is
#[test]
fn a_completed_connect_that_is_blocked_is_forbidden() {
    each_knob(|mut bench| {
        let established = bench.watch(FWPM_LAYER_ALE_FLOW_ESTABLISHED_V4);
        let (gate, _) = Gate::new(&mut bench);
        gate.block();
        let told = Arc::new(Mutex::new(None));
        let tell = Arc::clone(&told);
        let spec = ConnectSpec::to(addr(REMOTE)).then(move |outcome| *tell.lock().unwrap() = Some(outcome));
        let connect = bench.engine.tcp_connect(&bench.process, spec);
        assert_eq!(*told.lock().unwrap(), None);
        gate.complete(&bench);
        assert_eq!(connect.outcome(), REFUSED);
        assert_eq!(*told.lock().unwrap(), Some(REFUSED));
        assert_eq!(established.calls(), 0);
    });
}

// E95: learn.microsoft.com "FwpsPendOperation0"
#[test]
fn a_reauthorization_cannot_be_pended() {
    let mut bench = Bench::new();
    let fake = bench.callout_at(1, CONNECT_V4, |call| {
        if call.is_reauthorization() {
            assert_eq!(call.pend_only(), Err(STATUS_FWP_CANNOT_PEND));
        }
        call.permit();
    });
    let connect = bench.connect();
    assert_eq!(connect.flow().reauthorize(POLICY_CHANGE), PacketFate::Passed);
    assert_eq!(fake.calls(), 2);
}

// V-PEND-04: what could not be pended must not be left to a completion that never comes
#[test]
fn absorbing_what_could_not_be_pended_is_noted() {
    let mut bench = Bench::new();
    bench.callout_at(1, CONNECT_V4, |call| {
        if call.is_reauthorization() {
            assert!(call.pend_only().is_err());
            return call.absorb();
        }
        call.permit();
    });
    bench.connect().flow().reauthorize(POLICY_CHANGE);
    assert_eq!(bench.engine.warnings().iter().map(|warning| warning.rule).collect::<Vec<_>>(), ["V-PEND-04"]);
}

// E96: learn.microsoft.com "FwpsPendOperation0"
#[test]
fn pending_needs_a_handle() {
    let _bench = Bench::new();
    assert_eq!(pend(std::ptr::null_mut()), Err(STATUS_FWP_NULL_POINTER));
}

// V-CLS-09: learn.microsoft.com "FwpsPendOperation0": only from the classify that was given the handle
#[test]
fn pending_needs_the_handle_of_the_running_classify() {
    let mut bench = Bench::new();
    let kept = Arc::new(Mutex::new(0_usize));
    let keep = Arc::clone(&kept);
    bench.callout_at(1, CONNECT_V4, move |call| {
        *keep.lock().unwrap() = call.completion_handle().addr();
        call.permit();
    });
    bench.connect();
    let stale = std::ptr::without_provenance_mut(*kept.lock().unwrap());
    assert_eq!(violation(|| pend(stale)), "V-CLS-09");
}

// A failing pend is one of the documented ones, and the operation is what the answer makes it.
#[test]
fn pending_can_fail() {
    let mut bench = Bench::new();
    let status = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&status);
    bench.callout_at(1, CONNECT_V4, move |call| {
        *keep.lock().unwrap() = call.pend_only().err();
        call.permit();
    });
    bench.host.fail_nth(0);
    assert_eq!(bench.connect().outcome(), Outcome::Connected);
    let status = status.lock().unwrap().expect("a failure");
    assert!(matches!(status, STATUS_FWP_TCPIP_NOT_READY | STATUS_INSUFFICIENT_RESOURCES));
}

// E97: learn.microsoft.com "FwpsPendOperation0"
#[test]
fn who_pends_blocks_absorbs_and_closes_the_action() {
    let cases: [(&str, Answer); 3] = [
        ("V-PEND-03", |call| call.permit()),
        ("V-PEND-03", |call| call.block()),
        ("V-CLS-06", |call| {
            call.block_soft();
            call.out.flags |= FWPS_CLASSIFY_OUT_FLAG_ABSORB;
        }),
    ];
    for (rule, answer) in cases {
        let mut bench = Bench::new();
        bench.callout_at(1, CONNECT_V4, move |call| {
            call.pend_only().unwrap();
            answer(call);
        });
        assert_eq!(violation(|| bench.connect()), rule);
    }
}

// V-CLS-06: learn.microsoft.com "Types of Callouts"
#[test]
fn who_may_not_act_may_not_pend() {
    let mut bench = Bench::new();
    let heavy = bench.session.add_sublayer(200).unwrap();
    bench.session.add(&filter(CONNECT_V4).at(heavy).block()).unwrap();
    bench.callout_at(100, CONNECT_V4, |call| {
        call.pend_only().unwrap();
    });
    assert_eq!(violation(|| bench.connect()), "V-CLS-06");
}

// E98: ebpf-for-windows docs/AsyncProcessing.md
#[test]
fn a_completion_may_overtake_its_classify() {
    each_knob(|mut bench| {
        let (entered, is_entered) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let fake = bench.callout_at(1, CONNECT_V4, move |call| {
            if call.is_reauthorization() {
                return call.permit();
            }
            entered.send(call.pend()).unwrap();
            released.lock().unwrap().recv().unwrap();
        });
        let shared = &bench;
        let connect = std::thread::scope(|scope| {
            let connecting = scope.spawn(|| shared.connect());
            let context = is_entered.recv().unwrap();
            context.complete();
            assert_eq!(fake.calls(), 1, "not while the first classify runs");
            release.send(()).unwrap();
            connecting.join().unwrap()
        });
        bench.host.run_deferred();
        assert_eq!(connect.outcome(), Outcome::Connected);
        assert_eq!(fake.calls(), 2);
    });
}

// E98: and on the same thread
#[test]
fn a_classify_may_complete_what_it_has_just_pended() {
    each_knob(|mut bench| {
        let fake = bench.callout_at(1, CONNECT_V4, |call| {
            if call.is_reauthorization() { call.permit() } else { call.pend().complete() }
        });
        let connect = bench.connect();
        bench.host.run_deferred();
        assert_eq!(connect.outcome(), Outcome::Connected);
        assert_eq!(fake.calls(), 2);
    });
}

// Inline reauthorization nests in whatever completes: here in the classify of another connect.
#[test]
fn completing_inside_another_classify_nests_or_waits() {
    for (reauth_mode, nests) in
        [(ReauthMode::Inline, true), (ReauthMode::Deferred, false), (ReauthMode::DeferredInClassify, false)]
    {
        let mut bench = Bench::with_knobs(Knobs { reauth_mode, ..Knobs::default() });
        let first = Arc::new(Mutex::new(None::<Context>));
        let nested = Arc::new(Mutex::new(None));
        let (keep, result) = (Arc::clone(&first), Arc::clone(&nested));
        bench.callout_at(1, CONNECT_V4, move |call| {
            if call.is_reauthorization() {
                return call.permit();
            }
            let held = keep.lock().unwrap().take();
            let Some(held) = held else {
                *keep.lock().unwrap() = Some(call.pend());
                return;
            };
            let before = call.fake.calls();
            held.complete();
            *result.lock().unwrap() = Some(call.fake.calls() > before);
            call.permit();
        });
        let held = bench.connect();
        let other = bench.connect();
        assert_eq!(*nested.lock().unwrap(), Some(nests));
        bench.host.run_deferred();
        assert_eq!((held.outcome(), other.outcome()), (Outcome::Connected, Outcome::Connected));
    }
}

// E99: completing twice is a use after free
#[test]
fn a_context_is_completed_once() {
    each_knob(|mut bench| {
        let (gate, _) = Gate::new(&mut bench);
        let connect = bench.connect();
        let context = gate.take();
        context.complete();
        assert_eq!(violation(|| context.complete()), "V-PEND-01");
        drop(connect);
    });
}

// E100: learn.microsoft.com "FwpsPendOperation0" names no time limit
#[test]
fn nothing_but_a_completion_ends_a_hold() {
    let mut bench = Bench::new();
    let (gate, fake) = Gate::new(&mut bench);
    let connect = bench.connect();
    bench.host.advance_ms(HOUR_MS);
    bench.host.run_deferred();
    assert_eq!(connect.outcome(), Outcome::Pending);
    assert_eq!(violation(|| fake.unregister()), "V-PEND-02");
    drop(gate);
}

// V-PEND-02: an operation left pended hangs its application
#[test]
fn an_operation_left_pended_is_found_at_shutdown() {
    let engine = wfp_sim::Engine::boot(wfp_sim::Config::default(), wfp_sim::TestHost::new());
    let session = Session::open(0).unwrap();
    let fake = Fake::register(fresh_key(), 0, |call| {
        call.pend();
    })
    .unwrap();
    session.add_callout(fake.key, CONNECT_V4).unwrap();
    session.add(&filter(CONNECT_V4).terminating(fake.key)).unwrap();
    let process = engine.process(wfp_sim::ProcessSpec::new(1, r"\Device\a.exe"));
    let connect = engine.tcp_connect(&process, ConnectSpec::to(addr(REMOTE)));
    connect.close();
    assert_eq!(violation(|| engine.shutdown()), "V-PEND-02");
}

// V-PEND-05: the reauthorization may run inside the completion and need the same lock
#[test]
fn completing_with_a_spin_lock_held_is_found() {
    let mut bench = Bench::new();
    let (gate, _) = Gate::new(&mut bench);
    let _connect = bench.connect();
    assert_eq!(violation(|| bench.host.with_spin_lock(|| gate.take().complete())), "V-PEND-05");
}

// V-PEND-07: learn.microsoft.com "Processing Classify Callouts Asynchronously"
#[test]
fn who_completes_decides() {
    let mut bench = Bench::new();
    let context = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&context);
    let fake = bench.callout(CONNECT_V4, move |call| {
        if !call.is_reauthorization() {
            *keep.lock().unwrap() = Some(call.pend());
        }
    });
    bench.session.add(&filter(CONNECT_V4).unknown(fake.key)).unwrap();
    let _connect = bench.connect();
    let context = context.lock().unwrap().unwrap();
    assert_eq!(violation(|| context.complete()), "V-PEND-07");
}

// E101: the reauthorization is a whole classification of what is in force then
#[test]
fn the_reauthorization_sees_the_policy_of_its_own_time() {
    each_knob(|mut bench| {
        let (gate, _) = Gate::new(&mut bench);
        let connect = bench.connect();
        let heavy = bench.session.add_sublayer(200).unwrap();
        bench.session.add(&filter(CONNECT_V4).at(heavy).block()).unwrap();
        gate.complete(&bench);
        assert_eq!(connect.outcome(), REFUSED);
    });
}

/// A callout that permits first and answers later authorizations as told.
fn live(bench: &mut Bench, again: fn(&mut Call<'_>)) -> (Connect, Arc<Fake>) {
    let fake = bench.callout_at(
        100,
        CONNECT_V4,
        move |call| {
            if call.is_reauthorization() { again(call) } else { call.permit() }
        },
    );
    (bench.connect(), fake)
}

// E102: learn.microsoft.com "ALE Reauthorization"
// E103: the same: an inbound packet is authorized where its flow was
#[test]
fn the_first_packet_after_a_change_of_policy_is_authorized() {
    for (direction, expected) in
        [(Direction::Outbound, FWP_DIRECTION_OUTBOUND), (Direction::Inbound, FWP_DIRECTION_INBOUND)]
    {
        let mut bench = Bench::new();
        let (connect, fake) = live(&mut bench, |call| call.permit());
        assert_eq!(connect.flow().packet(direction), PacketFate::Passed);
        assert_eq!(fake.calls(), 1);
        bench.session.add(&filter(CONNECT_V4)).unwrap();
        assert_eq!(connect.flow().packet(direction), PacketFate::Passed);
        assert_eq!(connect.flow().packet(direction), PacketFate::Passed);
        let seen = fake.seen();
        assert_eq!(seen.len(), 2, "the first packet only");
        assert_eq!((seen[1].reason(), seen[1].direction), (POLICY_CHANGE, expected));
        assert!(seen[1].is_reauthorization() && seen[1].has_packet);
        let arrival = seen[1].types[FWPS_FIELD_ALE_AUTH_CONNECT_ARRIVAL_INTERFACE_INDEX];
        assert_eq!(arrival == FWP_EMPTY, direction == Direction::Outbound);
        let remote = FWPS_FIELD_ALE_AUTH_CONNECT_IP_REMOTE_ADDRESS;
        assert_eq!(seen[1].numbers[remote], seen[0].numbers[remote], "addresses are of the flow, not of the packet");
    }
}

// E104: learn.microsoft.com "TCP Packet Flows"
#[test]
fn a_blocked_reauthorization_tears_the_flow_down() {
    let mut bench = Bench::new();
    let discarded = bench.watch(FWPM_LAYER_ALE_AUTH_CONNECT_V4_DISCARD);
    let (connect, _) = live(&mut bench, |call| call.block());
    let socket = bench.engine.udp_open(&bench.process, addr("0.0.0.0:0"));
    socket.send(addr("9.9.9.9:53"));
    let udp = socket.flow(addr("9.9.9.9:53")).unwrap();
    bench.session.add(&filter(CONNECT_V4)).unwrap();

    assert_eq!(connect.flow().packet(Direction::Outbound), PacketFate::Dropped);
    assert_eq!(udp.packet(Direction::Inbound), PacketFate::Dropped);

    assert_eq!(connect.outcome(), Outcome::Reset);
    assert!(!connect.flow().is_live() && !udp.is_live());
    assert_eq!(discarded.calls(), 2);
    assert_eq!(bench.engine.net_events().last().unwrap().reauth_reason, POLICY_CHANGE);
    assert_eq!(socket.send(addr("9.9.9.9:53")), Sent::Sent, "the next datagram is a first one");
}

// E104: an absorbed packet is only dropped; inspecting callouts reinject it later
#[test]
fn an_absorbed_reauthorization_drops_the_packet_and_keeps_the_flow() {
    let mut bench = Bench::new();
    let (connect, _) = live(&mut bench, |call| call.absorb());
    bench.session.add(&filter(CONNECT_V4)).unwrap();
    assert_eq!(connect.flow().packet(Direction::Outbound), PacketFate::Dropped);
    assert!(connect.flow().is_live());
}

// E105: products add CONTINUE filters to have every flow authorized again
#[test]
fn a_filter_that_does_nothing_has_every_flow_authorized_again() {
    let mut bench = Bench::new();
    let (connect, fake) = live(&mut bench, |call| call.permit());
    let other = bench.connect();
    let before = fake.calls();
    bench.session.add(&filter(CONNECT_V4).action(FWP_ACTION_CONTINUE)).unwrap();
    for flow in [connect.flow(), other.flow()] {
        assert_eq!(flow.packet(Direction::Outbound), PacketFate::Passed);
    }
    assert_eq!(fake.calls(), before + 2);
}

// E106: learn.microsoft.com "ALE Reauthorization"
#[test]
fn a_change_at_another_layer_concerns_nobody_here() {
    let mut bench = Bench::new();
    let (connect, fake) = live(&mut bench, |call| call.block());
    bench.session.add(&filter(FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V4).block()).unwrap();
    assert_eq!(connect.flow().packet(Direction::Outbound), PacketFate::Passed);
    assert_eq!(fake.calls(), 1);
}

// learn.microsoft.com "ALE Reauthorization": other reasons reach live flows, and a held one stays held
#[test]
fn news_of_the_network_have_flows_authorized_again() {
    const NEW_INTERFACE: u32 = FWP_CONDITION_REAUTHORIZE_REASON_NEW_ARRIVAL_INTERFACE;
    let mut bench = Bench::new();
    let (gate, fake) = Gate::new(&mut bench);
    let live = bench.connect();
    gate.complete(&bench);
    let held = bench.connect();
    let before = fake.calls();
    assert_eq!(bench.engine.reauthorize_all(NEW_INTERFACE), 1);
    assert_eq!(fake.seen().last().unwrap().reason(), NEW_INTERFACE);
    assert_eq!(fake.calls(), before + 1);
    held.flow().reauthorize(NEW_INTERFACE);
    assert_eq!((live.outcome(), held.outcome()), (Outcome::Connected, Outcome::Pending));
    gate.complete(&bench);
    assert_eq!(held.outcome(), Outcome::Connected);
}

// E107: learn.microsoft.com "FwpsPendOperation0"
#[test]
fn a_pended_datagram_is_lost_and_its_flow_lives_on() {
    each_knob(|mut bench| {
        let (gate, fake) = Gate::new(&mut bench);
        let socket = bench.engine.udp_open(&bench.process, addr("0.0.0.0:0"));
        let dns = addr("9.9.9.9:53");
        // Whether the send succeeds, no page says (R25).
        assert!(matches!(socket.send(dns), Sent::Lost | Sent::Refused(WSAEACCES)));
        gate.complete(&bench);
        let calls = fake.calls();
        assert_eq!(socket.send(dns), Sent::Sent);
        assert_eq!(fake.calls(), calls, "it is authorized already");
    });
}

// The second datagram of a pended flow: no source says; both ways end well.
#[test]
fn a_second_datagram_meets_the_hold_or_is_asked_about_again() {
    for (second_packet, asked) in [(SecondPacket::Absorb, 1), (SecondPacket::ClassifyAgain, 2)] {
        let mut bench = Bench::with_knobs(Knobs { second_packet, ..Knobs::default() });
        let (gate, fake) = Gate::new(&mut bench);
        let socket = bench.engine.udp_open(&bench.process, addr("0.0.0.0:0"));
        assert_eq!(socket.send(addr("9.9.9.9:53")), Sent::Lost);
        assert_eq!(socket.send(addr("9.9.9.9:53")), Sent::Lost);
        assert_eq!(fake.calls(), asked);
        for _ in 0..asked {
            gate.complete(&bench);
        }
        assert_eq!(socket.send(addr("9.9.9.9:53")), Sent::Sent);
        socket.close();
        assert_eq!(bench.engine.snapshot().flows, 0);
    }
}

// E109: learn.microsoft.com "Windows Sockets Error Codes"
#[test]
fn a_nonblocking_connect_is_told_what_it_waits_for() {
    let mut bench = Bench::new();
    let (gate, _) = Gate::new(&mut bench);
    let connect = bench.connect();
    assert_eq!((connect.outcome(), connect.connect_again()), (Outcome::Pending, WSAEALREADY));
    gate.complete(&bench);
    assert_eq!(connect.connect_again(), WSAEISCONN);
    gate.block();
    let connect = bench.connect();
    gate.complete(&bench);
    assert_eq!(connect.connect_again(), WSAEACCES);
}

// E110: Microsoft Q&A 5846490 reports a stop; no page says what a late completion does
#[test]
fn a_late_completion_is_accepted_reauthorized_or_fatal() {
    for (close_while_pended, calls) in [(CloseWhilePended::Tolerant, 1), (CloseWhilePended::ReauthAnyway, 2)] {
        let mut bench = with_close(close_while_pended);
        let closure = bench.watch(FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V4);
        let (gate, fake) = Gate::new(&mut bench);
        let connect = bench.connect();
        connect.close();
        assert_eq!((connect.outcome(), closure.calls()), (Outcome::Closed, 1));
        gate.complete(&bench);
        assert_eq!(fake.calls(), calls);
        assert_eq!(connect.outcome(), Outcome::Closed, "whatever was answered");
        assert_eq!(bench.engine.snapshot().pended, 0);
    }
    let mut bench = with_close(CloseWhilePended::Hazard);
    let (gate, _) = Gate::new(&mut bench);
    bench.connect().close();
    assert_eq!(violation(|| gate.take().complete()), "V-PEND-01");
}

// E110: and completing from the closure classify is safe under every setting
#[test]
fn completing_when_the_closure_is_indicated_is_always_in_time() {
    each_knob(|mut bench| {
        let (gate, _) = Gate::new(&mut bench);
        let closing = gate.clone();
        let fake = bench.callout(FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V4, move |_| closing.take().complete());
        bench.session.add(&filter(FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V4).inspection(fake.key)).unwrap();
        let connect = bench.connect();
        bench.process.kill();
        bench.host.run_deferred();
        assert_eq!(connect.outcome(), Outcome::Closed);
        assert_eq!(bench.engine.snapshot().pended, 0);
    });
}

// A completion that is scheduled and a socket that closes meanwhile: the socket wins.
#[test]
fn a_socket_may_close_between_completion_and_reauthorization() {
    for close_while_pended in [CloseWhilePended::Tolerant, CloseWhilePended::ReauthAnyway, CloseWhilePended::Hazard] {
        let knobs = Knobs { reauth_mode: ReauthMode::Deferred, close_while_pended, ..Knobs::default() };
        let mut bench = Bench::with_knobs(knobs);
        let (gate, _) = Gate::new(&mut bench);
        let connect = bench.connect();
        gate.take().complete();
        connect.close();
        bench.host.run_deferred();
        assert_eq!(connect.outcome(), Outcome::Closed);
        assert_eq!(bench.engine.snapshot().flows, 0);
    }
}

// A hundred thousand held connects are no more than a hundred thousand records.
#[test]
fn any_number_of_connects_can_be_held() {
    const MANY: usize = if cfg!(miri) { 100 } else { 100_000 };
    let mut bench = Bench::with(at_passive());
    let (gate, _) = Gate::new(&mut bench);
    let connects: Vec<Connect> = (0..MANY).map(|_| bench.connect()).collect();
    assert_eq!(bench.engine.snapshot().pended, MANY);
    let held = std::mem::take(&mut *gate.held.lock().unwrap());
    for context in held.into_iter().rev() {
        context.complete();
    }
    assert!(connects.iter().all(|connect| connect.outcome() == Outcome::Connected));
    let totals = bench.engine.snapshot().totals;
    assert_eq!((totals.pended, totals.completed), (MANY as u64, MANY as u64));
}
