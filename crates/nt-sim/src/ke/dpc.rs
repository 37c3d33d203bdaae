//! Deferred procedure calls.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

use nt_sys::ke::{KDEFERRED_ROUTINE, KDPC};
use nt_sys::types::{DISPATCH_LEVEL, PASSIVE_LEVEL};

use crate::global::{Global, Ptr};
use crate::thread::{self, Context};
use crate::{point, rules, verifier, wait};

/// `KDPC::Type` of an initialized record.
const DPC_OBJECT: u8 = 0x13;

static QUEUED: Global<VecDeque<Ptr<KDPC>>> = Global::new(VecDeque::new());
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Makes a deferred procedure call.
///
/// # Safety
/// `dpc` is valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn KeInitializeDpc(dpc: *mut KDPC, routine: KDEFERRED_ROUTINE, context: *mut c_void) {
    if QUEUED.lock().contains(&Ptr(dpc)) {
        verifier::report(rules::TIMER_INVALID, format!("DPC {dpc:p} initialized while queued"));
    }
    let record = KDPC {
        Type: DPC_OBJECT,
        Importance: 1,
        Number: 0,
        DpcListEntry: null_mut(),
        ProcessorHistory: 0,
        DeferredRoutine: Some(routine),
        DeferredContext: context,
        SystemArgument1: null_mut(),
        SystemArgument2: null_mut(),
        DpcData: null_mut(),
    };
    // SAFETY: the caller's promise.
    unsafe { dpc.write(record) };
}

/// Returns when every queued DPC has run.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn KeFlushQueuedDpcs() {
    thread::require_irql("KeFlushQueuedDpcs", PASSIVE_LEVEL);
    while run_one() {}
    while RUNNING.load(Ordering::SeqCst) != 0 && !verifier::stopped() {
        point::give_way();
    }
}

/// # Safety
/// `dpc` is valid for reading.
pub(super) unsafe fn require_initialized(dpc: *mut KDPC) {
    // SAFETY: the caller's promise.
    if unsafe { (*dpc).Type } != DPC_OBJECT {
        verifier::report(rules::TIMER_INVALID, format!("timer set with DPC {dpc:p}, which was never initialized"));
    }
}

/// Queues a DPC unless it is queued.
pub(super) fn queue(dpc: Ptr<KDPC>) {
    let mut queued = QUEUED.lock();
    if !queued.contains(&dpc) {
        queued.push_back(dpc);
    }
}

/// Runs one queued DPC on the calling thread, as if it had interrupted it.
pub(crate) fn run_one() -> bool {
    let mut queued = QUEUED.lock();
    let Some(Ptr(dpc)) = queued.pop_front() else { return false };
    let running = Running::enter();
    drop(queued);
    // SAFETY: a queued DPC is valid until it runs, by the contract of `KeSetTimerEx`; `KeInitializeDpc` wrote it.
    let record = unsafe { &*dpc };
    let context = record.DeferredContext;
    if let Some(routine) = record.DeferredRoutine {
        let frame = Context::enter(DISPATCH_LEVEL, null_mut());
        // SAFETY: the driver gave routine and context for each other.
        unsafe { routine(dpc, context, null_mut(), null_mut()) };
        if !frame.is_balanced(DISPATCH_LEVEL) {
            let (irql, locks) = (thread::irql(), thread::held_spin_locks());
            verifier::report(rules::IRQL_NOT_RESTORED, format!("DPC returned at IRQL {irql} with {locks} spin locks"));
        }
    }
    drop(running);
    wait::notify();
    true
}

/// DPCs that are queued, and lie where `inside` says.
pub(crate) fn queued_dpcs(inside: impl Fn(usize) -> bool) -> usize {
    QUEUED.lock().iter().filter(|dpc| inside(dpc.address())).count()
}

pub(crate) fn reset() {
    QUEUED.take();
}

/// Counts a running DPC, also when it panics.
struct Running;

impl Running {
    fn enter() -> Self {
        RUNNING.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}
