//! Inbound operations: their completion is the last that is heard of them, and the packet that is injected is how they go
//! on.

use crate::*;

const SYN: &str = "tcp 10.0.0.2:80 <- 1.1.1.1:443";
const FROM: &str = "udp 10.0.0.2:500 <- 9.9.9.9:500";
const LOOPBACK: &str = "tcp 127.0.0.1:80 <- 127.0.0.1:5000";

#[test]
fn a_permitted_syn_goes_out_with_its_operation_and_ends_the_record() {
    let mut t = Harness::new();
    let (id, op) = t.connect(SYN).held();
    let [request] = t.deliveries().try_into().ok().expect("one request");
    assert_eq!((request.request.id, request.request.direction), (id, Direction::INBOUND));
    t.answer(id, PERMIT);
    assert_eq!(t.completions(), [op]);
    assert_eq!(t.packets(), (vec![op], vec![]));
    assert!(!t.gate.has_records() && t.gate.poll_timeout().is_none(), "no reauthorize is to come");
    t.expect(|s| {
        (s.classified, s.held, s.doors.verdict, s.claimed) = (1, 1, 1, 1);
        (s.packets_kept, s.packets_released) = (1, 1);
    });
    assert_eq!(t.foreign_reauthorize(SYN), Reauthorized::Cached(PERMIT), "it lives");
}

#[test]
fn a_blocked_one_is_completed_without_a_packet_and_does_not_live() {
    let mut t = Harness::new();
    let (id, op) = t.connect(FROM).held();
    t.answer(id, BLOCK);
    assert_eq!(t.completions(), [op]);
    assert_eq!(t.packets(), (vec![], vec![op]));
    assert!(!t.gate.has_records());
    t.expect(|s| {
        (s.classified, s.held, s.doors.verdict, s.claimed) = (1, 1, 1, 1);
        (s.packets_kept, s.packets_dropped) = (1, 1);
    });
    t.connect(FROM).held();
}

#[test]
fn further_datagrams_go_out_behind_the_first() {
    let mut t = Harness::new();
    let (id, op) = t.connect(FROM).held();
    let second = t.join(id);
    t.answer(id, PERMIT);
    t.completions();
    let late = t.join(id);
    assert_eq!(t.packets(), (vec![op, second, late], vec![]));
}

#[test]
fn what_is_inbound_falls_back_as_inbound() {
    let ends: [fn(&mut Harness); 3] =
        [|t| t.advance(t.settings.deadline_ms), Harness::detach, |t| t.gate.drain(t.now())];
    for end in ends {
        let change = |s: &mut Settings| (s.fallback_outbound, s.fallback_inbound) = (Fallback::PERMIT, Fallback::BLOCK);
        let mut t = Harness::with(change);
        let (_, op) = t.connect(SYN).held();
        end(&mut t);
        assert_eq!(t.completions(), [op]);
        assert_eq!(t.packets(), (vec![], vec![op]));
    }
}

/// Its key has been taken by another process before it was completed.
#[test]
fn an_overtaken_one_is_completed_without_its_packet() {
    let mut t = Harness::new();
    let (id, op) = t.connect(FROM).held();
    t.answer(id, PERMIT);
    t.connect("app[43] udp 10.0.0.2:500 <- 9.9.9.9:500").held();
    assert_eq!(t.completions(), [op]);
    assert_eq!(t.packets(), (vec![], vec![op]));
    assert_eq!((t.stats().claimed, t.stats().unclaimed), (0, 1));
}

#[test]
fn a_reauthorize_while_held_waits_for_the_same_answer() {
    let mut t = Harness::new();
    let (id, _) = t.connect(FROM).held();
    assert_eq!(t.foreign_reauthorize(FROM), Reauthorized::Waiting(id));
}

/// Its outbound half was held already; whether it could be injected is not documented (O10).
#[test]
fn the_inbound_half_of_loopback_passes_unless_a_block_is_cached() {
    let mut t = Harness::with(|s| s.fallback_inbound = Fallback::BLOCK);
    assert_eq!(t.connect(LOOPBACK), Connect::Permitted);
    let [report] = t.deliveries().try_into().ok().expect("one report");
    assert_eq!((report.request.verdict, report.request.because), (PERMIT, Because::LOOPBACK));
    assert!(report.request.flags().contains(RequestFlags::LOOPBACK));
    t.expect(|s| (s.classified, s.fell_back) = (1, 1));
    t.connect("tcp 127.0.0.1:5000 -> 127.0.0.1:80").held();
    let (id, _) = t.connect(SYN).held();
    t.answer_for(id, BLOCK, Scope::PROGRAM);
    assert_eq!(t.connect(LOOPBACK), Connect::Blocked);
    assert_eq!(t.deliveries().pop().expect("a report").request.because, Because::CACHED);
    t.detach();
    t.configure(|s| s.epoch += 1);
    assert_eq!(t.connect(LOOPBACK), Connect::Permitted, "with no service too");
}

