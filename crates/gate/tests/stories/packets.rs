//! First packets, and further ones: kept, and given out exactly once. O4 and O8 are open questions about what Windows
//! does; the gate answers either way.

use crate::*;

const PING: &str = "icmp 10.0.0.2:8 -> 9.9.9.9:0";
const SYN: &str = "tcp 10.0.0.2:80 <- 1.1.1.1:443";
const OTHER_DNS: &str = "udp 10.0.0.2:6001 -> 9.9.9.9:53";

/// R17, R22: pending drops the packet, so a copy of it is injected once the operation has been reauthorized.
#[test]
fn a_first_packet_is_kept_and_released_once_by_the_reauthorize() {
    let mut t = Harness::new();
    let (id, op) = t.connect(DNS).held();
    t.expect(|s| {
        (s.classified, s.held, s.pended, s.queued) = (1, 1, 1, 1);
        (s.kept_packets, s.kept_bytes, s.packets_kept) = (1, PACKET, 1);
    });
    t.answer(id, PERMIT);
    assert_eq!(t.completions(), [op]);
    assert_eq!(t.packets(), (vec![], vec![]), "its flow is not authorized yet");
    assert_eq!(t.reauthorize(DNS), Reauthorized::Verdict(PERMIT));
    assert!(t.gate.has_packets());
    assert_eq!(t.packets(), (vec![op], vec![]));
    assert_eq!(t.packets(), (vec![], vec![]));
    t.expect(|s| {
        (s.pended, s.queued, s.doors.verdict, s.claimed) = (0, 0, 1, 1);
        (s.kept_packets, s.kept_bytes, s.packets_released) = (0, 0, 1);
    });
}

#[test]
fn the_packets_of_a_blocked_operation_are_dropped() {
    let mut t = Harness::new();
    let (id, op) = t.connect(PING).held();
    let further = t.join(id);
    t.answer(id, BLOCK);
    assert_eq!(t.completions(), [op]);
    assert_eq!(t.reauthorize(PING), Reauthorized::Verdict(BLOCK));
    assert_eq!(t.packets(), (vec![], vec![op, further]));
    assert_eq!((t.stats().packets_dropped, t.stats().kept_bytes), (2, 0));
}

/// O4: it does not matter whether a second packet comes as an initial authorization or as a reauthorization.
#[test]
fn further_packets_of_a_held_operation_wait_with_it_in_order() {
    let mut t = Harness::new();
    let Action::Pend(id) = t.classify(DNS) else { panic!("not held") };
    assert_eq!(t.classify(DNS), Action::Join(id));
    let second = t.join(id);
    assert_eq!(t.gate.handle_pended(t.now(), id, 77, Numbered::one(77, PACKET)), Ok(Pended::Held));
    assert_eq!(t.foreign_reauthorize(DNS), Reauthorized::Waiting(id));
    let third = t.join(id);
    t.answer(id, PERMIT);
    assert_eq!(t.classify(DNS), Action::Join(id), "decided, but not continued yet");
    let fourth = t.join(id);
    assert_eq!(t.completions(), [77]);
    t.reauthorize(DNS);
    assert_eq!(t.packets(), (vec![77, second, third, fourth], vec![]));
    assert_eq!((t.stats().held, t.stats().classified), (1, 1), "one operation, one question");
}

/// Should a packet, and not the reauthorize, be the first to come after the completion, the operation goes on with it.
#[test]
fn a_packet_after_the_completion_gets_the_verdict() {
    for (verdict, action) in [(PERMIT, Action::Permit), (BLOCK, Action::Block)] {
        let mut t = Harness::new();
        let (id, op) = t.connect(DNS).held();
        t.answer(id, verdict);
        t.completions();
        assert_eq!(t.classify(DNS), action);
        assert_eq!(t.packets(), if verdict == PERMIT { (vec![op], vec![]) } else { (vec![], vec![op]) });
        assert_eq!(t.reauthorize(DNS), Reauthorized::Cached(verdict));
        assert_eq!((t.stats().classified, t.stats().claimed, t.stats().unclaimed), (1, 1, 0));
    }
}

