//! What becomes a question, and what becomes of one that nobody answers.

use crate::desk::*;
use control::entry::{Confidence, DefaultWhy, Direction, Verdict};
use control::prompt::{Hold, HoldKind, Target};
use control::status::{Snooze, Unmatched};
use rules::model::{Layer, Lifetime};
use service::ask::Settings;
use service::ask::waiting::Considered;
use std::time::Duration;

#[test]
fn a_connection_without_a_rule_is_a_prompt_that_tells_who_connects_where() {
    let mut desk = Desk::with_anna();
    let id = desk.held(&browser("www.example.com"));
    let [prompt] = &desk.prompts(&anna())[..] else { panic!("one prompt") };
    assert_eq!(prompt.id, id);
    assert_eq!(prompt.identity.program.path.as_deref(), Some("/usr/bin/browser"));
    assert_eq!(prompt.name.as_ref().map(|name| &*name.text), Some("www.example.com"));
    assert_eq!(prompt.domain.as_deref(), Some("example.com"));
    assert_eq!((prompt.waiting, prompt.default, prompt.many), (1, Verdict::Block, false));
    assert_eq!(prompt.asked_by, None);
}

#[test]
fn connections_of_a_program_to_one_registrable_domain_are_one_prompt() {
    let mut desk = Desk::with_anna();
    let first = desk.held(&browser("www.example.co.uk"));
    assert_eq!(desk.held(&browser("cdn.example.co.uk").in_process(78)), first);
    assert_eq!(desk.held(&browser("example.co.uk").to("[2001:db8::7]:80")), first);
    assert_eq!(desk.prompts(&anna())[0].waiting, 3);
    assert_ne!(desk.held(&browser("www.other.co.uk")), first, "co.uk is no registrable domain");
}

#[test]
fn without_a_sure_name_connections_are_one_prompt_by_address() {
    let mut desk = Desk::with_anna();
    let nameless = browser("-").nameless();
    let first = desk.held(&nameless.clone().to("198.51.100.1:443"));
    assert_eq!(desk.held(&nameless.clone().to("198.51.100.1:80")), first);
    assert_eq!(desk.held(&nameless.clone().to("[::ffff:198.51.100.1]:80")), first);
    assert_ne!(desk.held(&nameless.clone().to("198.51.100.2:443")), first);
    let ambiguous = Connect { name: Some(("a.example.com", Confidence::Ambiguous)), ..nameless };
    assert_eq!(desk.held(&ambiguous.to("198.51.100.1:443")), first, "an ambiguous name may be another's");
    assert!(desk.prompts(&anna()).iter().all(|prompt| prompt.domain.is_none()));
}

#[test]
fn a_scope_tells_link_local_addresses_apart() {
    let mut desk = Desk::with_anna();
    let nameless = browser("-").nameless();
    let first = desk.held(&nameless.clone().to("[fe80::1%2]:443"));
    assert_ne!(desk.held(&nameless.to("[fe80::1%3]:443")), first);
}

#[test]
fn those_who_reach_one_port_are_one_prompt_whoever_they_are() {
    let mut desk = Desk::with_anna();
    let from = Connect { direction: Direction::In, local: "192.168.0.2:22", ..browser("-").nameless() };
    let first = desk.held(&from.clone().to("192.168.0.9:51000"));
    assert_eq!(desk.held(&from.clone().to("203.0.113.7:51001")), first);
    let others = [
        Connect { local: "192.168.0.2:80", ..from.clone() },
        Connect { protocol: 17, ..from.clone() },
        Connect { protocol: 1, local: "192.168.0.2:8", ..from.clone() },
        Connect { protocol: 1, local: "192.168.0.2:13", ..from.clone() },
        Connect { direction: Direction::Out, ..from },
    ];
    let mut prompts: Vec<u64> = others.iter().map(|other| desk.held(other)).chain([first]).collect();
    prompts.sort_unstable();
    prompts.dedup();
    assert_eq!(prompts.len(), others.len() + 1);
}