#[test]
fn the_inbound_half_of_loopback_is_held_if_so_wanted() {
    let mut t = Harness::with(|s| s.hold = Holds::all().bits());
    t.connect(LOOPBACK).held();
}

/// Remotes can send from any address: they must not keep this machine's own connections from being held.
#[test]
fn inbound_operations_fill_half_of_a_limit_at_most() {
    let mut t = Harness::with(|s| (s.max_pended, s.max_pended_per_process) = (3, 3));
    let from = |port| format!("udp 10.0.0.2:500 <- 9.9.9.9:{port}");
    t.connect(&from(1)).held();
    t.connect(&from(2)).held();
    assert_eq!(t.connect(&from(3)), Connect::Permitted);
    t.connect(WEB).held();
    let mut t = Harness::with(|s| (s.max_packet_bytes, s.max_packet_bytes_per_operation) = (4 * PACKET, 4 * PACKET));
    let (id, _) = t.connect(FROM).held();
    t.join(id);
    assert_eq!(t.classify(FROM), Action::Absorb);
    assert_eq!(t.connect(&from(1)), Connect::Permitted);
    t.connect(DNS).held();
}

/// A server connects too: remotes must not use up what its process may have held.
#[test]
fn inbound_operations_fill_half_of_what_their_process_may_have() {
    let mut t = Harness::with(|s| (s.max_pended, s.max_pended_per_process) = (8, 3));
    let from = |port| format!("udp 10.0.0.2:500 <- 9.9.9.9:{port}");
    t.connect(&from(1)).held();
    t.connect(&from(2)).held();
    assert_eq!(t.connect(&from(3)), Connect::Permitted);
    t.connect("other[43] udp 10.0.0.2:501 <- 9.9.9.9:1").held();
    t.connect(WEB).held();
    assert_eq!(t.connect(DNS), Connect::Permitted, "the limit is the process's");
}

const KINDS: [(Holds, &str); 10] = [
    (Holds::CONNECT_TCP, "tcp 10.0.0.2:1 -> 1.1.1.1:1"),
    (Holds::CONNECT_UDP, "udp 10.0.0.2:1 -> 1.1.1.1:1"),
    (Holds::CONNECT_ICMP, "icmp 10.0.0.2:1 -> 1.1.1.1:1"),
    (Holds::CONNECT_ICMP, "icmp6 [2001:db8::2]:1 -> [2001:db8::1]:1"),
    (Holds::CONNECT_OTHER, "sctp 10.0.0.2:1 -> 1.1.1.1:1"),
    (Holds::ACCEPT_TCP, "tcp 10.0.0.2:1 <- 1.1.1.1:1"),
    (Holds::ACCEPT_UDP, "udp 10.0.0.2:1 <- 1.1.1.1:1"),
    (Holds::ACCEPT_ICMP, "icmp 10.0.0.2:1 <- 1.1.1.1:1"),
    (Holds::ACCEPT_ICMP, "icmp6 [2001:db8::2]:1 <- [2001:db8::1]:1"),
    (Holds::ACCEPT_OTHER, "sctp 10.0.0.2:1 <- 1.1.1.1:1"),
];

#[test]
fn a_kind_that_is_wanted_is_held() {
    for (bit, story) in KINDS {
        Harness::with(|s| s.hold = bit.bits()).connect(story).held();
    }
}

#[test]
fn a_kind_that_is_not_wanted_is_answered_at_once_and_reported() {
    for (bit, story) in KINDS {
        let mut t = Harness::with(|s| {
            s.hold = Holds::all().difference(bit).bits();
            (s.fallback_outbound, s.fallback_inbound) = (Fallback::BLOCK, Fallback::BLOCK);
        });
        assert_eq!(t.connect(story), Connect::Blocked, "{story}");
        let [report] = t.deliveries().try_into().ok().expect("one report");
        assert_eq!((report.request.verdict, report.request.because), (BLOCK, Because::FALLBACK), "{story}");
        t.expect(|s| (s.classified, s.fell_back) = (1, 1));
    }
}
