//! `tollgate log` of a file, as it is run.

use control::entry::{Direction, Entry, Name, Reason, Verdict};
use rules::decision::{Revision, RuleName};
use rules::facts::{Identity, Program};
use rules::model::Layer;
use service::clock::SystemClock;
use service::log::{Limits, Log};
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// 2026-11-23T12:00:00Z.
const NOON: i64 = 1_795_435_200;

fn entry(id: u64) -> Entry {
    let path = if id.is_multiple_of(2) { r"C:\Tools\node.exe" } else { "/usr/bin/git" };
    let program = Program { path: Some(path.into()), ..Program::default() };
    Entry {
        id,
        time: jiff::Timestamp::from_second(NOON + id as i64).unwrap(),
        verdict: if id.is_multiple_of(3) { Verdict::Block } else { Verdict::Permit },
        reason: Reason::Rule { rule: RuleName { layer: Layer::User, id: "tools".into() } },
        asked_by: None,
        revision: Revision("0123456789ab".into()),
        live: false,
        in_force: true,
        direction: Direction::Out,
        protocol: 6,
        local: "192.0.2.1:50000".parse().unwrap(),
        remote: "198.51.100.4:443".parse().unwrap(),
        name: Some(Name { text: "example.com".into(), confidence: control::entry::Confidence::OwnProcess }),
        interface: None,
        pid: 4_242,
        start_key: 1,
        identity: Arc::new(Identity { program, ..Identity::default() }),
        held_ms: 12,
    }
}

/// A log of 700 entries.
fn log() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let limits = Limits { age: Duration::from_secs(100 * 366 * 86_400), ..Limits::default() };
    let log = Log::start(path.clone(), limits, Arc::new(SystemClock::default()));
    (1..=700).for_each(|id| log.sink().put(Arc::new(entry(id))));
    drop(log);
    (directory, path)
}

fn tollgate(db: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["log", "--db"])
        .arg(db)
        .args(args)
        .env("TZ", "UTC")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn ids(output: &Output) -> Vec<u64> {
    stdout(output).lines().map(|line| serde_json::from_str::<Entry>(line).unwrap().id).collect()
}

#[test]
fn the_last_fifty_are_shown_a_line_each() {
    let (_directory, db) = log();
    let shown = stdout(&tollgate(&db, &[]));
    assert_eq!(shown.lines().count(), 50);
    let last = shown.lines().last().unwrap();
    assert!(last.contains("permit node.exe") && last.ends_with("example.com:443         user/tools"), "{last}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn conditions_pages_and_json() {
    let (_directory, db) = log();
    assert_eq!(ids(&tollgate(&db, &["--json", "-n", "3"])), [698, 699, 700]);
    assert_eq!(ids(&tollgate(&db, &["--json", "-n", "650"])), Vec::from_iter(51..=700));
    assert_eq!(ids(&tollgate(&db, &["--json", "--all"])), Vec::from_iter(1..=700));
    let blocked = ["--format", "json", "--verdict", "block", "--program", "GIT", "-n", "2"];
    assert_eq!(ids(&tollgate(&db, &blocked)), [693, 699]);
    let ranged = ["--json", "--since", "2026-11-23T12:00:10Z", "--until", "2026-11-23T12:02:10Z"];
    assert_eq!(ids(&tollgate(&db, &ranged)), Vec::from_iter(10..130));
    assert_eq!(ids(&tollgate(&db, &["--json", "--rule", "user/other"])), [0; 0]);
}

#[test]
fn other_forms_go_into_a_file_or_to_a_socket() {
    let (directory, db) = log();
    let file = directory.path().join("out.jsonl");
    let to_file = tollgate(&db, &["--all", "--format", "ocsf", "--output", file.to_str().unwrap()]);
    assert_eq!(stdout(&to_file), "");
    let text = fs::read_to_string(file).unwrap();
    assert_eq!(text.lines().count(), 700);
    assert!(text.lines().all(|line| line.contains("\"class_uid\":4001")));
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let target = format!("udp://{}", receiver.local_addr().unwrap());
    stdout(&tollgate(&db, &["-n", "1", "--to", &target, "--facility", "daemon"]));
    let mut datagram = [0; 4_096];
    let length = receiver.recv(&mut datagram).unwrap();
    assert!(datagram[..length].starts_with(b"<30>1 2026-11-23T12:11:40.000000Z "));
}

#[test]
fn what_is_no_log_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let db = directory.path().join("log.db");
    for (contents, said) in
        [(None, "there is no log"), (Some("not a database, but text of some length"), "is not a log of Tollgate")]
    {
        contents.iter().for_each(|text| fs::write(&db, text).unwrap());
        let output = tollgate(&db, &[]);
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(said) && error.contains("help: "), "{error}");
    }
    for bad in [&["--since", "yesterday"][..], &["--to", "514"], &["--protocol", "http"], &["--facility", "mine"]] {
        assert_eq!(tollgate(&db, bad).status.code(), Some(2), "{bad:?}");
    }
}
