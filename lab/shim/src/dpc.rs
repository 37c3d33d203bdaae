//! Deferred procedure calls: at `DISPATCH_LEVEL`, and from `KeInsertQueueDpc`, which in Wine says yes and does nothing.
//!
//! A DPC made by the driver holds [`run`] as its routine and the driver's own in `DpcData`, a field that is the kernel's
//! and that Wine does not use. Timers thereby run the driver's routine at the right level too.

use core::ffi::c_void;
use core::ptr;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, Once, PoisonError};
use std::thread;

use nt_sys::ke::{KDEFERRED_ROUTINE, KDPC, KeFlushQueuedDpcs};
use nt_sys::types::{DISPATCH_LEVEL, PASSIVE_LEVEL};

use crate::violations::lock;
use crate::{drivers, irql};

/// `DpcObject` of `KOBJECTS`.
const DPC_OBJECT: u8 = 19;
const MEDIUM_IMPORTANCE: u8 = 1;

/// One queued call, by addresses.
#[derive(Clone, Copy)]
struct Call {
    dpc: usize,
    arguments: [usize; 2],
}

struct Queue {
    waiting: VecDeque<Call>,
    running: bool,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue { waiting: VecDeque::new(), running: false });
static CHANGED: Condvar = Condvar::new();
static WORKER: Once = Once::new();

/// In place of `KeInitializeDpc`.
pub unsafe extern "system" fn initialize(dpc: *mut KDPC, routine: KDEFERRED_ROUTINE, context: *mut c_void) {
    let fresh = KDPC {
        Type: DPC_OBJECT,
        Importance: MEDIUM_IMPORTANCE,
        Number: 0,
        DpcListEntry: ptr::null_mut(),
        ProcessorHistory: 0,
        DeferredRoutine: Some(run),
        DeferredContext: context,
        SystemArgument1: ptr::null_mut(),
        SystemArgument2: ptr::null_mut(),
        DpcData: routine as *mut c_void,
    };
    // SAFETY: the caller's storage for a DPC.
    unsafe { dpc.write(fresh) };
}

/// The routine of every DPC: the driver's own, at `DISPATCH_LEVEL`.
unsafe extern "system-unwind" fn run(dpc: *mut KDPC, context: *mut c_void, first: *mut c_void, second: *mut c_void) {
    // SAFETY: Wine or the worker passes a DPC that `initialize` made.
    let routine = unsafe { (*dpc).DpcData };
    // SAFETY: `initialize` stored a routine of this type there.
    let routine = unsafe { core::mem::transmute::<*mut c_void, KDEFERRED_ROUTINE>(routine) };
    irql::at(DISPATCH_LEVEL, || {
        let locks = irql::spin_locks_held();
        // SAFETY: the driver's routine with its context; the DPC is not touched afterwards, the routine may free it.
        unsafe { routine(dpc, context, first, second) };
        drivers::check_return("a DPC", DISPATCH_LEVEL, locks);
    });
}

/// In place of `KeInsertQueueDpc`.
pub unsafe extern "system" fn insert(dpc: *mut KDPC, first: *mut c_void, second: *mut c_void) -> u8 {
    WORKER.call_once(|| {
        thread::spawn(work);
    });
    let mut queue = lock(&QUEUE);
    let dpc = dpc.expose_provenance();
    if queue.waiting.iter().any(|call| call.dpc == dpc) {
        return 0;
    }
    let arguments = [first.expose_provenance(), second.expose_provenance()];
    queue.waiting.push_back(Call { dpc, arguments });
    CHANGED.notify_all();
    1
}

/// In place of `KeRemoveQueueDpc`.
pub unsafe extern "system" fn remove(dpc: *mut KDPC) -> u8 {
    let mut queue = lock(&QUEUE);
    let before = queue.waiting.len();
    queue.waiting.retain(|call| call.dpc != dpc.addr());
    u8::from(queue.waiting.len() < before)
}

/// In place of `KeFlushQueuedDpcs`: timers' DPCs are Wine's, queued ones are here.
pub unsafe extern "system" fn flush() {
    irql::require_at_most(PASSIVE_LEVEL, "KeFlushQueuedDpcs");
    let mut queue = lock(&QUEUE);
    while queue.running || !queue.waiting.is_empty() {
        queue = CHANGED.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
    drop(queue);
    // SAFETY: no condition but the level.
    unsafe { KeFlushQueuedDpcs() };
}

fn work() {
    loop {
        let call = next();
        let dpc = ptr::with_exposed_provenance_mut::<KDPC>(call.dpc);
        let [first, second] = call.arguments.map(ptr::with_exposed_provenance_mut);
        // SAFETY: a queued DPC stays valid until it has run ("learn.microsoft.com KeInsertQueueDpc").
        let context = unsafe { (*dpc).DeferredContext };
        // SAFETY: as above; the DPC was made by `initialize`, in whose place no other function is.
        unsafe { run(dpc, context, first, second) };
        lock(&QUEUE).running = false;
        CHANGED.notify_all();
    }
}

fn next() -> Call {
    let mut queue = lock(&QUEUE);
    loop {
        if let Some(call) = queue.waiting.pop_front() {
            queue.running = true;
            return call;
        }
        queue = CHANGED.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
}
