//! Learning: rules are proposed, and adopted or dropped.

use crate::desk::*;
use control::entry::{DefaultWhy, Reason, Verdict};
use control::status::Unmatched;
use jiff::Timestamp;
use rules::ruleset::PathStyle;
use service::ask::Settings;
use service::ask::learn::{LearnError, Learned, MAX_PER_PROGRAM};
use std::time::Duration;

fn learning() -> Desk {
    let mut desk = Desk::new();
    desk.asks.configure(Settings { unmatched: Unmatched::Learn, ..SETTINGS });
    desk
}

#[test]
fn learning_permits_and_proposes_a_rule_for_review() {
    let mut desk = learning();
    let (verdict, reason) = desk.decided(&browser("www.example.com"));
    assert_eq!((verdict, reason), (Verdict::Permit, Reason::Default { why: DefaultWhy::Learning }));
    let [proposal] = &desk.asks.learned().proposals()[..] else { panic!("one proposal") };
    assert_eq!(proposal.id, "browser-example.com-443-1");
    assert_eq!(proposal.seen, 1);
    assert_eq!(
        proposal.toml,
        "[rule.\"browser-example.com-443-1\"]\n\
         action = \"permit\"\n\
         user = \"1000\"\n\
         program = \"/usr/bin/browser\"\n\
         direction = \"out\"\n\
         remote = \".example.com:443/tcp\"\n\
         note = \"learned: seen once, on 2026-11-23\"\n"
    );
}

#[test]
fn proposals_are_one_per_program_domain_and_port() {
    let mut desk = learning();
    for name in ["www.example.com", "cdn.example.com", "www.example.com"] {
        let _ = desk.connect(&browser(name));
    }
    let _ = desk.connect(&browser("www.example.com").to("93.184.216.1:80"));
    let _ = desk.connect(&browser("www.example.com").by("/usr/bin/other"));
    let _ = desk.connect(&browser("-").nameless().to("198.51.100.1:443"));
    let seen: Vec<u64> = desk.asks.learned().proposals().iter().map(|proposal| proposal.seen).collect();
    assert_eq!(seen, [1, 3, 1, 1]);
}

#[test]
fn what_cannot_be_a_rule_is_not_proposed() {
    let mut desk = learning();
    let mut unknown = browser("www.example.com");
    unknown.program.path = None;
    let _ = desk.connect(&unknown);
    let _ = desk.connect(&Connect { user: None, ..browser("www.example.com") });
    let _ = desk.connect(&browser("-").nameless().to("[fe80::1%2]:443"));
    let _ = desk.connect(&browser("-").nameless().to("198.51.100.1:0"));
    assert!(desk.asks.learned().proposals().is_empty());
}

#[test]
fn one_program_cannot_use_up_the_proposals_of_all() {
    let mut desk = learning();
    for number in 0..MAX_PER_PROGRAM + 5 {
        let _ = desk.connect(&browser("-").nameless().to(format!("10.0.0.{number}:443")));
    }
    assert_eq!(desk.asks.learned().proposals().len(), MAX_PER_PROGRAM);
    assert_eq!(desk.asks.learned().left_out(), 5);
    let _ = desk.connect(&browser("www.example.com").by("/usr/bin/other"));
    assert_eq!(desk.asks.learned().proposals().len(), MAX_PER_PROGRAM + 1);
}

#[test]
fn proposals_survive_a_restart_and_count_on() {
    let mut desk = learning();
    for name in ["www.example.com", "www.example.com", "www.example.org"] {
        let _ = desk.connect(&browser(name).signed("Example \"Ltd\""));
    }
    let files = desk.asks.learned().drain_unsaved();
    assert_eq!(files.len(), 2);
    assert!(desk.asks.learned().drain_unsaved().is_empty());
    let mut learned = Learned::new(PathStyle::Unix);
    for (name, text) in &files {
        learned.load(name, text).unwrap();
    }
    assert_eq!(learned.proposals(), desk.asks.learned().proposals());
    let waiting = browser("cdn.example.com").waiting(9, Duration::ZERO);
    learned.see(&waiting, Timestamp::UNIX_EPOCH);
    assert_eq!(learned.proposals().iter().map(|proposal| proposal.seen).max(), Some(3));
}

#[test]
fn a_proposal_is_written_again_when_its_count_has_doubled() {
    let mut desk = learning();
    let written = (1..=16).filter(|_| {
        let _ = desk.connect(&browser("www.example.com"));
        !desk.asks.learned().drain_unsaved().is_empty()
    });
    assert_eq!(written.collect::<Vec<i32>>(), [1, 2, 4, 8, 16]);
}

#[test]
fn adopted_proposals_are_appended_and_dropped_ones_are_gone() {
    let mut desk = learning();
    let _ = desk.connect(&browser("www.example.com"));
    let _ = desk.connect(&browser("www.example.org"));
    let ids: Vec<String> = desk.asks.learned().proposals().into_iter().map(|proposal| proposal.id).collect();
    let mine = "# mine\n[rule.browser-mine]\naction = \"block\" # stays\n";
    let text = desk.asks.learned().adopt(&ids[..1], mine, |_| false).unwrap();
    assert!(text.starts_with(mine), "{text}");
    assert!(text.contains("[rule.\"browser-example.com-443-1\"]"), "{text}");
    assert_eq!(desk.asks.learned().proposals().len(), 2, "until the text is in force");
    assert_eq!(desk.asks.learned().forget(&ids).unwrap(), [format!("{}.toml", ids[0]), format!("{}.toml", ids[1])]);
    assert!(desk.asks.learned().proposals().is_empty());
    assert!(matches!(desk.asks.learned().forget(&ids), Err(LearnError::NotFound(_))));
}

#[test]
fn an_id_that_is_taken_in_the_layer_is_not_taken_again() {
    let mut desk = learning();
    let _ = desk.connect(&browser("www.example.com"));
    let id = desk.asks.learned().proposals()[0].id.clone();
    let text = desk.asks.learned().adopt(std::slice::from_ref(&id), "", |taken| taken == id).unwrap();
    assert!(text.contains("[rule.\"browser-example.com-443-1-1\"]"), "{text}");
}

#[test]
fn a_damaged_proposal_is_refused() {
    let mut learned = Learned::new(PathStyle::Unix);
    for (name, text) in [("a.toml", "nonsense"), ("a.txt", ""), ("a.toml", "[proposed]\nseen = -1")] {
        assert!(matches!(learned.load(name, text), Err(LearnError::Damaged(..))), "{text}");
    }
    assert!(learned.proposals().is_empty());
}
