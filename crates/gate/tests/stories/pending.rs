//! Pending: what classify opens and how the operation comes in; limits.

use crate::*;

/// R2: a failed pend gets an immediate answer.
#[test]
fn a_failed_pend_is_answered_by_the_fallback_at_once() {
    for (fallback, verdict) in [(Fallback::PERMIT, PERMIT), (Fallback::BLOCK, BLOCK), (Fallback::LAST, BLOCK)] {
        let mut t = Harness::with(|s| s.fallback_outbound = fallback);
        let Action::Pend(id) = t.classify(WEB) else { panic!("not held") };
        assert_eq!(t.gate.handle_pend_failed(t.now(), id), verdict);
        t.expect(|s| (s.classified, s.held, s.doors.pend_failed) = (1, 1, 1));
        assert!(t.deliveries().is_empty());
        assert_eq!(t.answer(id, PERMIT), Outcome::STALE);
    }
}

/// R5: decided while the classify that pends it still runs; never completed before the operation is here.
#[test]
fn an_operation_decided_before_it_is_handed_in_is_ready_at_once() {
    let mut t = Harness::with(|s| s.fallback_outbound = Fallback::BLOCK);
    let Action::Pend(id) = t.classify(WEB) else { panic!("not held") };
    t.detach();
    assert!(t.completions().is_empty());
    assert_eq!(t.gate.handle_pended(t.now(), id, 1, Numbered::default()), Ok(Pended::Ready));
    assert_eq!(t.completions(), [1]);
    assert_eq!(t.reauthorize(WEB), Reauthorized::Verdict(BLOCK));
}

#[test]
fn a_pend_that_fails_after_its_decision_gets_that_decision() {
    let mut t = Harness::with(|s| s.fallback_outbound = Fallback::BLOCK);
    let Action::Pend(id) = t.classify(WEB) else { panic!("not held") };
    t.advance(t.settings.deadline_ms);
    t.configure(|s| s.fallback_outbound = Fallback::PERMIT);
    assert_eq!(t.gate.handle_pend_failed(t.now(), id), BLOCK);
    t.expect(|s| (s.classified, s.held, s.doors.deadline, s.claimed) = (1, 1, 1, 1));
}

#[test]
fn an_operation_nobody_waits_for_is_given_back() {
    let mut t = Harness::new();
    let (id, _) = t.connect(WEB).held();
    assert_eq!(
        t.gate.handle_pended(t.now(), id, 77, Numbered::default()),
        Err((77, Numbered::default())),
        "it has its operation"
    );
    assert_eq!(
        t.gate.handle_pended(t.now(), RequestId(12345), 78, Numbered::default()),
        Err((78, Numbered::default()))
    );
    assert_eq!(t.gate.handle_pend_failed(t.now(), id), BLOCK, "and it stays held");
    t.expect(|s| (s.classified, s.held, s.pended, s.queued) = (1, 1, 1, 1));
}

#[test]
fn total_and_per_process_limits_send_to_the_fallback() {
    let mut t =
        Harness::with(|s| (s.max_pended, s.max_pended_per_process, s.fallback_outbound) = (3, 2, Fallback::BLOCK));
    let story = |pid, port| format!("app[{pid}] tcp 10.0.0.2:{port} -> 1.1.1.1:443");
    t.connect(&story(1, 1)).held();
    let (second, _) = t.connect(&story(1, 2)).held();
    assert_eq!(t.connect(&story(1, 3)), Connect::Blocked, "two of process 1");
    t.connect(&story(2, 4)).held();
    assert_eq!(t.connect(&story(3, 5)), Connect::Blocked, "three in all");
    t.expect(|s| (s.classified, s.held, s.pended, s.limited, s.queued) = (5, 3, 3, 2, 5));
    let limited = t.deliveries().pop().expect("a report");
    assert_eq!((limited.request.verdict, limited.request.because), (BLOCK, Because::LIMIT));
    t.answer(second, PERMIT);
    t.completions();
    t.reauthorize(&story(1, 2));
    t.connect(&story(1, 6)).held();
}

#[test]
fn a_wider_limit_keeps_what_is_held() {
    let mut t = Harness::new();
    let held = [WEB, OTHER, ELSEWHERE].map(|story| (story, t.connect(story).held()));
    let (id, op) = held[0].1;
    t.answer(id, BLOCK);
    t.configure(|s| s.max_pended = 1_000);
    assert_eq!(t.completions(), [op]);
    assert_eq!(t.reauthorize(WEB), Reauthorized::Verdict(BLOCK));
    for (story, (id, op)) in &held[1..] {
        assert_eq!(t.answer(*id, PERMIT), Outcome::ACCEPTED);
        assert_eq!(t.completions(), [*op]);
        assert_eq!(t.reauthorize(story), Reauthorized::Verdict(PERMIT));
    }
    t.expect(|s| (s.classified, s.held, s.queued, s.doors.verdict, s.claimed) = (3, 3, 0, 3, 3));
}

#[test]
fn a_narrower_limit_keeps_what_is_held() {
    let mut t = Harness::new();
    let [(first, _), _] = [WEB, OTHER].map(|story| t.connect(story).held());
    t.configure(|s| (s.max_pended, s.max_pended_per_process) = (1, 1));
    assert_eq!(t.connect(ELSEWHERE), Connect::Permitted);
    assert_eq!(t.answer(first, BLOCK), Outcome::ACCEPTED);
    t.completions();
    assert_eq!(t.reauthorize(WEB), Reauthorized::Verdict(BLOCK));
}

#[test]
fn a_record_is_small() {
    let bytes = Gate::<[usize; 1], Numbered, common::Heap>::BYTES_PER_RECORD;
    assert!(bytes <= 344, "{bytes} bytes, its share of the indexes included");
}
