//! Answers: which count and which do not.

use crate::*;

#[test]
fn an_answer_counts_once() {
    let mut t = Harness::new();
    let (id, op) = t.connect(WEB).held();
    assert_eq!(t.answer(id, BLOCK), Outcome::ACCEPTED);
    assert_eq!(t.answer(id, PERMIT), Outcome::STALE);
    assert_eq!(t.completions(), [op]);
    assert_eq!(t.answer(id, PERMIT), Outcome::STALE);
    assert_eq!(t.reauthorize(WEB), Reauthorized::Verdict(BLOCK));
    assert_eq!(t.answer(id, PERMIT), Outcome::STALE);
    t.expect(|s| (s.classified, s.held, s.doors.verdict, s.claimed, s.stale_answers) = (1, 1, 1, 1, 3));
}

#[test]
fn an_unknown_id_is_stale_and_changes_nothing() {
    let mut t = Harness::new();
    let (id, _) = t.connect(WEB).held();
    for wrong in [0, id.0 ^ 1 << 40, id.0 ^ 1, u64::MAX, id.0 & 0xffff] {
        assert_eq!(t.answer(RequestId(wrong), PERMIT), Outcome::STALE);
    }
    t.expect(|s| (s.classified, s.held, s.pended, s.queued, s.stale_answers) = (1, 1, 1, 1, 5));
}

#[test]
fn a_malformed_answer_leaves_its_request_waiting() {
    let mut t = Harness::new();
    let (id, _) = t.connect(WEB).held();
    let good = Answer::once(id, PERMIT);
    for bad in [
        Answer { verdict: Verdict(0), ..good },
        Answer { verdict: Verdict(3), ..good },
        Answer { scope: Scope(9), ..good },
        Answer { reserved: 1, ..good },
    ] {
        assert_eq!(t.submit(&bad), Outcome::MALFORMED);
    }
    t.expect(|s| (s.classified, s.held, s.pended, s.queued) = (1, 1, 1, 1));
    assert_eq!(t.submit(&good), Outcome::ACCEPTED);
}

#[test]
fn an_id_is_of_no_use_to_another_handle_or_a_later_attachment() {
    let mut t = Harness::new();
    let (id, _) = t.connect(WEB).held();
    assert_eq!(t.gate.handle_answer(t.now(), SERVICE.handle + 1, &Answer::once(id, PERMIT)), Outcome::STALE);
    t.detach();
    assert_eq!(t.answer(id, PERMIT), Outcome::STALE);
    t.attach();
    assert_eq!(t.answer(id, PERMIT), Outcome::STALE);
    t.expect(|s| {
        (s.classified, s.held, s.doors.detach, s.stale_answers) = (1, 1, 1, 3);
    });
}

#[test]
fn the_id_of_a_reused_slot_is_stale() {
    let mut t = Harness::with(|s| (s.max_pended, s.max_pended_per_process) = (1, 1));
    let (old, _) = t.connect(WEB).held();
    t.answer(old, PERMIT);
    t.completions();
    t.reauthorize(WEB);
    let (new, _) = t.connect(OTHER).held();
    assert_eq!(t.answer(old, PERMIT), Outcome::STALE);
    assert_eq!(t.answer(new, BLOCK), Outcome::ACCEPTED);
}
