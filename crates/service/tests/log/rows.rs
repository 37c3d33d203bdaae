//! What is put is found again.

use super::made::{self, PATIENCE};
use control::filter::Filter;
use proptest::prelude::*;
use rules::decision::Revision;
use rules::source::SourceFile;
use std::collections::HashSet;
use std::sync::Arc;
use std::thread;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_entry_is_found_as_it_was_put(entries in prop::collection::vec(made::any_entry(), 1..40)) {
        let directory = tempfile::tempdir().unwrap();
        let log = made::log(&directory.path().join("log.db"));
        let mut put = entries;
        (1..).zip(&mut put).for_each(|(id, entry)| entry.id = id);
        put.iter().for_each(|entry| log.sink().put(Arc::new(entry.clone())));
        prop_assert!(log.flush(PATIENCE));
        prop_assert_eq!(log.reader().entries(&Filter::default(), None, None, 500).unwrap(), put);
    }
}

#[test]
fn entries_come_by_number_the_last_ones_or_the_first_ones_after() {
    let directory = tempfile::tempdir().unwrap();
    let log = made::log(&directory.path().join("log.db"));
    // As two threads may put them.
    for id in [2, 1, 4, 3, 6, 5, 8, 7] {
        log.sink().put(Arc::new(made::entry(id)));
    }
    assert!(log.flush(PATIENCE));
    let ids = |after, before, limit| -> Vec<u64> {
        let entries = log.reader().entries(&Filter::default(), after, before, limit).unwrap();
        entries.into_iter().map(|entry| entry.id).collect()
    };
    assert_eq!(ids(None, None, 3), [6, 7, 8]);
    assert_eq!(ids(None, Some(6), 3), [3, 4, 5]);
    assert_eq!(ids(Some(2), None, 3), [3, 4, 5]);
    assert_eq!(ids(Some(2), Some(4), 3), [3]);
    assert_eq!(ids(Some(8), None, 3), [0; 0]);
    assert_eq!(ids(None, Some(1), 3), [0; 0]);
    assert_eq!(ids(None, None, 0), [0; 0]);
    assert_eq!(log.reader().entry(5).unwrap(), Some(made::entry(5)));
    assert_eq!(log.reader().entry(9).unwrap(), None);
    assert_eq!(log.reader().entry(u64::MAX).unwrap(), None);
}

#[test]
fn what_many_entries_share_is_kept_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let log = made::log(&path);
    for id in 1..=2_000 {
        log.sink().put(Arc::new(made::entry(id)));
    }
    assert!(log.flush(PATIENCE));
    let count = |table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        rusqlite::Connection::open(&path).unwrap().query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count("connection"), count("identity"), count("reason"), count("revision")), (2_000, 50, 5, 1));
    assert_eq!(log.status().entries, 2_000);
}

#[test]
fn numbers_grow_over_restarts_and_are_not_used_again_after_a_loss() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let first = made::log(&path).first_id();
    assert_eq!(first, made::NOON as u64 * 1_000_000);
    // JSON readers with doubles take it as it is.
    assert!(first < 1 << 53);
    let log = made::log(&path);
    // Many decisions, and a clock that stands still.
    log.sink().put(Arc::new(made::entry(first + 1_000_000)));
    drop(log);
    assert_eq!(made::log(&path).first_id(), first + 1_000_001);
}

#[test]
fn the_ruleset_of_a_logged_decision_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let log = made::log(&directory.path().join("log.db"));
    let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
    let set = file("sets/many.txt", "192.0.2.1\n");
    let old = vec![file("default/a.toml", "# old"), set.clone()];
    let new = vec![file("default/a.toml", "# new"), set];
    let (first, second) = (Revision("aaaaaaaaaaaa".into()), Revision("bbbbbbbbbbbb".into()));
    log.put_revision(first.clone(), old.clone());
    log.put_revision(second.clone(), new.clone());
    log.put_revision(first.clone(), old.clone());
    assert!(log.flush(PATIENCE));
    assert_eq!(log.reader().ruleset(&first).unwrap(), Some(old));
    assert_eq!(log.reader().ruleset(&second).unwrap(), Some(new));
    assert_eq!(log.reader().ruleset(&Revision("cccccccccccc".into())).unwrap(), None);
}

#[test]
fn threads_put_at_once_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let log = made::log(&directory.path().join("log.db"));
    thread::scope(|scope| {
        for part in 0..4 {
            let sink = log.sink();
            scope.spawn(move || (1..=1_000).for_each(|id| sink.put(Arc::new(made::entry(part * 1_000 + id)))));
        }
    });
    assert!(log.flush(PATIENCE));
    let entries = log.reader().entries(&Filter::default(), None, None, 10_000).unwrap();
    assert_eq!(entries.iter().map(|entry| entry.id).collect::<HashSet<_>>().len(), 4_000);
    assert_eq!(log.shed(), 0);
}
