//! The example rulesets compile, are clean, are in canonical form, and do what their cases say.

use rules::cases;
use rules::check::check;
use rules::format::format;
use rules::ruleset::{Environment, Ruleset};
use rules::source::SourceFile;
use std::fs;
use std::path::{Path, PathBuf};

/// 2027-01-01T00:00:00Z.
const NOW: i64 = 1_798_761_600;

fn folder(example: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example)
}

fn environment() -> Environment {
    Environment { resolver: Some("/usr/lib/systemd/systemd-resolved".to_owned()), ..Environment::default() }
}

fn files(example: &str) -> Vec<SourceFile> {
    let mut files = Vec::new();
    for layer in fs::read_dir(folder(example).join("rules")).unwrap() {
        let layer = layer.unwrap();
        for file in fs::read_dir(layer.path()).unwrap() {
            let file = file.unwrap();
            let path = format!("{}/{}", layer.file_name().display(), file.file_name().display());
            files.push(SourceFile { path: path.into(), text: fs::read_to_string(file.path()).unwrap().into() });
        }
    }
    files
}

fn is_as_promised(example: &str) {
    let files = files(example);
    let ruleset = Ruleset::compile(&files, &environment()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let findings: Vec<String> = check(&ruleset, &environment(), NOW).iter().map(ToString::to_string).collect();
    assert_eq!(findings, [""; 0]);
    for file in files.iter().filter(|file| file.path.ends_with(".toml")) {
        assert_eq!(&*file.text, format(&file.text).unwrap(), "{}", file.path);
    }
    let text = fs::read_to_string(folder(example).join("cases.toml")).unwrap();
    let cases = cases::parse(&SourceFile { path: "cases.toml".into(), text: text.into() });
    let cases = cases.unwrap_or_else(|problems| panic!("{problems:#?}"));
    let outcomes = cases::run(&ruleset, &cases, NOW);
    let failed: Vec<String> = outcomes.iter().filter(|outcome| !outcome.passed).map(ToString::to_string).collect();
    assert_eq!(failed, [""; 0]);
    assert!(outcomes.len() >= 8, "{}", outcomes.len());
}

#[test]
fn a_laptop_asks_about_the_unknown() {
    is_as_promised("laptop");
}

#[test]
fn a_server_begins_little_by_itself() {
    is_as_promised("server");
}

#[test]
fn a_locked_down_machine_does_what_its_list_says() {
    is_as_promised("lockdown");
}
