//! Answers: what each covers, and what it leaves.

use crate::desk::*;
use control::entry::{Direction, Verdict};
use control::prompt::{Answer, Hold, Target};
use rules::facts::Needs;
use service::ask::refused::AnswerRefused;
use service::ask::reply::Lasting;
use service::ask::waiting::Considered;
use std::sync::Arc;
use std::time::Duration;

/// Connections to several places, each with whether an answer to the first, for this target, decides it.
fn covered(target: Target) -> Vec<bool> {
    let others = [
        browser("www.example.com"),
        browser("www.example.com").to("93.184.216.1:80"),
        Connect { protocol: 17, ..browser("www.example.com") },
        browser("cdn.example.com"),
        browser("www.example.org"),
        browser("-").nameless().to("198.51.100.1:443"),
    ];
    let decided = |from: &Connect| {
        let mut desk = Desk::with_anna();
        let prompt = desk.held(&browser("www.example.com"));
        desk.answer(prompt, permit(HOUR, target)).decided.len() == 1
            && matches!(desk.connect(from), Considered::Decided(decided) if decided.verdict == Verdict::Permit)
    };
    others.iter().map(decided).collect()
}

#[test]
fn an_answer_for_the_remote_is_for_its_address_port_and_protocol() {
    assert_eq!(covered(Target::Remote), [true, false, false, false, false, false]);
}

#[test]
fn an_answer_for_the_domain_is_for_every_name_in_it() {
    assert_eq!(covered(Target::Domain), [true, true, true, true, false, false]);
}

#[test]
fn an_answer_for_everything_is_for_this_program_and_user() {
    assert_eq!(covered(Target::Everything), [true; 6]);
    let mut desk = Desk::with_anna();
    desk.asks.follow(2, root());
    let prompt = desk.held(&browser("www.example.com"));
    let _ = desk.answer(prompt, permit(HOUR, Target::Everything));
    desk.held(&browser("www.example.com").by("/usr/bin/other"));
    desk.held(&browser("www.example.com").of_user("1001"));
    desk.held(&Connect { direction: Direction::In, ..browser("www.example.com") });
}

#[test]
fn an_answer_once_is_for_what_waits_and_nothing_later() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com"));
    desk.held(&browser("cdn.example.com"));
    let answered = desk.answer(prompt, block(Hold::Once, Target::Domain));
    assert_eq!(tokens(&answered.decided), [1, 2]);
    assert!(answered.decided.iter().all(|decided| decided.verdict == Verdict::Block));
    assert_eq!(answered.lasting, Lasting::Nothing);
    assert_ne!(desk.held(&browser("www.example.com")), prompt, "it is asked again");
}

#[test]
fn an_answer_for_the_process_ends_with_it() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com"));
    let answered = desk.answer(prompt, permit(Hold::Process, Target::Domain));
    assert_eq!(answered.lasting, Lasting::Answers);
    assert_eq!(desk.decided(&browser("cdn.example.com")), by_anna(Verdict::Permit, prompt));
    desk.held(&browser("www.example.com").in_process(78));
    assert!(desk.asks.process_ended(77));
    assert!(!desk.asks.process_ended(77));
    desk.held(&browser("www.example.com"));
}

#[test]
fn an_answer_for_the_process_is_for_each_process_whose_connection_it_decides() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com"));
    desk.held(&browser("www.example.com").in_process(78));
    let _ = desk.answer(prompt, permit(Hold::Process, Target::Domain));
    for process in [77, 78] {
        assert_eq!(desk.decided(&browser("www.example.com").in_process(process)), by_anna(Verdict::Permit, prompt));
    }
    desk.held(&browser("www.example.com").in_process(79));
}

#[test]
fn an_answer_for_a_time_ends_with_it() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com"));
    let _ = desk.answer(prompt, block(HOUR, Target::Domain));
    let _ = desk.pass(Duration::from_secs(3599));
    assert_eq!(desk.decided(&browser("www.example.com").in_process(78)), by_anna(Verdict::Block, prompt));
    let _ = desk.pass(Duration::from_secs(1));
    desk.held(&browser("www.example.com"));
}

#[test]
fn an_answer_closes_every_prompt_that_it_covers() {
    let mut desk = Desk::with_anna();
    let first = desk.held(&browser("www.example.com"));
    desk.held(&browser("www.example.org"));
    desk.held(&browser("www.example.org").by("/usr/bin/other"));
    let answered = desk.answer(first, permit(Hold::Once, Target::Everything));
    assert_eq!(tokens(&answered.decided), [1, 2]);
    assert_eq!(desk.prompts(&anna()).len(), 1);
    assert_eq!(desk.asks.counts().answered, 2);
}

