//! Every trace of us in the system, removed: for the day on which nothing else works.
//!
//! The steps do not depend on each other: each is taken whatever became of those before it, and each waits for a bounded time
//! only. They stop before they remove, because what is stopped goes at once and what runs is only marked. Invariants: a
//! step that has nothing to do succeeds; configuration, rules, log and answers are the user's and stay. Neighbours:
//! `tollgate driver doctor --purge` takes them and tells.

use crate::daemon::{self, DaemonError};
use crate::driver_service::{self, Change, DriverError};
use crate::filter_engine::{self, FilterEngineError, Kind};
use std::error::Error;

/// What went wrong with a step.
pub type StepError = Box<dyn Error + Send + Sync>;

/// A step.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What it does.
    pub what: &'static str,
    /// Takes it.
    pub take: fn() -> Result<Change, StepError>,
}

/// All, in order. None where there is no driver.
pub fn steps() -> Vec<Step> {
    if cfg!(not(windows)) {
        return Vec::new();
    }
    let step = |what, take| Step { what, take };
    vec![
        step("stop the service", || nothing_to(daemon::stop(), |error| matches!(error, DaemonError::NotInstalled))),
        step("stop the driver", || {
            nothing_to(driver_service::stop(), |error| matches!(error, DriverError::NotInstalled))
        }),
        step("remove the filters", || Ok(filter_engine::remove(Kind::Filters)?)),
        step("remove the callouts", || Ok(filter_engine::remove(Kind::Callouts)?)),
        step("remove the sublayer", || Ok(filter_engine::remove(Kind::Sublayer)?)),
        step("remove the provider", || Ok(filter_engine::remove(Kind::Provider)?)),
        step("delete the driver's service", || Ok(driver_service::delete()?)),
        step("delete the driver's file", || Ok(driver_service::delete_file()?)),
        step("delete the service", delete_service),
    ]
}

/// What is not there needs nothing done.
fn nothing_to<E: Error + Send + Sync + 'static>(
    done: Result<Change, E>,
    is_absent: impl FnOnce(&E) -> bool,
) -> Result<Change, StepError> {
    match done {
        Err(error) if is_absent(&error) => Ok(Change::Already),
        done => Ok(done?),
    }
}

#[cfg(windows)]
fn delete_service() -> Result<Change, StepError> {
    Ok(daemon::delete()?)
}

#[cfg(not(windows))]
fn delete_service() -> Result<Change, StepError> {
    Err(FilterEngineError::Unsupported.into())
}

/// Whether a step failed because only administrators may take it.
pub fn needs_administrator(error: &StepError) -> bool {
    matches!(error.downcast_ref(), Some(DaemonError::AccessDenied))
        || matches!(error.downcast_ref(), Some(DriverError::AccessDenied))
        || matches!(error.downcast_ref(), Some(FilterEngineError::AccessDenied))
}
