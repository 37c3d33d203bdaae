//! Spin locks and the level they raise to.
//!
//! Wine's locks exclude but know no level: they always report 0. The level and the number of locks a thread holds are
//! kept in `irql`.

use core::ffi::c_void;
use std::hint;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use nt_sys::ke::{
    KSPIN_LOCK, KeAcquireSpinLockAtDpcLevel, KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock,
    KeReleaseSpinLockFromDpcLevel,
};
use nt_sys::types::{DISPATCH_LEVEL, KIRQL};

use crate::irql;
use crate::kernel::{KeAcquireInStackQueuedSpinLock, KeReleaseInStackQueuedSpinLock};
use crate::violations;

/// `KLOCK_QUEUE_HANDLE`.
#[repr(C)]
pub struct QueueHandle {
    next: *mut c_void,
    lock: *mut c_void,
    old_level: KIRQL,
}

/// In place of `KeGetCurrentIrql`.
pub extern "system" fn current_level() -> KIRQL {
    irql::current()
}

/// In place of `KfRaiseIrql`.
pub extern "system" fn raise(level: KIRQL) -> KIRQL {
    let old = irql::set(level);
    if old > level {
        violations::record(format!("KfRaiseIrql from {} to {}", irql::name(old), irql::name(level)));
    }
    old
}

/// In place of `KeLowerIrql`.
pub extern "system" fn lower(level: KIRQL) {
    let old = irql::set(level);
    if old < level {
        violations::record(format!("KeLowerIrql from {} to {}", irql::name(old), irql::name(level)));
    }
    if level < DISPATCH_LEVEL && irql::spin_locks_held() > 0 {
        violations::record("KeLowerIrql with a spin lock held".to_owned());
    }
}

/// In place of `KeAcquireSpinLockRaiseToDpc`.
pub unsafe extern "system" fn acquire(lock: *mut KSPIN_LOCK) -> KIRQL {
    irql::require_at_most(DISPATCH_LEVEL, "KeAcquireSpinLock");
    // SAFETY: the caller's lock.
    unsafe { KeAcquireSpinLockRaiseToDpc(lock) };
    irql::lock_acquired();
    irql::set(DISPATCH_LEVEL)
}

/// In place of `KeReleaseSpinLock`.
pub unsafe extern "system" fn release(lock: *mut KSPIN_LOCK, level: KIRQL) {
    irql::lock_released("KeReleaseSpinLock");
    // SAFETY: the caller's lock, which it holds.
    unsafe { KeReleaseSpinLock(lock, 0) };
    irql::set(level);
}

/// In place of `KeAcquireSpinLockAtDpcLevel`.
pub unsafe extern "system" fn acquire_at_dispatch(lock: *mut KSPIN_LOCK) {
    if irql::current() < DISPATCH_LEVEL {
        violations::record(format!("KeAcquireSpinLockAtDpcLevel at {}", irql::name(irql::current())));
    }
    // SAFETY: the caller's lock.
    unsafe { KeAcquireSpinLockAtDpcLevel(lock) };
    irql::lock_acquired();
}

/// In place of `KeReleaseSpinLockFromDpcLevel`.
pub unsafe extern "system" fn release_at_dispatch(lock: *mut KSPIN_LOCK) {
    irql::lock_released("KeReleaseSpinLockFromDpcLevel");
    // SAFETY: the caller's lock, which it holds.
    unsafe { KeReleaseSpinLockFromDpcLevel(lock) };
}

/// In place of `KeAcquireInStackQueuedSpinLock`.
pub unsafe extern "system" fn acquire_queued(lock: *mut KSPIN_LOCK, handle: *mut QueueHandle) {
    irql::require_at_most(DISPATCH_LEVEL, "KeAcquireInStackQueuedSpinLock");
    // SAFETY: the caller's lock and handle.
    unsafe { KeAcquireInStackQueuedSpinLock(lock, handle.cast()) };
    irql::lock_acquired();
    // SAFETY: the caller's handle, which Wine has filled in.
    unsafe { (*handle).old_level = irql::set(DISPATCH_LEVEL) };
}

/// In place of `KeReleaseInStackQueuedSpinLock`.
pub unsafe extern "system" fn release_queued(handle: *mut QueueHandle) {
    irql::lock_released("KeReleaseInStackQueuedSpinLock");
    // SAFETY: the caller's handle.
    let level = unsafe { (*handle).old_level };
    // SAFETY: the handle of a lock the caller holds.
    unsafe { KeReleaseInStackQueuedSpinLock(handle.cast()) };
    irql::set(level);
}

const WRITER: i32 = i32::MIN;

/// In place of `ExAcquireSpinLockShared`, which Wine lacks.
pub unsafe extern "system" fn acquire_shared(lock: *const AtomicI32) -> KIRQL {
    // SAFETY: the caller's lock.
    spin(unsafe { &*lock }, |value| (value >= 0).then_some(value + 1))
}

/// In place of `ExReleaseSpinLockShared`.
pub unsafe extern "system" fn release_shared(lock: *const AtomicI32, level: KIRQL) {
    irql::lock_released("ExReleaseSpinLockShared");
    // SAFETY: the caller's lock, which it holds shared.
    unsafe { (*lock).fetch_sub(1, Ordering::Release) };
    irql::set(level);
}

/// In place of `ExAcquireSpinLockExclusive`, which Wine lacks.
pub unsafe extern "system" fn acquire_exclusive(lock: *const AtomicI32) -> KIRQL {
    // SAFETY: the caller's lock.
    spin(unsafe { &*lock }, |value| (value == 0).then_some(WRITER))
}

/// In place of `ExReleaseSpinLockExclusive`.
pub unsafe extern "system" fn release_exclusive(lock: *const AtomicI32, level: KIRQL) {
    irql::lock_released("ExReleaseSpinLockExclusive");
    // SAFETY: the caller's lock, which it holds alone.
    unsafe { (*lock).store(0, Ordering::Release) };
    irql::set(level);
}

fn spin(lock: &AtomicI32, enter: impl Fn(i32) -> Option<i32>) -> KIRQL {
    irql::require_at_most(DISPATCH_LEVEL, "ExAcquireSpinLock");
    while lock.fetch_update(Ordering::Acquire, Ordering::Relaxed, &enter).is_err() {
        hint::spin_loop();
        // The owner is a thread that Linux may have put aside, unlike one at DISPATCH_LEVEL on Windows.
        thread::yield_now();
    }
    irql::lock_acquired();
    irql::set(DISPATCH_LEVEL)
}