#[test]
fn another_user_program_direction_or_rule_is_another_prompt() {
    let mut desk = Desk::with_anna();
    desk.asks.follow(2, root());
    let first = browser("www.example.com");
    let others = [
        first.clone(),
        first.clone().of_user("1001"),
        first.clone().by("/usr/bin/other"),
        Connect { direction: Direction::In, ..first.clone() },
        first.clone().asked(Layer::User, "careful"),
    ];
    let mut prompts: Vec<u64> = others.iter().map(|from| desk.held(from)).collect();
    prompts.sort_unstable();
    prompts.dedup();
    assert_eq!(prompts.len(), others.len());
}

#[test]
fn unknown_programs_of_two_processes_are_two_prompts() {
    let mut desk = Desk::with_anna();
    let mut unknown = browser("www.example.com");
    unknown.program.path = None;
    let first = desk.held(&unknown);
    assert_eq!(desk.held(&unknown), first);
    assert_ne!(desk.held(&unknown.clone().in_process(78)), first);
    assert_eq!(desk.prompts(&anna())[0].holds, [HoldKind::Once]);
}

#[test]
fn without_a_client_the_default_comes_at_once() {
    let mut desk = Desk::new();
    assert_eq!(desk.decided(&browser("www.example.com")), default(DefaultWhy::NoClient));
    desk.asks.follow(2, ben());
    assert_eq!(desk.decided(&browser("www.example.com")), default(DefaultWhy::NoClient), "ben may not answer");
    desk.asks.follow(3, root());
    desk.held(&browser("www.example.com"));
}

#[test]
fn when_the_last_client_that_may_answer_leaves_the_default_comes_at_once() {
    let mut desk = Desk::with_anna();
    desk.asks.follow(2, ben());
    desk.asks.follow(3, root());
    desk.held(&browser("www.example.com"));
    assert!(desk.asks.unfollow(1, desk.now).is_empty(), "root is there");
    let released = desk.asks.unfollow(3, desk.now);
    let released: Vec<_> = released.into_iter().map(|decided| (decided.verdict, decided.reason)).collect();
    assert_eq!(released, [default(DefaultWhy::NoClient)]);
    assert!(desk.asks.unfollow(3, desk.now).is_empty());
}

#[test]
fn the_mode_decides_before_anybody_is_asked() {
    for (unmatched, verdict) in [(Unmatched::Permit, Verdict::Permit), (Unmatched::Block, Verdict::Block)] {
        let mut desk = Desk::with_anna();
        desk.asks.configure(Settings { unmatched, ..SETTINGS });
        let (given, reason) = desk.decided(&browser("www.example.com"));
        assert_eq!(given, verdict);
        assert_eq!(reason, control::entry::Reason::Default { why: DefaultWhy::Unmatched });
    }
}

#[test]
fn a_snooze_decides_until_it_ends() {
    let mut desk = Desk::with_anna();
    let open = desk.held(&browser("before.example"));
    let snooze = Snooze { seconds: 600, verdict: Some(Verdict::Permit) };
    desk.asks.snooze(snooze, desk.now).unwrap();
    assert_eq!(desk.asks.snoozed_until(desk.now), Some("2026-11-23T09:10:00Z".parse().unwrap()));
    let (verdict, reason) = desk.decided(&browser("www.example.com"));
    assert_eq!((verdict, reason), (Verdict::Permit, default(DefaultWhy::Snoozed).1));
    assert_eq!(desk.prompts(&anna())[0].id, open, "what was asked before stays");
    desk.set_clock("2036-01-01T00:00:00Z");
    assert_eq!(desk.decided(&browser("www.example.com")).0, Verdict::Permit, "a clock that is set does not end it");
    let _ = desk.pass(Duration::from_secs(600));
    assert_eq!(desk.asks.snoozed_until(desk.now), None);
    desk.held(&browser("www.example.com"));
}

