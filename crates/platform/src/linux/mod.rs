//! Linux: sockets, processes, folders, systemd. There is no enforcement point here yet, and [`open`] says so.
//!
//! Neighbours: `crate::windows` is the twin, with the same names.

pub mod console;
mod control_groups;
pub mod daemon;
pub mod dirs;
pub mod filter_engine;
pub mod interfaces;
pub mod ipc;
pub mod names;
pub mod process;
pub mod service_manager;

use crate::enforcer::{Enforcer, EnforcerError};
use crate::paths::Volumes;

/// Opens this machine's enforcement point: there is none yet.
pub fn open() -> Result<Box<dyn Enforcer>, EnforcerError> {
    Err(EnforcerError::Unsupported)
}

/// The drive letters: none.
pub fn volumes() -> Volumes {
    Volumes::default()
}

/// The folder of the system's own programs: no such thing.
pub fn system_directory() -> Option<String> {
    None
}
