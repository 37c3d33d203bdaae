//! A spin lock that owns its data. The guard is the proof of `DISPATCH_LEVEL`.
//!
//! Rule of use (R7): a guard is never alive across a call into the filter engine or an IRP completion, because both may
//! come back into this driver on the same thread.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use nt_sys::ke::{KSPIN_LOCK, KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock};
use nt_sys::types::KIRQL;

/// Data behind a kernel spin lock.
pub struct SpinLock<T> {
    lock: UnsafeCell<KSPIN_LOCK>,
    data: UnsafeCell<T>,
}

// SAFETY: the lock gives out one `&mut T` at a time, on whichever processor asks, so `T` must be `Send` and no more.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// Wraps `data`. A zero word is an initialized, free lock; `KeInitializeSpinLock` is an inline in older headers.
    pub const fn new(data: T) -> Self {
        Self { lock: UnsafeCell::new(0), data: UnsafeCell::new(data) }
    }

    /// Waits for the lock and raises to `DISPATCH_LEVEL`.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    #[doc(alias = "KeAcquireSpinLock")]
    pub fn lock(&self) -> SpinGuard<'_, T> {
        // SAFETY: the lock word is initialized, lives in nonpaged memory as all driver state does, and stays put while
        // `&self` lives. This thread does not hold it: the guard is `!Send` and the module's rule forbids nesting.
        let old = unsafe { KeAcquireSpinLockRaiseToDpc(self.lock.get()) };
        SpinGuard { lock: self, old, not_send: core::marker::PhantomData }
    }
}

/// Access to the data of a [`SpinLock`]; releases and lowers the IRQL when dropped.
#[must_use = "the lock is released when the guard is dropped"]
pub struct SpinGuard<'a, T> {
    lock: &'a SpinLock<T>,
    old: KIRQL,
    not_send: core::marker::PhantomData<*mut ()>,
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard holds the lock, so nobody else reaches the data.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> DerefMut for SpinGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `&mut self` makes this the only reference from this guard.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this guard acquired the lock on this thread and `old` is the level it gave.
        unsafe { KeReleaseSpinLock(self.lock.lock.get(), self.old) };
    }
}
