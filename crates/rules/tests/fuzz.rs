//! Files of any contents never do more than be refused, with a place for every problem.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rules::facts::{Flow, Identity};
use rules::ruleset::{Environment, PathStyle, Ruleset};
use rules::source::SourceFile;
use std::sync::Arc;
use wire::request::Direction;

const RULES: &str = r#"# What developers may do.
[rule.git]
action = "permit"
priority = 10
program = ["/usr/bin/git", {path = "**/git-remote-{http,https}", publisher = "Git*"}]
parent = "bash"
user = ["1000", 'DOMAIN\dev-*']
command_line = "* push *"
direction = "out"
protocol = ["tcp", 17]
remote = [".github.com:443/tcp", "140.82.112.0/20", "@mirrors:80-90", "[2001:db8::1]:22", "10.0.0.1-10.0.0.9"]
local_port = [68, "1000-2000"]
interface = "eth*"
for = "8h"
expires = 2027-01-31T18:00:00+01:00
log = false
note = "INC-1234"
when = "time.hour >= 8 && ['a', 'b'].exists(x, remote.name.endsWith(x)) || 1 / remote.port == 2"
enabled = true

[rule."a.b"]
action = "ask"
"#;
const SET: &str = "# mirrors\nexample.com\n.example.net\n10.0.0.0/8\n10.0.0.1-10.0.0.9\n2001:db8::/32\n0.0.0.0 ads.example x.example\n";
const WINDOWS: &str = "rule.r = {action = \"block\", program = '%ProgramFiles%\\x\\**\\{a,b}*.exe'}\n";

/// Pieces that mean something somewhere.
const PIECES: &[&str] = &[
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\n",
    "#",
    "\\",
    "*",
    "**",
    "?",
    "/",
    ":",
    "-",
    "@",
    "%",
    "(",
    ")",
    "\u{0}",
    "é",
    "\u{feff}",
    "rule",
    "action",
    "remote",
    "when",
    "true",
    "0",
    "99999999999999999999",
    "1e309",
    "!",
    "!!!!!!!!",
    "((((((((",
    "[[[[[[[[",
    "has(",
    "size(",
    "b'",
    "0x",
    "&&",
    "? 1 :",
    "{a,b}{a,b}{a,b}{a,b}",
    "xn--",
    "::",
    "/33",
    "\r\n",
    "\"\"\"",
];

fn environments() -> [Environment; 2] {
    let variables = [("PROGRAMFILES".to_owned(), r"C:\Program Files".to_owned())].into();
    let windows = Environment { paths: PathStyle::Windows, variables, ..Environment::default() };
    [Environment::default(), windows]
}

/// Compiles; what is refused is refused with places in the files, and what is not decides.
fn compile(files: &[SourceFile]) {
    for environment in environments() {
        match Ruleset::compile(files, &environment) {
            Ok(ruleset) => {
                let subject = ruleset.subject(Arc::new(Identity::default()));
                let flow = Flow {
                    direction: Direction::OUTBOUND,
                    protocol: 6,
                    local: "10.0.0.1:50000".parse().unwrap(),
                    remote: "10.0.0.2:0".parse().unwrap(),
                    name: Some("a.example.com"),
                    is_name_sure: true,
                    interface: Some("eth0"),
                    now: 0,
                };
                ruleset.decide(&subject, &flow);
            }
            Err(problems) => {
                assert!(!problems.is_empty());
                for problem in problems {
                    let file = files.iter().find(|file| file.path == problem.file).expect("the file was given");
                    let line = file.text.split('\n').nth(problem.line as usize - 1).expect("the line is there");
                    assert!(problem.column as usize <= line.chars().count() + 1, "{problem}");
                    assert!(!problem.message.is_empty());
                }
            }
        }
    }
}

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile { path: path.into(), text: text.into() }
}

/// Replaces pieces of a text.
fn mutated(text: &'static str) -> impl Strategy<Value = String> {
    let piece = prop_oneof![8 => select(PIECES).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    vec((any::<Index>(), 0..4_usize, piece), 1..5).prop_map(move |changes| {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, removed, piece) in changes {
            let at = at.index(chars.len());
            chars.splice(at..(at + removed).min(chars.len()), piece.chars());
        }
        chars.into_iter().collect()
    })
}

#[test]
fn the_files_that_are_changed_here_compile_unchanged() {
    let files = [file("user/a.toml", RULES), file("sets/mirrors.txt", SET)];
    assert_eq!(Ruleset::compile(&files, &environments()[0]).map(drop), Ok(()));
    assert_eq!(Ruleset::compile(&[file("user/a.toml", WINDOWS)], &environments()[1]).map(drop), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_good_file_with_changes_is_taken_or_refused(rules in mutated(RULES), set in mutated(SET), windows in mutated(WINDOWS)) {
        compile(&[file("user/a.toml", &rules), file("sets/mirrors.txt", &set)]);
        compile(&[file("user/a.toml", &windows)]);
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes in vec(any::<u8>(), 0..200), pieces in vec(select(PIECES), 0..40)) {
        let text = String::from_utf8_lossy(&bytes);
        compile(&[file("user/a.toml", &text), file("sets/a.txt", &text)]);
        let text = pieces.concat();
        compile(&[file("user/a.toml", &text), file("sets/a.txt", &text), file(&text, "")]);
    }

    #[test]
    fn any_text_in_the_place_of_a_value_is_taken_or_refused(
        pieces in vec(prop_oneof![select(PIECES), select(&["remote.port", "==", "1", "'a'", " ", "in", "a.b", "10.0.0.1"][..])], 0..12),
        key in select(&["remote", "program", "when", "for", "user", "local_port", "protocol"][..]),
    ) {
        let text = pieces.concat().replace(['\n', '\r', '\'', '\u{0}'], "");
        compile(&[file("user/a.toml", &format!("[rule.r]\naction = \"ask\"\n{key} = '{text}'\n"))]);
        compile(&[file("user/a.toml", &format!("[rule.r]\naction = \"ask\"\n{key} = \"{text}\"\n"))]);
    }
}
