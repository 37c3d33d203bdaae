//! Committed rows survive the end of the process at any moment.

use super::made;
use control::filter::Filter;
use proptest::test_runner::{Config, TestRunner};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Where the writing process writes.
const PATH: &str = "TOLLGATE_TEST_LOG";

/// How often the process is killed.
const KILLS: u32 = 12;

#[test]
fn killed_at_any_moment_it_keeps_every_committed_row_and_no_hole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let mut committed = 0;
    let mut runner = TestRunner::deterministic();
    let _: &Config = runner.config();
    for _ in 0..KILLS {
        let mut child = writing(&path);
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut next = || told.find_map(|line| line.strip_prefix("committed ").map(|id| id.parse().unwrap()));
        committed = next().unwrap_or(committed);
        // Not to wait for something: to be somewhere else each time.
        thread::sleep(Duration::from_micros(rand_micros(&mut runner)));
        child.kill().unwrap();
        child.wait().unwrap();
        committed = std::iter::from_fn(next).last().unwrap_or(committed);
        look(&path, committed);
    }
}

fn rand_micros(runner: &mut TestRunner) -> u64 {
    use proptest::strategy::{Strategy, ValueTree};
    (0..60_000_u64).new_tree(runner).unwrap().current()
}

fn look(path: &Path, committed: u64) {
    let first = made::NOON as u64 * 1_000_000;
    let database = rusqlite::Connection::open(path).unwrap();
    let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let (lowest, highest, rows): (u64, u64, u64) = database
        .query_row("SELECT min(id), max(id), count(*) FROM connection", [], |row| {
            Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64))
        })
        .unwrap();
    assert_eq!(lowest, first);
    assert!(highest >= committed, "row {committed} was committed, and the last one is {highest}");
    assert_eq!(rows, highest - first + 1, "a hole, or a number twice");
    let total: i64 = database.query_row("SELECT entries FROM total", [], |row| row.get(0)).unwrap();
    assert_eq!(total as u64, rows);
    drop(database);
    let entries = service::log::Reader::new(path.to_path_buf()).entries(&Filter::default(), None, None, 100).unwrap();
    for entry in entries {
        assert_eq!(entry, made::entry(entry.id));
    }
}

/// This program again, as the writing process.
fn writing(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "log::crash::writes_until_it_is_killed", "--ignored", "--nocapture"])
        .env(PATH, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "it is the process that another test kills"]
fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let log = made::log(path.as_ref());
    let mut id = log.first_id();
    loop {
        for _ in 0..300 {
            log.sink().put(Arc::new(made::entry(id)));
            id += 1;
        }
        assert!(log.flush(made::PATIENCE));
        println!("\ncommitted {}", id - 1);
    }
}
