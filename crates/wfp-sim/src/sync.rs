//! Locks of the engine itself.
//!
//! Invariant: a lock is poisoned only by a violation that unwound, and no violation is reported under a lock; so what a
//! poisoned lock guards is still whole, and the engine can go on to shut down.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::thread::ThreadId;
#[cfg(not(feature = "shuttle"))]
pub(crate) use std::thread::ThreadId;

/// The running thread; among explored threads, the one that is explored.
pub(crate) fn this_thread() -> ThreadId {
    #[cfg(not(feature = "shuttle"))]
    return std::thread::current().id();
    #[cfg(feature = "shuttle")]
    return shuttle::thread::current().id();
}

/// Taking a lock whatever happened to its last owner.
pub(crate) trait Lock<T> {
    fn hold(&self) -> MutexGuard<'_, T>;
}

impl<T> Lock<T> for Mutex<T> {
    fn hold(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same for a lock with many readers.
pub(crate) trait SharedLock<T> {
    fn shared(&self) -> RwLockReadGuard<'_, T>;
    fn exclusive(&self) -> RwLockWriteGuard<'_, T>;
}

impl<T> SharedLock<T> for RwLock<T> {
    fn shared(&self) -> RwLockReadGuard<'_, T> {
        self.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exclusive(&self) -> RwLockWriteGuard<'_, T> {
        self.write().unwrap_or_else(PoisonError::into_inner)
    }
}
