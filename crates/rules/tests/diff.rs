//! What is different between two rulesets.

use rules::cases;
use rules::diff::{Change, Difference, decisions, diff};
use rules::ruleset::{Environment, Ruleset};
use rules::source::SourceFile;

fn compile(files: &[(&str, &str)]) -> Ruleset {
    let files: Vec<SourceFile> =
        files.iter().map(|(path, text)| SourceFile { path: (*path).into(), text: (*text).into() }).collect();
    Ruleset::compile(&files, &Environment::default()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn rule(id: &str, rest: &str) -> String {
    format!("[rule.{id}]\naction = \"permit\"\n{rest}\n")
}

fn changes(difference: &Difference) -> Vec<(Change, String)> {
    difference.rules.iter().map(|change| (change.change, change.rule.to_string())).collect()
}

#[test]
fn the_same_files_are_no_difference() {
    let text = rule("a", "remote = \"a.example\"");
    let ruleset = compile(&[("user/a.toml", &text)]);
    let spaced = compile(&[("user/a.toml", &format!("\n# a note\n{text}"))]);
    assert!(diff(&ruleset, &spaced).is_empty());
}

#[test]
fn rules_come_go_and_change_key_by_key() {
    let before = compile(&[(
        "user/a.toml",
        &(rule("a", "remote = [\"a.example\", \"b.example\"]\nnote = \"x\"") + &rule("gone", "")),
    )]);
    let after = compile(&[(
        "user/a.toml",
        &(rule("a", "remote = [\"b.example\", \"c.example\"]\nlog = false") + &rule("new", "")),
    )]);
    let difference = diff(&before, &after);
    assert_eq!(
        changes(&difference),
        [
            (Change::Changed, "user/a".to_owned()),
            (Change::Added, "user/new".to_owned()),
            (Change::Removed, "user/gone".to_owned())
        ]
    );
    let fields: Vec<(&str, String, String)> = difference.rules[0]
        .fields
        .iter()
        .map(|field| (field.field, field.before.join(","), field.after.join(",")))
        .collect();
    let expected = [("remote", "a.example", "c.example"), ("log", "true", "false"), ("note", "x", "")];
    assert_eq!(fields, expected.map(|(field, before, after)| (field, before.to_owned(), after.to_owned())));
}

#[test]
fn a_rule_in_another_layer_file_or_place_is_moved() {
    let [a, b, c] = ["a", "b", "c"].map(|id| rule(id, &format!("program = \"{id}\"")));
    let before = compile(&[("user/a.toml", &format!("{a}{b}{c}"))]);
    let place = compile(&[("user/a.toml", &format!("{c}{a}{b}"))]);
    assert_eq!(changes(&diff(&before, &place)), [(Change::Moved, "user/c".to_owned())]);
    let layer = compile(&[("user/a.toml", &format!("{a}{b}")), ("mandatory/a.toml", &c)]);
    assert_eq!(changes(&diff(&before, &layer)), [(Change::Moved, "mandatory/c".to_owned())]);
    let file = compile(&[("user/a.toml", &format!("{a}{b}")), ("user/b.toml", &c)]);
    assert_eq!(changes(&diff(&before, &file)), [(Change::Moved, "user/c".to_owned())]);
}

#[test]
fn sets_are_compared_by_their_entries() {
    let text = rule("a", "remote = \"@s\"");
    let before = compile(&[("user/a.toml", &text), ("sets/s.txt", "a.example\nb.example # b\n")]);
    let after = compile(&[("user/a.toml", &text), ("sets/s.txt", "# new\nb.example\nc.example\n")]);
    let difference = diff(&before, &after);
    assert!(difference.rules.is_empty());
    assert_eq!((difference.sets[0].added, difference.sets[0].removed), (1, 1));
    assert_eq!(difference.sets[0].entries, ["+c.example", "-a.example"]);
}

#[test]
fn cases_show_which_decisions_differ() {
    let before = compile(&[("user/a.toml", &rule("a", "remote = \".example\""))]);
    let after = compile(&[("user/a.toml", &rule("a", "remote = \"a.example\""))]);
    let text = "[[case]]\nremote = \"a.example:443\"\nexpect = \"permit\"\n
        [[case]]\ntitle = \"b\"\nremote = \"b.example:443\"\nexpect = \"permit\"\n";
    let cases = cases::parse(&SourceFile { path: "cases.toml".into(), text: text.into() }).unwrap();
    let differing = decisions(&before, &after, &cases, 0);
    assert_eq!(differing.len(), 1);
    assert_eq!(differing[0].title, "b");
    assert_eq!(differing[0].before.to_string(), "permit by user/a");
    assert_eq!(differing[0].after.to_string(), "ask because no rule matches");
}
