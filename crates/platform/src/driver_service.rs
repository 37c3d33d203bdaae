//! The driver as the service manager sees it: installed, started, stopped, gone.
//!
//! Invariants: every function is idempotent and says whether it changed anything; the installed file is always
//! [`FILE_NAME`] in the system's `drivers` folder. Neighbours: `windows::service_manager` does it, the command
//! `tollgate driver` shows it.

use std::path::PathBuf;

#[cfg(unix)]
pub use crate::linux::service_manager::{delete, delete_file, install, start, status, stop, uninstall};
#[cfg(windows)]
pub use crate::windows::service_manager::{delete, delete_file, install, start, status, stop, uninstall};

/// The name of the driver's file.
pub const FILE_NAME: &str = "tollgate.sys";

/// Drivers of one group are started together, before those that need them; filter drivers of the network stack live
/// in this one (learn.microsoft.com "Specifying Driver Load Order").
pub const LOAD_ORDER_GROUP: &str = "NDIS";

/// Whether a call changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It did.
    Done,
    /// It was so already.
    Already,
}

/// What [`install`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Where the driver's file is now.
    pub image: PathBuf,
    /// Whether the file was copied there; else the same bytes were there already.
    pub file: Change,
    /// Whether the service was created; else its configuration was set again.
    pub service: Change,
}

/// What the service manager says about an installed driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its state.
    pub state: State,
    /// Where its file belongs.
    pub image: PathBuf,
    /// Whether the file is there.
    pub image_exists: bool,
    /// Who starts it.
    pub starts: Starts,
}

/// Who starts a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts {
    /// Whoever asks for it: the service depends on it.
    OnDemand,
    /// The system, with itself.
    WithSystem,
    /// Nobody may.
    Disabled,
}

/// The state of a driver's service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not loaded.
    Stopped,
    /// Being loaded.
    Starting,
    /// Loaded.
    Running,
    /// Asked to stop; it unloads when the last handle to its device is closed.
    Stopping,
}

/// What went wrong with the driver's service.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// Ours: this system has no such driver.
    #[error("this system has no service manager for drivers: the driver is a Windows one")]
    Unsupported,
    /// The machine's: there is no such service.
    #[error("the driver is not installed")]
    NotInstalled,
    /// The caller's: only administrators may manage drivers.
    #[error("access to the service manager is denied")]
    AccessDenied,
    /// The caller's: no such file.
    #[error("there is no driver file {}", .0.display())]
    FileMissing(PathBuf),
    /// The machine's: a running driver's file cannot be replaced.
    #[error("{} is in use: another build of the driver is running", .0.display())]
    FileInUse(PathBuf),
    /// The machine's: the driver waits for the last handle to its device to be closed.
    #[error("the driver is stopping, but still in use")]
    StillInUse,
    /// The machine's: the service is deleted, but something still holds a handle to it.
    #[error("the driver's service is marked for deletion")]
    MarkedForDeletion,
    /// The driver file's: this machine does not trust its signature.
    #[error("Windows does not trust the signature of the driver")]
    Untrusted,
    /// The operating system's.
    #[error("{call} failed")]
    Os {
        /// The call.
        call: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}
