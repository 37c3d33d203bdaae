//! Questions about live flows, and policy changes that reach them. R16: the filter engine asks again about every live flow
//! when a filter at the layer is added or removed.

use crate::*;

const ACCEPTED: &str = "tcp 10.0.0.2:80 <- 1.1.1.1:443";

/// A flow that the gate has never heard of, and that is asked about now; gives the question.
fn asked(t: &mut Harness, story: &str) -> RequestId {
    assert_eq!(t.foreign_reauthorize(story), Reauthorized::Leave);
    let question = t.deliveries().pop().expect("a question").request;
    assert_eq!(question.flags(), RequestFlags::LIVE);
    question.id
}

#[test]
fn a_live_flow_of_which_nothing_is_known_is_left_alone_and_asked_about_once() {
    let mut t = Harness::new();
    for _ in 0..3 {
        assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Leave);
    }
    t.expect(|s| (s.foreign_reauthorized, s.live_asked, s.queued) = (3, 1, 1));
    let [question] = t.deliveries().try_into().ok().expect("one question");
    assert_eq!((question.path, question.sid.as_slice()), (utf16("app"), SID));
    assert_eq!((question.request.process_id, question.request.remote_port), (42, 443));
    assert_eq!((question.request.flags(), question.request.deadline_ms), (RequestFlags::LIVE, 0));
    assert_ne!(question.request.id, RequestId(0));
    assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Leave, "still nothing known");
    assert!(t.deliveries().is_empty(), "and not asked twice");
}

#[test]
fn a_flow_that_may_go_on_needs_nothing_more() {
    let mut t = Harness::new();
    t.gate.poll_recheck();
    let id = asked(&mut t, WEB);
    assert_eq!(t.answer(id, PERMIT), Outcome::ACCEPTED);
    assert!(!t.gate.poll_recheck());
    assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Cached(PERMIT));
    assert_eq!(t.answer(id, BLOCK), Outcome::STALE, "answered already");
    t.expect(|s| (s.foreign_reauthorized, s.live_asked, s.stale_answers) = (2, 1, 1));
}

#[test]
fn a_flow_that_may_not_go_on_is_blocked_by_a_recheck() {
    let mut t = Harness::new();
    t.gate.poll_recheck();
    let (web, other) = (asked(&mut t, WEB), asked(&mut t, OTHER));
    t.answer(web, BLOCK);
    t.answer(other, BLOCK);
    assert!(t.gate.poll_recheck());
    assert!(!t.gate.poll_recheck(), "one for both");
    assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Cached(BLOCK));
}

#[test]
fn the_answer_covers_as_much_as_it_says() {
    let mut t = Harness::new();
    let id = asked(&mut t, WEB);
    t.answer_for(id, BLOCK, Scope::PROGRAM);
    assert_eq!(t.foreign_reauthorize(ELSEWHERE), Reauthorized::Cached(BLOCK));
    assert_eq!(t.connect(OTHER), Connect::Blocked);
}

#[test]
fn a_service_that_comes_and_an_epoch_that_changes_make_one_recheck_each() {
    let mut t = Harness::idle();
    assert!(!t.gate.poll_recheck());
    t.attach();
    assert!(t.gate.poll_recheck());
    assert!(!t.gate.poll_recheck());
    t.configure(|s| s.deadline_ms += 1);
    assert!(!t.gate.poll_recheck());
    t.configure(|s| s.epoch += 1);
    t.configure(|s| s.epoch += 1);
    assert!(t.gate.poll_recheck());
    assert!(!t.gate.poll_recheck());
}

/// The whole way of a policy change.
#[test]
fn a_flow_that_a_new_epoch_blocks_is_blocked() {
    let mut t = Harness::new();
    t.decide(WEB, PERMIT, Scope::PROGRAM);
    t.gate.poll_recheck();
    t.configure(|s| s.epoch += 1);
    assert!(t.gate.poll_recheck());
    let id = asked(&mut t, WEB);
    t.answer_for(id, BLOCK, Scope::PROGRAM);
    assert!(t.gate.poll_recheck());
    assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Cached(BLOCK));
}

/// And back: its sender may not have given up.
#[test]
fn a_blocked_flow_stays_blocked_until_somebody_permits_it() {
    let mut t = Harness::new();
    let id = asked(&mut t, WEB);
    t.answer(id, BLOCK);
    t.configure(|s| s.epoch += 1);
    t.gate.poll_recheck();
    assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Cached(BLOCK));
    let question = t.deliveries().pop().expect("a question").request;
    t.answer(question.id, PERMIT);
    assert!(t.gate.poll_recheck());
    assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Cached(PERMIT));
}

/// The filter engine asks about the flow again in the new epoch, and so does the gate.
#[test]
fn a_question_does_not_outlive_its_epoch() {
    let mut t = Harness::new();
    let id = asked(&mut t, WEB);
    t.foreign_reauthorize(OTHER);
    t.configure(|s| s.epoch += 1);
    assert_eq!(t.answer_for(id, BLOCK, Scope::PROGRAM), Outcome::STALE);
    let undelivered = t.deliveries().pop().expect("a question").request;
    assert_eq!(undelivered.local_port, 5001, "it is a question of the new epoch");
    assert_ne!(asked(&mut t, WEB), id);
    assert_eq!((t.stats().live_asked, t.stats().cached), (3, 0));
}

