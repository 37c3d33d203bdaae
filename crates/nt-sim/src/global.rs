//! State shared by every thread of the emulated machine.
//!
//! Invariant: no [`Global`] is held while driver code runs or while a violation is reported, so a panic never finds one locked;
//! a lock poisoned by a failing test is taken all the same.

use std::cmp::Ordering;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A process-wide value behind a mutex.
pub(crate) struct Global<T>(Mutex<T>);

impl<T> Global<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Default> Global<T> {
    /// Takes the value out and leaves the empty one.
    pub(crate) fn take(&self) -> T {
        std::mem::take(&mut *self.lock())
    }
}

/// An address that names an object of the emulated machine and may be shared between threads.
///
/// Holding one is no right to dereference it.
pub(crate) struct Ptr<T>(pub(crate) *mut T);

// SAFETY: a `Ptr` is only a name; every dereference states why the object is alive and who may touch it.
unsafe impl<T> Send for Ptr<T> {}
// SAFETY: as for `Send`.
unsafe impl<T> Sync for Ptr<T> {}

impl<T> Ptr<T> {
    pub(crate) fn address(self) -> usize {
        self.0.addr()
    }
}

impl<T> Clone for Ptr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ptr<T> {}

impl<T> PartialEq for Ptr<T> {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl<T> Eq for Ptr<T> {}

impl<T> PartialOrd for Ptr<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Ptr<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.address().cmp(&other.address())
    }
}

impl<T> fmt::Debug for Ptr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.address())
    }
}
