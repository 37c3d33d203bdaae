//! The contract with an enforcement point, as the decision point sees it: attach, take requests, answer them.
//!
//! Invariants: one attachment per value, ended by dropping it (what it still holds is then released by the fallback);
//! every call may come from any thread; nothing here names an operating system. Neighbours: `windows::device` speaks to
//! the driver, `message` has the bytes, `service::session` is the caller.

use std::time::Duration;
use wire::hello::Capabilities;
use wire::settings::Settings;
use wire::stats::Stats;
use wire::verdict::{Answer, Outcome};

/// Something that holds connections until they are decided.
pub trait Enforcer: Send + Sync {
    /// Becomes the attached service, in the name of this process, with `settings` in force.
    fn attach(&self, settings: &Settings) -> Result<Attached, EnforcerError>;

    /// Waits for requests, at most for `patience`. On [`Next::Batch`], `batch` holds what [`wire::batch::requests`]
    /// reads; else it is empty. Its capacity is reused.
    fn next(&self, batch: &mut Vec<u8>, patience: Duration) -> Result<Next, EnforcerError>;

    /// Makes one [`Enforcer::next`], the waiting or the following one, return [`Next::Interrupted`].
    fn interrupt(&self);

    /// Answers 1 to [`wire::verdict::MAX_ANSWERS`] requests; gives one outcome for each, in the same order.
    fn submit(&self, answers: &[Answer]) -> Result<Vec<Outcome>, EnforcerError>;

    /// Replaces the settings.
    fn configure(&self, settings: &Settings) -> Result<(), EnforcerError>;

    /// Forgets cached verdicts.
    fn forget(&self, what: Forgotten<'_>) -> Result<(), EnforcerError>;

    /// Reads the counters. Needs no attachment.
    fn stats(&self) -> Result<Stats, EnforcerError>;
}

/// What an enforcement point told at [`Enforcer::attach`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The version it speaks: ours.
    pub version: u16,
    /// What it can do.
    pub capabilities: Capabilities,
    /// How many `NEXT_REQUESTS` calls may be parked.
    pub max_parked: u32,
}

/// Why [`Enforcer::next`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// With requests.
    Batch,
    /// With nothing: [`Enforcer::interrupt`] was called.
    Interrupted,
    /// With nothing: patience ran out.
    TimedOut,
}

/// Which cached verdicts [`Enforcer::forget`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten<'a> {
    /// All.
    All,
    /// Those of the program with this path, UTF-16LE as requests carry it.
    Program(&'a [u8]),
}

/// What went wrong with an enforcement point. Each says whose side it is on.
#[derive(Debug, thiserror::Error)]
pub enum EnforcerError {
    /// Ours: this system has no enforcement point yet.
    #[error("this system has no enforcement point yet: connections are held by a Windows driver so far")]
    Unsupported,
    /// The machine's: no driver.
    #[error("the driver is not installed")]
    NotInstalled,
    /// The machine's: the driver is there, but not loaded.
    #[error("the driver is installed but not running")]
    NotRunning,
    /// The caller's: only SYSTEM and administrators may talk to the driver.
    #[error("access to the driver is denied")]
    AccessDenied,
    /// Ours or the driver's: they are of different releases.
    #[error("this program speaks version {service} and the driver speaks version {driver}")]
    VersionMismatch {
        /// The version of this program.
        service: u16,
        /// The version of the driver.
        driver: u16,
    },
    /// Another service's: there is one attachment at a time.
    #[error("another service is attached to the driver: process {process_id}")]
    Busy {
        /// Its process id.
        process_id: u64,
    },
    /// The machine's: the driver is stopping, or has stopped.
    #[error("the driver has stopped")]
    Gone,
    /// The driver's: bytes that are not an answer to the call.
    #[error("the driver answered {call} with {got} bytes that make no sense")]
    BadReply {
        /// The call.
        call: &'static str,
        /// How many bytes came.
        got: usize,
    },
    /// The operating system's, or a driver's refusal that has no meaning here.
    #[error("{call} failed")]
    Os {
        /// The call.
        call: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}
