//! The filter engine: sessions and objects, callouts, and the classify a callout is given.

pub mod bfe;
pub mod callout;
pub mod classify;
pub mod closure;
pub mod connect;
pub mod engine;
pub mod pend;
pub mod values;

/// A key of a filter engine object.
pub use nt_sys::types::GUID as Guid;
