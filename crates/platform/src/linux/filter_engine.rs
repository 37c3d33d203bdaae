//! There is no Windows filter engine on Linux.
//!
//! Neighbours: `windows::filter_engine` is the twin.

use crate::driver_service::Change;
use crate::filter_engine::{FilterEngineError, Kind, Ours};

/// Not on this system.
pub fn look() -> Result<Ours, FilterEngineError> {
    Err(FilterEngineError::Unsupported)
}

/// Not on this system.
pub fn remove(_kind: Kind) -> Result<Change, FilterEngineError> {
    Err(FilterEngineError::Unsupported)
}
