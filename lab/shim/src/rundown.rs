//! Run-down protection, whose Wine exports end the driver host when called.
//!
//! One word: users in the upper bits, "no more" in the lowest, as `EX_RUNDOWN_REF` is documented to be opaque. The
//! cache-aware kind is the same word in a block of its own: what it is for, many processors, is not what the lab shows.

use core::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nt_sys::types::{APC_LEVEL, DISPATCH_LEVEL};

use crate::violations;
use crate::{irql, pool};

const ENDING: usize = 1;
const USER: usize = 2;
/// How often a waiter looks; the word is the driver's memory, so there is nothing to be woken by.
const LOOK: Duration = Duration::from_millis(1);

/// In place of `ExInitializeRundownProtection`, `ExReInitializeRundownProtection` and the cache-aware one of the latter.
pub unsafe extern "system" fn initialize(reference: *mut AtomicUsize) {
    // SAFETY: the caller's run-down reference.
    unsafe { (*reference).store(0, Ordering::Release) };
}

/// In place of `ExAllocateCacheAwareRundownProtection`.
pub unsafe extern "system" fn allocate<const SLOT: usize>(kind: i32, tag: u32) -> *mut AtomicUsize {
    // SAFETY: no condition on the arguments.
    let block = unsafe { pool::allocate_with_tag::<SLOT>(kind, size_of::<AtomicUsize>(), tag) };
    let reference = block.cast::<AtomicUsize>();
    if !reference.is_null() {
        // SAFETY: a block of that size, and pool memory is aligned to 16 bytes.
        unsafe { reference.write(AtomicUsize::new(0)) };
    }
    reference
}

/// In place of `ExFreeCacheAwareRundownProtection`.
pub unsafe extern "system" fn free<const SLOT: usize>(reference: *mut c_void) {
    // SAFETY: the caller's block, of `allocate`.
    unsafe { pool::free::<SLOT>(reference) };
}

/// In place of `ExAcquireRundownProtection`.
pub unsafe extern "system" fn acquire(reference: *const AtomicUsize) -> u8 {
    irql::require_at_most(DISPATCH_LEVEL, "ExAcquireRundownProtection");
    // SAFETY: the caller's run-down reference.
    let reference = unsafe { &*reference };
    let added = reference
        .fetch_update(Ordering::Acquire, Ordering::Relaxed, |value| (value & ENDING == 0).then_some(value + USER));
    u8::from(added.is_ok())
}

/// In place of `ExReleaseRundownProtection`.
pub unsafe extern "system" fn release(reference: *const AtomicUsize) {
    irql::require_at_most(DISPATCH_LEVEL, "ExReleaseRundownProtection");
    // SAFETY: the caller's run-down reference.
    let reference = unsafe { &*reference };
    let taken = reference.fetch_update(Ordering::Release, Ordering::Relaxed, |value| value.checked_sub(USER));
    if taken.is_err() {
        violations::record("ExReleaseRundownProtection without an acquire".to_owned());
    }
}

/// In place of `ExWaitForRundownProtectionRelease`.
pub unsafe extern "system" fn wait(reference: *const AtomicUsize) {
    irql::require_at_most(APC_LEVEL, "ExWaitForRundownProtectionRelease");
    // SAFETY: the caller's run-down reference.
    let reference = unsafe { &*reference };
    reference.fetch_or(ENDING, Ordering::AcqRel);
    while reference.load(Ordering::Acquire) != ENDING {
        thread::sleep(LOOK);
    }
}
