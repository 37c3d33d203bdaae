//! Sockets that close, and the gate that does.

use crate::*;

#[test]
fn a_closed_socket_is_blocked_and_its_operation_given_back() {
    let mut t = Harness::new();
    let (id, op) = t.connect(WEB).held();
    t.connect(OTHER).held();
    assert_eq!(t.close(5000), Closure::Busy, "its operation is to be completed");
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

/// R32: nobody documents that a socket may go while its operation is completed.
#[test]
fn a_socket_is_busy_until_its_completion_has_returned() {
    let mut t = Harness::new();
    let (id, op) = t.connect(WEB).held();
    let closing = Closing { endpoint: 5000, parent: None };
    assert!(!t.gate.is_closing_busy(closing), "held, and nothing is on its way");
    t.answer(id, PERMIT);
    assert!(t.gate.is_closing_busy(closing), "it waits to be completed");
    let completion = t.gate.poll_completion(t.now()).expect("decided");
    assert_eq!((completion.operation, &completion.then), (op, &Then::Reauthorizes));
    assert_eq!(t.close(5000), Closure::Busy);
    assert_eq!(t.close(5001), Closure::Clear);
    assert_eq!(t.reauthorize(WEB), Reauthorized::Verdict(PERMIT), "inside the completion");
    assert!(t.gate.is_closing_busy(closing));
    t.gate.handle_completed(completion.ticket);
    assert!(!t.gate.is_closing_busy(closing));
}

#[test]
fn a_socket_is_busy_while_its_operation_is_about_to_be_pended() {
    let mut t = Harness::with(|s| s.fallback_outbound = Fallback::BLOCK);
    let Action::Pend(id) = t.classify(WEB) else { panic!("not held") };
    assert_eq!(t.close(5000), Closure::Busy);
    assert_eq!(t.gate.handle_pended(t.now(), id, 1, Numbered::default()), Ok(Pended::Ready));
    assert_eq!(t.close(5000), Closure::Busy);
    assert_eq!(t.completions(), [1]);
    assert_eq!(t.close(5000), Closure::Clear);
    let Action::Pend(id) = t.classify(OTHER) else { panic!("not held") };
    assert_eq!(t.close(5001), Closure::Busy);
    assert_eq!(t.gate.handle_pend_failed(t.now(), id), BLOCK);
    assert_eq!(t.close(5001), Closure::Clear);
}

/// O9: what a listening socket hears belongs to it, until the accepted socket has a handle of its own.
#[test]
fn a_listening_socket_takes_what_it_accepts_with_it_but_not_the_other_way() {
    let mut t = Harness::with(|s| s.max_pended_per_process = s.max_pended);
    let syn = |child, port| format!("tcp 10.0.0.2:80/{child} <- 1.1.1.1:{port}");
    let (_, first) = t.connect(&syn(801, 1)).held();
    t.connect(&syn(802, 2)).held();
    t.connect(&syn(803, 3)).held();
    assert_eq!(t.gate.handle_closure(t.now(), Closing { endpoint: 801, parent: Some(80) }), Closure::Busy);
    assert_eq!(t.stats().doors.closure, 1);
    assert_eq!(t.completion_of(802), None);
    assert_eq!(t.completion_of(801), Some(first));
    assert_eq!(t.gate.handle_closure(t.now(), Closing { endpoint: 80, parent: Some(7) }), Closure::Clear, "not it");
    assert_eq!(t.close(80), Closure::Busy);
    assert_eq!(t.stats().doors.closure, 3);
    assert!(t.completion_of(80).is_some() && t.completion_of(80).is_some());
    assert_eq!(t.close(80), Closure::Clear);
}

#[test]
fn a_child_that_closes_takes_only_itself_whatever_bucket_its_listener_is_in() {
    for key in 0..64 {
        let mut t = Harness::with_key([key, 2]);
        t.connect("tcp 10.0.0.2:80/801 <- 1.1.1.1:1").held();
        assert_eq!(t.gate.handle_closure(t.now(), Closing { endpoint: 80, parent: Some(7) }), Closure::Clear, "{key}");
        assert_eq!(t.stats().doors.closure, 0);
        assert_eq!(t.gate.handle_closure(t.now(), Closing { endpoint: 801, parent: Some(80) }), Closure::Busy);
    }
}

#[test]
fn sixty_four_completions_run_at_once_and_the_others_wait() {
    let mut t = Harness::with(|s| (s.max_pended, s.max_pended_per_process) = (100, 100));
    let story = |port: u64| format!("tcp 10.0.0.2:{port} -> 1.1.1.1:443");
    for port in 1..=66 {
        t.connect(&story(port)).held();
    }
    t.detach();
    let mut running: Vec<_> = std::iter::from_fn(|| t.gate.poll_completion(t.now())).collect();
    assert_eq!(running.len(), 64);
    assert!(t.gate.has_completions());
    assert!(t.gate.poll_completion_of(t.now(), 65).is_none());
    assert_eq!(t.close(65), Closure::Busy);
    t.gate.handle_completed(running.remove(0).ticket);
    assert_eq!(t.close(1), Closure::Clear);
    assert_eq!(t.completions(), [65, 66]);
    assert_eq!(t.close(65), Closure::Clear);
    assert_eq!(t.close(64), Closure::Busy);
}
