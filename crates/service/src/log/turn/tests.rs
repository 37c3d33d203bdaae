use super::*;
use control::entry::{Direction, Reason, Verdict};
use control::filter::Filter;
use rules::decision::RuleName;
use rules::facts::{Identity, Program};
use rules::model::Layer;
use std::net::SocketAddr;
use tempfile::TempDir;

const DAY: u64 = 86_400;

/// 2026-11-23T12:00:00Z.
const NOON: i64 = 1_795_435_200;

/// A turner in a directory of its own, by clocks that a test turns.
struct Bench {
    directory: TempDir,
    shared: Arc<Shared>,
    turner: Turner,
    now: Now,
}

impl Bench {
    fn new(age: Duration, bytes: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let shared = Shared::new();
        let limits = Limits { queue: 1, age, bytes };
        let turner = Turner::new(directory.path().join("log.db"), limits, shared.clone());
        let wall = Timestamp::from_second(NOON).unwrap();
        Self { directory, shared, turner, now: Now { monotonic: Duration::from_secs(5), wall } }
    }

    /// Lets time go by, for both clocks.
    fn pass(&mut self, time: Duration) {
        self.now = Now { monotonic: self.now.monotonic + time, wall: self.now.wall + time };
    }

    /// Writes entries made now.
    fn write(&mut self, ids: impl IntoIterator<Item = u64>) -> usize {
        let mut batch: Vec<_> = ids.into_iter().map(|id| Arc::new(entry(id, self.now.wall))).collect();
        self.turner.turn(self.now, &mut batch)
    }

    /// Turns until nothing is left to be done, and a second more.
    fn settle(&mut self) {
        self.pass(LOOK);
        for _ in 0..1_000 {
            self.turner.turn(self.now, &mut Vec::new());
            if !self.turner.has_more() {
                return;
            }
        }
        panic!("there is always more to do");
    }

    fn database(&self) -> &rusqlite::Connection {
        &self.turner.store.as_ref().unwrap().connection
    }

