//! Sends entries continuously, on a thread of its own.
//!
//! Invariants: [`Exporter::put`] never waits; entries wait in a queue of [`QUEUE`] while the target is away, then they are
//! dropped and counted; it is tried again after [`FIRST_PAUSE`], then twice that, up to [`LONGEST_PAUSE`], for ever.
//! Neighbours: `target` opens and sends.

use crate::export::{Format, Origin, Target};
use crate::sink::{Made, Sink};
use control::entry::Entry;
use control::status::Source;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How many entries wait at most.
pub const QUEUE: usize = 8_192;

/// When the next try is after the first error.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// When at the latest the next try is.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// After how long without entries a file is closed, so that one that was moved away is begun anew.
const IDLE: Duration = Duration::from_secs(1);

/// Sends entries; ends when dropped, after one try to send what waits.
#[derive(Debug)]
pub struct Exporter {
    entries: Option<Sender<Arc<Entry>>>,
    ending: Option<Sender<()>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    dropped: AtomicU64,
    state: Mutex<Source>,
}

impl Exporter {
    /// Begins to send. Never fails: it tries again and again, and counts what it dropped meanwhile.
    pub fn start(target: Target, format: Format, origin: Origin) -> Self {
        let (entries, waiting) = bounded(QUEUE);
        let (ending, ends) = bounded(0);
        let works = Source::Works { what: target.to_string().into() };
        let shared = Arc::new(Shared { dropped: AtomicU64::new(0), state: Mutex::new(works) });
        let sender = Forwarder { target, format, origin, waiting, ends, shared: shared.clone() };
        let thread = std::thread::Builder::new().name("export".to_owned()).spawn(move || sender.run());
        if let Err(error) = &thread {
            shared.set_state(Source::Fails { why: format!("its thread cannot be started: {error}").into() });
        }
        Self { entries: Some(entries), ending: Some(ending), shared, thread: thread.ok() }
    }

    /// Takes `entry` without ever waiting.
    pub fn put(&self, entry: Arc<Entry>) {
        let is_taken = self.entries.as_ref().is_some_and(|entries| entries.try_send(entry).is_ok());
        if !is_taken {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many entries were dropped.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Whether it sends; why not, when it does not.
    pub fn state(&self) -> Source {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Sink for Exporter {
    fn take(&self, made: &[Made]) {
        made.iter().filter(|made| made.log).for_each(|made| self.put(made.entry.clone()));
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // Without senders the queue ends when it is empty, and a pause ends at once.
        self.entries = None;
        self.ending = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn set_state(&self, state: Source) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

struct Forwarder {
    target: Target,
    format: Format,
    origin: Origin,
    waiting: Receiver<Arc<Entry>>,
    /// Never holds anything; disconnected when it is time to end.
    ends: Receiver<()>,
    shared: Arc<Shared>,
}

impl Forwarder {
    fn run(self) {
        let mut pause = FIRST_PAUSE;
        // An entry that was not sent is the first to be sent again.
        let mut unsent = None;
        while let Some(line) = unsent.take().or_else(|| self.waiting.recv().ok().map(|entry| self.line(&entry))) {
            let (left, error) = match self.send_from(line, &mut pause) {
                Ok(()) => continue,
                Err(failed) => failed,
            };
            self.shared.set_state(Source::Fails { why: format!("{}: {error}", self.target).into() });
            if self.ends.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                let lost = self.waiting.len() as u64 + 1;
                self.shared.dropped.fetch_add(lost, Ordering::Relaxed);
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            unsent = Some(left);
        }
    }

    /// Sends `line` and what comes after it, until nothing came for a while; gives back the line that was not sent.
    fn send_from(&self, mut line: String, pause: &mut Duration) -> Result<(), (String, io::Error)> {
        let mut open = match self.target.open(self.format) {
            Ok(open) => open,
            Err(error) => return Err((line, error)),
        };
        loop {
            if let Err(error) = open.send(&line) {
                return Err((line, error));
            }
            if self.waiting.is_empty() {
                open.flush().map_err(|error| (line.clone(), error))?;
                *pause = FIRST_PAUSE;
                self.shared.set_state(Source::Works { what: self.target.to_string().into() });
            }
            let is_file = matches!(self.target, Target::File(_));
            let next = if is_file { self.waiting.recv_timeout(IDLE).ok() } else { self.waiting.recv().ok() };
            match next {
                Some(entry) => line = self.line(&entry),
                None => return Ok(()),
            }
        }
    }

    fn line(&self, entry: &Entry) -> String {
        self.format.line(entry, &self.origin)
    }
}