#[test]
fn what_an_answer_does_not_cover_moves_to_a_new_prompt_with_the_deadline_it_has() {
    let mut desk = Desk::with_anna();
    let first = desk.held(&browser("www.example.com"));
    let _ = desk.pass(Duration::from_secs(5));
    desk.held(&browser("cdn.example.com"));
    let _ = desk.pass(Duration::from_secs(5));
    let answered = desk.answer(first, permit(Hold::Once, Target::Remote));
    assert_eq!(tokens(&answered.decided), [1]);
    let [rest] = &desk.prompts(&anna())[..] else { panic!("one prompt") };
    assert_ne!(rest.id, first);
    assert_eq!(rest.name.as_ref().map(|name| &*name.text), Some("cdn.example.com"));
    assert_eq!(rest.deadline, Some("2026-11-23T09:00:35Z".parse().unwrap()));
}

#[test]
fn a_late_answer_holds_for_the_next_attempt() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com"));
    assert_eq!(desk.pass(PATIENCE).len(), 1);
    let [shown] = &desk.prompts(&anna())[..] else { panic!("it stays") };
    assert_eq!((shown.waiting, shown.deadline), (0, None));
    assert_eq!(desk.refused(prompt, permit(Hold::Once, Target::Domain)), AnswerRefused::NothingWaits(prompt));
    assert!(desk.answer(prompt, permit(HOUR, Target::Domain)).decided.is_empty());
    assert_eq!(desk.decided(&browser("www.example.com")), by_anna(Verdict::Permit, prompt));
}

#[test]
fn the_next_attempt_waits_in_the_prompt_that_nobody_answered() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com"));
    let _ = desk.pass(PATIENCE);
    assert_eq!(desk.held(&browser("www.example.com")), prompt);
    let _ = desk.pass(PATIENCE);
    let _ = desk.pass(Duration::from_secs(5 * 60));
    assert!(desk.prompts(&anna()).is_empty(), "after some minutes it closes");
    assert_eq!(desk.refused(prompt, permit(HOUR, Target::Domain)), AnswerRefused::Expired(prompt));
}

#[test]
fn nobody_answers_twice() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com"));
    let _ = desk.asks.answer(prompt, &block(HOUR, Target::Domain), &root(), desk.now).unwrap();
    let refused = desk.refused(prompt, permit(HOUR, Target::Domain));
    assert_eq!(refused.to_string(), "prompt 1 is answered already: root said block");
    assert_eq!(desk.decided(&browser("www.example.com")).0, Verdict::Block);
}

#[test]
fn the_last_word_counts() {
    let mut desk = Desk::with_anna();
    let narrow = desk.held(&browser("www.example.com"));
    let other = desk.held(&browser("www.example.org"));
    let _ = desk.answer(narrow, permit(HOUR, Target::Domain));
    let _ = desk.answer(other, block(HOUR, Target::Everything));
    assert_eq!(desk.decided(&browser("www.example.com")), by_anna(Verdict::Block, other));
}

#[test]
fn an_answer_makes_sense_or_is_refused_and_changes_nothing() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("-").nameless());
    for (seconds, expected) in [(0, false), (1, true), (31_622_400, true), (31_622_401, false)] {
        let mut desk = Desk::with_anna();
        let prompt = desk.held(&browser("www.example.com"));
        let answer = permit(Hold::Duration { seconds }, Target::Domain);
        assert_eq!(desk.asks.answer(prompt, &answer, &anna(), desk.now).is_ok(), expected, "{seconds}");
    }
    assert_eq!(desk.refused(prompt, permit(HOUR, Target::Domain)), AnswerRefused::NoDomain(prompt));
    let note = Some("x".repeat(501));
    let answer = Answer { note, ..permit(HOUR, Target::Remote) };
    assert_eq!(desk.refused(prompt, answer), AnswerRefused::LongNote(501));
    assert_eq!(desk.refused(99, permit(HOUR, Target::Remote)), AnswerRefused::NotFound(99));
    assert_eq!(desk.prompts(&anna())[0].waiting, 1);
    assert_eq!(desk.asks.counts().answered, 0);
}

