//! The filter engine: sessions and objects, callouts, and the classify a callout is given.

pub mod authorize;
pub mod bfe;
pub mod callout;
pub mod classify;
pub mod closure;
mod copy;
pub mod engine;
pub mod inject;
mod metadata;
pub mod packet;
pub mod pend;
pub mod values;

/// A key of a filter engine object.
pub use nt_sys::types::GUID as Guid;
