//! A process, as the system tells about it.
//!
//! A process id alone names nobody for long: numbers are given again. A *start key* names one process among all since
//! the system started, and every question here that is about somebody takes both. `0` is a start key that is not known.
//!
//! Invariants: what is described is the process that was asked for, or an error. Parts that cannot be learnt are `None`.
//! Every call may wait for disks and for directory services: none belongs on the thread that keeps the gate. Neighbours:
//! `linux::process` and `windows::process` do it, `service` remembers it.

#[cfg(unix)]
pub use crate::linux::process::{describe, is_running, publisher, start_key};
#[cfg(windows)]
pub use crate::windows::process::{describe, is_running, start_key};
#[cfg(windows)]
pub use crate::windows::signature::publisher;

/// The longest command line that is read, in bytes of UTF-8; what is longer is cut there.
pub const MAX_COMMAND_LINE: usize = 32 * 1024;

/// What the system tells about a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Its program file.
    pub path: Option<String>,
    /// The program file of the process that started it, if that still runs.
    pub parent: Option<String>,
    /// Its command line. On Linux its arguments, joined by spaces.
    pub command_line: Option<String>,
    /// A user id (`1000`), or a SID (`S-1-5-18`).
    pub user_id: Option<String>,
    /// `name`, or `DOMAIN\name`.
    pub user_name: Option<String>,
    /// A package family name; the name of a snap or the id of a flatpak. On Linux a program can pretend to be of a
    /// package of its own user's.
    pub package: Option<String>,
    /// The Windows service, if it is the only one in that process; the system's systemd unit.
    pub service: Option<String>,
}

/// Why a process is not described.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It has ended, and its number may be another's by now.
    #[error("process {pid} has ended")]
    Gone {
        /// The process.
        pid: u32,
    },
    /// The caller may not ask.
    #[error("access to process {pid} is denied")]
    AccessDenied {
        /// The process.
        pid: u32,
    },
    /// The operating system's.
    #[error("{call} failed for process {pid}")]
    Os {
        /// The call.
        call: &'static str,
        /// The process.
        pid: u32,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why the signature of a file is not known.
#[derive(Debug, thiserror::Error)]
#[error("the signature of {path} cannot be checked")]
pub struct PublisherError {
    /// The file.
    pub path: String,
    /// What the system said.
    pub source: std::io::Error,
}
