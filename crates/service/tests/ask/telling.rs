//! What clients that follow prompts are told.

use crate::desk::*;
use control::entry::Verdict;
use control::prompt::{Closed, Hold, Target};
use service::ask::changes::Change;
use std::time::Duration;

/// What Anna's client is told: `+1 2` is prompt 1 with two that wait, `-1` a closed one.
fn told(desk: &mut Desk) -> Vec<String> {
    let changes = desk.asks.drain_changes(desk.now).into_iter();
    let line = |change| match change {
        Change::Shown(shown) => shown.to(&anna()).map(|prompt| format!("+{} {}", prompt.id, prompt.waiting)),
        Change::Closed(gone) => Some(format!("-{} {:?}", gone.id, gone.closed)),
    };
    changes.filter_map(line).collect()
}

#[test]
fn a_client_is_told_what_opens_changes_and_closes() {
    let mut desk = Desk::with_anna();
    assert!(told(&mut desk).is_empty());
    let prompt = desk.held(&browser("www.example.com"));
    assert_eq!(told(&mut desk), ["+1 1"]);
    desk.held(&browser("www.example.com"));
    desk.held(&browser("www.example.com"));
    assert_eq!(told(&mut desk), ["+1 3"], "once, as it is now");
    let request = desk.last();
    desk.asks.closed(request, desk.now);
    assert_eq!(told(&mut desk), ["+1 2"]);
    let _ = desk.answer(prompt, permit(Hold::Once, Target::Remote));
    let closed = Closed::Answered { user: "anna".into(), verdict: Verdict::Permit };
    assert_eq!(told(&mut desk), [format!("-1 {closed:?}")]);
    assert!(told(&mut desk).is_empty());
}

#[test]
fn a_client_is_told_when_nobody_answered_and_when_the_question_is_over() {
    let mut desk = Desk::with_anna();
    desk.held(&browser("www.example.com"));
    let _ = desk.pass(PATIENCE);
    assert_eq!(told(&mut desk), ["+1 0"]);
    let _ = desk.pass(Duration::from_secs(300));
    assert_eq!(told(&mut desk), ["-1 Expired"]);
}

#[test]
fn a_prompt_that_takes_the_place_of_another_is_told_after_it() {
    let mut desk = Desk::with_anna();
    desk.held(&browser("www.example.com"));
    desk.held(&browser("cdn.example.com"));
    told(&mut desk);
    let _ = desk.answer(1, permit(HOUR, Target::Remote));
    let told = told(&mut desk);
    assert!(told.len() == 2 && told[0].starts_with("-1") && told[1] == "+2 1", "{told:?}");
}

#[test]
fn an_unknown_program_leaves_no_question_that_nothing_could_answer() {
    let mut desk = Desk::with_anna();
    let mut unknown = browser("www.example.com");
    unknown.program.path = None;
    desk.held(&unknown);
    let _ = desk.pass(PATIENCE);
    assert_eq!(told(&mut desk), ["-1 Expired"]);
}
