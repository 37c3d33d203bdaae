//! The one place where a driver's state hangs: callbacks find it there, unload empties it.
//!
//! Callouts get no context pointer that a driver could trust, so the state is reached through a static [`Slot`]. Run-down
//! protection answers "is a callback still inside?" at any IRQL; that an unregister waits for running callouts is claimed
//! but not documented (R45).

use crate::pool::{PoolBox, Tag};
use core::cell::UnsafeCell;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};
use nt_sys::ex::{
    EX_RUNDOWN_REF, ExAcquireRundownProtection, ExInitializeRundownProtection, ExReleaseRundownProtection,
    ExWaitForRundownProtectionRelease,
};

/// Holds the state of a loaded driver.
pub struct Slot<T> {
    state: AtomicPtr<T>,
    rundown: UnsafeCell<EX_RUNDOWN_REF>,
    tag: Tag,
}

// SAFETY: `state` is handed out as `&T` only, under run-down protection; the run-down word is only touched by the Ex
// functions, which are made for concurrent use.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

impl<T: Send + Sync> Slot<T> {
    /// An empty slot for a `static`; its state will be allocated under `tag`.
    pub const fn new(tag: Tag) -> Self {
        Self {
            state: AtomicPtr::new(core::ptr::null_mut()),
            rundown: UnsafeCell::new(EX_RUNDOWN_REF { Count: 0 }),
            tag,
        }
    }

    /// Puts the state in. From now on [`Slot::enter`] finds it.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`; the slot stays empty.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`. Called once, before any callback can run.
    pub(crate) fn fill(&self, state: T) -> crate::status::Result<()> {
        let (state, _) = PoolBox::new(state, self.tag)?.into_raw();
        // SAFETY: no callback runs yet, so nobody else touches the word.
        unsafe { ExInitializeRundownProtection(self.rundown.get()) };
        self.state.store(state.as_ptr(), Ordering::Release);
        Ok(())
    }

    /// The state, kept alive while the reference is; `None` when the driver is not (or no more) there.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    #[doc(alias = "ExAcquireRundownProtection")]
    pub fn enter(&self) -> Option<Entered<'_, T>> {
        // Before `fill` the run-down word is zero, which is an active one too: so look at the pointer first.
        NonNull::new(self.state.load(Ordering::Acquire))?;
        // SAFETY: the word is initialized: `fill` stored the pointer after that.
        if unsafe { ExAcquireRundownProtection(self.rundown.get()) } == 0 {
            return None;
        }
        let entered = NonNull::new(self.state.load(Ordering::Acquire)).map(|state| Entered { slot: self, state });
        if entered.is_none() {
            // SAFETY: acquired just above.
            unsafe { ExReleaseRundownProtection(self.rundown.get()) };
        }
        entered
    }

    /// Waits until nobody is inside, lets nobody in any more, and takes the state out.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, and not from inside.
    #[doc(alias = "ExWaitForRundownProtectionRelease")]
    pub(crate) fn empty(&self) -> Option<PoolBox<T>> {
        NonNull::new(self.state.load(Ordering::Acquire))?;
        // SAFETY: the word is initialized and the caller is at <= APC_LEVEL, holding no protection.
        unsafe { ExWaitForRundownProtectionRelease(self.rundown.get()) };
        let state = NonNull::new(self.state.swap(core::ptr::null_mut(), Ordering::AcqRel))?;
        // SAFETY: `fill` got the pointer from `into_raw` under this tag; after the wait nobody uses it.
        Some(unsafe { PoolBox::from_raw(state, self.tag) })
    }
}

/// A reference to the state of a [`Slot`].
pub struct Entered<'a, T: Send + Sync> {
    slot: &'a Slot<T>,
    state: NonNull<T>,
}

impl<T: Send + Sync> Deref for Entered<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the state lives until `empty`, which waits for this run-down reference.
        unsafe { self.state.as_ref() }
    }
}

impl<T: Send + Sync> Drop for Entered<'_, T> {
    fn drop(&mut self) {
        // SAFETY: `enter` acquired it.
        unsafe { ExReleaseRundownProtection(self.slot.rundown.get()) };
    }
}
