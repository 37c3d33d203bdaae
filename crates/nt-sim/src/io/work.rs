//! Work items, and the machine's own deferred work.
//!
//! Invariant: an item is queued at most once and not freed while queued. It runs at `PASSIVE_LEVEL` in the system process on
//! whichever thread pumps.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_void;
use std::ptr::null_mut;

use nt_sys::io::{DEVICE_OBJECT, FILE_OBJECT, IO_WORKITEM, IO_WORKITEM_ROUTINE};
use nt_sys::types::{DISPATCH_LEVEL, PASSIVE_LEVEL};

use super::{device, file};
use crate::global::{Global, Ptr};
use crate::memory::{self, Block};
use crate::thread::{self, Context};
use crate::{fault, rules, verifier, wait};

static ITEMS: Global<BTreeMap<Ptr<IO_WORKITEM>, Item>> = Global::new(BTreeMap::new());
static QUEUE: Global<VecDeque<Job>> = Global::new(VecDeque::new());
/// Bytes of an item's object, which nobody looks into.
const OBJECT_BYTES: usize = 64;

struct Item {
    block: Block,
    device: Ptr<DEVICE_OBJECT>,
    queued: Option<(IO_WORKITEM_ROUTINE, Ptr<c_void>)>,
}

enum Job {
    Item(Ptr<IO_WORKITEM>),
    /// Sends the close request of a file whose last request is done.
    Close(Ptr<FILE_OBJECT>),
    /// Work of another emulation that runs on this machine.
    Host(Box<dyn FnOnce() + Send>),
}

/// Runs `work` later, at `PASSIVE_LEVEL` in the system process, as a worker thread of the machine would. For emulations of
/// other parts of the system; a driver uses a work item.
pub fn defer(work: Box<dyn FnOnce() + Send>) {
    push(Job::Host(work));
}

/// Makes a work item.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn IoAllocateWorkItem(device: *mut DEVICE_OBJECT) -> *mut IO_WORKITEM {
    thread::require_irql("IoAllocateWorkItem", DISPATCH_LEVEL);
    if !device::exists(Ptr(device)) {
        verifier::report(rules::DEVICE_UNKNOWN, format!("IoAllocateWorkItem for {device:p}"));
    }
    if fault::should_fail("IoAllocateWorkItem") {
        return null_mut();
    }
    let Some(block) = Block::allocate(OBJECT_BYTES, 0) else { return null_mut() };
    let item = block.start().cast::<IO_WORKITEM>();
    ITEMS.lock().insert(Ptr(item), Item { block, device: Ptr(device), queued: None });
    item
}

/// Queues a work item.
///
/// # Safety
/// `context` is what `routine` expects.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn IoQueueWorkItem(
    item: *mut IO_WORKITEM,
    routine: IO_WORKITEM_ROUTINE,
    _queue: i32,
    context: *mut c_void,
) {
    thread::require_irql("IoQueueWorkItem", DISPATCH_LEVEL);
    let mut items = ITEMS.lock();
    let free = items.get_mut(&Ptr(item)).filter(|entry| entry.queued.is_none());
    let Some(entry) = free else {
        drop(items);
        let message = format!("IoQueueWorkItem of {item:p}, which is queued already or does not exist");
        return verifier::report(rules::WORK_ITEM_INVALID, message);
    };
    entry.queued = Some((routine, Ptr(context)));
    drop(items);
    push(Job::Item(Ptr(item)));
}

/// Frees a work item.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn IoFreeWorkItem(item: *mut IO_WORKITEM) {
    thread::require_irql("IoFreeWorkItem", DISPATCH_LEVEL);
    let removed = ITEMS.lock().remove(&Ptr(item));
    match removed {
        Some(entry) if entry.queued.is_none() => return memory::retire(entry.block),
        // The queue points there.
        Some(entry) => memory::keep(entry),
        None => {}
    }
    let message = format!("IoFreeWorkItem of {item:p}, which is queued or does not exist");
    verifier::report(rules::WORK_ITEM_INVALID, message);
}

/// Defers the close of a file.
pub(super) fn queue_close(file: Ptr<FILE_OBJECT>) {
    push(Job::Close(file));
}

fn push(job: Job) {
    QUEUE.lock().push_back(job);
    wait::notify();
}

/// Runs one job on the calling thread, as a worker thread would.
pub(crate) fn run_one() -> bool {
    let Some(job) = QUEUE.lock().pop_front() else { return false };
    match job {
        Job::Item(item) => run(item),
        Job::Close(file) => file::send_close(file),
        Job::Host(work) => {
            let _frame = Context::enter(PASSIVE_LEVEL, null_mut());
            work();
        }
    }
    wait::notify();
    true
}

fn run(item: Ptr<IO_WORKITEM>) {
    let queued = ITEMS.lock().get_mut(&item).and_then(|entry| Some((entry.queued.take()?, entry.device)));
    let Some(((routine, context), device)) = queued else { return };
    let frame = Context::enter(PASSIVE_LEVEL, null_mut());
    // SAFETY: the driver gave routine and context for each other.
    unsafe { routine(device.0, context.0) };
    if !frame.is_balanced(PASSIVE_LEVEL) {
        let (irql, locks) = (thread::irql(), thread::held_spin_locks());
        let message = format!("work item returned at IRQL {irql} with {locks} spin locks");
        verifier::report(rules::WORK_ITEM_CHANGED_IRQL, message);
    }
}

pub(super) fn leftovers() -> Vec<String> {
    let items = ITEMS.lock();
    let state = |item: &Item| if item.queued.is_some() { "queued work item" } else { "work item" };
    items.values().map(|item| state(item).to_owned()).collect()
}

pub(super) fn reset() {
    QUEUE.take();
    memory::keep(ITEMS.take());
}
