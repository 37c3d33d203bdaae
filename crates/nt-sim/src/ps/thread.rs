//! System threads: real ones.
//!
//! Invariant: a thread object lives until the thread has ended and neither handle nor reference is left.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use nt_sys::ke::DISPATCHER_HEADER;
use nt_sys::ps::{ETHREAD, KSTART_ROUTINE};
use nt_sys::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, STATUS_SUCCESS};
use nt_sys::types::{ACCESS_MASK, CLIENT_ID, HANDLE, NTSTATUS, PASSIVE_LEVEL};

use crate::global::{Global, Ptr};
use crate::ke::event;
use crate::memory::{self, Block};
use crate::ob::{self, Target};
use crate::verifier::Violation;
use crate::{fault, rules, thread, verifier, wait};

static THREADS: Global<BTreeMap<Ptr<ETHREAD>, Entry>> = Global::new(BTreeMap::new());
static HOSTS: Global<Vec<JoinHandle<()>>> = Global::new(Vec::new());
static RUNNING: AtomicUsize = AtomicUsize::new(0);
/// Bytes of a thread object; the head is what counts.
const OBJECT_BYTES: usize = 64;

struct Entry {
    block: Block,
    /// Of handles and drivers together.
    references: usize,
    ended: bool,
}

/// What unwinds a thread that ends itself.
struct Exit;

/// A routine and its context, on their way to the new thread.
struct Start(KSTART_ROUTINE, Ptr<c_void>, Ptr<ETHREAD>);

/// Starts a system thread.
///
/// # Safety
/// `handle` is valid for writing; `context` is what `routine` expects, from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn PsCreateSystemThread(
    handle: *mut HANDLE,
    access: ACCESS_MASK,
    _attributes: *mut c_void,
    process: HANDLE,
    _client: *mut CLIENT_ID,
    routine: KSTART_ROUTINE,
    context: *mut c_void,
) -> NTSTATUS {
    thread::require_irql("PsCreateSystemThread", PASSIVE_LEVEL);
    if !process.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    if fault::should_fail("PsCreateSystemThread") {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let Some(block) = Block::allocate(OBJECT_BYTES, 0) else { return STATUS_INSUFFICIENT_RESOURCES };
    let object = Ptr(block.start().cast::<ETHREAD>());
    // SAFETY: the block is fresh, aligned to 16 and larger than a head.
    unsafe {
        object.0.cast::<DISPATCHER_HEADER>().write(event::header(event::THREAD, false, size_of::<DISPATCHER_HEADER>()))
    };
    THREADS.lock().insert(object, Entry { block, references: 1, ended: false });
    let opened = ob::open(Target::Thread(object), access);
    // SAFETY: the caller's promise.
    unsafe { handle.write(opened) };
    RUNNING.fetch_add(1, Ordering::SeqCst);
    let start = Start(routine, Ptr(context), object);
    HOSTS.lock().push(std::thread::spawn(move || run(start)));
    STATUS_SUCCESS
}

/// Ends the calling system thread.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn PsTerminateSystemThread(_status: NTSTATUS) -> NTSTATUS {
    thread::require_irql("PsTerminateSystemThread", PASSIVE_LEVEL);
    if !thread::is_system() {
        return STATUS_INVALID_PARAMETER;
    }
    resume_unwind(Box::new(Exit));
}

fn run(start: Start) {
    let Start(routine, context, object) = start;
    thread::become_system();
    // SAFETY: the contract of `PsCreateSystemThread`.
    let ended = catch_unwind(AssertUnwindSafe(|| unsafe { routine(context.0) }));
    let outcome = catch_unwind(AssertUnwindSafe(|| match ended {
        Err(payload) if !payload.is::<Exit>() && !payload.is::<Violation>() => {
            verifier::report(rules::PANIC, "a system thread panicked".to_owned());
        }
        _ if thread::irql() != PASSIVE_LEVEL || thread::held_spin_locks() != 0 => {
            let (irql, locks) = (thread::irql(), thread::held_spin_locks());
            verifier::report(rules::IRQL_NOT_RESTORED, format!("thread ended at IRQL {irql} with {locks} spin locks"));
        }
        _ => {}
    }));
    // A violation is recorded by now, whatever became of its panic.
    drop(outcome);
    // SAFETY: an entry that has not ended keeps its block, which begins with a head.
    unsafe { event::signal(object.0.cast()) }.store(1, Ordering::SeqCst);
    if let Some(entry) = THREADS.lock().get_mut(&object) {
        entry.ended = true;
    }
    bury(object);
    RUNNING.fetch_sub(1, Ordering::SeqCst);
    wait::notify();
}

/// Frees the object when nothing holds it.
fn bury(thread: Ptr<ETHREAD>) {
    let mut threads = THREADS.lock();
    let dead = threads.get(&thread).is_some_and(|entry| entry.ended && entry.references == 0);
    let entry = if dead { threads.remove(&thread) } else { None };
    drop(threads);
    if let Some(entry) = entry {
        memory::retire(entry.block);
    }
}

/// Changes the references of a thread; none when there is no such thread, or no reference to take back.
pub(crate) fn change_references(thread: Ptr<ETHREAD>, by: isize) -> Option<isize> {
    let mut threads = THREADS.lock();
    let entry = threads.get_mut(&thread)?;
    entry.references = entry.references.checked_add_signed(by)?;
    let left = entry.references;
    drop(threads);
    bury(thread);
    Some(left as isize)
}

/// System threads that have not ended.
pub(crate) fn system_threads() -> usize {
    RUNNING.load(Ordering::SeqCst)
}

/// Thread objects that something still holds.
pub(crate) fn held_threads() -> usize {
    THREADS.lock().len()
}

/// Ends the calling thread if it is a system thread; the machine has stopped.
pub(crate) fn exit_if_system_thread() {
    if thread::is_system() && !std::thread::panicking() {
        resume_unwind(Box::new(Exit));
    }
}

/// Waits until the threads are gone, and forgets the objects. A thread that does not end is left to the host.
pub(crate) fn join_all() {
    wait::for_system_threads();
    for host in HOSTS.take() {
        if host.is_finished() && host.join().is_err() {
            eprintln!("a system thread died outside the driver");
        }
    }
    drop(THREADS.take());
}
