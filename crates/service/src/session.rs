//! The conversation with an enforcement point, from attach to detach.
//!
//! Invariants: every held connection that is delivered is decided and its answer submitted until it is taken, or the
//! session ends; ending detaches, and the enforcement point then releases by its fallback what was not answered. An
//! observer hears of a decision after it is in force, so a slow observer holds no connection that is decided.
//! Neighbours: `platform::enforcer` is the other side, `decide` the judgement.

use crate::connection::Connection;
use crate::decide::{Because, Decision, Policy};
use crate::submit::{RETRY_AFTER, SubmitError, Submitter};
use platform::enforcer::{Attached, Enforcer, EnforcerError, Forgotten, Next};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use wire::batch::{self, BatchError};
use wire::request::{self, RequestFlags};
use wire::settings::{Fallback, Settings};
use wire::verdict::{RequestId, Scope, Verdict};

pub use crate::submit::Fate;

/// How long to wait for requests at a time when there is nothing else to do.
const IDLE: Duration = Duration::from_secs(60);

/// An attachment. Dropping it detaches.
pub struct Session {
    enforcer: Arc<dyn Enforcer>,
    attached: Attached,
    settings: Settings,
    policy: Policy,
    is_stopped: Arc<AtomicBool>,
    submitter: Submitter<(Connection, Decision)>,
    summary: Summary,
}

/// Hears what a session does, on the session's thread.
pub trait Observer {
    /// A connection was decided.
    fn decided(&mut self, connection: &Connection, decision: &Decision, fate: Fate);
    /// The enforcement point decided one itself.
    fn reported(&mut self, report: &Report);
    /// That many reports were lost because they were not taken in time.
    fn lost_reports(&mut self, count: u32);
}

/// A connection that the enforcement point decided itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The connection.
    pub connection: Connection,
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub because: request::Because,
}

/// What a session did. A decision counts in one of the first five.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Permitted by the mode.
    pub permitted: u64,
    /// Blocked by the mode.
    pub blocked: u64,
    /// Permitted by an exemption.
    pub exempt: u64,
    /// Of those that lived already, how many were ended.
    pub ended: u64,
    /// Decided too late.
    pub stale: u64,
    /// Reported.
    pub reported: u64,
    /// Reports lost.
    pub lost_reports: u64,
}

/// Why a session ended before it was stopped.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The enforcement point says.
    #[error(transparent)]
    Enforcer(#[from] EnforcerError),
    /// The driver's fault: a batch that cannot be read.
    #[error("the driver delivered requests that cannot be read ({0:?})")]
    BadBatch(BatchError),
    /// Our fault: an answer that the driver does not understand.
    #[error("the driver did not understand our answer to request {:#x}", .0.0)]
    BadAnswer(RequestId),
}

/// Ends a session from another thread, or before it runs.
#[derive(Clone)]
pub struct Stopper {
    is_stopped: Arc<AtomicBool>,
    enforcer: Weak<dyn Enforcer>,
}

impl Stopper {
    /// Makes [`Session::run`] return.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        if let Some(enforcer) = self.enforcer.upgrade() {
            enforcer.interrupt();
        }
    }
}

impl Session {
    /// Attaches to `enforcer`, with `settings` in force.
    pub fn attach(enforcer: Box<dyn Enforcer>, settings: Settings, policy: Policy) -> Result<Self, EnforcerError> {
        let attached = enforcer.attach(&settings)?;
        let enforcer: Arc<dyn Enforcer> = enforcer.into();
        Ok(Self {
            submitter: Submitter::new(enforcer.clone()),
            enforcer,
            attached,
            settings,
            policy,
            is_stopped: Arc::default(),
            summary: Summary::default(),
        })
    }

    /// What the enforcement point told.
    pub fn attached(&self) -> &Attached {
        &self.attached
    }

    /// The way to end it.
    pub fn stopper(&self) -> Stopper {
        Stopper { is_stopped: self.is_stopped.clone(), enforcer: Arc::downgrade(&self.enforcer) }
    }

