//! `Ex*`: the executive.

pub(crate) mod pool;
mod rundown;

pub use pool::allocation_count;
