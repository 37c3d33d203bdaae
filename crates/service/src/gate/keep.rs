//! Attaching, for ever: the thread that takes requests.
//!
//! Invariants: there is one attachment at a time; when one ends, what it held is accounted for before the next attempt; the
//! state that is told is the state. Neighbours: `backoff` says how long to wait; `judge` takes the requests.

use crate::clock::Now;
use crate::gate::Gate;
use crate::gate::attachment::Attachment;
use crate::gate::backoff::Backoff;
use crate::journal::{Event, Journal};
use crate::session;
use crate::submit::SubmitError;
use control::status;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use platform::enforcer::{Enforcer, EnforcerError, Next};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wire::batch::BatchError;
use wire::verdict::Scope;

/// How long to wait for requests at a time. Whoever wants something interrupts.
const IDLE: Duration = Duration::from_secs(60);

/// What opens the enforcement point, again and again.
pub type Opener = Box<dyn Fn() -> Result<Box<dyn Enforcer>, EnforcerError> + Send + Sync>;

/// Keeps the gate attached.
pub struct Keeper {
    gate: Arc<Gate>,
    open: Opener,
    journal: Journal,
    is_stopping: AtomicBool,
    state: Mutex<status::Gate>,
}

/// Why an attachment ended, or there was none.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// Something could not be asked of the enforcement point.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The driver's fault: a batch that cannot be read.
    #[error("the driver delivered requests that cannot be read ({0:?})")]
    BadBatch(BatchError),
}

impl Keeper {
    /// Attaches `gate` to what `open` opens.
    pub fn new(gate: Arc<Gate>, open: Opener, journal: Journal) -> Self {
        let now = gate.clock.now().wall;
        let state = status::Gate::Detached { since: now, why: "the service is starting".to_owned(), retry: now };
        Self { gate, open, journal, is_stopping: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// Whether connections are held, now.
    pub fn status(&self) -> status::Gate {
        self.state().clone()
    }

    /// Makes [`Self::run`] return. What closes its channel must come before.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        if let Some(attachment) = self.gate.attachment() {
            attachment.enforcer.interrupt();
        }
    }

    /// Attaches, again and again, until stopped. `stop` is closed then.
    pub fn run(&self, stop: &Receiver<()>) {
        let mut backoff = Backoff::default();
        let mut last_why = None;
        for number in 1.. {
            let attached =
                (self.open)().and_then(|enforcer| Attachment::attach(number, enforcer, self.gate.settings()));
            let began = self.gate.clock.now();
            let (held_for, ended) = match attached {
                Ok(attachment) => {
                    last_why = None;
                    let ended = self.keep(attachment, began);
                    (self.gate.clock.now().monotonic.saturating_sub(began.monotonic), ended)
                }
                Err(error) => (Duration::ZERO, Err(error.into())),
            };
            let why = match ended {
                Ok(()) => "the service is ending".to_owned(),
                Err(error) => explain(&error),
            };
            let now = self.gate.clock.now();
            let is_ending = self.is_stopping.load(Ordering::Acquire);
            let wait = if is_ending { Duration::ZERO } else { backoff.wait(held_for) };
            let retry = now.wall_at(now.monotonic + wait);
            self.tell_detached(&why, retry, now);
            if last_why.as_ref() != Some(&why) {
                let retry = (!is_ending).then_some(retry);
                (self.journal)(now, &Event::Detached { why: why.clone(), retry });
            }
            last_why = Some(why);
            if is_ending || !matches!(stop.recv_timeout(wait), Err(RecvTimeoutError::Timeout)) {
                return;
            }
        }
    }

    /// Keeps one attachment to its end.
    fn keep(&self, attachment: Attachment, began: Now) -> Result<(), Ended> {
        let attachment = Arc::new(attachment);
        self.gate.attachment.store(Some(attachment.clone()));
        let ended = self.take_until_stopped(&attachment, began);
        if ended.is_ok() {
            self.gate.wind_down();
            if self.gate.config.load().remember != Scope::OPERATION {
                // A driver that is gone remembers nothing.
                let _gone = session::forget_all(&*attachment.enforcer, &attachment.settings());
            }
        }
        self.gate.close(&attachment);
        ended
    }

    fn take_until_stopped(&self, attachment: &Attachment, began: Now) -> Result<(), Ended> {
        // The configuration, or the rules, may have changed since settings were sent.
        attachment.configure(|| self.gate.settings())?;
        *self.state() = status::Gate::Attached { since: began.wall };
        (self.journal)(began, &Event::Attached { version: attachment.attached.version });
        let mut batch = Vec::new();
        while !self.is_stopping.load(Ordering::Acquire) {
            let next = attachment.enforcer.next(&mut batch, IDLE)?;
            if let Some(error) = attachment.take_failure() {
                return Err(error.into());
            }
            match next {
                Next::Batch => self.gate.receive(&batch, attachment.number)?,
                Next::Interrupted | Next::TimedOut => {}
            }
        }
        Ok(())
    }

    /// Says so truthfully: since when, and when it is tried again.
    fn tell_detached(&self, why: &str, retry: jiff::Timestamp, now: Now) {
        let mut state = self.state();
        let since = match &*state {
            status::Gate::Attached { .. } => now.wall,
            status::Gate::Detached { since, .. } => *since,
        };
        *state = status::Gate::Detached { since, why: why.to_owned(), retry };
    }

    fn state(&self) -> MutexGuard<'_, status::Gate> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error with its causes.
pub fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
