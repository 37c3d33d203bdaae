//! `tollgate rules` as it is run.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn tollgate(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    // The machine's own rules and service are no part of this.
    command.env_remove("TOLLGATE_RULES").env_remove("TOLLGATE_CONTROL").current_dir(folder).args(args).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap() + std::str::from_utf8(&output.stderr).unwrap()
}

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The page's commands, in order, with the files that it gives before each, print what it says.
#[cfg(not(windows))]
#[test]
fn the_documentation_shows_what_commands_print() {
    let page = include_str!("../../../docs/rules.md");
    let folder = tempfile::tempdir().unwrap();
    let mut commands = 0;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let block = block.iter().map(|line| format!("{line}\n")).collect::<String>();
        if let Some((_, path)) = info.split_once("file=").or_else(|| info.split_once("broken=")) {
            let is_rules = path.starts_with("user/") || path.starts_with("sets/");
            write(folder.path(), &if is_rules { format!("rules/{path}") } else { path.to_owned() }, &block);
        }
        if info != "console" {
            continue;
        }
        for shown in block.split("$ ").skip(1) {
            let (command, expected) = shown.split_once('\n').unwrap();
            let args: Vec<&str> = command.split(' ').skip(1).collect();
            assert_eq!(text(&tollgate(folder.path(), &args)), expected, "{command}");
            commands += 1;
        }
    }
    assert!(commands >= 10, "{commands}");
}

#[test]
fn exit_codes_and_json_tell_errors_findings_and_failed_cases_apart() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| tollgate(folder.path(), args);
    let json = |output: &Output| serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap();
    write(folder.path(), "rules/user/a.toml", "[rule.a]\naction = \"permit\"\n");
    let clean = run(&["rules", "check", "--rules", "rules", "--json"]);
    assert_eq!((clean.status.code(), &json(&clean)["findings"]), (Some(0), &serde_json::json!([])), "{}", text(&clean));

    write(folder.path(), "cases.toml", "[[case]]\nremote = \"example.org:443\"\nexpect = \"block\"\n");
    let failed = run(&["rules", "test", "--rules", "rules", "cases.toml", "--json"]);
    assert_eq!((failed.status.code(), &json(&failed)["outcomes"][0]["got"]), (Some(15), &"permit".into()));

    write(folder.path(), "rules/user/b.toml", "[rule.b]\naction = \"block\"\n");
    let found = run(&["rules", "check", "--rules", "rules", "--json"]);
    assert_eq!((found.status.code(), &json(&found)["findings"][0]["kind"]), (Some(15), &"contradictory".into()));

    let untidy = run(&["rules", "fmt", "--rules", "rules", "--check", "--json"]);
    assert_eq!((untidy.status.code(), &json(&untidy)["changed"]), (Some(0), &serde_json::json!([])));

    let explained = run(&["rules", "explain", "--rules", "rules", "--remote", "example.org:443", "--json"]);
    assert_eq!(json(&explained)["explanation"]["judgement"]["decided"]["because"]["id"], "a");

    write(folder.path(), "rules/user/b.toml", "[rule.b]\naction = \"blok\"\n");
    let bad = run(&["rules", "check", "--rules", "rules", "--json"]);
    assert_eq!((bad.status.code(), &json(&bad)["problems"][0]["line"]), (Some(14), &2.into()));
    let before = fs::read_to_string(folder.path().join("rules/user/b.toml")).unwrap();
    write(folder.path(), "hosts", "0.0.0.0 ads.example\n");
    let refused = run(&["rules", "import", "hosts", "--rules", "rules", "--write"]);
    assert_eq!(refused.status.code(), Some(14), "nothing is written beside rules with errors");
    assert!(!folder.path().join("rules/sets").exists());
    assert_eq!(fs::read_to_string(folder.path().join("rules/user/b.toml")).unwrap(), before);
}

#[test]
fn a_file_that_is_there_is_replaced_only_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let run = |more: &[&str]| {
        let args = [&["rules", "import", "hosts", "--name", "ads", "--rules", "rules", "--write"], more].concat();
        tollgate(folder.path(), &args).status.code()
    };
    write(folder.path(), "hosts", "0.0.0.0 ads.example\n");
    assert_eq!(run(&[]), Some(0));
    write(folder.path(), "hosts", "0.0.0.0 other.example\n");
    assert_eq!(run(&[]), Some(1));
    assert_eq!(fs::read_to_string(folder.path().join("rules/sets/ads.txt")).unwrap(), "ads.example\n");
    assert_eq!(run(&["--force"]), Some(0));
    assert_eq!(fs::read_to_string(folder.path().join("rules/sets/ads.txt")).unwrap(), "other.example\n");
}

#[test]
fn what_needs_the_service_says_where_it_is_not() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        &["rules", "proposals"][..],
        &["rules", "adopt", "x"],
        &["rules", "drop", "x"],
        &["rules", "reload"],
        &["rules", "explain", "--entry", "1"],
        &["rules", "show", "--in-force"],
    ] {
        let nowhere =
            [args, &["--control", if cfg!(windows) { r"\\.\pipe\Tollgate.Nowhere" } else { "./nowhere" }]].concat();
        let output = tollgate(folder.path(), &nowhere);
        assert_eq!(output.status.code(), Some(13), "{args:?}: {}", text(&output));
    }
}

#[test]
fn help_has_examples() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["check", "explain", "test", "fmt", "diff", "import", "show"] {
        let help = text(&tollgate(folder.path(), &["rules", command, "--help"]));
        assert!(help.contains("Examples:\n  tollgate rules"), "{help}");
    }
}
