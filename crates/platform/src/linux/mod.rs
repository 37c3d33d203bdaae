//! Linux, as far as it goes: there is no enforcement point here yet, and every function says so.
//!
//! Neighbours: `crate::windows` is the twin, with the same names.

pub mod console;
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
