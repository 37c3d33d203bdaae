//! Waiting for dispatcher objects, and sleeping.

use std::ffi::c_void;
use std::sync::atomic::Ordering;

use nt_sys::ke::{DISPATCHER_HEADER, SynchronizationEvent, SynchronizationTimer};
use nt_sys::status::{STATUS_SUCCESS, STATUS_TIMEOUT};
use nt_sys::types::{APC_LEVEL, BOOLEAN, DISPATCH_LEVEL, KPROCESSOR_MODE, LARGE_INTEGER, NTSTATUS};

use super::event::{self, EVENT, PROCESS, THREAD, TIMER};
use crate::{clock, rules, thread, verifier, wait};

/// Waits for an object.
///
/// # Safety
/// `object` points to a dispatcher object that stays valid until the wait ends; `timeout` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn KeWaitForSingleObject(
    object: *mut c_void,
    _reason: i32,
    _mode: KPROCESSOR_MODE,
    _alertable: BOOLEAN,
    timeout: *const LARGE_INTEGER,
) -> NTSTATUS {
    // SAFETY: the caller's promise.
    let timeout = unsafe { timeout.as_ref() }.copied();
    require_wait_irql(timeout);
    let object = object.cast::<DISPATCHER_HEADER>();
    // SAFETY: the caller's promise.
    let kind = unsafe { (*object).Type };
    // SAFETY: the caller's promise.
    let size = unsafe { (*object).Size };
    if size == 0 || !matches!(kind, EVENT..=1 | PROCESS | THREAD | TIMER..=9) {
        verifier::report(rules::WAIT_BAD_OBJECT, format!("wait for {object:p}, of type {kind} and size {size}"));
    }
    let resets = kind == EVENT + SynchronizationEvent as u8 || kind == TIMER + SynchronizationTimer as u8;
    // SAFETY: the caller's promise.
    let signal = unsafe { event::signal(object) };
    let satisfied = || {
        if resets {
            return signal.compare_exchange(1, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        }
        signal.load(Ordering::SeqCst) != 0
    };
    if wait::until(timeout.map(clock::due), "KeWaitForSingleObject", satisfied) {
        return STATUS_SUCCESS;
    }
    STATUS_TIMEOUT
}

/// Sleeps.
///
/// # Safety
/// `interval` is valid.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn KeDelayExecutionThread(
    _mode: KPROCESSOR_MODE,
    _alertable: BOOLEAN,
    interval: *const LARGE_INTEGER,
) -> NTSTATUS {
    thread::require_irql("KeDelayExecutionThread", APC_LEVEL);
    // SAFETY: the caller's promise.
    let interval = unsafe { interval.read() };
    wait::until(Some(clock::due(interval)), "KeDelayExecutionThread", || false);
    STATUS_SUCCESS
}

/// learn.microsoft.com "KeWaitForSingleObject": at `DISPATCH_LEVEL` only with a timeout of zero, never above.
fn require_wait_irql(timeout: Option<LARGE_INTEGER>) {
    let irql = thread::irql();
    let message = || format!("wait at IRQL {irql} with timeout {timeout:?}");
    match timeout {
        _ if irql <= APC_LEVEL => {}
        Some(0) if irql == DISPATCH_LEVEL => {}
        None => verifier::report(rules::WAIT_FOREVER_AT_DISPATCH, message()),
        Some(_) => verifier::report(rules::WAIT_AT_DISPATCH, message()),
    }
}
