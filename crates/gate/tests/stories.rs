//! The gate's behaviour, one story each. Rules cited as R are the project's rules for pend, complete and reauthorize.

mod harness;

use gate::{Action, Busy, GRACE_MS, Gate, Outgoing, Owner, Pended, Reauthorized, Room};
use harness::{Connect, Harness, SERVICE, SID, utf16};
use wire::batch::{self, BatchWriter};
use wire::request::{Because, MAX_PATH_BYTES, RequestFlags};
use wire::settings::Fallback;
use wire::verdict::{Answer, Outcome, RequestId, Scope, Verdict};

const WEB: &str = "tcp 10.0.0.2:5000 -> 1.1.1.1:443";
const OTHER: &str = "tcp 10.0.0.2:5001 -> 1.1.1.1:443";
const ELSEWHERE: &str = "tcp 10.0.0.2:5002 -> [2001:db8::1]:443";
const DNS: &str = "udp 10.0.0.2:6000 -> 9.9.9.9:53";
const OWN: &str = "tollgate[100] tcp 10.0.0.2:5003 -> 1.1.1.1:443";
const PERMIT: Verdict = Verdict::PERMIT;
const BLOCK: Verdict = Verdict::BLOCK;

mod the_way_of_a_connection {
    use super::*;

    #[test]
    fn a_connection_is_held_asked_about_answered_and_reauthorized() {
        for verdict in [PERMIT, BLOCK] {
            let mut t = Harness::new();
            let (id, op) = t.connect(WEB).held();
            t.expect(|s| (s.classified, s.held, s.pended, s.queued) = (1, 1, 1, 1));
            assert_eq!(t.deliveries().len(), 1);
            t.expect(|s| s.queued = 0);
            assert_eq!(t.answer(id, verdict), Outcome::ACCEPTED);
            t.expect(|s| (s.pended, s.doors.verdict) = (0, 1));
            assert_eq!(t.completions(), [op]);
            assert_eq!(t.reauthorize(WEB), Reauthorized::Verdict(verdict));
            t.expect(|s| s.claimed = 1);
        }
    }

    #[test]
    fn a_request_says_all_that_is_known() {
        let mut t = Harness::new();
        let (id, _) = t.connect(WEB).held();
        t.advance(30);
        let [delivered] = t.deliveries().try_into().ok().expect("one request");
        let request = delivered.request;
        assert_eq!((delivered.path, delivered.sid.as_slice()), (utf16("app"), SID));
        assert_eq!((request.id, request.process_id, request.interface_index), (id, 42, 3));
        assert_eq!((request.local_ip().to_string(), request.local_port), ("10.0.0.2".into(), 5000));
        assert_eq!((request.remote_ip().to_string(), request.remote_port), ("1.1.1.1".into(), 443));
        assert_eq!((request.protocol, request.compartment, request.flags()), (6, 1, RequestFlags::HELD));
        assert_eq!((request.waited_ms, request.deadline_ms), (30, t.settings.deadline_ms - 30));
        assert_eq!((request.verdict, request.because), (Verdict::default(), Because::HELD));
        assert_ne!(request.program, 0);
    }

    #[test]
    fn every_operation_gets_its_own_answer() {
        let mut t = Harness::with(|s| (s.max_pended, s.max_pended_per_process) = (1_000, 1_000));
        let story = |n: usize| format!("tcp 10.0.0.2:{} -> 1.1.1.1:443", 2_000 + n);
        let held: Vec<_> = (0..1_000).map(|n| t.connect(&story(n)).held()).collect();
        let verdict = |n: usize| if n % 3 == 0 { PERMIT } else { BLOCK };
        // In an order that has nothing to do with that of the requests.
        for n in (0..1_000).map(|n| n * 7 % 1_000) {
            assert_eq!(t.answer(held[n].0, verdict(n)), Outcome::ACCEPTED);
        }
        assert_eq!(t.completions().len(), 1_000);
        for n in (0..1_000).map(|n| n * 3 % 1_000) {
            assert_eq!(t.reauthorize(&story(n)), Reauthorized::Verdict(verdict(n)), "{n}");
        }
        t.expect(|s| (s.classified, s.held, s.doors.verdict, s.claimed) = (1_000, 1_000, 1_000, 1_000));
    }

