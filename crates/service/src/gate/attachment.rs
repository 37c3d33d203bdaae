//! One attachment to an enforcement point, from attach to detach.
//!
//! Invariants: its number is never used again while the service runs; once its submitter is closed nothing is added.
//! Neighbours: `gate::keep` makes them, every thread that rules submits through one.

use crate::gate::held::{Held, Ruling};
use crate::policy::Rules;
use crate::submit::{SubmitError, Submitter};
use control::entry;
use platform::enforcer::{Attached, Enforcer, EnforcerError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wire::settings::Settings;
use wire::verdict::{Answer, Scope, Verdict};

/// An attachment.
pub struct Attachment {
    /// Its number.
    pub number: u64,
    /// The enforcement point. Dropping the last reference detaches.
    pub enforcer: Arc<dyn Enforcer>,
    /// What the enforcement point told.
    pub attached: Attached,
    /// What is ruled about and not submitted yet.
    pub submitter: Submitter<Ruled>,
    settings: Mutex<Settings>,
    /// What went wrong on a thread that does not keep it.
    failed: Mutex<Option<SubmitError>>,
}

/// A connection with its ruling, and the rules by which it was ruled.
#[derive(Debug)]
pub struct Ruled {
    /// The connection.
    pub held: Held,
    /// The ruling.
    pub ruling: Ruling,
    /// The rules.
    pub rules: Arc<Rules>,
}

impl Attachment {
    /// Attaches to `enforcer` with `settings` in force.
    pub fn attach(number: u64, enforcer: Box<dyn Enforcer>, settings: Settings) -> Result<Self, EnforcerError> {
        let attached = enforcer.attach(&settings)?;
        let enforcer: Arc<dyn Enforcer> = enforcer.into();
        let submitter = Submitter::new(enforcer.clone());
        let (settings, failed) = (Mutex::new(settings), Mutex::default());
        Ok(Self { number, enforcer, attached, submitter, settings, failed })
    }

    /// The settings in force.
    pub fn settings(&self) -> Settings {
        *self.lock_settings()
    }

    /// Puts what `settings` says in force, unless it is. Asked with the lock held, so that a later word is never replaced
    /// by an earlier one.
    pub fn configure(&self, settings: impl FnOnce() -> Settings) -> Result<(), EnforcerError> {
        let mut current = self.lock_settings();
        let settings = settings();
        if *current != settings {
            self.enforcer.configure(&settings)?;
            *current = settings;
        }
        Ok(())
    }

    /// Ends it because of `error`: the thread that keeps it takes notice.
    pub fn fail(&self, error: SubmitError) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.enforcer.interrupt();
    }

    /// What it failed by, on another thread.
    pub fn take_failure(&self) -> Option<SubmitError> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn lock_settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ruled {
    /// The answer that carries it to the enforcement point, while the rules with number `in_force` are. What was ruled by
    /// others is not remembered: it may no longer be what the rules say.
    pub fn answer(&self, in_force: u64) -> Answer {
        let verdict = match self.ruling.verdict {
            entry::Verdict::Permit => Verdict::PERMIT,
            entry::Verdict::Block => Verdict::BLOCK,
        };
        let once = Answer::once(self.held.id, verdict);
        if self.ruling.scope == Scope::OPERATION || self.rules.number != in_force {
            return once;
        }
        let lifetime_ms = match self.ruling.lifetime {
            // Zero is without end.
            Some(lifetime) => u32::try_from(lifetime.as_millis()).unwrap_or(u32::MAX).max(1),
            None => 0,
        };
        Answer { scope: self.ruling.scope, lifetime_ms, ..once }
    }
}
