//! One turn of the writer: be open, write what waits, forget what is old.
//!
//! Invariants: no thread, no queue and no clock, so that every fault can be played; after an error the next try is
//! [`FIRST_PAUSE`] later, then twice that, up to [`LONGEST_PAUSE`]. Neighbours: `writer` calls it, `store` does it.

use crate::clock::Now;
use crate::log::retention::{Believed, Keep};
use crate::log::store::{Remedy, Store, StoreError, set_aside};
use crate::log::writer::{Limits, Shared};
use control::entry::Entry;
use control::status::Source;
use jiff::{SignedDuration, Timestamp};
use rules::decision::Revision;
use rules::source::SourceFile;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many entries one transaction holds at most.
pub const BATCH: usize = 1_000;

/// When the next try is after the first error.
pub const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// When at the latest the next try is.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often it is looked for old entries while none are found.
const LOOK: Duration = Duration::from_secs(1);

/// How often it is looked for what no entry names any more.
const LOOK_SHARED: Duration = Duration::from_secs(60);

/// How many rulesets wait for the database; older ones are dropped.
const REVISIONS: usize = 8;

/// Does the turns.
pub(super) struct Turner {
    path: PathBuf,
    limits: Limits,
    shared: Arc<Shared>,
    store: Option<Store>,
    believed: Believed,
    /// After an error: when to try again, and the pause before that.
    pause: Option<(Duration, Duration)>,
    /// Rulesets not in the database yet, and the one in force, last. It is kept for a database that is begun anew.
    revisions: VecDeque<(Revision, Timestamp, Vec<SourceFile>)>,
    is_revision_due: bool,
    look_at: Duration,
    look_shared_at: Duration,
    has_more: bool,
    highest_id: Option<i64>,
}

impl Turner {
    pub(super) fn new(path: PathBuf, limits: Limits, shared: Arc<Shared>) -> Self {
        Self {
            path,
            limits,
            shared,
            store: None,
            believed: Believed::default(),
            pause: None,
            revisions: VecDeque::new(),
            is_revision_due: false,
            look_at: Duration::ZERO,
            look_shared_at: Duration::ZERO,
            has_more: false,
            highest_id: None,
        }
    }

    /// The highest number found when the database was opened.
    pub(super) const fn highest_id(&self) -> Option<i64> {
        self.highest_id
    }

    /// Whether there is more to do at once.
    pub(super) const fn has_more(&self) -> bool {
        self.has_more
    }

    /// After an error: how long to wait yet.
    pub(super) fn pause(&self, now: Now) -> Option<Duration> {
        self.pause.map(|(until, _)| until.saturating_sub(now.monotonic)).filter(|wait| !wait.is_zero())
    }

    /// A ruleset is in force since `since`.
    pub(super) fn note_revision(&mut self, revision: Revision, since: Timestamp, files: Vec<SourceFile>) {
        self.revisions.push_back((revision, since, files));
        if self.revisions.len() > REVISIONS {
            self.revisions.pop_front();
        }
        self.is_revision_due = true;
    }

    /// Does what is due, unless an error was a moment ago. Takes from `batch` what is committed or shed, and says how many
    /// that were.
    pub(super) fn turn(&mut self, now: Now, batch: &mut Vec<Arc<Entry>>) -> usize {
        if self.pause(now).is_some() {
            return 0;
        }
        let waiting = batch.len();
        match self.work(now, batch) {
            Ok(()) => {
                if self.pause.take().is_some() || waiting == 0 {
                    self.shared.set_state(Source::Works { what: self.path.display().to_string().into() });
                }
            }
            Err(error) => self.fail(now, &error),
        }
        waiting - batch.len()
    }

    /// Ends with everything in the one file.
    pub(super) fn close(self) {
        self.store.into_iter().for_each(Store::close);
    }

    fn work(&mut self, now: Now, batch: &mut Vec<Arc<Entry>>) -> Result<(), StoreError> {
        if self.store.is_none() {
            self.open(now)?;
        }
        let Some(store) = &mut self.store else { return Ok(()) };
        store.stands()?;
        if self.is_revision_due {
            for (revision, since, files) in &self.revisions {
                store.put_revision(revision, *since, files)?;
            }
            self.revisions.drain(..self.revisions.len().saturating_sub(1));
            self.is_revision_due = false;
        }
        if !batch.is_empty() {
            let written = store.write(batch)?;
            batch.clear();
            self.shared.shed.fetch_add(written.refused, Ordering::Relaxed);
            self.shared.entries.fetch_add(written.rows, Ordering::Relaxed);
        }
        self.forget(now)
    }

    fn open(&mut self, now: Now) -> Result<(), StoreError> {
        let store = Store::open(&self.path)?;
        if let Some((id, time)) = store.newest()? {
            self.highest_id = Some(id);
            self.believed.begin(Timestamp::from_nanosecond(time.into()).unwrap_or(now.wall), now);
        }
        self.shared.entries.store(store.entries()?, Ordering::Relaxed);
        self.is_revision_due = !self.revisions.is_empty();
        self.look_at = now.monotonic;
        self.store = Some(store);
        Ok(())
    }

    fn forget(&mut self, now: Now) -> Result<(), StoreError> {
        let Some(store) = &mut self.store else { return Ok(()) };
        if now.monotonic < self.look_at && !self.has_more {
            return Ok(());
        }
        let age = SignedDuration::try_from(self.limits.age).unwrap_or(SignedDuration::MAX);
        let keep = Keep {
            from: self.believed.time(now).saturating_sub(age).unwrap_or(Timestamp::MIN),
            bytes: self.limits.bytes,
            revision: self.revisions.back().map(|(revision, ..)| revision),
        };
        let step = store.forget(&keep)?;
        self.shared.bytes.store(step.bytes, Ordering::Relaxed);
        self.shared.entries.store(store.entries()?, Ordering::Relaxed);
        self.has_more = step.more;
        self.look_at = now.monotonic + LOOK;
        if now.monotonic >= self.look_shared_at {
            store.forget_shared(&keep)?;
            self.look_shared_at = now.monotonic + LOOK_SHARED;
        }
        Ok(())
    }

    fn fail(&mut self, now: Now, error: &StoreError) {
        let mut why = error.to_string();
        match error.remedy() {
            Remedy::Wait | Remedy::Skip => {}
            Remedy::Reopen => self.store = None,
            Remedy::SetAside => {
                self.store = None;
                match set_aside(&self.path, now.wall) {
                    Ok(aside) => why = format!("{why}; the damaged file is kept as {}", aside.display()),
                    Err(error) => why = format!("{why}; it cannot be set aside: {error}"),
                }
            }
        }
        let pause = self.pause.map_or(FIRST_PAUSE, |(_, pause)| (pause * 2).min(LONGEST_PAUSE));
        self.pause = Some((now.monotonic + pause, pause));
        self.has_more = false;
        self.shared.set_state(Source::Fails { why: why.into() });
    }
}

#[cfg(test)]
mod tests;
