//! Run-down protection.
//!
//! Invariant: bit 0 says that run-down began, the rest counts users, as in the kernel; so a zeroed record is ready for use.

use std::sync::atomic::{AtomicUsize, Ordering};

use nt_sys::ex::EX_RUNDOWN_REF;
use nt_sys::types::{APC_LEVEL, BOOLEAN, DISPATCH_LEVEL, FALSE, TRUE};

use crate::{rules, thread, verifier, wait};

const ENDING: usize = 1;
const USER: usize = 2;

/// Makes the record usable.
///
/// # Safety
/// `reference` is valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn ExInitializeRundownProtection(reference: *mut EX_RUNDOWN_REF) {
    thread::require_irql("ExInitializeRundownProtection", APC_LEVEL);
    // SAFETY: the caller's promise.
    unsafe { reference.write(EX_RUNDOWN_REF { Count: 0 }) };
}

/// Becomes a user unless run-down began.
///
/// # Safety
/// `reference` is valid.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn ExAcquireRundownProtection(reference: *mut EX_RUNDOWN_REF) -> BOOLEAN {
    thread::require_irql("ExAcquireRundownProtection", DISPATCH_LEVEL);
    // SAFETY: the caller's promise.
    let count = unsafe { count(reference) };
    let entered = count.fetch_update(Ordering::Acquire, Ordering::Relaxed, |old| {
        (old & ENDING == 0).then_some(old.wrapping_add(USER))
    });
    if entered.is_ok() { TRUE } else { FALSE }
}

/// Ends one use.
///
/// # Safety
/// As for [`ExAcquireRundownProtection`].
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn ExReleaseRundownProtection(reference: *mut EX_RUNDOWN_REF) {
    thread::require_irql("ExReleaseRundownProtection", DISPATCH_LEVEL);
    // SAFETY: the caller's promise.
    let count = unsafe { count(reference) };
    let left = count.fetch_update(Ordering::Release, Ordering::Relaxed, |old| old.checked_sub(USER));
    match left {
        Err(_) => verifier::report(rules::RUNDOWN_UNBALANCED, format!("{reference:p} released without a user")),
        Ok(old) if old & ENDING != 0 => wait::notify(),
        Ok(_) => {}
    }
}

/// Refuses new users and waits for the present ones.
///
/// # Safety
/// As for [`ExAcquireRundownProtection`].
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn ExWaitForRundownProtectionRelease(reference: *mut EX_RUNDOWN_REF) {
    thread::require_irql("ExWaitForRundownProtectionRelease", APC_LEVEL);
    // SAFETY: the caller's promise.
    let count = unsafe { count(reference) };
    count.fetch_or(ENDING, Ordering::AcqRel);
    wait::until(None, "ExWaitForRundownProtectionRelease", || count.load(Ordering::Acquire) == ENDING);
}

/// # Safety
/// `reference` is valid for `'a`.
unsafe fn count<'a>(reference: *mut EX_RUNDOWN_REF) -> &'a AtomicUsize {
    // SAFETY: the caller's promise makes the place valid.
    let place = unsafe { &raw mut (*reference).Count };
    // SAFETY: the place is an aligned word that everybody accesses through this module.
    unsafe { AtomicUsize::from_ptr(place) }
}