#[test]
fn an_unknown_program_is_answered_once_and_without_a_start_key_not_for_the_process() {
    let mut desk = Desk::with_anna();
    let mut unknown = browser("www.example.com");
    unknown.program.path = None;
    let prompt = desk.held(&unknown);
    for hold in [Hold::Process, HOUR, Hold::Forever] {
        assert_eq!(desk.refused(prompt, permit(hold, Target::Remote)), AnswerRefused::Unknown);
    }
    assert_eq!(desk.answer(prompt, permit(Hold::Once, Target::Remote)).decided.len(), 1);
    let prompt = desk.held(&browser("www.example.com").in_process(0));
    assert_eq!(desk.refused(prompt, permit(Hold::Process, Target::Remote)), AnswerRefused::NoProcess);
}

#[test]
fn an_answer_about_who_connects_to_us_is_for_our_port_not_for_theirs() {
    let mut desk = Desk::with_anna();
    let from = Connect { direction: Direction::In, local: "192.168.0.2:22", ..browser("-").nameless() };
    let prompt = desk.held(&from.clone().to("192.168.0.9:51000"));
    let _ = desk.answer(prompt, permit(HOUR, Target::Remote));
    assert_eq!(desk.decided(&from.clone().to("192.168.0.9:51001")), by_anna(Verdict::Permit, prompt));
    desk.held(&Connect { local: "192.168.0.2:80", ..from.to("192.168.0.9:51000") });
}

#[test]
fn an_answer_for_our_port_is_for_whoever_connects() {
    let mut desk = Desk::with_anna();
    let from = Connect { direction: Direction::In, local: "192.168.0.2:22", ..browser("-").nameless() };
    let prompt = desk.held(&from.clone().to("192.168.0.9:51000"));
    desk.held(&from.clone().to("203.0.113.7:51000"));
    let answered = desk.answer(prompt, block(HOUR, Target::Port));
    assert_eq!(answered.decided.len(), 2);
    assert_eq!(desk.decided(&from.clone().to("[2001:db8::7]:51001")), by_anna(Verdict::Block, prompt));
    let next = desk.held(&Connect { local: "192.168.0.2:80", ..from });
    assert_eq!(desk.refused(next, permit(HOUR, Target::Domain)), AnswerRefused::NoDomain(next));
    let out = desk.held(&browser("www.example.com"));
    assert_eq!(desk.refused(out, permit(HOUR, Target::Port)), AnswerRefused::NoPort(out));
}

#[test]
fn a_replaced_program_is_asked_about_anew() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com").hashed("aa"));
    let _ = desk.answer(prompt, permit(HOUR, Target::Everything));
    assert_eq!(desk.decided(&browser("www.example.com").hashed("aa").in_process(78)).0, Verdict::Permit);
    desk.held(&browser("www.example.com").hashed("bb").in_process(79));
}

#[test]
fn the_next_release_of_the_same_publisher_is_the_same_program() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com").signed("Example Ltd").hashed("aa"));
    let _ = desk.answer(prompt, permit(HOUR, Target::Everything));
    assert_eq!(desk.decided(&browser("www.example.com").signed("Example Ltd").hashed("bb")).0, Verdict::Permit);
    desk.held(&browser("www.example.com").signed("Other Ltd").hashed("aa"));
    desk.held(&browser("www.example.com").hashed("aa"));
}

#[test]
fn while_it_is_looked_up_whether_a_program_was_replaced_nothing_is_decided() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com").hashed("aa"));
    let _ = desk.answer(prompt, permit(HOUR, Target::Everything));
    let unsure = Connect { pending: Needs::HASH, ..browser("www.example.com").in_process(78) };
    let Considered::Needs(waiting, Needs::HASH) = desk.connect(&unsure) else { panic!("its hash matters") };
    let identity = browser("-").hashed("aa").identity();
    let considered = desk.asks.consider(service::ask::waiting::Waiting { identity, ..waiting }, desk.now);
    assert!(matches!(considered, Considered::Decided(decided) if decided.verdict == Verdict::Permit));
}

#[test]
fn what_is_learned_of_a_process_shows_in_its_prompt_and_may_let_an_answer_decide() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com").hashed("aa"));
    let _ = desk.answer(prompt, permit(HOUR, Target::Everything));
    let unknown = Connect { program: Default::default(), ..browser("www.example.com").in_process(78) };
    let prompt = desk.held(&unknown);
    let other = desk.asks.identify(78, &browser("-").hashed("bb").identity(), desk.now);
    assert!(other.decided.is_empty() && other.taken_back.is_empty());
    let [shown] = &desk.prompts(&anna())[..] else { panic!("one prompt") };
    assert_ne!(shown.id, prompt, "another program, another question");
    assert_eq!(shown.identity.program.sha256, Some(Arc::from("bb")));
    let same = desk.asks.identify(78, &browser("-").hashed("aa").identity(), desk.now);
    assert_eq!(tokens(&same.decided), [2]);
}
