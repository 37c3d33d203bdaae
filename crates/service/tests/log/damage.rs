//! A damaged file is a clear error, never a panic, and kept.

use super::made::{self, PATIENCE, until};
use control::filter::Filter;
use control::status::Source;
use proptest::prelude::*;
use rules::decision::Revision;
use service::log::{Log, Reader};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// A sound log.
static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let log = made::log(&path);
    log.put_revision(made::entry(1).revision, Vec::new());
    (1..=300).for_each(|id| log.sink().put(Arc::new(made::entry(id))));
    drop(log);
    fs::read(path).unwrap()
});

fn aside(directory: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    files.filter(|file| file.to_string_lossy().contains(".corrupt-")).collect()
}

fn works(log: &Log) -> bool {
    matches!(log.status().state, Source::Works { .. })
}

#[derive(Clone, Debug)]
enum Harm {
    Flip(prop::sample::Index, u8),
    Zero(prop::sample::Index, usize),
    Cut(prop::sample::Index),
    Grow(Vec<u8>),
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        8 => (any::<prop::sample::Index>(), 1..=255_u8).prop_map(|(at, bits)| Harm::Flip(at, bits)),
        2 => (any::<prop::sample::Index>(), 1..5_000_usize).prop_map(|(at, bytes)| Harm::Zero(at, bytes)),
        1 => any::<prop::sample::Index>().prop_map(Harm::Cut),
        1 => prop::collection::vec(any::<u8>(), 1..100).prop_map(Harm::Grow),
    ]
}

fn harmed(harms: &[Harm], header: bool) -> Vec<u8> {
    let mut bytes = SOUND.clone();
    for harm in harms {
        if bytes.is_empty() {
            break;
        }
        // The header and the schema are on the first page; most of the file is not.
        let within = if header { bytes.len().min(4_096) } else { bytes.len() };
        match harm {
            Harm::Flip(at, bits) => bytes[at.index(within)] ^= bits,
            Harm::Zero(at, count) => bytes.iter_mut().skip(at.index(within)).take(*count).for_each(|byte| *byte = 0),
            Harm::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Harm::Grow(more) => bytes.extend(more),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_log_is_read_or_refused_and_written_or_set_aside(
        harms in prop::collection::vec(harm(), 1..12),
        header in any::<bool>(),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.db");
        let bytes = harmed(&harms, header);
        fs::write(&path, &bytes).unwrap();
        let reader = Reader::new(path.clone());
        let mut errors = Vec::new();
        errors.extend(reader.entries(&Filter::default(), None, None, 500).err());
        let filter = Filter { remote: Some("host".into()), rule: Some("user/rule-1".into()), ..Filter::default() };
        errors.extend(reader.entries(&filter, Some(3), Some(900), 500).err());
        let times = Filter { since: Some(jiff::Timestamp::UNIX_EPOCH), ..Filter::default() };
        errors.extend(reader.entries(&times, None, None, 500).err());
        errors.extend(reader.ruleset(&Revision("0123456789ab".into())).err());
        errors.iter().for_each(|error| assert!(!error.to_string().is_empty()));

        let log = made::log(&path);
        log.sink().put(Arc::new(made::entry(log.first_id())));
        // Some damage makes it a file that is not ours to touch; some is seen only by who reads there.
        until("it is written, or refused", || log.flush(PATIENCE / 100) || !works(&log));
        let state = log.status().state;
        prop_assert!(
            matches!(&state, Source::Works { .. })
                || matches!(&state, Source::Fails { why } if !why.is_empty()),
            "{state:?}"
        );
    }
}

#[test]
fn what_is_no_database_is_set_aside_and_a_new_one_begun() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let text = "what once was a log\n".repeat(500);
    fs::write(&path, &text).unwrap();
    let log = made::log(&path);
    assert!(matches!(log.status().state, Source::Fails { why } if why.contains("kept as")));
    log.sink().put(Arc::new(made::entry(1)));
    assert!(log.flush(PATIENCE));
    assert_eq!(log.reader().entries(&Filter::default(), None, None, 10).unwrap(), [made::entry(1)]);
    let aside = aside(directory.path());
    assert_eq!(aside.len(), 1);
    assert_eq!(fs::read_to_string(&aside[0]).unwrap(), text);
    let name = aside[0].file_name().unwrap().to_str().unwrap();
    assert_eq!(name, "log.db.corrupt-20261123T120000.000Z");
}

#[test]
fn a_page_that_is_damaged_while_it_runs_ends_up_aside_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let mut bytes = SOUND.clone();
    bytes[4_096..].fill(0xab);
    fs::write(&path, &bytes).unwrap();
    let log = made::log(&path);
    log.sink().put(Arc::new(made::entry(1)));
    assert!(log.flush(PATIENCE));
    until("it works", || works(&log));
    assert_eq!(log.reader().entries(&Filter::default(), None, None, 10).unwrap(), [made::entry(1)]);
    assert_eq!(fs::read(&aside(directory.path())[0]).unwrap(), bytes);
}

#[test]
fn only_the_newest_damaged_files_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    for second in 0..5 {
        fs::write(&path, "no database, but long enough to be looked at as if it were one").unwrap();
        let log = Log::start(path.clone(), made::limits(), made::Wall::at(made::NOON + second));
        assert!(log.flush(PATIENCE));
        until("it works", || works(&log));
        drop(log);
        fs::remove_file(&path).unwrap();
    }
    let mut names: Vec<_> = aside(directory.path());
    names.sort();
    assert_eq!(names.len(), 3);
    assert!(names[0].to_string_lossy().ends_with("120002.000Z"), "{names:?}");
}

#[test]
fn an_empty_file_becomes_a_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    fs::write(&path, "").unwrap();
    assert!(works(&made::log(&path)));
    assert!(aside(directory.path()).is_empty());
}
