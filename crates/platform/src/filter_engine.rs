//! What the filter engine has of ours, as user mode sees it.
//!
//! The driver adds everything in a session that ends with it, so that of a driver that is gone nothing should be left. This
//! is for looking, and for the day on which something is left nevertheless. Invariants: an object is ours when its provider
//! or its sublayer is ours, whatever release made it; nothing of others is touched. Neighbours:
//! `windows::filter_engine` asks, `purge` removes.

#[cfg(unix)]
pub use crate::linux::filter_engine::{look, remove};
#[cfg(windows)]
pub use crate::windows::filter_engine::{look, remove};

/// What there is of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ours {
    /// How many filters.
    pub filters: usize,
    /// How many callouts.
    pub callouts: usize,
    /// Whether there is our sublayer.
    pub sublayer: bool,
    /// Whether there is our provider.
    pub provider: bool,
}

impl Ours {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A kind of objects, in the order in which they can be removed: each is named by those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Filters.
    Filters,
    /// Callouts.
    Callouts,
    /// The sublayer.
    Sublayer,
    /// The provider.
    Provider,
}

/// Why the filter engine cannot be asked, or does not do it.
#[derive(Debug, thiserror::Error)]
pub enum FilterEngineError {
    /// Ours: this system has no such thing.
    #[error("this system has no Windows filter engine")]
    Unsupported,
    /// The machine's: the service `BFE` keeps what the filter engine filters by.
    #[error("the base filtering engine (the Windows service BFE) is not there, or not running")]
    NotRunning,
    /// The caller's: only administrators may look and change.
    #[error("access to the base filtering engine is denied")]
    AccessDenied,
    /// The machine's: the running driver still has it.
    #[error("the running driver still uses it")]
    InUse,
    /// The operating system's.
    #[error("{call} failed with {code:#010x}")]
    Os {
        /// The call.
        call: &'static str,
        /// The number that it gave: of Windows, or of the filter engine (`FWP_E_...`).
        code: u32,
    },
}
