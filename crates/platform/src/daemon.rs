//! A program that runs until it is asked to end: in the foreground, or as the system's service.
//!
//! * [`run`] gives a [`Host`] to the program's work. With it the work says when it is ready and how it does, and is told
//!   to stop; who listens - a console, the Windows service manager, systemd - makes no difference to it.
//! * [`install`], [`uninstall`], [`start`], [`stop`] and [`status`] manage the service `tollgate run --service`.
//!
//! Invariants: the managing functions are idempotent and say whether they changed anything. Neighbours: `linux::daemon`
//! and `windows::daemon` do it; the commands `tollgate run` and `tollgate service` call it.

#[cfg(unix)]
pub use crate::linux::daemon::{Host, install, run, start, status, stop, uninstall};
#[cfg(windows)]
pub(crate) use crate::windows::daemon::delete;
#[cfg(windows)]
pub use crate::windows::daemon::{Host, install, run, start, status, stop, uninstall};

pub use crate::driver_service::{Change, State};

use std::path::PathBuf;
use std::time::Duration;

/// The service as Windows and systemd call it.
pub const SERVICE_NAME: &str = if cfg!(windows) { "TollgateService" } else { "tollgate.service" };

/// What the service's program is told.
pub const ARGUMENTS: [&str; 2] = ["run", "--service"];

/// How the service manager is told to wait before it starts a service again that failed: the first, the second, and
/// every later time within a day.
pub const RESTART_AFTER: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];

/// Who runs the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A person, or whatever started it.
    Foreground,
    /// The service manager.
    Service,
}

/// What the service manager says about the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its state.
    pub state: State,
    /// Whether it starts with the system.
    pub starts_with_system: bool,
    /// Its process, when it runs.
    pub pid: Option<u32>,
    /// How it is started.
    pub command: String,
}

/// What went wrong with the service.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The machine's: no service manager runs here.
    #[error("no service manager runs on this machine: systemd did not start it")]
    NoManager,
    /// The machine's: there is no such service.
    #[error("the service is not installed")]
    NotInstalled,
    /// The caller's: only administrators may manage services.
    #[error("access to the service manager is denied")]
    AccessDenied,
    /// The caller's: not what the service manager starts.
    #[error("the service manager did not start this program")]
    NotAService,
    /// The caller's: the path of this program cannot be written into the service's configuration.
    #[error("{} cannot be the path of a service's program", .0.display())]
    BadPath(PathBuf),
    /// The machine's: the service is deleted, but something still holds a handle to it.
    #[error("the service is marked for deletion")]
    MarkedForDeletion,
    /// The service's: it did not start, or not stop, in time, or ended at once.
    #[error("the service did not {wanted}: {why}")]
    Failed {
        /// What it should have done.
        wanted: &'static str,
        /// What happened instead.
        why: String,
    },
    /// The operating system's.
    #[error("{call} failed")]
    Os {
        /// The call.
        call: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}
