//! Who may see and answer what.

use crate::desk::*;
use control::entry::Verdict;
use control::prompt::{Hold, HoldKind, Target};
use rules::model::Layer;
use service::ask::changes::Change;
use service::ask::refused::AnswerRefused;

#[test]
fn nobody_sees_or_answers_the_prompts_of_another_user() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com"));
    assert!(desk.prompts(&ben()).is_empty());
    for hold in [Hold::Once, Hold::Process, HOUR, Hold::Forever] {
        let refused = desk.asks.answer(prompt, &permit(hold, Target::Remote), &ben(), desk.now);
        assert_eq!(refused.unwrap_err(), AnswerRefused::NotFound(prompt), "as if it did not exist");
    }
    for change in desk.asks.drain_changes(desk.now) {
        let Change::Shown(shown) = change else { panic!("it is open") };
        assert!(shown.to(&anna()).is_some() && shown.to(&root()).is_some() && shown.to(&ben()).is_none());
    }
    let _ = desk.answer(prompt, permit(Hold::Once, Target::Remote));
    let refused = desk.asks.answer(prompt, &permit(HOUR, Target::Remote), &ben(), desk.now);
    assert_eq!(refused.unwrap_err(), AnswerRefused::NotFound(prompt), "nor what became of it");
}

#[test]
fn an_administrator_sees_and_answers_everything() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com"));
    assert_eq!(desk.prompts(&root()).len(), 1);
    let answered = desk.asks.answer(prompt, &permit(HOUR, Target::Domain), &root(), desk.now).unwrap();
    assert_eq!(answered.decided.len(), 1);
    assert_eq!(desk.decided(&browser("www.example.com")).0, Verdict::Permit);
}

#[test]
fn a_prompt_of_an_unknown_user_is_for_administrators() {
    let mut desk = Desk::with_anna();
    let nobody = Connect { user: None, ..browser("www.example.com") };
    assert!(matches!(desk.decided(&nobody), (Verdict::Block, _)));
    desk.asks.follow(2, root());
    desk.held(&nobody);
    assert!(desk.prompts(&anna()).is_empty());
    assert_eq!(desk.prompts(&root())[0].holds, [HoldKind::Once]);
}

#[test]
fn for_ever_is_for_administrators() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com"));
    assert_eq!(desk.prompts(&anna())[0].holds, [HoldKind::Once, HoldKind::Process, HoldKind::Duration]);
    assert!(desk.prompts(&root())[0].holds.contains(&HoldKind::Forever));
    assert_eq!(desk.refused(prompt, permit(Hold::Forever, Target::Domain)), AnswerRefused::NeedsAdministrator);
    assert!(desk.asks.answer(prompt, &permit(Hold::Forever, Target::Domain), &root(), desk.now).is_ok());
}

#[test]
fn nobody_answers_for_ever_where_a_mandatory_rule_asks() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com").asked(Layer::Mandatory, "ask-always"));
    assert!(!desk.prompts(&root())[0].holds.contains(&HoldKind::Forever));
    let refused = desk.asks.answer(prompt, &permit(Hold::Forever, Target::Domain), &root(), desk.now);
    assert!(matches!(refused, Err(AnswerRefused::Mandatory(rule)) if &*rule.id == "ask-always"));
    assert_eq!(desk.answer(prompt, permit(HOUR, Target::Domain)).decided.len(), 1);
}

#[test]
fn an_answer_for_ever_does_not_reach_where_a_mandatory_rule_asks() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com"));
    desk.held(&browser("www.example.com").asked(Layer::Mandatory, "ask-always"));
    let forever = permit(Hold::Forever, Target::Everything);
    let answered = desk.asks.answer(prompt, &forever, &root(), desk.now).unwrap();
    assert_eq!(tokens(&answered.decided), [1]);
    assert_eq!(desk.decided(&browser("www.example.com")).0, Verdict::Permit);
    desk.held(&browser("www.example.com").asked(Layer::Mandatory, "ask-always"));
}
