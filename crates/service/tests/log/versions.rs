//! A log of an earlier release becomes one of this; one of a later release, or another program's, stays as it is.

use super::made::{self, PATIENCE};
use control::entry::{Confidence, DefaultWhy, Direction, Entry, Name, Reason, Verdict};
use control::filter::Filter;
use control::status::Source;
use rules::decision::{Revision, RuleName};
use rules::facts::{Identity, Program, User};
use rules::model::Layer;
use rules::source::SourceFile;
use rusqlite::Connection;
use service::log::schema::{APPLICATION, VERSION};
use service::log::{QueryError, Reader};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// What a release with version 1 left, as text. Never edited: what it says was once written.
const V1: &str = include_str!("v1.sql");

/// What [`V1`] holds.
fn in_v1() -> Vec<Entry> {
    let identity = Identity {
        program: Program {
            path: Some(r"C:\Tools\node.exe".into()),
            sha256: Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into()),
            publisher: Some("OpenJS Foundation".into()),
            ..Program::default()
        },
        parent: Some(Arc::new(Program { path: Some(r"C:\Windows\explorer.exe".into()), ..Program::default() })),
        user: Some(User { id: "S-1-5-21-1-2-3-1001".into(), name: Some(r"DESK\ada".into()) }),
        command_line: Some("node server.js".into()),
        ..Identity::default()
    };
    let first = Entry {
        id: 1_795_435_200_000_000,
        time: "2026-11-23T12:00:00.25Z".parse().unwrap(),
        verdict: Verdict::Permit,
        reason: Reason::Rule { rule: RuleName { layer: Layer::User, id: "node".into() } },
        asked_by: None,
        revision: Revision("0123456789ab".into()),
        live: false,
        in_force: true,
        direction: Direction::Out,
        protocol: 6,
        local: "192.0.2.7:50000".parse().unwrap(),
        remote: "198.51.100.4:443".parse().unwrap(),
        name: Some(Name { text: "example.com".into(), confidence: Confidence::OwnProcess }),
        interface: Some("Ethernet".into()),
        pid: 4_242,
        start_key: u64::MAX,
        identity: Arc::new(identity),
        held_ms: 1_203,
    };
    let second = Entry {
        id: first.id + 1,
        time: "2026-11-23T12:00:01Z".parse().unwrap(),
        verdict: Verdict::Block,
        reason: Reason::Default { why: DefaultWhy::TimedOut },
        asked_by: Some(RuleName { layer: Layer::Default, id: "ask-all".into() }),
        revision: Revision("fedcba987654".into()),
        live: false,
        in_force: false,
        direction: Direction::In,
        protocol: 17,
        local: "[fe80::1%3]:5353".parse().unwrap(),
        remote: "[2001:db8::9]:5353".parse().unwrap(),
        name: None,
        interface: None,
        pid: 0,
        start_key: 0,
        identity: Arc::default(),
        held_ms: 0,
    };
    vec![first, second]
}

#[test]
fn a_log_of_version_1_is_read_and_continued() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    Connection::open(&path).unwrap().execute_batch(V1).unwrap();
    let log = made::log(&path);
    let mut expected = in_v1();
    assert_eq!(log.reader().entries(&Filter::default(), None, None, 10).unwrap(), expected);
    let files = log.reader().ruleset(&Revision("0123456789ab".into())).unwrap();
    assert_eq!(files, Some(vec![SourceFile { path: "user/node.toml".into(), text: "[rule.node]\n".into() }]));
    let entry = made::entry(log.first_id());
    assert_eq!(entry.id, expected[1].id + 1);
    log.sink().put(Arc::new(entry.clone()));
    assert!(log.flush(PATIENCE));
    expected.push(entry);
    assert_eq!(log.reader().entries(&Filter::default(), None, None, 10).unwrap(), expected);
    let version: i64 =
        Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, VERSION);
}

#[test]
fn a_new_log_has_the_tables_of_the_one_that_grew_old() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old.db"), directory.path().join("new.db"));
    Connection::open(&old).unwrap().execute_batch(V1).unwrap();
    drop((made::log(&old), made::log(&new)));
    let tables = |path: &Path| -> Vec<String> {
        let database = Connection::open(path).unwrap();
        let mut statement = database.prepare("SELECT sql FROM sqlite_schema WHERE sql NOTNULL ORDER BY name").unwrap();
        let words = |sql: String| -> String {
            let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
            lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
        };
        statement.query_map([], |row| row.get(0)).unwrap().map(|sql| words(sql.unwrap())).collect()
    };
    assert_eq!(tables(&old), tables(&new));
}

/// Asserts that the file `path` is refused with `why`, by the service and by a reader, and not touched.
fn stays(path: &Path, why: &str) {
    let before = fs::read(path).unwrap();
    let log = made::log(path);
    log.sink().put(Arc::new(made::entry(1)));
    let Source::Fails { why: said } = log.status().state else { panic!("{:?}", log.status()) };
    assert!(said.contains(why), "{said}");
    drop(log);
    assert_eq!(fs::read(path).unwrap(), before);
    let names = fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(names, 1, "nothing is beside it");
}

#[test]
fn a_log_of_a_later_release_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let database = Connection::open(&path).unwrap();
    database.execute_batch("CREATE TABLE connection (id, what)").unwrap();
    database.pragma_update(None, "application_id", APPLICATION).unwrap();
    database.pragma_update(None, "user_version", VERSION + 1).unwrap();
    drop(database);
    stays(&path, "update Tollgate");
    let read = Reader::new(path).entries(&Filter::default(), None, None, 10);
    assert!(matches!(read, Err(QueryError::Version { found }) if found == VERSION + 1));
}

#[test]
fn a_database_of_another_program_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE bookmark (url)").unwrap();
    stays(&path, "another program");
    let read = Reader::new(path).entries(&Filter::default(), None, None, 10);
    assert!(matches!(read, Err(QueryError::NotALog(_))));
}

#[test]
fn where_there_is_no_log_a_reader_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let read = Reader::new(directory.path().join("log.db")).entries(&Filter::default(), None, None, 10);
    assert!(matches!(read, Err(QueryError::Absent(_))));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "reading makes nothing");
}
