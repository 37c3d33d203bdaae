//! Cancelling requests.
//!
//! A cancel routine runs with the system-wide cancel spin lock held, at the `DISPATCH_LEVEL` that taking it raised to, and
//! releases it to `Irp->CancelIrql` (learn.microsoft.com "IoSetCancelRoutine", "Implementing a Cancel Routine").

use std::mem::transmute;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

use nt_sys::io::{DRIVER_CANCEL, IRP};
use nt_sys::types::{BOOLEAN, DISPATCH_LEVEL, FALSE, KIRQL, TRUE};

use super::irp::Pin;
use crate::global::Ptr;
use crate::ke::spin_lock::{KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock};
use crate::{rules, thread, verifier};

static CANCEL_LOCK: AtomicUsize = AtomicUsize::new(0);

/// Takes the cancel spin lock.
///
/// # Safety
/// `irql` is valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn IoAcquireCancelSpinLock(irql: *mut KIRQL) {
    thread::require_irql("IoAcquireCancelSpinLock", DISPATCH_LEVEL);
    let old = acquire();
    // SAFETY: the caller's promise.
    unsafe { irql.write(old) };
}

/// Gives the cancel spin lock back.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn IoReleaseCancelSpinLock(irql: KIRQL) {
    // SAFETY: the lock is static.
    unsafe { KeReleaseSpinLock(CANCEL_LOCK.as_ptr(), irql) };
}

/// Cancels a request; true when it had a cancel routine, which has run.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn IoCancelIrp(request: *mut IRP) -> BOOLEAN {
    thread::require_irql("IoCancelIrp", DISPATCH_LEVEL);
    match Pin::new(Ptr(request)) {
        Some(pin) => cancel(&pin).into(),
        None => {
            verifier::report(rules::REFERENCE_DEAD, format!("IoCancelIrp of {request:p}, which is no request"));
            FALSE
        }
    }
}

/// Cancels a request that cannot go away meanwhile.
pub(super) fn cancel(pin: &Pin) -> bool {
    let request = pin.request();
    let (irql, locks) = (thread::irql(), thread::held_spin_locks());
    let saved = acquire();
    // SAFETY: the pin keeps the request.
    unsafe { &(*request).Cancel }.store(TRUE, Ordering::SeqCst);
    // SAFETY: the pin keeps the request.
    let routine = unsafe { &(*request).CancelRoutine }.swap(null_mut(), Ordering::SeqCst);
    if routine.is_null() {
        IoReleaseCancelSpinLock(saved);
        return false;
    }
    // SAFETY: the driver set the routine with the type that `CancelRoutine` documents.
    let routine = unsafe { transmute::<*mut std::ffi::c_void, DRIVER_CANCEL>(routine) };
    // SAFETY: the pin keeps the request, and nobody else writes the field.
    unsafe { (*request).CancelIrql = saved };
    // SAFETY: the routine belongs to the request, and the cancel spin lock is held as it expects.
    unsafe { routine(pin.device(), request) };
    if thread::irql() != irql || thread::held_spin_locks() != locks {
        let message = format!("cancel routine left IRQL {} and {} locks", thread::irql(), thread::held_spin_locks());
        verifier::report(rules::IRP_CANCEL_LOCK_KEPT, message);
    }
    true
}

fn acquire() -> KIRQL {
    // SAFETY: the lock is static.
    unsafe { KeAcquireSpinLockRaiseToDpc(CANCEL_LOCK.as_ptr()) }
}

pub(super) fn reset() {
    CANCEL_LOCK.store(0, Ordering::SeqCst);
}
