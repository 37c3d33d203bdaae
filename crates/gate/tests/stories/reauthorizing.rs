//! Reauthorizes: our own, and those that anybody else causes.

use crate::*;

/// R11: somebody else's reauthorize while held.
#[test]
fn a_foreign_reauthorize_of_a_held_connection_waits() {
    let mut t = Harness::new();
    let (id, op) = t.connect(WEB).held();
    assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Waiting(id));
    t.answer(id, BLOCK);
    assert_eq!(t.reauthorize(WEB), Reauthorized::Waiting(id), "decided, but not handed out yet");
    assert_eq!(t.completions(), [op]);
    assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Verdict(BLOCK), "whatever the reason says");
    t.expect(|s| {
        (s.classified, s.held, s.doors.verdict, s.claimed, s.foreign_reauthorized) = (1, 1, 1, 1, 2);
    });
}

/// R11: a live flow gets its own verdict again, and an unknown one is left alone.
#[test]
fn a_live_flow_keeps_its_verdict_until_the_epoch_changes() {
    let mut t = Harness::new();
    t.decide(WEB, PERMIT, Scope::OPERATION);
    for again in [Harness::foreign_reauthorize, Harness::reauthorize] {
        assert_eq!(again(&mut t, WEB), Reauthorized::Cached(PERMIT));
    }
    assert_eq!(t.foreign_reauthorize(OTHER), Reauthorized::Leave);
    t.configure(|s| s.epoch += 1);
    assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Leave);
    assert_eq!(t.reauthorize(WEB), Reauthorized::Leave, "a known live flow is never cut by the fallback");
    t.expect(|s| (s.foreign_reauthorized, s.epoch, s.live_asked, s.queued) = (5, 1, 2, 2));
}

/// A foreign reauthorize may come between a completion and the reauthorize that follows it, and the rules may change
/// after that: the connection is blocked all the same.
#[test]
fn a_block_that_a_foreign_reauthorize_took_still_blocks_after_the_epoch_changes() {
    let mut t = Harness::new();
    let (id, op) = t.connect(WEB).held();
    t.answer(id, BLOCK);
    assert_eq!(t.completions(), [op]);
    assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Verdict(BLOCK));
    t.configure(|s| s.epoch += 1);
    assert_eq!(t.reauthorize(WEB), Reauthorized::Cached(BLOCK));
}

#[test]
fn a_live_flow_without_its_own_verdict_gets_that_of_its_program() {
    let mut t = Harness::new();
    t.decide(WEB, BLOCK, Scope::PROGRAM);
    assert_eq!(t.foreign_reauthorize(OTHER), Reauthorized::Cached(BLOCK));
    assert_eq!(t.foreign_reauthorize("other[42] tcp 10.0.0.2:5001 -> 1.1.1.1:443"), Reauthorized::Leave);
}

#[test]
fn a_completion_of_which_nothing_is_known_gets_the_fallback() {
    let mut t = Harness::with(|s| s.fallback_outbound = Fallback::BLOCK);
    assert_eq!(t.reauthorize(WEB), Reauthorized::Verdict(BLOCK));
    t.expect(|s| s.orphaned = 1);
}

#[test]
fn a_reauthorize_that_comes_late_still_gets_the_verdict_of_its_connection() {
    let mut t = Harness::with(|s| s.fallback_outbound = Fallback::BLOCK);
    let (id, _) = t.connect(WEB).held();
    t.answer(id, PERMIT);
    t.completions();
    t.advance(GRACE_MS);
    assert_eq!(t.reauthorize(WEB), Reauthorized::Cached(PERMIT));
    t.expect(|s| {
        (s.classified, s.held, s.queued, s.doors.verdict, s.unclaimed) = (1, 1, 0, 1, 1);
        s.foreign_reauthorized = 1;
    });
}

/// Two sockets one after the other with the same addresses: the first one's verdict stays with the first.
#[test]
fn a_new_connection_never_gets_the_verdict_of_one_before_it() {
    let mut t = Harness::new();
    let (first, first_op) = t.connect(WEB).held();
    t.answer(first, PERMIT);
    assert_eq!(t.completions(), [first_op]);
    let (second, second_op) = t.connect(WEB).held();
    assert_eq!(t.reauthorize(WEB), Reauthorized::Waiting(second));
    t.answer(second, BLOCK);
    assert_eq!(t.completions(), [second_op]);
    assert_eq!(t.reauthorize(WEB), Reauthorized::Verdict(BLOCK));
    t.expect(|s| {
        (s.classified, s.held, s.doors.verdict, s.claimed, s.unclaimed) = (2, 2, 2, 1, 1);
        s.foreign_reauthorized = 1;
    });
}

#[test]
fn a_verdict_overtaken_before_its_completion_is_completed_and_thrown_away() {
    let mut t = Harness::new();
    let (first, first_op) = t.connect(WEB).held();
    t.answer(first, PERMIT);
    let (second, _) = t.connect(WEB).held();
    assert_eq!(t.completions(), [first_op]);
    assert_eq!(t.reauthorize(WEB), Reauthorized::Waiting(second));
    t.expect(|s| {
        (s.classified, s.held, s.pended, s.queued) = (2, 2, 1, 1);
        (s.doors.verdict, s.unclaimed, s.foreign_reauthorized) = (1, 1, 1);
    });
}

#[test]
fn a_new_connection_ends_what_was_known_of_the_flow_before() {
    let mut t = Harness::new();
    t.decide(WEB, BLOCK, Scope::OPERATION);
    t.connect(WEB).held();
    t.detach();
    t.completions();
    t.advance(GRACE_MS);
    assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Cached(PERMIT));
}

/// R15: every held operation is its own question, even two of one flow.
#[test]
fn two_operations_of_one_flow_are_two_questions() {
    let mut t = Harness::new();
    let (first, first_op) = t.connect(WEB).held();
    let (second, second_op) = t.connect(WEB).held();
    assert_ne!(first, second);
    t.answer(second, BLOCK);
    assert_eq!(t.completions(), [second_op]);
    assert_eq!(t.reauthorize(WEB), Reauthorized::Verdict(BLOCK));
    t.answer(first, PERMIT);
    assert_eq!(t.completions(), [first_op]);
    assert_eq!(t.reauthorize(WEB), Reauthorized::Verdict(PERMIT));
}

#[test]
fn the_verdict_of_a_predecessor_does_not_reach_a_flow_that_others_permitted() {
    let mut t = Harness::new();
    t.decide(WEB, BLOCK, Scope::OPERATION);
    assert!(!t.vetoes(WEB));
    assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Leave);
}