/// The answer and the reauthorize came while the packet was copied.
#[test]
fn a_packet_that_joins_too_late_still_goes_after_the_others() {
    let mut t = Harness::new();
    let (id, op) = t.connect(DNS).held();
    assert_eq!(t.classify(DNS), Action::Join(id));
    t.answer(id, PERMIT);
    t.completions();
    t.reauthorize(DNS);
    let late = t.join(id);
    assert_eq!(t.packets(), (vec![op, late], vec![]));
    assert_eq!((t.stats().packets_kept, t.stats().packets_released), (2, 2));
}

#[test]
fn a_packet_that_joins_a_blocked_or_unknown_operation_is_given_back() {
    let mut t = Harness::new();
    let (id, _) = t.connect(DNS).held();
    t.answer(id, BLOCK);
    let refused = |t: &mut Harness, id| {
        let packets = t.gate.handle_joined(t.now(), id, Numbered::one(5, PACKET)).expect_err("no use");
        assert_eq!(packets.numbers(), [5]);
    };
    refused(&mut t, id);
    t.completions();
    t.reauthorize(DNS);
    refused(&mut t, id);
    refused(&mut t, RequestId(0));
    refused(&mut t, RequestId(12345));
    assert_eq!((t.stats().packets_refused, t.stats().packets_kept), (4, 1));
}

#[test]
fn an_operation_keeps_no_more_bytes_than_it_may() {
    let mut t = Harness::with(|s| s.max_packet_bytes_per_operation = 2 * PACKET);
    let (id, _) = t.connect(DNS).held();
    t.join(id);
    assert_eq!(t.classify(DNS), Action::Absorb, "not worth a copy");
    let refused = t.gate.handle_joined(t.now(), id, Numbered::one(9, 1)).expect_err("no room");
    assert_eq!(refused.numbers(), [9]);
    t.expect(|s| {
        (s.classified, s.held, s.pended, s.queued) = (1, 1, 1, 1);
        (s.kept_packets, s.kept_bytes, s.packets_kept, s.packets_refused) = (2, 2 * PACKET, 2, 2);
    });
}

/// What would be lost is not held.
#[test]
fn an_operation_whose_first_packet_has_no_room_is_not_held() {
    let mut t = Harness::with(|s| (s.max_packet_bytes, s.max_packet_bytes_per_operation) = (2 * PACKET, PACKET));
    t.connect(DNS).held();
    let Action::Pend(second) = t.classify(PING) else { panic!("not held") };
    assert_eq!(t.connect(OTHER_DNS), Connect::Permitted, "room is set aside while the second packet is copied");
    t.connect(WEB).held();
    assert_eq!(t.gate.handle_pend_failed(t.now(), second), PERMIT);
    t.connect(OTHER_DNS).held();
    assert_eq!((t.stats().limited, t.stats().kept_bytes), (1, 2 * PACKET));
    let mut t = Harness::with(|s| s.max_packet_bytes_per_operation = PACKET - 1);
    assert_eq!(t.connect(DNS), Connect::Permitted);
    t.connect(WEB).held();
}

#[test]
fn bytes_are_free_again_when_packets_were_taken() {
    let mut t = Harness::with(|s| (s.max_packet_bytes, s.max_packet_bytes_per_operation) = (PACKET, PACKET));
    t.connect(DNS).held();
    t.detach();
    t.completions();
    t.reauthorize(DNS);
    t.attach();
    assert_eq!(t.connect(PING), Connect::Permitted, "they are still in memory");
    t.packets();
    t.connect(PING).held();
}

#[test]
fn what_a_copy_really_costs_is_what_counts() {
    let mut t = Harness::new();
    let Action::Pend(id) = t.classify(DNS) else { panic!("not held") };
    t.gate.handle_pended(t.now(), id, 1, Numbered::one(1, PACKET + 30)).expect("it waits");
    assert_eq!(t.stats().kept_bytes, PACKET + 30);
    t.detach();
    t.completions();
    t.reauthorize(DNS);
    t.packets();
    assert_eq!(t.stats().kept_bytes, 0);
}

#[test]
fn when_the_pend_fails_the_packets_that_joined_share_the_fallback() {
    for (fallback, expected) in [(Fallback::PERMIT, (vec![1], vec![])), (Fallback::BLOCK, (vec![], vec![1]))] {
        let mut t = Harness::with(|s| s.fallback_outbound = fallback);
        let Action::Pend(id) = t.classify(DNS) else { panic!("not held") };
        assert_eq!(t.join(id), 1);
        t.gate.handle_pend_failed(t.now(), id);
        assert_eq!(t.packets(), expected);
        assert_eq!(t.stats().kept_bytes, 0);
    }
}