    #[test]
    fn requests_are_delivered_once_and_in_order_before_reports() {
        let mut t = Harness::new();
        t.pass(DNS);
        let ids = [WEB, OTHER, ELSEWHERE].map(|story| t.connect(story).held().0);
        let seen: Vec<_> = t.deliveries().iter().map(|delivered| delivered.request.id).collect();
        assert_eq!(seen, [ids[0], ids[1], ids[2], RequestId(0)]);
        assert!(t.deliveries().is_empty());
        assert!(!t.gate.has_requests());
    }

    #[test]
    fn what_could_not_be_delivered_goes_back_to_the_head() {
        let mut t = Harness::new();
        let ids = [WEB, OTHER].map(|story| t.connect(story).held().0);
        let mut out = Outgoing::default();
        assert!(t.gate.next_request(t.now(), &mut out));
        t.gate.undeliver(&out);
        t.gate.undeliver(&out);
        let seen: Vec<_> = t.deliveries().iter().map(|delivered| delivered.request.id).collect();
        assert_eq!(seen, ids);
        t.pass(DNS);
        assert!(t.gate.next_request(t.now(), &mut out));
        t.gate.undeliver(&out);
        assert_eq!(t.deliveries()[0].path, utf16("app"));
    }

    #[test]
    fn a_decided_request_is_not_delivered_again() {
        let mut t = Harness::new();
        let (id, _) = t.connect(WEB).held();
        let mut out = Outgoing::default();
        assert!(t.gate.next_request(t.now(), &mut out));
        t.answer(id, BLOCK);
        t.gate.undeliver(&out);
        assert!(t.deliveries().is_empty());
    }

    #[test]
    fn a_request_is_written_to_a_batch_and_read_back() {
        let mut t = Harness::new();
        let (id, _) = t.connect(ELSEWHERE).held();
        let mut out = Outgoing::default();
        assert!(t.gate.next_request(t.now(), &mut out));
        let mut buffer = vec![0; batch::MIN_BATCH_BYTES];
        let mut writer = BatchWriter::new(&mut buffer).expect("large enough");
        assert!(out.write(&mut writer));
        let used = writer.finish(0);
        let view =
            batch::requests(&buffer[..used]).expect("a batch").1.next().expect("a request").expect("well formed");
        assert_eq!((view.request.id, view.path, view.sid), (id, utf16("app").as_slice(), SID));
        assert_eq!(view.request.remote_ip().to_string(), "2001:db8::1");
    }

    #[test]
    fn a_long_path_is_cut_and_still_names_its_own_program() {
        let mut t = Harness::new();
        let long = "x".repeat(MAX_PATH_BYTES);
        for (end, port) in [("a", 1), ("b", 2)] {
            t.connect(&format!("{long}{end}[9] tcp 10.0.0.2:{port} -> 1.1.1.1:443"));
        }
        let [one, other] = t.deliveries().try_into().ok().expect("two requests");
        assert_eq!(one.path, utf16(&long[..MAX_PATH_BYTES / 2]));
        assert_eq!(one.path, other.path);
        assert!(one.request.flags().contains(RequestFlags::PATH_TRUNCATED));
        assert_ne!(one.request.program, other.request.program);
    }
}

mod pending {
    use super::*;

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
        assert_eq!(t.gate.handle_pended(t.now(), id, 1), Ok(Pended::Ready));
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
        assert_eq!(t.gate.handle_pended(t.now(), id, 77), Err(77), "it has its operation");
        assert_eq!(t.gate.handle_pended(t.now(), RequestId(12345), 78), Err(78));
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
        assert!(Gate::<[usize; 1]>::BYTES_PER_RECORD <= 256, "{}", Gate::<[usize; 1]>::BYTES_PER_RECORD);
        assert!(Gate::<[usize; 2]>::BYTES_PER_RECORD <= 512, "{}", Gate::<[usize; 2]>::BYTES_PER_RECORD);
    }
}

mod answers {
    use super::*;

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
}

mod time {
    use super::*;

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

    /// The verdict of a connection that is gone must not be there for the next one.
    #[test]
    fn an_unclaimed_verdict_is_thrown_away_after_a_while() {
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
        assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Leave);
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
}

mod reauthorizing {
    use super::*;

