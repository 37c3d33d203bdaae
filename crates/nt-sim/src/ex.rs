//! `Ex*`: the executive.

pub(crate) mod pool;
mod rundown;
mod rundown_cache_aware;

pub use pool::allocation_count;
