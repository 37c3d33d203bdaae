//! The filter engine: sessions and objects, callouts, and the classify a callout is given.

pub mod bfe;
pub mod callout;
pub mod classify;
pub mod engine;
pub mod pend;
pub mod values;
