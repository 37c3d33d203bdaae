//! Events, and the head that every dispatcher object has.
//!
//! Invariant: the signal is the one in the driver's own record, read and written atomically.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, Ordering};

use nt_sys::ke::{DISPATCHER_HEADER, KEVENT, NotificationEvent, SynchronizationEvent};
use nt_sys::types::{APC_LEVEL, BOOLEAN, DISPATCH_LEVEL, FALSE, KPRIORITY, LIST_ENTRY};

use crate::{rules, thread, verifier, wait};

/// `DISPATCHER_HEADER::Type` of the objects that exist here; events and timers add their own type to the first.
pub(super) const EVENT: u8 = 0;
pub(crate) const PROCESS: u8 = 3;
pub(crate) const THREAD: u8 = 6;
pub(super) const TIMER: u8 = 8;

/// A head as the kernel initializes it. `Size` counts words, and is how an uninitialized object is told.
pub(crate) fn header(kind: u8, signaled: bool, size: usize) -> DISPATCHER_HEADER {
    DISPATCHER_HEADER {
        Type: kind,
        Signalling: 0,
        Size: (size / 4) as u8,
        Reserved1: 0,
        SignalState: i32::from(signaled),
        WaitListHead: LIST_ENTRY { Flink: null_mut(), Blink: null_mut() },
    }
}

/// The signal of an object.
///
/// # Safety
/// `object` points to a dispatcher object that is valid for `'a`.
pub(crate) unsafe fn signal<'a>(object: *mut DISPATCHER_HEADER) -> &'a AtomicI32 {
    // SAFETY: the caller's promise makes the place valid.
    let state = unsafe { &raw mut (*object).SignalState };
    // SAFETY: the place is aligned, and while the object lives only this crate accesses it, atomically.
    unsafe { AtomicI32::from_ptr(state) }
}

/// Makes an event.
///
/// # Safety
/// `event` is valid for writing and not in use.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn KeInitializeEvent(event: *mut KEVENT, kind: i32, state: BOOLEAN) {
    if kind != NotificationEvent && kind != SynchronizationEvent {
        verifier::report(rules::WAIT_BAD_OBJECT, format!("event {event:p} of type {kind}"));
    }
    let header = header(EVENT + kind as u8, state != FALSE, size_of::<KEVENT>());
    // SAFETY: the caller's promise.
    unsafe { event.write(KEVENT { Header: header }) };
}

/// Signals the event.
///
/// # Safety
/// `event` points to an initialized event.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn KeSetEvent(event: *mut KEVENT, _increment: KPRIORITY, wait: BOOLEAN) -> i32 {
    thread::require_irql("KeSetEvent", if wait == FALSE { DISPATCH_LEVEL } else { APC_LEVEL });
    // SAFETY: the caller's promise.
    let old = unsafe { exchange("KeSetEvent", event, 1) };
    wait::notify();
    old
}

/// Ends the signal.
///
/// # Safety
/// As for [`KeSetEvent`].
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn KeClearEvent(event: *mut KEVENT) {
    // SAFETY: the caller's promise.
    unsafe { exchange("KeClearEvent", event, 0) };
}

/// Ends the signal and returns the old state.
///
/// # Safety
/// As for [`KeSetEvent`].
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn KeResetEvent(event: *mut KEVENT) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { exchange("KeResetEvent", event, 0) }
}

/// Reads the signal.
///
/// # Safety
/// As for [`KeSetEvent`].
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn KeReadStateEvent(event: *mut KEVENT) -> i32 {
    thread::require_irql("KeReadStateEvent", DISPATCH_LEVEL);
    // SAFETY: an event begins with its head, and the caller promises a valid event.
    unsafe { signal(event.cast()) }.load(Ordering::SeqCst)
}

/// # Safety
/// `event` points to a valid event, which need not be initialized.
unsafe fn exchange(function: &'static str, event: *mut KEVENT, state: i32) -> i32 {
    thread::require_irql(function, DISPATCH_LEVEL);
    // SAFETY: the caller's promise.
    let size = unsafe { (*event).Header.Size };
    if usize::from(size) != size_of::<KEVENT>() / 4 {
        verifier::report(rules::WAIT_BAD_OBJECT, format!("{function} on {event:p}, which is no event"));
    }
    // SAFETY: an event begins with its head.
    unsafe { signal(event.cast()) }.swap(state, Ordering::SeqCst)
}
