//! Programs that ask for very much.

use crate::desk::*;
use control::entry::{DefaultWhy, Verdict};
use control::prompt::{Hold, Target};
use service::ask::prompts::{MAX_LINGERING, MAX_OWN_PROMPTS, MAX_PROMPTS_PER_USER, MAX_WAITING_PER_PROMPT};
use service::ask::waiting::Considered;
use std::time::Duration;

fn address(number: u32) -> String {
    format!("10.{}.{}.{}:443", number >> 16 & 255, number >> 8 & 255, number & 255)
}

/// A program asks for that many places within ten seconds.
fn storm(places: u32) -> Desk {
    let mut desk = Desk::with_anna();
    for number in 0..places {
        let _ = desk.pass(Duration::from_millis(10_000 / u64::from(places)));
        desk.held(&browser("-").nameless().to(address(number)));
    }
    desk
}

#[test]
fn five_hundred_places_are_a_handful_of_prompts_and_everything_answers_them() {
    let mut desk = storm(500);
    let prompts = desk.prompts(&anna());
    assert_eq!(prompts.len(), MAX_OWN_PROMPTS + 1);
    let many = prompts.last().unwrap();
    assert!(many.many && prompts.iter().filter(|prompt| prompt.many).count() == 1);
    assert_eq!(many.waiting as usize, 500 - MAX_OWN_PROMPTS);
    let answered = desk.answer(many.id, permit(Hold::Process, Target::Everything));
    assert_eq!(answered.decided.len(), 500);
    assert!(desk.prompts(&anna()).is_empty());
}

#[test]
fn an_answer_to_the_prompt_for_many_places_is_for_the_one_it_shows_unless_it_says_everything() {
    let mut desk = storm(20);
    let many = desk.prompts(&anna()).pop().unwrap();
    let answered = desk.answer(many.id, permit(HOUR, Target::Remote));
    assert_eq!(tokens(&answered.decided), [MAX_OWN_PROMPTS as u64 + 1]);
    let next = desk.prompts(&anna()).pop().unwrap();
    assert!(next.many && next.id != many.id && next.remote != many.remote);
    assert_eq!(desk.asks.counts().waiting, 19);
}

#[test]
fn when_a_prompt_is_answered_another_place_has_room_for_its_own() {
    let mut desk = storm(20);
    let first = desk.prompts(&anna())[0].id;
    let _ = desk.answer(first, permit(HOUR, Target::Remote));
    let own = desk.held(&browser("www.example.com"));
    let shown = desk.prompts(&anna()).into_iter().find(|prompt| prompt.id == own).unwrap();
    assert!(!shown.many);
}

#[test]
fn what_waits_in_one_prompt_is_bounded() {
    let mut desk = Desk::with_anna();
    for _ in 0..MAX_WAITING_PER_PROMPT {
        desk.held(&browser("www.example.com"));
    }
    assert_eq!(desk.decided(&browser("www.example.com")), default(DefaultWhy::TooMany));
    desk.held(&browser("www.example.org"));
    let _ = desk.pass(PATIENCE);
    desk.held(&browser("www.example.com"));
}

#[test]
fn one_user_cannot_use_up_the_prompts_of_all() {
    let mut desk = Desk::with_anna();
    desk.asks.follow(2, ben());
    for number in 0..2 * MAX_PROMPTS_PER_USER {
        let _ = desk.connect(&browser("www.example.com").by(&format!("/opt/anna/{number}")));
    }
    assert_eq!(desk.prompts(&anna()).len(), MAX_PROMPTS_PER_USER);
    assert_eq!(desk.decided(&browser("www.example.com").by("/opt/anna/more")), default(DefaultWhy::TooMany));
    desk.held(&browser("www.example.com").of_user("1001"));
}

#[test]
fn prompts_that_nobody_answered_are_bounded() {
    let mut desk = Desk::with_anna();
    for number in 0..MAX_LINGERING + 10 {
        desk.held(&browser("www.example.com").by(&format!("/opt/anna/{number}")));
        let _ = desk.pass(PATIENCE / 10);
    }
    let _ = desk.pass(PATIENCE);
    let prompts = desk.prompts(&anna());
    assert_eq!(prompts.len(), MAX_LINGERING);
    assert_eq!(prompts[0].identity.program.path.as_deref(), Some("/opt/anna/10"), "the oldest made room");
}

#[test]
fn a_storm_keeps_no_one_else_from_being_asked_and_answered() {
    let mut desk = storm((MAX_OWN_PROMPTS + MAX_WAITING_PER_PROMPT) as u32);
    let prompt = desk.held(&browser("www.example.com").by("/usr/bin/git"));
    assert_eq!(desk.answer(prompt, permit(HOUR, Target::Domain)).decided[0].verdict, Verdict::Permit);
    assert!(matches!(desk.connect(&browser("-").nameless().to(address(9999))), Considered::Decided(_)));
}
