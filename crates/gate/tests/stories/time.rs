//! Deadlines and the end of verdicts that nobody claims.

use crate::*;

#[test]
fn the_deadline_answers_by_the_fallback_and_a_later_verdict_is_stale() {
    let mut t = Harness::with(|s| s.fallback_outbound = Fallback::BLOCK);
    let (id, op) = t.connect(WEB).held();
    t.advance(t.settings.deadline_ms - 1);
    assert!(t.completions().is_empty());
    t.advance(1);
    t.expect(|s| (s.classified, s.held, s.doors.deadline) = (1, 1, 1));
    assert_eq!(t.answer(id, PERMIT), Outcome::STALE);
    assert_eq!(t.completions(), [op]);
    assert_eq!(t.reauthorize(WEB), Reauthorized::Verdict(BLOCK));
}

#[test]
fn a_new_deadline_holds_for_what_is_held_already() {
    let mut t = Harness::new();
    t.connect(WEB).held();
    t.advance(500);
    t.configure(|s| s.deadline_ms = 600);
    assert_eq!(t.gate.poll_timeout(), Some(t.now().after_millis(100)));
    t.advance(100);
    t.expect(|s| (s.classified, s.held, s.doors.deadline) = (1, 1, 1));
}

/// D4: the verdict of a connection that is gone must not be there for the next one.
#[test]
fn an_unclaimed_verdict_is_given_up_after_a_while_and_is_not_the_next_connections() {
    let mut t = Harness::new();
    let (id, _) = t.connect(WEB).held();
    t.answer(id, PERMIT);
    t.advance(GRACE_MS * 10);
    t.expect(|s| (s.classified, s.held, s.queued, s.doors.verdict) = (1, 1, 0, 1));
    t.completions();
    assert_eq!(t.gate.poll_timeout(), Some(t.now().after_millis(GRACE_MS)), "counted from the completion");
    t.advance(GRACE_MS);
    t.expect(|s| s.unclaimed = 1);
    assert_eq!(t.gate.poll_timeout(), None);
    let (next, _) = t.connect(WEB).held();
    t.answer(next, BLOCK);
    t.completions();
    assert_eq!(t.reauthorize(WEB), Reauthorized::Verdict(BLOCK));
}

#[test]
fn time_that_goes_back_counts_as_the_latest() {
    let mut t = Harness::new();
    t.connect(WEB).held();
    let earlier = gate::Instant::from_millis(0);
    assert_eq!(t.gate.stats(earlier).oldest_ms, 0);
    t.gate.handle_timeout(earlier);
    assert_eq!(t.gate.poll_timeout(), Some(t.now().after_millis(t.settings.deadline_ms)));
}

#[test]
fn nothing_held_wants_no_timer() {
    let mut t = Harness::new();
    assert_eq!(t.gate.poll_timeout(), None);
    t.decide(WEB, PERMIT, Scope::OPERATION);
    assert_eq!(t.gate.poll_timeout(), None);
}
