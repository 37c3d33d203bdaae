//! What is remembered of an answer, for what, and how long.

use crate::*;

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
        (s.kept_packets, s.kept_bytes, s.packets_kept) = (1, PACKET, 1);
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
    let changes: [fn(&mut Harness); 3] =
        [|t| t.configure(|s| s.epoch += 1), |t| t.gate.forget_all(), |t| t.gate.forget_program(&utf16("app"))];
    for change in changes {
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

#[test]
fn a_block_in_force_vetoes_what_others_permit() {
    let mut t = Harness::new();
    assert!(!t.vetoes(WEB), "nothing is known");
    t.decide(WEB, BLOCK, Scope::REMOTE);
    assert!(t.vetoes(OTHER));
    t.decide(ELSEWHERE, PERMIT, Scope::REMOTE);
    assert!(!t.vetoes(ELSEWHERE));
    t.gate.forget_all();
    assert!(!t.vetoes(OTHER));
}

#[test]
fn a_link_local_remote_is_not_remembered() {
    let mut t = Harness::new();
    t.decide("tcp [fe80::2]:5000 -> [fe80::1]:443", PERMIT, Scope::REMOTE);
    assert_eq!(t.stats().cached, 0);
    t.connect("tcp [fe80::2]:5001 -> [fe80::1]:443").held();
}
