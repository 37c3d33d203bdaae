//! There is no driver to manage on Linux.
//!
//! Neighbours: `windows::service_manager` is the twin.

use crate::driver_service::{Change, DriverError, Installed, Status};
use std::path::Path;

/// Not on this system.
pub fn install(_file: &Path) -> Result<Installed, DriverError> {
    Err(DriverError::Unsupported)
}

/// Not on this system.
pub fn uninstall() -> Result<Change, DriverError> {
    Err(DriverError::Unsupported)
}

/// Not on this system.
pub fn delete() -> Result<Change, DriverError> {
    Err(DriverError::Unsupported)
}

/// Not on this system.
pub fn delete_file() -> Result<Change, DriverError> {
    Err(DriverError::Unsupported)
}

/// Not on this system.
pub fn start() -> Result<Change, DriverError> {
    Err(DriverError::Unsupported)
}

/// Not on this system.
pub fn stop() -> Result<Change, DriverError> {
    Err(DriverError::Unsupported)
}

/// Not on this system.
pub fn status() -> Result<Status, DriverError> {
    Err(DriverError::Unsupported)
}
