//! The atomics of what is shared without the gate's lock, in one place: `tests/interleavings` builds the same files over
//! atomics that explore every order of loads and stores.

pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