#[test]
fn an_answer_to_what_was_forgotten_meanwhile_is_not_used_and_asked_for_again() {
    let mut t = Harness::new();
    t.gate.poll_recheck();
    let id = asked(&mut t, WEB);
    t.gate.forget_all();
    assert!(!t.gate.poll_recheck());
    assert_eq!(t.answer_for(id, BLOCK, Scope::PROGRAM), Outcome::STALE);
    assert!(t.gate.poll_recheck());
    assert_ne!(asked(&mut t, WEB), id);
}

#[test]
fn the_next_connection_with_the_key_ends_the_question() {
    let mut t = Harness::new();
    let id = asked(&mut t, WEB);
    let (held, _) = t.connect(WEB).held();
    assert_eq!(t.answer(id, BLOCK), Outcome::STALE);
    assert_eq!(t.answer(held, PERMIT), Outcome::ACCEPTED);
}

#[test]
fn questions_go_out_after_held_requests_and_before_reports() {
    let mut t = Harness::new();
    t.pass(DNS);
    t.foreign_reauthorize(OTHER);
    t.foreign_reauthorize(ELSEWHERE);
    t.connect(WEB).held();
    let flags: Vec<_> = t.deliveries().iter().map(|d| (d.request.flags(), d.request.local_port)).collect();
    let live = RequestFlags::LIVE;
    assert_eq!(flags, [(RequestFlags::HELD, 5000), (live, 5001), (live, 5002), (RequestFlags::empty(), 6000)]);
}

#[test]
fn questions_end_with_the_service_and_with_the_gate() {
    let ends: [fn(&mut Harness); 2] = [
        |t| {
            t.detach();
            t.attach();
        },
        |t| t.gate.drain(t.now()),
    ];
    for end in ends {
        let mut t = Harness::new();
        let id = asked(&mut t, WEB);
        t.foreign_reauthorize(OTHER);
        end(&mut t);
        assert!(!t.gate.has_requests());
        assert_eq!(t.answer(id, BLOCK), Outcome::STALE);
    }
}

#[test]
fn nobody_is_asked_without_a_service_or_while_draining() {
    let mut t = Harness::idle();
    assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Leave);
    t.attach();
    t.gate.drain(t.now());
    assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Leave);
    t.configure(|s| s.epoch += 1);
    assert!(!t.gate.poll_recheck());
    t.expect(|s| (s.attached, s.attached_process_id, s.epoch, s.foreign_reauthorized) = (1, 100, 1, 2));
}

#[test]
fn neither_the_service_nor_what_is_not_held_is_asked_about() {
    let mut t = Harness::with(|s| s.hold = Holds::CONNECT_TCP.bits());
    for story in [OWN, DNS, ACCEPTED] {
        assert_eq!(t.foreign_reauthorize(story), Reauthorized::Leave);
    }
    t.expect(|s| s.foreign_reauthorized = 3);
}

#[test]
fn an_inbound_flow_is_asked_about_too() {
    let mut t = Harness::new();
    let id = asked(&mut t, ACCEPTED);
    t.answer(id, BLOCK);
    assert_eq!(t.foreign_reauthorize(ACCEPTED), Reauthorized::Cached(BLOCK));
}

/// What found no room is asked about later, when others were answered.
#[test]
fn a_thousand_questions_wait_at_most() {
    let mut t = Harness::new();
    let story = |port: u64| format!("tcp 10.0.0.2:{port} -> 1.1.1.1:443");
    for port in 1..=1_100 {
        t.foreign_reauthorize(&story(port));
    }
    t.gate.poll_recheck();
    t.expect(|s| (s.foreign_reauthorized, s.live_asked, s.queued) = (1_100, 1_024, 1_024));
    let ids: Vec<_> = t.deliveries().iter().map(|d| d.request.id).collect();
    let (first, rest) = ids.split_at(511);
    for id in first {
        t.answer(*id, PERMIT);
        assert!(!t.gate.poll_recheck());
    }
    t.answer(rest[0], PERMIT);
    assert!(t.gate.poll_recheck(), "there is room for half of them");
    assert_eq!(t.foreign_reauthorize(&story(1_100)), Reauthorized::Leave);
    t.answer(rest[1], PERMIT);
    assert!(!t.gate.poll_recheck());
    assert_eq!(t.stats().live_asked, 1_025);
}

/// A service that does not answer does not keep others from being asked about.
#[test]
fn a_question_gives_way_when_it_was_not_answered_in_time() {
    let mut t = Harness::new();
    let story = |port: u64| format!("tcp 10.0.0.2:{port} -> 1.1.1.1:443");
    for port in 1..=1_024 {
        t.foreign_reauthorize(&story(port));
    }
    t.advance(t.settings.deadline_ms);
    t.foreign_reauthorize(&story(2_000));
    assert_eq!(t.stats().live_asked, 1_024, "they have not been delivered");
    let ids: Vec<_> = t.deliveries().iter().map(|d| d.request.id).collect();
    t.advance(t.settings.deadline_ms);
    t.foreign_reauthorize(&story(2_000));
    assert_eq!(t.stats().live_asked, 1_025);
    assert_eq!(t.answer(ids[0], BLOCK), Outcome::STALE);
    assert_eq!(t.answer(ids[1], BLOCK), Outcome::ACCEPTED);
}
