//! Sockets that close, and the gate that does.

use crate::*;

#[test]
fn a_closed_socket_is_blocked_and_its_operation_given_back() {
    let mut t = Harness::new();
    let (id, op) = t.connect(WEB).held();
    t.connect(OTHER).held();
    t.close(5000);
    t.expect(|s| {
        (s.classified, s.held, s.pended, s.queued, s.doors.closure) = (2, 2, 1, 1, 1);
    });
    assert_eq!(t.answer(id, PERMIT), Outcome::STALE);
    assert_eq!(t.completions(), [op]);
    assert_eq!(t.reauthorize(WEB), Reauthorized::Verdict(BLOCK));
}

#[test]
fn the_closure_of_a_decided_or_unknown_socket_changes_nothing() {
    let mut t = Harness::new();
    let (id, _) = t.connect(WEB).held();
    t.answer(id, PERMIT);
    for endpoint in [5000, 1, 0] {
        t.close(endpoint);
    }
    t.expect(|s| (s.classified, s.held, s.queued, s.doors.verdict) = (1, 1, 0, 1));
}

#[test]
fn a_drain_releases_everything_and_holds_nothing_more() {
    let mut t = Harness::with(|s| s.fallback_outbound = Fallback::BLOCK);
    let (_, op) = t.connect(WEB).held();
    let Action::Pend(late) = t.classify(OTHER) else { panic!("not held") };
    t.gate.drain(t.now());
    t.expect(|s| (s.classified, s.held, s.doors.unload) = (2, 2, 2));
    assert_eq!(
        t.gate.handle_pended(t.now(), late, 99, Numbered::default()),
        Ok(Pended::Ready),
        "its classify was still running"
    );
    assert_eq!(t.completions(), [op, 99]);
    assert_eq!(t.connect(ELSEWHERE), Connect::Blocked);
    assert!(t.gate.has_records(), "the reauthorizes are to come");
    for story in [WEB, OTHER] {
        assert_eq!(t.reauthorize(story), Reauthorized::Verdict(BLOCK));
    }
    assert!(!t.gate.has_records());
}

#[test]
fn the_operations_of_one_socket_come_out_without_those_of_others() {
    let mut t = Harness::new();
    let (first, op) = t.connect(WEB).held();
    let (second, other) = t.connect(OTHER).held();
    t.answer(first, PERMIT);
    t.answer(second, PERMIT);
    t.close(5001);
    assert_eq!(t.completion_of(5001), Some(other));
    assert_eq!(t.completion_of(5001), None);
    assert_eq!(t.completions(), [op]);
}