/// The same socket and remote, but not the same program: the handle was used again.
#[test]
fn a_packet_of_another_process_is_another_operation() {
    let mut t = Harness::new();
    let (first, _) = t.connect(DNS).held();
    let (second, _) = t.connect("app[43] udp 10.0.0.2:6000 -> 9.9.9.9:53").held();
    assert_ne!(first, second);
    let (third, _) = t.connect("other[42] udp 10.0.0.2:6000 -> 9.9.9.9:53").held();
    assert_ne!(first, third);
    assert_eq!(t.classify(DNS), Action::Join(first));
}

/// It carries nothing that could be lost, and waits for itself.
#[test]
fn a_connect_without_a_packet_joins_nothing() {
    let mut t = Harness::new();
    let (first, _) = t.connect(DNS).held();
    let Action::Pend(second) = t.classify_bare(DNS) else { panic!("not held") };
    assert_ne!(first, second);
}

#[test]
fn a_further_packet_that_cannot_be_copied_is_absorbed() {
    let mut t = Harness::new();
    let (id, _) = t.connect(DNS).held();
    assert_eq!(t.pass(DNS), Action::Absorb, "the fallback must not let it overtake");
    assert_eq!(t.stats().packets_refused, 1);
    t.answer(id, PERMIT);
    t.completions();
    assert_eq!(t.pass(DNS), Action::Permit);
}

#[test]
fn a_further_packet_that_others_decide_about_leaves_the_held_ones_alone() {
    let mut t = Harness::new();
    let (id, op) = t.connect(DNS).held();
    assert!(!t.vetoes(DNS));
    t.answer(id, BLOCK);
    assert!(t.vetoes(DNS), "it shares the fate of those before it");
    t.completions();
    assert!(t.vetoes(DNS));
    assert_eq!(t.reauthorize(DNS), Reauthorized::Verdict(BLOCK));
    assert_eq!(t.packets(), (vec![], vec![op]));
}

/// O8: the remote sends its SYN again until it hears something.
#[test]
fn one_syn_is_kept() {
    let mut t = Harness::new();
    let (id, op) = t.connect(SYN).held();
    assert_eq!(t.classify(SYN), Action::Absorb);
    let refused = t.gate.handle_joined(t.now(), id, Numbered::one(9, PACKET)).expect_err("no use");
    assert_eq!(refused.numbers(), [9]);
    t.answer(id, PERMIT);
    assert_eq!(t.classify(SYN), Action::Absorb, "decided, but not completed yet");
    assert_eq!(t.completions(), [op]);
    assert_eq!(t.packets(), (vec![op], vec![]));
    assert_eq!((t.stats().held, t.stats().packets_refused), (1, 3));
}

#[test]
fn packets_of_operations_that_end_otherwise_are_dropped() {
    let ends: [fn(&mut Harness); 5] = [
        |t| {
            t.close(6000);
        },
        |t| t.advance(t.settings.deadline_ms),
        Harness::detach,
        |t| t.gate.drain(t.now()),
        |t| {
            // Overtaken by another's.
            t.detach();
            t.connect("app[43] udp 10.0.0.2:6000 -> 9.9.9.9:53");
        },
    ];
    for end in ends {
        let mut t = Harness::with(|s| s.fallback_outbound = Fallback::BLOCK);
        let (id, op) = t.connect(DNS).held();
        let further = t.join(id);
        end(&mut t);
        assert_eq!(t.completions(), [op]);
        t.advance(GRACE_MS);
        assert_eq!(t.packets(), (vec![], vec![op, further]));
        assert!(!t.gate.has_records());
    }
}

/// Nobody asks any more: whoever sent it is gone.
#[test]
fn a_permitted_packet_whose_reauthorize_never_comes_is_dropped() {
    let mut t = Harness::new();
    let (id, op) = t.connect(DNS).held();
    t.answer(id, PERMIT);
    t.completions();
    t.advance(GRACE_MS);
    assert_eq!(t.packets(), (vec![], vec![op]));
    assert_eq!(t.stats().unclaimed, 1);
}
