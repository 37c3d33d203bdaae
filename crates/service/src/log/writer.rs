//! The thread that writes, and the queue before it.
//!
//! Invariants: [`Sink::put`] never waits; what is taken from the queue is committed or counted as shed, in the order it
//! came; after an error nothing more is taken until the cause is gone, so that the queue is the only place that fills.
//! Neighbours: `turn` does the work.

use crate::clock::Clock;
use crate::log::query::Reader;
use crate::log::turn::{BATCH, Turner};
use crate::sink::{self, Made};
use control::entry::Entry;
use control::status::{self, Source};
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use jiff::Timestamp;
use rules::decision::Revision;
use rules::source::SourceFile;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long an entry waits for others before they are written.
const GATHER: Duration = Duration::from_millis(200);

/// How long the end of the service waits for entries that cannot be written.
const LINGER: Duration = Duration::from_secs(2);

/// How many notes wait for the writer; whoever has one more waits.
const NOTES: usize = 16;

/// How much the log may hold.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How many entries wait for the disk at most; beyond, they are shed and counted.
    pub queue: usize,
    /// How long entries are kept.
    pub age: Duration,
    /// How large the database becomes, in bytes, about.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue: 32_768, age: Duration::from_secs(30 * 86_400), bytes: 512 << 20 }
    }
}

/// What the writer tells, and counts.
#[derive(Debug)]
pub(super) struct Shared {
    pub shed: AtomicU64,
    pub bytes: AtomicU64,
    pub entries: AtomicU64,
    state: Mutex<Source>,
}

