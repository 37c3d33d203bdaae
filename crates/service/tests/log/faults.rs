//! Decisions go on, and writing resumes by itself.

use super::made::{self, PATIENCE, until};
use control::filter::Filter;
use control::status::Source;
use rusqlite::Connection;
use service::log::{Limits, Log};
use std::fs;
use std::path::Path;
use std::sync::Arc;

fn works(log: &Log) -> bool {
    matches!(log.status().state, Source::Works { .. })
}

fn fails(log: &Log, with: &str) -> bool {
    matches!(log.status().state, Source::Fails { why } if why.contains(with))
}

fn ids(log: &Log) -> Vec<u64> {
    let entries = log.reader().entries(&Filter::default(), None, None, 100_000).unwrap();
    entries.into_iter().map(|entry| entry.id).collect()
}

/// A second program that has the database for itself.
fn locked(path: &Path) -> Connection {
    let other = Connection::open(path).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

#[test]
fn while_another_program_has_it_locked_entries_wait() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let log = made::log(&path);
    assert!(works(&log));
    let other = locked(&path);
    (1..=50).for_each(|id| log.sink().put(Arc::new(made::entry(id))));
    until("it says that it is locked", || fails(&log, "locked"));
    assert_eq!(ids(&log), [0; 0], "readers are not locked out");
    other.execute_batch("ROLLBACK").unwrap();
    assert!(log.flush(PATIENCE));
    assert_eq!(ids(&log), Vec::from_iter(1..=50));
    until("it says that it works", || works(&log));
    assert_eq!(log.shed(), 0);
}

#[test]
fn what_the_queue_has_no_room_for_is_shed_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let limits = Limits { queue: 100, ..made::limits() };
    let log = Log::start(path.clone(), limits, made::Wall::at(made::NOON));
    let other = locked(&path);
    (1..=10_000).for_each(|id| log.sink().put(Arc::new(made::entry(id))));
    let shed = log.shed();
    // A batch may be in the hands of the writer, and the queue be full again.
    assert!((8_000..=9_900).contains(&shed), "{shed}");
    other.execute_batch("ROLLBACK").unwrap();
    assert!(log.flush(PATIENCE));
    assert_eq!(ids(&log).len() as u64 + shed, 10_000);
    assert_eq!(log.shed(), shed);
}

#[test]
fn it_is_locked_from_the_start_and_begins_when_it_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    drop(made::log(&path));
    let other = locked(&path);
    other
        .execute_batch("ROLLBACK; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; DELETE FROM total; ROLLBACK")
        .unwrap();
    let log = made::log(&path);
    assert!(fails(&log, "locked"), "{:?}", log.status());
    log.sink().put(Arc::new(made::entry(1)));
    drop(other);
    assert!(log.flush(PATIENCE));
    assert_eq!(ids(&log), [1]);
}

#[test]
fn a_directory_that_cannot_be_made_is_made_later() {
    let directory = tempfile::tempdir().unwrap();
    let in_the_way = directory.path().join("state");
    fs::write(&in_the_way, "a file").unwrap();
    let log = made::log(&in_the_way.join("log.db"));
    assert!(fails(&log, "state"), "{:?}", log.status());
    log.sink().put(Arc::new(made::entry(1)));
    log.put_revision(made::entry(1).revision, Vec::new());
    fs::remove_file(&in_the_way).unwrap();
    assert!(log.flush(PATIENCE));
    assert_eq!(ids(&log), [1]);
    assert_eq!(log.reader().ruleset(&made::entry(1).revision).unwrap(), Some(Vec::new()));
}

#[cfg(unix)] // Elsewhere an open file cannot be removed.
#[test]
fn the_directory_is_removed_while_it_runs() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let log = made::log(&state.join("log.db"));
    log.put_revision(made::entry(1).revision, Vec::new());
    log.sink().put(Arc::new(made::entry(1)));
    assert!(log.flush(PATIENCE));
    fs::remove_dir_all(&state).unwrap();
    log.sink().put(Arc::new(made::entry(2)));
    assert!(log.flush(PATIENCE));
    assert_eq!(ids(&log), [2]);
    assert_eq!(log.reader().ruleset(&made::entry(1).revision).unwrap(), Some(Vec::new()), "still in force");
    assert!(works(&log));
}

#[cfg(unix)]
#[test]
fn another_file_takes_its_place_while_it_runs() {
    let directory = tempfile::tempdir().unwrap();
    let (path, other) = (directory.path().join("log.db"), directory.path().join("other.db"));
    let log = made::log(&path);
    log.sink().put(Arc::new(made::entry(1)));
    assert!(log.flush(PATIENCE));
    drop(made::log(&other));
    fs::rename(&other, &path).unwrap();
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(directory.path().join(format!("log.db{suffix}"))).unwrap();
    }
    log.sink().put(Arc::new(made::entry(2)));
    assert!(log.flush(PATIENCE));
    assert_eq!(ids(&log), [2]);
}

#[test]
fn what_waits_is_written_before_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let log = made::log(&path);
    let sink = log.sink();
    (1..=5_000).for_each(|id| sink.put(Arc::new(made::entry(id))));
    drop(log);
    assert_eq!(ids(&made::log(&path)).len(), 5_000);
    // Whoever still has a sink sheds.
    sink.put(Arc::new(made::entry(5_001)));
}
