//! The one place where a driver's state hangs: callbacks find it there, unload empties it.
//!
//! Callouts get no context pointer that a driver could trust, so the state is reached through a static [`Slot`]. Run-down
//! protection answers "is a callback still inside?" at any IRQL; that an unregister waits for running callouts is claimed
//! but not documented (R45). It is of the cache-aware kind: every classify enters and leaves, on all processors at once
//! (learn.microsoft.com "Run-Down Protection", "Cache-aware run-down protection").
//!
//! Invariant: the protection lives longer than the state, so longer than everything registered in the state's name.

use crate::pool::{PoolBox, Tag};
use crate::status::{Result, Status};
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};
use nt_sys::ex::{
    EX_RUNDOWN_REF_CACHE_AWARE, ExAcquireRundownProtectionCacheAware, ExAllocateCacheAwareRundownProtection,
    ExFreeCacheAwareRundownProtection, ExReleaseRundownProtectionCacheAware,
    ExWaitForRundownProtectionReleaseCacheAware, NonPagedPoolNx,
};

/// Holds the state of a loaded driver.
pub struct Slot<T> {
    state: AtomicPtr<T>,
    /// Null while there is no state; stored after it, taken out after it.
    rundown: AtomicPtr<EX_RUNDOWN_REF_CACHE_AWARE>,
    tag: Tag,
}

impl<T: Send + Sync> Slot<T> {
    /// An empty slot for a `static`; its state will be allocated under `tag`.
    pub const fn new(tag: Tag) -> Self {
        Self { state: AtomicPtr::new(null_mut()), rundown: AtomicPtr::new(null_mut()), tag }
    }

    /// Puts the state in. From now on [`Slot::enter`] finds it.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`; the slot stays empty.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`. Called once, before any callback can run.
    pub(crate) fn fill(&self, state: T) -> Result<()> {
        let rundown = Rundown::new(self.tag)?;
        let (state, _) = PoolBox::new(state, self.tag)?.into_raw();
        self.state.store(state.as_ptr(), Ordering::Release);
        self.rundown.store(rundown.into_raw().as_ptr(), Ordering::Release);
        Ok(())
    }

    /// The state, kept alive while the reference is; `None` when the driver is not (or no more) there.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    #[doc(alias = "ExAcquireRundownProtectionCacheAware")]
    pub fn enter(&self) -> Option<Entered<'_, T>> {
        let rundown = NonNull::new(self.rundown.load(Ordering::Acquire))?;
        // SAFETY: the block is nonpaged, and freed after everything that could call this has been withdrawn (`Emptied`).
        if unsafe { ExAcquireRundownProtectionCacheAware(rundown.as_ptr()) } == 0 {
            return None;
        }
        let entered =
            NonNull::new(self.state.load(Ordering::Acquire)).map(|state| Entered { rundown, state, slot: PhantomData });
        if entered.is_none() {
            // SAFETY: acquired just above.
            unsafe { ExReleaseRundownProtectionCacheAware(rundown.as_ptr()) };
        }
        entered
    }

    /// Waits until nobody is inside, lets nobody in any more, and takes the state out.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, and not from inside.
    #[doc(alias = "ExWaitForRundownProtectionReleaseCacheAware")]
    pub(crate) fn empty(&self) -> Option<Emptied<T>> {
        let rundown = NonNull::new(self.rundown.load(Ordering::Acquire))?;
        // SAFETY: the block is alive, for only this function takes it out; the caller is at <= APC_LEVEL, holding no
        // protection.
        unsafe { ExWaitForRundownProtectionReleaseCacheAware(rundown.as_ptr()) };
        let state = NonNull::new(self.state.swap(null_mut(), Ordering::AcqRel))?;
        self.rundown.store(null_mut(), Ordering::Release);
        // SAFETY: `fill` got the pointer from `into_raw` under this tag; after the wait nobody uses it.
        let state = unsafe { PoolBox::from_raw(state, self.tag) };
        Some(Emptied { _state: state, _rundown: Rundown(rundown) })
    }
}

/// What was in a [`Slot`]. The state goes first, and with it the last thing registered in its name, the device. A callback
/// that had not entered by then cannot come any more, so nobody looks at the protection when it goes.
pub(crate) struct Emptied<T> {
    _state: PoolBox<T>,
    _rundown: Rundown,
}

/// A block of run-down protection.
struct Rundown(NonNull<EX_RUNDOWN_REF_CACHE_AWARE>);

impl Rundown {
    /// # IRQL
    /// `<= APC_LEVEL`.
    fn new(tag: Tag) -> Result<Self> {
        // SAFETY: the tag is not zero, and the caller is at <= APC_LEVEL.
        let block = unsafe { ExAllocateCacheAwareRundownProtection(NonPagedPoolNx, tag.code()) };
        NonNull::new(block).map(Self).ok_or(Status::INSUFFICIENT_RESOURCES)
    }

    fn into_raw(self) -> NonNull<EX_RUNDOWN_REF_CACHE_AWARE> {
        let block = self.0;
        core::mem::forget(self);
        block
    }
}

impl Drop for Rundown {
    fn drop(&mut self) {
        // SAFETY: the block came from ExAllocateCacheAwareRundownProtection, and this value is its only owner.
        unsafe { ExFreeCacheAwareRundownProtection(self.0.as_ptr()) };
    }
}

/// A reference to the state of a [`Slot`].
pub struct Entered<'a, T: Send + Sync> {
    rundown: NonNull<EX_RUNDOWN_REF_CACHE_AWARE>,
    state: NonNull<T>,
    slot: PhantomData<&'a Slot<T>>,
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
        // SAFETY: `enter` acquired it, so the block is alive.
        unsafe { ExReleaseRundownProtectionCacheAware(self.rundown.as_ptr()) };
    }
}
