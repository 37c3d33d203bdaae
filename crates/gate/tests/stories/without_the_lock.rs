//! What the front answers by itself, and what it leaves to the gate.

use crate::*;
use gate::{Ability, Flow, FlowKey, Front, Instant};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use wire::request::{Address, FAMILY_V4};

#[test]
fn a_cached_verdict_is_answered_and_counted_once() {
    let mut t = Harness::with_real_key();
    t.decide(WEB, BLOCK, Scope::REMOTE);
    assert_eq!(t.front(OTHER), Some(BLOCK));
    t.expect(|s| (s.classified, s.cache_blocked) = (s.classified + 1, 1));
}

#[test]
fn a_verdict_for_the_remote_comes_before_that_for_the_program() {
    let mut t = Harness::with_real_key();
    t.decide(WEB, BLOCK, Scope::REMOTE);
    t.decide("tcp 10.0.0.2:5004 -> 8.8.8.8:443", PERMIT, Scope::PROGRAM);
    assert_eq!(t.front(OTHER), Some(BLOCK));
    assert_eq!(t.front(ELSEWHERE), Some(PERMIT));
}

#[test]
fn the_services_own_connections_are_answered() {
    let mut t = Harness::with_real_key();
    assert_eq!(t.front(OWN), Some(PERMIT));
    t.expect(|s| (s.classified, s.exempted) = (1, 1));
    t.detach();
    assert_eq!(t.front(OWN), None);
}

#[test]
fn what_is_not_known_is_left_to_the_gate() {
    let mut t = Harness::with_real_key();
    assert_eq!(t.front(WEB), None);
    t.expect(|_| {});
}

#[test]
fn what_is_no_longer_valid_is_left_to_the_gate() {
    type Change = fn(&mut Harness);
    let changes: [Change; 4] = [
        |t| t.configure(|settings| settings.epoch += 1),
        |t| t.configure(|settings| settings.max_cached *= 2),
        |t| t.gate.forget_all(),
        |t| t.gate.forget_program(&utf16("app")),
    ];
    for change in changes {
        let mut t = Harness::with_real_key();
        t.decide(WEB, PERMIT, Scope::REMOTE);
        assert_eq!(t.front(OTHER), Some(PERMIT));
        change(&mut t);
        assert_eq!(t.front(OTHER), None);
    }
}

#[test]
fn an_expired_verdict_is_left_to_the_gate_also_when_the_clock_of_a_processor_is_behind() {
    let mut t = Harness::with_real_key();
    let (id, _) = t.connect(WEB).held();
    t.deliveries();
    t.submit(&Answer { scope: Scope::REMOTE, lifetime_ms: 100, ..Answer::once(id, PERMIT) });
    assert_eq!(t.front(OTHER), Some(PERMIT));
    let earlier = t.now();
    t.advance(100);
    assert_eq!(t.front(OTHER), None);
    t.detach();
    assert_eq!(t.front_at(earlier, OTHER), None, "the gate has seen a later time");
}

#[test]
fn a_new_connection_of_a_flow_of_which_something_is_known_is_left_to_the_gate() {
    let mut t = Harness::with_real_key();
    t.decide(WEB, PERMIT, Scope::REMOTE);
    assert_eq!(t.front(WEB), None, "its verdict is that of a live flow");
    assert_eq!(t.connect(WEB), Connect::Permitted);
    assert_eq!(t.front(WEB), Some(PERMIT), "and was forgotten");

    let mut t = Harness::with_real_key();
    let (id, _) = t.connect(DNS).held();
    let (other, _) = t.connect("udp 10.0.0.2:6001 -> 9.9.9.9:53").held();
    t.deliveries();
    t.answer_for(other, PERMIT, Scope::REMOTE);
    assert_eq!(t.front(DNS), None, "it is held, and waits for its own answer");
    t.answer(id, PERMIT);
    t.completions();
    assert_eq!(t.front(DNS), None, "its reauthorize is to come");
}