    /// Decides connections until stopped, then detaches. Gives what was done, whatever ended it.
    pub fn run(mut self, observer: &mut dyn Observer) -> (Summary, Result<(), SessionError>) {
        let ended = self.decide_until_stopped(observer).and_then(|()| self.leave_nothing());
        (self.summary, ended)
    }

    fn decide_until_stopped(&mut self, observer: &mut dyn Observer) -> Result<(), SessionError> {
        let mut batch = Vec::new();
        while !self.is_stopped.load(Ordering::Acquire) {
            let patience = if self.submitter.is_empty() { IDLE } else { RETRY_AFTER };
            match self.enforcer.next(&mut batch, patience)? {
                Next::Batch => self.decide(&batch, observer)?,
                Next::Interrupted | Next::TimedOut => {}
            }
            self.submit(observer)?;
        }
        Ok(())
    }

    /// Verdicts of a mode that is over must not outlive it.
    fn leave_nothing(&self) -> Result<(), SessionError> {
        if self.policy.remember == Scope::OPERATION {
            return Ok(());
        }
        Ok(forget_all(&*self.enforcer, &self.settings)?)
    }

    fn decide(&mut self, batch: &[u8], observer: &mut dyn Observer) -> Result<(), SessionError> {
        let (head, requests) = batch::requests(batch).map_err(SessionError::BadBatch)?;
        if head.dropped_reports > 0 {
            self.summary.lost_reports += u64::from(head.dropped_reports);
            observer.lost_reports(head.dropped_reports);
        }
        let mut decided = Vec::new();
        for view in requests {
            let view = view.map_err(SessionError::BadBatch)?;
            let connection = Connection::read(&view);
            if connection.flags.intersects(RequestFlags::HELD | RequestFlags::LIVE) {
                let decision = self.policy.decide(&connection);
                decided.push((connection, decision));
            } else {
                self.summary.reported += 1;
                let (verdict, because) = (view.request.verdict, view.request.because);
                observer.reported(&Report { connection, verdict, because });
            }
        }
        // It is closed by nobody.
        drop(self.submitter.add(decided));
        Ok(())
    }

    fn submit(&mut self, observer: &mut dyn Observer) -> Result<(), SessionError> {
        let summary = &mut self.summary;
        let submitted = self.submitter.submit(
            |(connection, decision)| decision.answer(connection),
            |(connection, decision), fate| {
                let is_live = connection.flags.contains(RequestFlags::LIVE);
                if is_live && (fate, decision.verdict) == (Fate::Accepted, Verdict::BLOCK) {
                    summary.ended += 1;
                } else if is_live {
                    // It lives on, or has ended by itself: no news.
                    return;
                } else {
                    summary.count(&decision, fate);
                }
                observer.decided(&connection, &decision, fate);
            },
        );
        Ok(submitted?)
    }
}

/// Has the enforcement point forget what it remembers, unless its fallback is to go by that.
pub fn forget_all(enforcer: &dyn Enforcer, settings: &Settings) -> Result<(), EnforcerError> {
    let fallbacks = [settings.fallback_outbound, settings.fallback_inbound];
    if fallbacks.contains(&Fallback::LAST) { Ok(()) } else { enforcer.forget(Forgotten::All) }
}

impl From<SubmitError> for SessionError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Enforcer(error) => Self::Enforcer(error),
            SubmitError::BadAnswer(id) => Self::BadAnswer(id),
        }
    }
}

impl Summary {
    fn count(&mut self, decision: &Decision, fate: Fate) {
        let counter = match (fate, &decision.because) {
            (Fate::Stale, _) => &mut self.stale,
            (Fate::Accepted, Because::Exempt(_)) => &mut self.exempt,
            (Fate::Accepted, Because::Mode(_)) if decision.verdict == Verdict::PERMIT => &mut self.permitted,
            (Fate::Accepted, Because::Mode(_)) => &mut self.blocked,
        };
        *counter += 1;
    }
}
