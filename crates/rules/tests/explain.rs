//! An explanation names every rule that was considered and the first condition that failed.

use rules::explain::{Condition, Explanation, StepResult};
use rules::facts::{Flow, Identity, Needs, Program};
use rules::ruleset::{Environment, Ruleset};
use rules::source::SourceFile;
use wire::request::Direction;

const RULES: &str = r#"
[rule.other]
action = "permit"
program = "curl"
[rule.off]
action = "permit"
enabled = false
[rule.port]
action = "permit"
remote = "example.com:80"
[rule.odd]
action = "permit"
when = "1 / (remote.port - 443) == 1"
[rule.signed]
action = "permit"
program = {path = "/usr/bin/git", publisher = "Git*"}
[rule.rest]
action = "block"
for = "8h"
[rule.never]
action = "ask"
"#;

fn explain(pending: Needs, all: bool) -> Explanation {
    let file = SourceFile { path: "user/a.toml".into(), text: RULES.into() };
    let ruleset = Ruleset::compile(&[file], &Environment::default()).unwrap();
    let program = Program { path: Some("/usr/bin/git".into()), ..Program::default() };
    let flow = Flow {
        direction: Direction::OUTBOUND,
        protocol: 6,
        local: "10.0.0.1:50000".parse().unwrap(),
        remote: "203.0.113.7:443".parse().unwrap(),
        name: Some("Example.com."),
        is_name_sure: true,
        interface: None,
        now: 1_800_000_000,
    };
    ruleset.explain(&Identity { program, pending, ..Identity::default() }, &flow, all)
}

fn steps(explanation: &Explanation) -> Vec<(String, Option<Condition>)> {
    let condition = |result: &StepResult| match result {
        StepResult::Failed { condition, .. } => Some(*condition),
        StepResult::Matched | StepResult::Needs { .. } => None,
    };
    let steps = explanation.steps.iter().filter(|step| step.rule.layer.name() == "user");
    steps.map(|step| (step.rule.id.to_string(), condition(&step.result))).collect()
}

#[test]
fn rules_for_other_programs_are_counted_and_the_others_told() {
    let explanation = explain(Needs::empty(), false);
    let wanted = [("port", Some(Condition::Remote)), ("odd", Some(Condition::When)), ("rest", None)];
    assert_eq!(steps(&explanation), wanted.map(|(id, condition)| (id.to_owned(), condition)));
    assert_eq!(explanation.others, 3);
    let StepResult::Failed { error: Some(error), .. } = &explanation.steps[explanation.steps.len() - 2].result else {
        panic!("{explanation:#?}");
    };
    assert!(error.contains("Division by zero"), "{error}");
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["judgement"]["decided"]["action"], "block");
    assert_eq!(json["judgement"]["decided"]["lifetime"], "8h");
    assert_eq!(json["steps"][explanation.steps.len() - 1]["result"], "matched");
    assert_eq!(json["steps"][explanation.steps.len() - 1]["origin"]["line"], 17);
}

#[test]
fn all_rules_are_told_when_they_are_asked_for() {
    let explanation = explain(Needs::empty(), true);
    assert_eq!(explanation.others, 0);
    assert_eq!(
        steps(&explanation)[..2],
        [("other".to_owned(), Some(Condition::Program)), ("off".to_owned(), Some(Condition::Enabled)),]
    );
}

#[test]
fn it_ends_where_a_fact_is_needed() {
    let explanation = explain(Needs::PUBLISHER, false);
    let last = explanation.steps.last().unwrap();
    assert_eq!((&*last.rule.id, &last.result), ("signed", &StepResult::Needs { needs: vec!["publisher"] }));
}