    fn count(&self, table: &str) -> i64 {
        self.database().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    fn ids(&self) -> Vec<u64> {
        let reader = crate::log::Reader::new(self.directory.path().join("log.db"));
        let entries = reader.entries(&Filter::default(), None, None, 1_000_000).unwrap();
        entries.into_iter().map(|entry| entry.id).collect()
    }

    fn why(&self) -> String {
        match self.shared.state() {
            Source::Fails { why } => why.to_string(),
            state => panic!("{state:?}"),
        }
    }

    fn works(&self) -> bool {
        matches!(self.shared.state(), Source::Works { .. })
    }
}

fn entry(id: u64, time: Timestamp) -> Entry {
    let program = Program { path: Some(format!("/usr/bin/{}", id / 100).into()), ..Program::default() };
    Entry {
        id,
        time,
        verdict: Verdict::Permit,
        reason: Reason::Rule { rule: RuleName { layer: Layer::User, id: format!("rule-{}", id / 100).into() } },
        asked_by: None,
        revision: Revision(format!("revision-{}", id / 1_000).into()),
        live: false,
        in_force: true,
        direction: Direction::Out,
        protocol: 6,
        local: SocketAddr::from(([192, 0, 2, 1], 50_000)),
        remote: SocketAddr::from(([192, 0, 2, 2], 443)),
        name: None,
        interface: None,
        pid: 1,
        start_key: 1,
        identity: Arc::new(Identity { program, ..Identity::default() }),
        held_ms: 0,
    }
}

fn files(text: &str) -> Vec<SourceFile> {
    vec![SourceFile { path: "user/a.toml".into(), text: text.into() }]
}

#[test]
fn while_the_disk_is_full_entries_stay_in_hand_and_are_written_when_it_is_not() {
    let mut bench = Bench::new(Duration::from_secs(DAY), u64::MAX);
    assert_eq!(bench.write(1..=10), 10);
    let full = |bench: &Bench, pages: i64| bench.database().pragma_update(None, "max_page_count", pages).unwrap();
    full(&bench, 1);
    let mut batch: Vec<_> = (11..=900).map(|id| Arc::new(entry(id, bench.now.wall))).collect();
    assert_eq!(bench.turner.turn(bench.now, &mut batch), 0);
    assert!(bench.why().contains("full"), "{}", bench.why());
    assert_eq!(batch.len(), 890);
    assert_eq!(bench.ids().len(), 10);
    full(&bench, 1 << 20);
    // Not at once.
    assert_eq!(bench.turner.turn(bench.now, &mut batch), 0);
    bench.pass(FIRST_PAUSE);
    assert_eq!(bench.turner.turn(bench.now, &mut batch), 890);
    assert!(bench.works());
    assert_eq!(bench.ids(), Vec::from_iter(1..=900));
    assert_eq!(bench.shared.shed.load(Ordering::Relaxed), 0);
}

#[test]
fn a_database_that_became_read_only_is_opened_anew() {
    let mut bench = Bench::new(Duration::from_secs(DAY), u64::MAX);
    bench.write([1]);
    bench.database().pragma_update(None, "query_only", true).unwrap();
    assert_eq!(bench.write([2]), 0);
    assert!(bench.why().contains("readonly"), "{}", bench.why());
    bench.pass(FIRST_PAUSE);
    assert_eq!(bench.write([2]), 1);
    assert_eq!(bench.ids(), [1, 2]);
}

#[test]
fn the_pause_after_an_error_doubles_up_to_its_limit_and_begins_anew_after_success() {
    let mut bench = Bench::new(Duration::from_secs(DAY), u64::MAX);
    let path = bench.directory.path().join("log.db");
    std::fs::create_dir(&path).unwrap();
    let mut pauses = Vec::new();
    for _ in 0..10 {
        bench.turner.turn(bench.now, &mut Vec::new());
        let pause = bench.turner.pause(bench.now).unwrap();
        pauses.push(pause);
        bench.pass(pause);
    }
    assert_eq!(pauses[..3], [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4]);
    assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
    std::fs::remove_dir(&path).unwrap();
    assert_eq!(bench.write([1]), 1);
    assert!(bench.turner.pause(bench.now).is_none());
    bench.database().pragma_update(None, "query_only", true).unwrap();
    bench.write([2]);
    assert_eq!(bench.turner.pause(bench.now), Some(FIRST_PAUSE));
}

#[test]
fn an_entry_whose_number_is_taken_is_shed_and_the_rest_is_written() {
    let mut bench = Bench::new(Duration::from_secs(DAY), u64::MAX);
    assert_eq!(bench.write([1, 2]), 2);
    assert_eq!(bench.write([2, u64::MAX, 3]), 3);
    assert_eq!(bench.ids(), [1, 2, 3]);
    assert_eq!(bench.shared.shed.load(Ordering::Relaxed), 2);
    assert_eq!(bench.turner.store.as_ref().unwrap().entries().unwrap(), 3);
}

#[test]
fn entries_go_when_they_are_too_old_and_what_they_shared_with_them() {
    let mut bench = Bench::new(Duration::from_secs(10 * DAY), u64::MAX);
    bench.turner.note_revision(Revision("revision-0".into()), bench.now.wall, files("# 0"));
    for thousand in 0..10 {
        bench.write(thousand * 1_000..(thousand + 1) * 1_000);
    }
    bench.turner.note_revision(Revision("in-force".into()), bench.now.wall, files("# 1"));
    for _ in 0..9 {
        bench.pass(Duration::from_secs(DAY));
        bench.write([]);
    }
    bench.write(10_000..10_100);
    bench.settle();
    assert_eq!(bench.ids().len(), 10_100);
    bench.pass(Duration::from_secs(DAY));
    bench.settle();
    assert_eq!(bench.ids(), Vec::from_iter(10_000..10_100));
    assert_eq!(bench.shared.entries.load(Ordering::Relaxed), 100);
    bench.pass(LOOK_SHARED);
    bench.settle();
    assert_eq!((bench.count("identity"), bench.count("reason")), (1, 1));
    // Of the one entry, and the one in force; the files of the latter.
    assert_eq!((bench.count("revision"), bench.count("revision_file"), bench.count("source")), (2, 1, 1));
    // What was remembered of them is forgotten: the next entry brings its own again.
    bench.write([1]);
    assert_eq!(bench.ids()[0], 1);
}

#[test]
fn a_database_that_is_too_large_loses_its_oldest_entries_and_shrinks() {
    let limit = 400_000;
    let mut bench = Bench::new(Duration::from_secs(10 * DAY), limit);
    for thousand in 0..20 {
        bench.write(thousand * 1_000..(thousand + 1) * 1_000);
        let bytes = bench.shared.bytes.load(Ordering::Relaxed);
        // A batch and a step may be in between.
        assert!(bytes < 2 * limit, "{bytes}");
    }
    bench.settle();
    for _ in 0..20 {
        bench.settle();
    }
    let ids = bench.ids();
    assert_eq!(ids.last(), Some(&19_999));
    assert_eq!(ids, Vec::from_iter(ids[0]..20_000), "the oldest went");
    assert!(ids.len() > 200, "{}", ids.len());
    assert!(bench.shared.bytes.load(Ordering::Relaxed) <= limit);
    bench.database().pragma(None, "wal_checkpoint", "TRUNCATE", |_| Ok(())).unwrap();
    assert!(std::fs::metadata(bench.directory.path().join("log.db")).unwrap().len() <= limit);
}

#[test]
fn one_step_removes_a_bounded_number_of_entries() {
    let mut bench = Bench::new(Duration::from_secs(DAY), u64::MAX);
    for thousand in 0..10 {
        bench.write(thousand * 1_000..(thousand + 1) * 1_000);
    }
    bench.pass(Duration::from_secs(DAY + 1));
    bench.write([]);
    assert_eq!(bench.ids().len(), 6_000);
    assert!(bench.turner.has_more());
    bench.write([]);
    bench.write([]);
    assert_eq!(bench.ids().len(), 0);
}

#[test]
fn a_clock_that_jumps_ahead_for_a_moment_removes_nothing() {
    let mut bench = Bench::new(Duration::from_secs(10 * DAY), u64::MAX);
    bench.write(1..=100);
    let right = bench.now;
    bench.now.wall += Duration::from_secs(5_000 * DAY);
    bench.write(101..=200);
    for _ in 0..59 {
        bench.pass(Duration::from_secs(60));
        bench.settle();
    }
    assert_eq!(bench.ids().len(), 200);
    let passed = bench.now.monotonic - right.monotonic;
    bench.now.wall = right.wall + passed;
    bench.settle();
    assert_eq!(bench.ids(), Vec::from_iter(1..=200), "in the order they were made");
}

#[test]
fn a_clock_that_stays_ahead_is_believed_in_the_end() {
    let mut bench = Bench::new(Duration::from_secs(10 * DAY), u64::MAX);
    bench.write(1..=100);
    bench.now.wall += Duration::from_secs(5_000 * DAY);
    for _ in 0..62 {
        bench.settle();
        bench.pass(Duration::from_secs(60));
    }
    bench.settle();
    assert_eq!(bench.ids(), [0; 0]);
}

#[test]
fn a_clock_that_is_ahead_when_the_service_starts_must_prove_itself_too() {
    let mut bench = Bench::new(Duration::from_secs(10 * DAY), u64::MAX);
    bench.write(1..=100);
    let path = bench.directory.path().join("log.db");
    bench.turner = Turner::new(path, bench.turner.limits.clone(), bench.shared.clone());
    bench.now.wall += Duration::from_secs(5_000 * DAY);
    bench.write([101]);
    bench.settle();
    assert_eq!(bench.ids().len(), 101);
}

#[test]
fn a_clock_that_goes_back_removes_nothing() {
    let mut bench = Bench::new(Duration::from_secs(10 * DAY), u64::MAX);
    bench.write(1..=100);
    bench.now.wall -= Duration::from_secs(5_000 * DAY);
    bench.settle();
    assert_eq!(bench.ids().len(), 100);
}
