//! Rules and questions: when rules change, and when an answer becomes one.

use crate::desk::*;
use control::entry::{Reason, Verdict};
use control::prompt::{Closed, Hold, Target};
use rules::decision::RuleName;
use rules::model::{Layer, Lifetime};
use service::ask::changes::Change;
use service::ask::waiting::Ruling;

fn rule(id: &str) -> RuleName {
    RuleName { layer: Layer::User, id: id.into() }
}

fn ask(asked_by: Option<RuleName>) -> Ruling {
    Ruling::Ask { asked_by, lifetime: Lifetime::Once }
}

#[test]
fn what_new_rules_decide_waits_no_more() {
    let mut desk = Desk::with_anna();
    desk.held(&browser("www.example.com"));
    desk.held(&browser("www.example.org"));
    desk.asks.drain_changes(desk.now);
    let ruling = |waiting: &service::ask::waiting::Waiting<u64>| match waiting.token {
        1 => Ruling::Decided(Verdict::Permit, Reason::Rule { rule: rule("new") }),
        _ => ask(None),
    };
    let reconsidered = desk.asks.reconsider(ruling, desk.now);
    assert_eq!(tokens(&reconsidered.decided), [1]);
    assert_eq!(reconsidered.decided[0].reason, Reason::Rule { rule: rule("new") });
    assert_eq!(desk.prompts(&anna()).len(), 1);
    let changes = desk.asks.drain_changes(desk.now);
    assert!(matches!(&changes[..], [Change::Closed(gone)] if gone.closed == Closed::Ruled), "{changes:?}");
}

#[test]
fn what_another_rule_asks_now_moves_to_a_prompt_of_that_rule() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com"));
    let reconsidered = desk.asks.reconsider(|_| ask(Some(rule("careful"))), desk.now);
    assert!(reconsidered.decided.is_empty());
    let [shown] = &desk.prompts(&anna())[..] else { panic!("one prompt") };
    assert_ne!(shown.id, prompt);
    assert_eq!((shown.asked_by.clone(), shown.offer), (Some(rule("careful")), Hold::Once));
    assert_eq!(tokens(&desk.pass(PATIENCE)), [1], "its deadline is the same");
}

#[test]
fn what_turns_on_facts_now_is_taken_back() {
    let mut desk = Desk::with_anna();
    desk.held(&browser("www.example.com"));
    let reconsidered = desk.asks.reconsider(|_| Ruling::TakeBack, desk.now);
    assert_eq!(reconsidered.taken_back.len(), 1);
    assert_eq!(desk.asks.counts().waiting, 0);
}

#[test]
fn an_answer_for_ever_decides_until_its_rule_does() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com"));
    let _ = desk.asks.answer(prompt, &permit(Hold::Forever, Target::Domain), &root(), desk.now).unwrap();
    assert_eq!(desk.decided(&browser("cdn.example.com").in_process(78)).0, Verdict::Permit);
    assert!(desk.asks.snapshot().is_empty(), "what lasts is the rule");
    desk.asks.rule_in_force(prompt);
    desk.held(&browser("cdn.example.com"));
}