#[test]
fn a_snooze_without_a_verdict_gives_the_default_and_zero_seconds_end_it() {
    let mut desk = Desk::with_anna();
    desk.asks.snooze(Snooze { seconds: 60, verdict: None }, desk.now).unwrap();
    assert_eq!(desk.decided(&browser("www.example.com")), default(DefaultWhy::Snoozed));
    desk.asks.snooze(Snooze { seconds: 86_401, verdict: None }, desk.now).unwrap_err();
    assert!(desk.asks.snoozed_until(desk.now).is_some(), "a refused snooze changes nothing");
    desk.asks.snooze(Snooze { seconds: 0, verdict: None }, desk.now).unwrap();
    desk.held(&browser("www.example.com"));
}

#[test]
fn each_connection_has_its_own_deadline_and_then_gets_the_default() {
    let mut desk = Desk::with_anna();
    desk.held(&browser("www.example.com"));
    let _ = desk.pass(Duration::from_secs(10));
    desk.held(&browser("cdn.example.com"));
    assert_eq!(desk.asks.next_deadline(), Some(Duration::from_secs(1030)));
    let first = desk.pass(Duration::from_secs(20));
    assert_eq!(tokens(&first), [1]);
    assert_eq!((first[0].verdict, first[0].reason.clone()), default(DefaultWhy::TimedOut));
    assert_eq!(desk.prompts(&anna())[0].waiting, 1);
    assert_eq!(tokens(&desk.pass(Duration::from_secs(10))), [2]);
}

#[test]
fn the_countdown_is_told_by_the_wall_and_kept_by_the_steady_clock() {
    let mut desk = Desk::with_anna();
    desk.held(&browser("www.example.com"));
    assert_eq!(desk.prompts(&anna())[0].deadline, Some("2026-11-23T09:00:30Z".parse().unwrap()));
    for wall in ["2001-01-01T00:00:00Z", "2036-01-01T00:00:00Z"] {
        desk.set_clock(wall);
        assert!(desk.asks.tick(desk.now).is_empty(), "nobody gives up because a clock was set");
        let deadline = desk.prompts(&anna())[0].deadline.unwrap();
        assert_eq!(deadline.duration_since(desk.now.wall).as_secs(), 30);
    }
    assert_eq!(desk.pass(Duration::from_secs(30)).len(), 1);
}

#[test]
fn a_connection_that_is_gone_waits_no_more() {
    let mut desk = Desk::with_anna();
    desk.held(&browser("www.example.com"));
    let request = desk.last();
    assert_eq!(desk.asks.closed(request, desk.now).map(|gone| gone.token), Some(1));
    assert_eq!(desk.asks.closed(request, desk.now), None);
    assert!(desk.pass(PATIENCE).is_empty());
    assert_eq!(desk.prompts(&anna())[0].waiting, 0, "the question stays, for the next attempt");
}

#[test]
fn when_the_service_ends_everything_gets_the_default() {
    let mut desk = Desk::with_anna();
    desk.held(&browser("www.example.com"));
    desk.held(&browser("www.example.org"));
    let released = desk.asks.stop(desk.now);
    assert_eq!(released.len(), 2);
    assert!(released.iter().all(|decided| decided.reason == default(DefaultWhy::Stopping).1));
}

#[test]
fn what_the_rule_says_is_offered_first_when_it_is_allowed() {
    let offers = [
        (Lifetime::Once, Hold::Once),
        (Lifetime::Process, Hold::Process),
        (Lifetime::For(Duration::from_secs(3600)), HOUR),
        (Lifetime::Forever, Hold::Once),
    ];
    for (lifetime, offer) in offers {
        let mut desk = Desk::with_anna();
        desk.held(&Connect { lifetime, ..browser("www.example.com") });
        assert_eq!(desk.prompts(&anna())[0].offer, offer);
    }
}

#[test]
fn one_open_prompt_decides_no_other_connection() {
    let mut desk = Desk::with_anna();
    desk.held(&browser("www.example.com"));
    for from in [browser("www.example.org"), browser("www.example.com").by("/usr/bin/other")] {
        assert!(matches!(desk.connect(&from), Considered::Held(_)), "it has a question of its own");
    }
    let answered = desk.answer(1, permit(Hold::Once, Target::Domain));
    assert_eq!(tokens(&answered.decided), [1]);
    assert_eq!(desk.asks.counts().waiting, 2);
}