    /// R11: somebody else's reauthorize while held.
    #[test]
    fn a_foreign_reauthorize_of_a_held_connection_waits() {
        let mut t = Harness::new();
        let (id, op) = t.connect(WEB).held();
        assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Waiting);
        t.answer(id, BLOCK);
        assert_eq!(t.reauthorize(WEB), Reauthorized::Waiting, "decided, but not handed out yet");
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
        t.expect(|s| (s.foreign_reauthorized, s.epoch) = (5, 1));
    }

    #[test]
    fn a_live_flow_without_its_own_verdict_gets_that_of_its_program() {
        let mut t = Harness::new();
        t.decide(WEB, BLOCK, Scope::PROGRAM);
        assert_eq!(t.foreign_reauthorize(OTHER), Reauthorized::Cached(BLOCK));
        assert_eq!(t.foreign_reauthorize("other[42] tcp 10.0.0.2:5001 -> 1.1.1.1:443"), Reauthorized::Leave);
    }

    #[test]
    fn a_completion_whose_verdict_is_gone_gets_the_fallback() {
        let mut t = Harness::with(|s| s.fallback_outbound = Fallback::BLOCK);
        let (id, _) = t.connect(WEB).held();
        t.answer(id, PERMIT);
        t.completions();
        t.advance(GRACE_MS);
        assert_eq!(t.reauthorize(WEB), Reauthorized::Verdict(BLOCK));
        t.expect(|s| {
            (s.classified, s.held, s.queued, s.doors.verdict, s.unclaimed, s.orphaned) = (1, 1, 0, 1, 1, 1);
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
        assert_eq!(t.reauthorize(WEB), Reauthorized::Waiting);
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
        let (_, _) = t.connect(WEB).held();
        assert_eq!(t.completions(), [first_op]);
        assert_eq!(t.reauthorize(WEB), Reauthorized::Waiting);
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
        assert_eq!(t.foreign_reauthorize(WEB), Reauthorized::Leave);
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
}

mod caching {
    use super::*;

    const OTHER_REMOTE: &str = "tcp 10.0.0.2:5004 -> 8.8.8.8:443";
    const OTHER_PORT: &str = "tcp 10.0.0.2:5004 -> 1.1.1.1:80";
    const OTHER_PROGRAM: &str = "other[42] tcp 10.0.0.2:5004 -> 1.1.1.1:443";

    #[test]
    fn an_answer_for_one_operation_is_not_remembered() {
        let mut t = Harness::new();
        t.decide(WEB, PERMIT, Scope::OPERATION);
        t.connect(OTHER).held();
        assert_eq!(t.stats().cached, 0);
    }

    #[test]
    fn a_verdict_for_a_remote_covers_that_remote_only() {
        let mut t = Harness::new();
        t.decide(WEB, BLOCK, Scope::REMOTE);
        assert_eq!(t.connect(OTHER), Connect::Blocked);
        for story in [OTHER_REMOTE, OTHER_PORT, OTHER_PROGRAM, "udp 10.0.0.2:5004 -> 1.1.1.1:443"] {
            t.connect(story).held();
        }
        t.expect(|s| {
            (s.classified, s.cache_blocked) = (s.classified + 5, 1);
            (s.held, s.pended, s.queued) = (s.held + 4, 4, 4);
        });
    }

    /// The first four bytes of an IPv6 address are no IPv4 address.
    #[test]
    fn families_do_not_share_verdicts() {
        let mut t = Harness::new();
        t.decide("tcp 10.0.0.2:5004 -> 32.1.13.184:443", PERMIT, Scope::REMOTE);
        t.connect("tcp [::1]:5005 -> [2001:db8::]:443").held();
    }

    #[test]
    fn a_verdict_for_a_program_covers_all_it_does() {
        let mut t = Harness::new();
        t.decide(WEB, PERMIT, Scope::PROGRAM);
        for story in [OTHER_REMOTE, OTHER_PORT, ELSEWHERE] {
            assert_eq!(t.connect(story), Connect::Permitted);
        }
        t.connect(OTHER_PROGRAM).held();
    }

    #[test]
    fn the_verdict_for_the_remote_outranks_that_for_the_program() {
        let mut t = Harness::new();
        t.decide(WEB, BLOCK, Scope::REMOTE);
        t.decide(OTHER_REMOTE, PERMIT, Scope::PROGRAM);
        assert_eq!(t.connect(OTHER), Connect::Blocked);
        assert_eq!(t.connect(OTHER_PORT), Connect::Permitted);
    }

    #[test]
    fn an_unknown_program_is_never_remembered() {
        let mut t = Harness::with(|s| s.fallback_outbound = Fallback::LAST);
        let nameless = "[42] tcp 10.0.0.2:5005 -> 1.1.1.1:443";
        t.decide(nameless, PERMIT, Scope::PROGRAM);
        t.connect("[43] tcp 10.0.0.2:5006 -> 1.1.1.1:443").held();
        assert_eq!(t.stats().cached, 0);
    }

    #[test]
    fn a_remembered_verdict_expires() {
        let mut t = Harness::new();
        let (id, _) = t.connect(WEB).held();
        t.submit(&Answer { scope: Scope::REMOTE, lifetime_ms: 50, ..Answer::once(id, PERMIT) });
        t.advance(49);
        assert_eq!(t.connect(OTHER), Connect::Permitted);
        t.advance(1);
        t.connect(OTHER).held();
    }

    #[test]
    fn a_newer_verdict_replaces_the_older() {
        let mut t = Harness::new();
        let ids = [WEB, OTHER].map(|story| t.connect(story).held().0);
        t.answer_for(ids[0], PERMIT, Scope::PROGRAM);
        t.answer_for(ids[1], BLOCK, Scope::PROGRAM);
        assert_eq!(t.connect(OTHER_REMOTE), Connect::Blocked);
        assert_eq!(t.stats().cached, 1);
    }

    #[test]
    fn a_new_epoch_ends_all_verdicts_even_if_an_old_number_returns() {
        let mut t = Harness::new();
        t.decide(WEB, PERMIT, Scope::PROGRAM);
        t.configure(|s| s.epoch = 1);
        t.connect(OTHER).held();
        t.configure(|s| s.epoch = 0);
        t.connect(OTHER_REMOTE).held();
    }

    /// The service may have decided by the old rules.
    #[test]
    fn an_answer_to_what_was_asked_before_a_change_of_rules_is_not_remembered() {
        for change in [
            |t: &mut Harness| t.configure(|s| s.epoch += 1),
            |t| t.gate.forget_all(),
            |t| {
                t.gate.forget_program(&utf16("app"));
            },
        ] {
            let mut t = Harness::new();
            let (id, _) = t.connect(WEB).held();
            t.deliveries();
            change(&mut t);
            assert_eq!(t.answer_for(id, PERMIT, Scope::PROGRAM), Outcome::ACCEPTED);
            t.connect(OTHER).held();
        }
    }

    #[test]
    fn forgetting_all_forgets_even_the_last_known() {
        let mut t = Harness::with(|s| s.fallback_outbound = Fallback::LAST);
        t.decide(WEB, PERMIT, Scope::PROGRAM);
        t.gate.forget_all();
        assert_eq!(t.stats().cached, 0);
        t.detach();
        assert_eq!(t.connect(OTHER), Connect::Blocked);
    }

    #[test]
    fn forgetting_a_program_leaves_the_others() {
        let mut t = Harness::new();
        t.decide(WEB, PERMIT, Scope::PROGRAM);
        t.decide(OTHER_PROGRAM, PERMIT, Scope::PROGRAM);
        t.gate.forget_program(&utf16("app"));
        t.connect(OTHER).held();
        assert_eq!(t.connect(OTHER_PROGRAM), Connect::Permitted);
    }

    #[test]
    fn forgetting_a_path_that_may_be_cut_forgets_all() {
        let mut t = Harness::new();
        let long = format!("{}[9] tcp 10.0.0.2:5005 -> 1.1.1.1:443", "x".repeat(MAX_PATH_BYTES));
        t.decide(&long, PERMIT, Scope::PROGRAM);
        t.gate.forget_program(&utf16(&"x".repeat(MAX_PATH_BYTES / 2)));
        t.connect(&long).held();
    }

    #[test]
    fn a_cache_of_no_size_remembers_nothing() {
        let mut t = Harness::with(|s| s.max_cached = 0);
        t.decide(WEB, PERMIT, Scope::PROGRAM);
        assert_eq!(t.stats().cached, 0);
        t.connect(OTHER).held();
    }

    #[test]
    fn a_full_cache_forgets_the_oldest() {
        let mut t = Harness::with(|s| s.max_cached = 8);
        for port in 1..=9 {
            t.decide(&format!("tcp 10.0.0.2:5005 -> 1.1.1.1:{port}"), PERMIT, Scope::REMOTE);
        }
        assert_eq!(t.stats().cached, 8);
        t.connect("tcp 10.0.0.2:5006 -> 1.1.1.1:1").held();
        for port in 2..=9 {
            assert_eq!(t.connect(&format!("tcp 10.0.0.2:5006 -> 1.1.1.1:{port}")), Connect::Permitted, "{port}");
        }
    }

    #[test]
    fn a_full_cache_gives_up_what_has_expired_first() {
        let mut t = Harness::with(|s| s.max_cached = 8);
        for port in 1..=8 {
            let (id, _) = t.connect(&format!("tcp 10.0.0.2:5005 -> 1.1.1.1:{port}")).held();
            let lifetime_ms = if port == 5 { 1 } else { 0 };
            t.submit(&Answer { scope: Scope::REMOTE, lifetime_ms, ..Answer::once(id, PERMIT) });
            t.completions();
            t.advance(GRACE_MS);
        }
        t.decide("tcp 10.0.0.2:5005 -> 1.1.1.1:9", PERMIT, Scope::REMOTE);
        assert_eq!(t.connect("tcp 10.0.0.2:5006 -> 1.1.1.1:1"), Connect::Permitted);
        t.connect("tcp 10.0.0.2:5006 -> 1.1.1.1:5").held();
    }

    #[test]
    fn a_new_cache_size_forgets_all() {
        let mut t = Harness::new();
        t.decide(WEB, PERMIT, Scope::PROGRAM);
        t.configure(|s| s.max_cached = 128);
        assert_eq!(t.stats().cached, 0);
        t.connect(OTHER).held();
    }
}

mod the_service {
    use super::*;

    #[test]
    fn without_a_service_the_cache_and_then_the_fallback_answer() {
        let mut t = Harness::idle();
        assert_eq!(t.connect(WEB), Connect::Permitted);
        t.expect(|s| (s.classified, s.fell_back) = (1, 1));
        t.configure(|s| s.fallback_outbound = Fallback::BLOCK);
        assert_eq!(t.connect(WEB), Connect::Blocked);
        t.expect(|s| (s.classified, s.fell_back) = (2, 2));
        assert!(t.deliveries().is_empty(), "nobody to tell");
    }

    #[test]
    fn the_service_itself_is_never_held() {
        let mut t = Harness::with(|s| s.fallback_outbound = Fallback::BLOCK);
        assert_eq!(t.connect(OWN), Connect::Permitted);
        assert_eq!(t.reauthorize(OWN), Reauthorized::Leave);
        t.expect(|s| (s.classified, s.exempted, s.foreign_reauthorized) = (1, 1, 1));
        t.detach();
        assert_eq!(t.connect(OWN), Connect::Blocked, "it is nobody special any more");
    }

    #[test]
    fn one_service_at_a_time() {
        let mut t = Harness::new();
        let other = Owner { process_id: 200, handle: 8 };
        let settings = wire::settings::Settings { epoch: 9, ..t.settings };
        let mut room = Room::new(t.gate.settings(), &settings).expect("memory");
        assert_eq!(t.gate.attach(t.now(), other, settings, &mut room), Err(Busy { process_id: 100 }));
        t.expect(|_| {});
        t.gate.detach(t.now(), other.handle);
        assert!(t.gate.is_attached(SERVICE.handle), "only its own handle detaches it");
        t.detach();
        assert_eq!(t.gate.attach(t.now(), other, settings, &mut room), Ok(()));
        t.expect(|s| (s.attached_process_id, s.epoch) = (200, 9));
    }

    #[test]
    fn a_detach_releases_what_is_held_and_drops_what_is_not_delivered() {
        let mut t = Harness::with(|s| s.fallback_outbound = Fallback::BLOCK);
        let (_, first) = t.connect(WEB).held();
        t.deliveries();
        let (_, second) = t.connect(OTHER).held();
        t.pass(DNS);
        t.detach();
        t.expect(|s| {
            (s.classified, s.held, s.fell_back, s.doors.detach) = (3, 2, 1, 2);
            (s.attached, s.attached_process_id, s.dropped_reports) = (0, 0, 1);
        });
        assert!(!t.gate.has_requests());
        assert_eq!(t.completions(), [first, second]);
        for story in [WEB, OTHER] {
            assert_eq!(t.reauthorize(story), Reauthorized::Verdict(BLOCK));
        }
        assert_eq!(t.connect(ELSEWHERE), Connect::Blocked, "not held");
    }

    #[test]
    fn the_last_known_verdict_answers_for_an_absent_service() {
        let mut t = Harness::with(|s| s.fallback_outbound = Fallback::LAST);
        let (id, _) = t.connect(WEB).held();
        t.submit(&Answer { scope: Scope::REMOTE, lifetime_ms: 10, ..Answer::once(id, PERMIT) });
        t.detach();
        t.configure(|s| s.epoch += 1);
        t.advance(1_000);
        assert_eq!(t.connect(OTHER), Connect::Permitted, "expired, of an old epoch, and still the last known");
        assert_eq!(t.connect(ELSEWHERE), Connect::Blocked, "nothing known");
    }

    #[test]
    fn settings_stay_in_force_after_a_detach() {
        let mut t = Harness::with(|s| (s.fallback_outbound, s.epoch) = (Fallback::BLOCK, 3));
        t.detach();
        assert_eq!(t.connect(WEB), Connect::Blocked);
        assert_eq!(t.stats().epoch, 3);
    }

    #[test]
    fn what_cannot_be_held_is_answered_at_once_and_reported() {
        let mut t = Harness::with(|s| s.fallback_outbound = Fallback::BLOCK);
        assert_eq!(t.pass(DNS), Action::Block);
        t.expect(|s| (s.classified, s.fell_back, s.queued) = (1, 1, 1));
        let [report] = t.deliveries().try_into().ok().expect("one report");
        assert_eq!((report.request.id, report.path, report.sid.as_slice()), (RequestId(0), utf16("app"), SID));
        assert_eq!((report.request.verdict, report.request.because), (BLOCK, Because::FALLBACK));
        assert_eq!((report.request.flags(), report.request.deadline_ms), (RequestFlags::empty(), 0));
    }

    #[test]
    fn cached_answers_are_reported_only_for_what_cannot_be_held() {
        let mut t = Harness::new();
        t.decide(WEB, PERMIT, Scope::PROGRAM);
        assert_eq!(t.connect(OTHER), Connect::Permitted);
        assert!(t.deliveries().is_empty());
        assert_eq!(t.pass(DNS), Action::Permit);
        assert_eq!(t.deliveries()[0].request.because, Because::CACHED);
    }

    #[test]
    fn too_many_reports_drop_the_oldest_and_say_so() {
        let mut t = Harness::new();
        for port in 1..=1_030 {
            t.pass(&format!("udp 10.0.0.2:6000 -> 9.9.9.9:{port}"));
        }
        t.expect(|s| (s.classified, s.fell_back, s.queued, s.dropped_reports) = (1_030, 1_030, 1_024, 6));
        assert_eq!((t.gate.take_dropped_reports(), t.gate.take_dropped_reports()), (6, 0));
        assert_eq!(t.deliveries()[0].request.remote_port, 7);
    }

    #[test]
    fn a_classify_without_the_right_is_counted() {
        let mut t = Harness::new();
        t.gate.count_without_right();
        t.expect(|s| s.without_right = 1);
    }
}

mod closing {
    use super::*;

    #[test]
    fn a_closed_socket_is_blocked_and_its_operation_given_back() {
        let mut t = Harness::new();
        let (id, op) = t.connect(WEB).held();
        t.connect(OTHER).held();
        t.gate.handle_closure(t.now(), 5000);
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
            t.gate.handle_closure(t.now(), endpoint);
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
        assert_eq!(t.gate.handle_pended(t.now(), late, 99), Ok(Pended::Ready), "its classify was still running");
        assert_eq!(t.completions(), [op, 99]);
        assert_eq!(t.connect(ELSEWHERE), Connect::Blocked);
        t.gate.resume();
        t.connect(ELSEWHERE).held();
    }
}
