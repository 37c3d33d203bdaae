//! Timers on the virtual clock.
//!
//! Invariant: a timer is in [`ARMED`] exactly while it is set; the record in the driver's memory only carries type and signal.

use std::collections::BTreeMap;
use std::ptr::null_mut;
use std::sync::atomic::Ordering;

use nt_sys::ke::{KDPC, KTIMER, NotificationTimer, SynchronizationTimer};
use nt_sys::types::{BOOLEAN, DISPATCH_LEVEL, LARGE_INTEGER, LIST_ENTRY};

use super::dpc;
use super::event::{TIMER, header, signal};
use crate::clock::{self, MILLISECOND};
use crate::global::{Global, Ptr};
use crate::{rules, thread, verifier};

static ARMED: Global<BTreeMap<Ptr<KTIMER>, Armed>> = Global::new(BTreeMap::new());

struct Armed {
    due: u64,
    /// 0 fires once.
    period: u64,
    dpc: Option<Ptr<KDPC>>,
}

/// Makes a timer.
///
/// # Safety
/// `timer` is valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn KeInitializeTimerEx(timer: *mut KTIMER, kind: i32) {
    thread::require_irql("KeInitializeTimerEx", DISPATCH_LEVEL);
    let known = kind == NotificationTimer || kind == SynchronizationTimer;
    if !known || ARMED.lock().contains_key(&Ptr(timer)) {
        verifier::report(rules::TIMER_INVALID, format!("timer {timer:p} initialized with type {kind}, or while set"));
    }
    let record = KTIMER {
        Header: header(TIMER + kind as u8, false, size_of::<KTIMER>()),
        DueTime: 0,
        TimerListEntry: LIST_ENTRY { Flink: null_mut(), Blink: null_mut() },
        Dpc: null_mut(),
        Processor: 0,
        TimerType: 0,
        Period: 0,
    };
    // SAFETY: the caller's promise.
    unsafe { timer.write(record) };
}

/// Sets a timer.
///
/// # Safety
/// `timer` is initialized and stays valid while it is set; `dpc` is null or the same.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn KeSetTimerEx(
    timer: *mut KTIMER,
    due: LARGE_INTEGER,
    period: i32,
    dpc: *mut KDPC,
) -> BOOLEAN {
    thread::require_irql("KeSetTimerEx", DISPATCH_LEVEL);
    // SAFETY: the caller's promise.
    unsafe { require_initialized("KeSetTimerEx", timer) };
    if !dpc.is_null() {
        // SAFETY: the caller's promise.
        unsafe { dpc::require_initialized(dpc) };
    }
    // SAFETY: a timer begins with its head.
    unsafe { signal(timer.cast()) }.store(0, Ordering::SeqCst);
    let armed = Armed {
        due: clock::due(due),
        period: u64::from(period.unsigned_abs()) * MILLISECOND,
        dpc: (!dpc.is_null()).then_some(Ptr(dpc)),
    };
    let was_set = ARMED.lock().insert(Ptr(timer), armed).is_some();
    fire_due();
    was_set.into()
}

/// Takes a timer back.
///
/// # Safety
/// `timer` is initialized.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn KeCancelTimer(timer: *mut KTIMER) -> BOOLEAN {
    thread::require_irql("KeCancelTimer", DISPATCH_LEVEL);
    // SAFETY: the caller's promise.
    unsafe { require_initialized("KeCancelTimer", timer) };
    ARMED.lock().remove(&Ptr(timer)).is_some().into()
}

/// # Safety
/// `timer` is valid for reading.
unsafe fn require_initialized(function: &str, timer: *mut KTIMER) {
    // SAFETY: the caller's promise.
    let size = unsafe { (*timer).Header.Size };
    if usize::from(size) != size_of::<KTIMER>() / 4 {
        verifier::report(rules::TIMER_INVALID, format!("{function} on {timer:p}, which was never initialized"));
    }
}

/// When the next timer fires.
pub(crate) fn next_due() -> Option<u64> {
    ARMED.lock().values().map(|armed| armed.due).min()
}

/// Fires every timer whose time has come.
pub(crate) fn fire_due() {
    let now = clock::now();
    let mut armed = ARMED.lock();
    armed.retain(|timer, armed| {
        if armed.due > now {
            return true;
        }
        // SAFETY: a set timer is valid, by the contract of `KeSetTimerEx`, and begins with its head.
        unsafe { signal(timer.0.cast()) }.store(1, Ordering::SeqCst);
        if let Some(dpc) = armed.dpc {
            dpc::queue(dpc);
        }
        armed.due += armed.period;
        armed.period != 0
    });
}

/// Timers that are set, and lie where `inside` says.
pub(crate) fn set_timers(inside: impl Fn(usize) -> bool) -> usize {
    ARMED.lock().keys().filter(|timer| inside(timer.address())).count()
}

pub(crate) fn reset() {
    ARMED.take();
}