#[test]
fn a_live_flow_that_is_asked_about_is_left_to_the_gate() {
    let mut t = Harness::with_real_key();
    t.decide(OTHER, PERMIT, Scope::PROGRAM);
    t.configure(|settings| settings.epoch += 1);
    assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Leave);
    t.decide(ELSEWHERE, PERMIT, Scope::PROGRAM);
    assert_eq!(t.front(WEB), None);
    assert_eq!(t.connect(WEB), Connect::Permitted);
    assert_eq!(t.front(WEB), Some(PERMIT), "the question was about an earlier connection");
}

#[test]
fn what_must_be_reported_is_left_to_the_gate_while_there_is_a_service() {
    let mut t = Harness::with_real_key();
    t.decide(WEB, PERMIT, Scope::PROGRAM);
    let report = |t: &Harness| t.front_with(t.now(), OTHER, Ability::ReportOnly);
    assert_eq!(report(&t), None);
    t.configure(|settings| settings.hold = (Holds::all() - Holds::CONNECT_TCP).bits());
    assert_eq!(t.front(OTHER), None, "such connections are reported");
    t.detach();
    assert_eq!((report(&t), t.front(OTHER)), (Some(PERMIT), Some(PERMIT)), "nobody hears of them");
}

/// Readers ask while the gate changes its mind: the answer is always one that held at some time.
#[test]
fn readers_see_the_old_or_the_new_and_never_a_mix() {
    const ROUNDS: u32 = if cfg!(miri) { 20 } else { 2_000 };
    let mut t = Harness::with_real_key();
    let (front, now) = (t.gate.front(), t.now());
    // One is always permitted, the other always blocked; both share the one set with others that come and go.
    let remotes = [([1, 1, 1, 1], PERMIT), ([9, 9, 9, 9], BLOCK)];
    let (is_over, start) = (AtomicBool::new(false), Barrier::new(3));
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|processor| {
                let (front, is_over, start) = (&front, &is_over, &start);
                scope.spawn(move || {
                    start.wait();
                    let mut answers = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        for (remote, expected) in remotes {
                            let verdict = ask(front, now, remote, processor);
                            assert!(verdict.is_none_or(|verdict| verdict == expected), "{remote:?}: {verdict:?}");
                            answers += u64::from(verdict.is_some());
                        }
                    }
                    answers
                })
            })
            .collect();
        start.wait();
        let over = Over(&is_over);
        for round in 0..ROUNDS {
            for (n, (remote, verdict)) in remotes.into_iter().enumerate() {
                let [a, b, c, d] = remote;
                t.decide(&format!("tcp 10.0.0.2:{} -> {a}.{b}.{c}.{d}:443", 5_000 + n), verdict, Scope::REMOTE);
            }
            let (other, verdict) = (round % 200, if round % 2 == 0 { PERMIT } else { BLOCK });
            t.decide(&format!("tcp 10.0.0.2:7000 -> 10.1.1.{other}:443"), verdict, Scope::REMOTE);
            match round % 3 {
                0 => t.gate.forget_all(),
                1 => t.configure(|settings| settings.epoch += 1),
                _ => t.configure(|settings| settings.max_cached = settings.max_cached % 24 + 8),
            }
        }
        drop(over);
        let answers: u64 = readers.into_iter().map(|reader| reader.join().expect("no panic")).sum();
        let stats = t.stats();
        assert_eq!(stats.cache_permitted + stats.cache_blocked, answers, "each is counted once");
        common::assert_balanced(&stats);
    });
}

/// Ends the readers, also when the writer fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn ask(front: &Front<common::Heap>, now: Instant, remote: [u8; 4], processor: u32) -> Option<Verdict> {
    let key = FlowKey {
        family: FAMILY_V4,
        direction: Direction::OUTBOUND,
        protocol: 6,
        // A socket that nothing is known of.
        endpoint: 60_000,
        remote: Address::v4(remote),
        remote_port: 443,
    };
    let program = utf16("app");
    let flow = Flow {
        key,
        own_endpoint: key.endpoint,
        compartment: 1,
        local: Address::v4([10, 0, 0, 2]),
        local_port: 60_000,
        process_id: 42,
        program: &program,
        user: SID,
        interface_luid: 0,
        interface_index: 0,
        remote_scope: 0,
        loopback: false,
    };
    front.classify(now, &flow, Ability::Hold { packet_bytes: 0 }, processor)
}
