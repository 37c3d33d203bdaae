//! Tables of cases.

use proptest::prelude::*;
use rules::cases::{Description, ProgramWords, parse, run};
use rules::ruleset::{Environment, Ruleset};
use rules::source::{Problem, SourceFile};

fn table(text: &str) -> SourceFile {
    SourceFile { path: "cases.toml".into(), text: text.into() }
}

fn problems(text: &str) -> Vec<Problem> {
    parse(&table(text)).unwrap_err()
}

fn ruleset() -> Ruleset {
    let text = "[rule.git]
action = \"permit\"
program = { path = \"/usr/bin/git\", publisher = \"Git\" }
user = \"1000\"
remote = \"github.com:22/tcp\"
[rule.ssh]
action = \"permit\"
direction = \"in\"
local_port = 22
remote = \"10.0.0.0/8\"
[rule.ping]
action = \"permit\"
protocol = \"icmp\"
[rule.late]
action = \"block\"
program = \"late\"
expires = 2027-01-01T00:00:00Z
";
    let files = [SourceFile { path: "user/a.toml".into(), text: text.into() }];
    Ruleset::compile(&files, &Environment::default()).unwrap()
}

/// What fails, as it is printed.
fn failures(text: &str) -> Vec<String> {
    let cases = parse(&table(text)).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let outcomes = run(&ruleset(), &cases, 0);
    outcomes.iter().filter(|outcome| !outcome.passed).map(ToString::to_string).collect()
}

#[test]
fn a_case_says_what_is_known_and_what_the_rules_should_say() {
    let text = "[[case]]
title = \"git fetches\"
program = { path = \"/usr/bin/git\", publisher = \"Git\" }
user = { id = \"1000\", name = \"bob\" }
remote = \"github.com:22\"
expect = \"permit\"
rule = \"user/git\"
[[case]]
direction = \"in\"
remote = \"10.1.2.3\"
local_port = 22
expect = \"permit\"
rule = \"user/ssh\"
[[case]]
protocol = \"icmp\"
remote = \"192.0.2.1\"
expect = \"permit\"
[[case]]
remote = \"[2001:db8::1]:443\"
name = \"Example.COM.\"
expect = \"ask\"
rule = \"none\"
";
    assert_eq!(failures(text), [""; 0]);
}

#[test]
fn a_failure_says_what_was_expected_what_came_and_why() {
    let text = "[[case]]
title = \"ssh\"
direction = \"in\"
remote = \"10.1.2.3:50000\"
local_port = 22
expect = \"block\"
[[case]]
program = \"/usr/bin/git\"
remote = \"github.com:22\"
expect = \"ask\"
rule = \"user/git\"
";
    assert_eq!(
        failures(text),
        [
            "cases.toml:1: ssh: expected block, got permit by user/ssh (user/a.toml:6)",
            "cases.toml:7: case 2: expected ask by user/git, got ask because no rule matches",
        ]
    );
}

#[test]
fn a_case_may_have_a_time_of_its_own() {
    let case = |time: &str, expect: &str| {
        format!("[[case]]\nprogram = \"/bin/late\"\nremote = \"192.0.2.1:80\"\ntime = {time}\nexpect = \"{expect}\"\n")
    };
    assert_eq!(failures(&(case("2026-12-31T23:59:59Z", "block") + &case("2027-01-01T00:00:01Z", "ask"))), [""; 0]);
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_its_place() {
    let text = "[[case]]
remote = \"nonsense port:x\"
expect = \"permit\"
[[case]]
remote = \"192.0.2.1\"
expect = \"permit\"
[[case]]
remote = \"192.0.2.1:1\"
expect = \"maybe\"
[[case]]
remote = \"192.0.2.1:1\"
expects = \"permit\"
[[case]]
remote = \"192.0.2.1:1\"
expect = \"permit\"
rule = \"git\"
[[case]]
remote = \"192.0.2.1:1\"
expect = \"permit\"
programm = \"/bin/x\"
";
    let found = problems(text);
    let lines: Vec<u32> = found.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [1, 4, 7, 10, 13, 17], "{found:#?}");
    let says = ["no port", "`192.0.2.1:443`", "maybe", "expect", "layer/id", "programm"];
    for (problem, says) in found.iter().zip(says) {
        assert!(problem.message.contains(says), "{problem}");
    }
    assert_eq!(problems("[[case]\n")[0].line, 1);
    assert_eq!(problems("\ncases = 1\n")[0].line, 2);
}

#[test]
fn a_description_is_the_same_as_a_case() {
    let description = Description {
        program: Some(ProgramWords::Path("/usr/bin/curl".to_owned())),
        remote: "example.com:443".to_owned(),
        ..Description::default()
    };
    let connection = description.connection().unwrap();
    assert_eq!(connection.name.as_deref(), Some("example.com"));
    assert_eq!((connection.protocol, connection.remote.port()), (6, 443));
    let contradictory = Description { name: Some("other.example".to_owned()), ..description };
    assert!(contradictory.connection().unwrap_err().contains("name already"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_a_table_or_refused(text in "[a-z\\[\\]{}=\"'#.:/@,\n 0-9]{0,120}") {
        let _ = parse(&table(&text));
        let _ = parse(&table(&format!("[[case]]\nexpect = \"permit\"\nremote = \"{}\"\n", text.replace(['"', '\n', '\\'], ""))));
    }
}