impl Shared {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            shed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            state: Mutex::new(Source::Fails { why: "it is being opened".into() }),
        })
    }

    pub(super) fn set_state(&self, state: Source) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(super) fn state(&self) -> Source {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Something for the writer that is no entry.
enum Note {
    /// A ruleset is in force.
    Revision(Revision, Timestamp, Vec<SourceFile>),
    /// Say when everything put so far is committed or shed.
    Flush(Sender<()>),
    /// End.
    Stop,
}

/// The log. Ends, after what waits is written, when dropped.
pub struct Log {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    entries: Sender<Arc<Entry>>,
    notes: Sender<Note>,
    shared: Arc<Shared>,
    first_id: u64,
    thread: Option<JoinHandle<()>>,
}

/// Takes entries; as many clones as threads.
#[derive(Clone, Debug)]
pub struct Sink {
    entries: Sender<Arc<Entry>>,
    shared: Arc<Shared>,
}

impl Sink {
    /// Takes `entry` without ever waiting; sheds and counts it when the queue is full.
    pub fn put(&self, entry: Arc<Entry>) {
        if self.entries.try_send(entry).is_err() {
            self.shared.shed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl sink::Sink for Sink {
    fn take(&self, made: &[Made]) {
        made.iter().filter(|made| made.log).for_each(|made| self.put(made.entry.clone()));
    }
}

impl Log {
    /// Begins to keep entries in the database `path`. Never fails: [`Log::status`] says how it does.
    pub fn start(path: PathBuf, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let (entries, taken) = bounded(limits.queue);
        let (notes, noted) = bounded(NOTES);
        let shared = Shared::new();
        let mut turner = Turner::new(path.clone(), limits, shared.clone());
        turner.turn(clock.now(), &mut Vec::new());
        let first_id = first_id(clock.now().wall, turner.highest_id());
        let worker = Worker { clock: clock.clone(), taken, noted, turner, batch: Vec::with_capacity(BATCH) };
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || worker.run());
        if let Err(error) = &thread {
            shared.set_state(Source::Fails { why: format!("its thread cannot be started: {error}").into() });
        }
        Self { path, clock, entries, notes, shared, first_id, thread: thread.ok() }
    }

    /// Where entries are put.
    pub fn sink(&self) -> Sink {
        Sink { entries: self.entries.clone(), shared: self.shared.clone() }
    }

    /// Where queries are answered.
    pub fn reader(&self) -> Reader {
        Reader::new(self.path.clone())
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number for the first decision from now on: higher than any before.
    ///
    /// It begins at the time in microseconds since 1970, so that a number is not used again either when the decisions it
    /// was given to were lost, or the log was; and is a number that JSON readers with 53 bits understand.
    pub const fn first_id(&self) -> u64 {
        self.first_id
    }

    /// Keeps the files of a ruleset that is in force from now on. Not for a thread that must not wait.
    pub fn put_revision(&self, revision: Revision, files: Vec<SourceFile>) {
        // Without a writer there is no log, and its state says so.
        let _ = self.notes.send(Note::Revision(revision, self.clock.now().wall, files));
    }

    /// How it does.
    pub fn status(&self) -> status::Log {
        status::Log {
            state: self.shared.state(),
            bytes: self.shared.bytes.load(Ordering::Relaxed),
            entries: self.shared.entries.load(Ordering::Relaxed),
        }
    }

    /// How many entries were shed since the start.
    pub fn shed(&self) -> u64 {
        self.shared.shed.load(Ordering::Relaxed)
    }

    /// Waits until everything put so far is committed or shed, at most `limit`; says whether it is.
    pub fn flush(&self, limit: Duration) -> bool {
        let (done, is_done) = bounded(1);
        self.notes.send(Note::Flush(done)).is_ok() && is_done.recv_timeout(limit).is_ok()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = self.notes.send(Note::Stop);
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// The first number at `now`, when the highest one in the log is `highest`.
fn first_id(now: Timestamp, highest: Option<i64>) -> u64 {
    let by_time = u64::try_from(now.as_microsecond()).unwrap_or(0);
    by_time.max(highest.map_or(0, |highest| highest.unsigned_abs() + 1)).max(1)
}

/// The writer thread.
struct Worker {
    clock: Arc<dyn Clock>,
    taken: Receiver<Arc<Entry>>,
    noted: Receiver<Note>,
    turner: Turner,
    /// Taken, and neither committed nor shed.
    batch: Vec<Arc<Entry>>,
}

impl Worker {
    fn run(mut self) {
        let mut flushes: Vec<(usize, Sender<()>)> = Vec::new();
        let mut stop_at = None;
        loop {
            let is_urgent = stop_at.is_some() || !flushes.is_empty();
            match self.gather(is_urgent) {
                Some(Note::Revision(revision, since, files)) => self.turner.note_revision(revision, since, files),
                Some(Note::Flush(done)) => flushes.push((self.batch.len() + self.taken.len(), done)),
                Some(Note::Stop) => stop_at = Some(Instant::now() + LINGER),
                None => {}
            }
            let settled = self.turner.turn(self.clock.now(), &mut self.batch);
            flushes.retain_mut(|(left, done)| {
                *left = left.saturating_sub(settled);
                if *left == 0 {
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
                *left > 0
            });
            let is_empty = self.batch.is_empty() && self.taken.is_empty() && !self.turner.has_more();
            if stop_at.is_some_and(|at| is_empty || Instant::now() >= at) {
                return self.turner.close();
            }
        }
    }

    /// Takes entries until there are enough for a batch, or it is time for a turn; a note ends it.
    fn gather(&mut self, is_urgent: bool) -> Option<Note> {
        if let Some(wait) = self.turner.pause(self.clock.now()) {
            // After an error. Nothing is taken, so the queue fills.
            let wait = if is_urgent { wait.min(GATHER) } else { wait };
            return self.noted.recv_timeout(wait).ok();
        }
        let until = Instant::now() + if is_urgent || self.turner.has_more() { Duration::ZERO } else { GATHER };
        while self.batch.len() < BATCH {
            match self.taken.try_recv() {
                Ok(entry) => self.batch.push(entry),
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    let wait = until.saturating_duration_since(Instant::now());
                    crossbeam_channel::select! {
                        recv(self.taken) -> entry => self.batch.extend(entry),
                        recv(self.noted) -> note => return note.ok(),
                        default(wait) => break,
                    }
                }
            }
        }
        self.noted.try_recv().ok()
    }
}
