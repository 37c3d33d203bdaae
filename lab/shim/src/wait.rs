//! Waiting, which at `DISPATCH_LEVEL` stops a Windows machine.

use core::ffi::c_void;

use nt_sys::ke::{KeDelayExecutionThread, KeWaitForSingleObject};
use nt_sys::types::{APC_LEVEL, DISPATCH_LEVEL, NTSTATUS};

use crate::irql;
use crate::kernel;

/// In place of `KeWaitForSingleObject`.
pub unsafe extern "system" fn single(
    object: *mut c_void,
    reason: i32,
    mode: i8,
    alertable: u8,
    timeout: *const i64,
) -> NTSTATUS {
    // SAFETY: the caller's timeout.
    unsafe { check("KeWaitForSingleObject", timeout) };
    // SAFETY: the caller's arguments, unchanged.
    unsafe { KeWaitForSingleObject(object, reason, mode, alertable, timeout) }
}

/// In place of `KeWaitForMultipleObjects`.
pub unsafe extern "system" fn multiple(
    count: u32,
    objects: *mut *mut c_void,
    kind: i32,
    reason: i32,
    mode: i8,
    alertable: u8,
    timeout: *const i64,
    blocks: *mut c_void,
) -> NTSTATUS {
    // SAFETY: the caller's timeout.
    unsafe { check("KeWaitForMultipleObjects", timeout) };
    // SAFETY: the caller's arguments, unchanged.
    unsafe { kernel::KeWaitForMultipleObjects(count, objects, kind, reason, mode, alertable, timeout, blocks) }
}

/// In place of `KeDelayExecutionThread`.
pub unsafe extern "system" fn delay(mode: i8, alertable: u8, interval: *const i64) -> NTSTATUS {
    irql::require_at_most(APC_LEVEL, "KeDelayExecutionThread");
    // SAFETY: the caller's arguments, unchanged.
    unsafe { KeDelayExecutionThread(mode, alertable, interval) }
}

/// A zero timeout only looks, which is allowed at `DISPATCH_LEVEL`.
///
/// # Safety
/// `timeout` is null or readable.
unsafe fn check(function: &str, timeout: *const i64) {
    // SAFETY: the caller's promise.
    let looks_only = unsafe { timeout.as_ref() }.is_some_and(|&timeout| timeout == 0);
    let limit = if looks_only { DISPATCH_LEVEL } else { APC_LEVEL };
    irql::require_at_most(limit, function);
}
