//! What the documentation of rules says, is so: each block of rules compiles, and each block of cases is what the rules before it
//! say. What commands print is tested with the program.

use rules::cases;
use rules::format::format;
use rules::language::rule::KEYS;
use rules::ruleset::{Environment, PathStyle, Ruleset};
use rules::source::SourceFile;
use rules::when::{FUNCTIONS, VARIABLES};

/// 2027-01-01T00:00:00Z.
const NOW: i64 = 1_798_761_600;

const PAGE: &str = include_str!("../../../docs/rules.md");

/// A block of code: what follows the fence, its first line, and its text.
struct Block {
    info: String,
    line: usize,
    text: String,
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in PAGE.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some(Block { info: info.to_owned(), line: number + 2, text: String::new() }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text.push_str(&format!("{line}\n")),
            (None, None) => {}
        }
    }
    assert!(open.is_none());
    blocks
}

fn compile(path: &str, text: &str, environment: &Environment) -> Ruleset {
    let ads = blocks().into_iter().find(|block| block.info == "text file=sets/ads.txt").unwrap();
    let files = [
        SourceFile { path: path.into(), text: text.into() },
        SourceFile { path: "sets/ads.txt".into(), text: ads.text.into() },
    ];
    Ruleset::compile(&files, environment).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
}

#[test]
fn every_example_compiles_and_decides_what_the_page_says() {
    let windows = Environment {
        paths: PathStyle::Windows,
        variables: [("PROGRAMFILES".to_owned(), r"C:\Program Files".to_owned())].into(),
        ..Environment::default()
    };
    let mut ruleset = None;
    let (mut rules, mut cases_seen) = (0, 0);
    for block in blocks() {
        let is_table_of_cases = block.text.contains("[[case]]");
        match block.info.as_str() {
            "toml" | "toml file=user/mine.toml" | "toml file=second/user/a.toml" if !is_table_of_cases => {
                ruleset = Some(compile("user/a.toml", &block.text, &Environment::default()));
                rules += 1;
            }
            "toml windows" => {
                ruleset = Some(compile("user/a.toml", &block.text, &windows));
                rules += 1;
            }
            "toml" | "toml file=cases.toml" => {
                let file = SourceFile { path: "cases.toml".into(), text: block.text.clone().into() };
                let cases = cases::parse(&file).unwrap_or_else(|problems| panic!("{}: {problems:#?}", block.line));
                for outcome in cases::run(ruleset.as_ref().unwrap(), &cases, NOW) {
                    assert!(outcome.passed, "rules.md:{}: {outcome}", block.line);
                    cases_seen += 1;
                }
            }
            "toml broken=broken/user/a.toml" => {
                let files = [SourceFile { path: "user/a.toml".into(), text: block.text.into() }];
                assert!(Ruleset::compile(&files, &Environment::default()).is_err());
            }
            // The commands are run with these.
            "toml file=failing.toml" | "console" => {}
            other if other.starts_with("text file=") || other.starts_with("json file=") => {}
            other => panic!("rules.md:{}: nothing tests a block of {other:?}", block.line),
        }
    }
    assert!(rules >= 20 && cases_seen >= 25, "{rules} {cases_seen}");
}

#[test]
fn every_example_is_in_canonical_form() {
    for block in blocks().into_iter().filter(|block| block.info.starts_with("toml") && !block.info.contains("broken")) {
        if block.text.contains("[rule.") {
            assert_eq!(format(&block.text).unwrap(), block.text, "rules.md:{}", block.line);
        }
    }
}

#[test]
fn every_key_has_a_section_and_every_variable_a_row() {
    let headings: Vec<&str> =
        PAGE.lines().filter_map(|line| line.strip_prefix("### ")).flat_map(|line| line.split(", ")).collect();
    for key in KEYS {
        assert!(headings.contains(&key), "{key} has no section");
    }
    let rows: Vec<&str> = PAGE.lines().filter(|line| line.starts_with("| `") && line.contains('.')).collect();
    for (name, what) in VARIABLES {
        assert!(PAGE.contains(&format!("| `{name}` | {what} |")), "{name} has no row among {rows:#?}");
    }
    for function in FUNCTIONS {
        assert!(PAGE.contains(&format!("`{function}`")), "{function} is not named");
    }
}
