//! The canonical form keeps rules, order and comments.

use proptest::prelude::*;
use rules::format::format;
use rules::model::Rule;
use rules::ruleset::{Environment, Ruleset};
use rules::source::SourceFile;

fn compile(text: &str) -> Vec<Rule> {
    let files = [SourceFile { path: "user/a.toml".into(), text: text.into() }];
    let ruleset = Ruleset::compile(&files, &Environment::default());
    let ruleset = ruleset.unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    let rules = ruleset.rules().iter().map(|rule| Rule::clone(rule));
    // Lines may change; their order may not, and that is the order of the rules.
    let mut rules: Vec<Rule> = rules.collect();
    rules.iter_mut().for_each(|rule| rule.origin.line = 0);
    rules
}

#[test]
fn keys_are_put_in_order_and_comments_stay_with_them() {
    let text = "# Mine.

# About git.
[rule.git]   # the tool
  remote=\"github.com:22\"   # over ssh
# Who.
program   =   '/usr/bin/git'
action = 'permit'
[rule.next]
action=\"block\"


# The end.
";
    let expected = "# Mine.

# About git.
[rule.git] # the tool
action = 'permit'
# Who.
program = '/usr/bin/git'
remote = \"github.com:22\" # over ssh

[rule.next]
action = \"block\"

# The end.
";
    assert_eq!(format(text).unwrap(), expected);
    assert_eq!(format(expected).unwrap(), expected);
}

#[test]
fn a_long_list_stands_one_entry_a_line_with_its_comments() {
    let text = "[rule.a]
action = \"permit\"
remote = [ \"a.example\", # first
  # of its own
  \"b.example\" # before the comma
  ,
  \"c.example\"
  # last
]
program = [\"a\",
  \"b\"]
";
    let expected = "[rule.a]
action = \"permit\"
program = [\"a\", \"b\"]
remote = [
    \"a.example\", # first
    # of its own
    # before the comma
    \"b.example\",
    \"c.example\",
    # last
]
";
    assert_eq!(format(text).unwrap(), expected);
    assert_eq!(format(expected).unwrap(), expected);
    let names: Vec<String> = (0..20).map(|number| format!("\"host-{number}.example\"")).collect();
    let long = format!("[rule.a]\naction = \"permit\"\nremote = [{}]\n", names.join(","));
    let formatted = format(&long).unwrap();
    assert!(formatted.contains("\n    \"host-19.example\",\n]\n"), "{formatted}");
}

#[test]
fn a_program_in_a_table_is_put_in_order() {
    let text = "[rule.a]\naction=\"permit\"\nprogram = {publisher=\"Some\",path='/bin/a'}\n";
    let expected = "[rule.a]\naction = \"permit\"\nprogram = { path = '/bin/a', publisher = \"Some\" }\n";
    assert_eq!(format(text).unwrap(), expected);
}

#[test]
fn what_is_not_toml_is_refused_and_other_forms_of_it_are_kept() {
    assert!(format("[rule.a").is_err());
    let text = "rule.a.action = \"permit\"\n";
    assert_eq!(compile(&format(text).unwrap()), compile(text));
}

#[test]
fn nothing_stays_nothing() {
    assert_eq!(format("").unwrap(), "");
    assert_eq!(format("\n\n# only a comment\n").unwrap(), "# only a comment\n");
}

/// Rules as people might type them.
fn typed() -> impl Strategy<Value = String> {
    let pick = |choices: &'static [&'static str]| prop::sample::select(choices);
    let line = pick(&[
        "program = [ 'a' ,'/bin/b', {path=\"/bin/c\",publisher=\"P\"} ]",
        "program=\"a\" # the program",
        "remote = [\"example.com\", # one\n \"10.0.0.0/8:80\" ]",
        "remote = [\n # head\n \"example.com\"\n, # after\n\n # own\n]",
        "note = \"\"\"two\nlines\"\"\"",
        "note = 'a # no comment'",
        "when = '''remote.port > 1\n && true'''",
        "protocol = ['tcp',6,\"udp\"]",
        "expires = 2027-06-01T00:00:00Z",
        "\"for\" = \"1h\"",
        "log   =   false   # quiet",
        "priority = +5",
        "local_port=[22,\"80-81\"]",
        "user=[\"bob\",]",
    ]);
    let space = pick(&["", "\n", "\n\n\n", "# note\n", "\n# note\n\n", "   # in\n", "\t"]);
    let head = pick(&["[rule.ID]", "[rule.\"ID\"] # head", "[ rule . ID ]", "\n\n[rule.ID]"]);
    let rule = (space.clone(), head, prop::collection::btree_map(0..14_u8, (space.clone(), line), 0..5), space);
    prop::collection::vec(rule, 0..5).prop_map(|rules| {
        let mut text = String::new();
        for (number, (before, head, lines, after)) in rules.into_iter().enumerate() {
            let id = format!("r{}", 9 - number);
            text.push_str(before);
            text.push_str(&format!("{}\naction='permit'\n", head.replace("ID", &id)));
            let mut keys = Vec::new();
            for (space, line) in lines.into_values() {
                let key = line.split(['=', ' ']).next().unwrap();
                if !keys.contains(&key) {
                    keys.push(key);
                    text.push_str(&format!("{space}{line}\n"));
                }
            }
            text.push_str(after);
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_canonical_form_says_the_same_and_stays_as_it_is(text in typed(), crlf in any::<bool>()) {
        let text = if crlf { text.replace('\n', "\r\n") } else { text };
        let once = format(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        prop_assert_eq!(compile(&once), compile(&text), "{}\n-----\n{}", text, once);
        prop_assert_eq!(&format(&once).unwrap(), &once);
        let comments = |text: &str| text.matches("# ").count();
        prop_assert_eq!(comments(&once), comments(&text), "{}\n-----\n{}", text, once);
    }

    #[test]
    fn any_text_is_formatted_or_refused(text in "[a-z\\[\\]{}=\"'#.,\n 0-9]{0,80}") {
        if let Ok(once) = format(&text) {
            prop_assert_eq!(format(&once).unwrap(), once);
        }
    }
}
