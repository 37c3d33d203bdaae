//! Questions that wait for the engine.
//!
//! Invariants: a request is in [`WAITING`] exactly while both the engine and its cancellation may still end it; whoever
//! takes its cancel routine out completes it; nothing is completed under the lock.

use core::ptr;
use core::sync::atomic::Ordering;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lab_sockets::{Answer, Question};
use nt_sys::io::{DEVICE_OBJECT, DRIVER_CANCEL, IRP, IoReleaseCancelSpinLock, SL_PENDING_RETURNED};
use nt_sys::status::STATUS_CANCELLED;
use serde_json::{Value, json};

use crate::asker::Asker;
use crate::{device, engine, workers};

/// Number of a question, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A request that waits.
#[derive(Clone, Copy)]
struct Asked {
    /// Address of the request.
    irp: usize,
    pid: u32,
    endpoint: u64,
}

struct Waiting {
    next: u64,
    requests: BTreeMap<Ticket, Asked>,
    permitted: u64,
    blocked: u64,
    lost: u64,
    cancelled: u64,
}

static WAITING: Mutex<Waiting> =
    Mutex::new(Waiting { next: 0, requests: BTreeMap::new(), permitted: 0, blocked: 0, lost: 0, cancelled: 0 });

/// What has become of the questions so far.
pub fn report() -> Value {
    let waiting = lock();
    json!({
        "asked": waiting.next,
        "permitted": waiting.permitted,
        "blocked": waiting.blocked,
        "lost": waiting.lost,
        "cancelled": waiting.cancelled,
        "waiting": waiting.requests.len(),
    })
}

/// Keeps the request until the engine has answered or the asker has gone.
///
/// # Safety
/// `irp` is a question's request, the driver's and not completed; it is not used by the caller afterwards.
pub unsafe fn pend(irp: *mut IRP, asker: Asker, question: Question) {
    // SAFETY: the caller's promise.
    let request = unsafe { &*irp };
    // SAFETY: the kernel keeps the `Overlay` arm of a request in flight.
    let location = unsafe { request.Tail.Overlay.CurrentStackLocation };
    // SAFETY: a request in flight has a current location. This is `IoMarkIrpPending`.
    unsafe { (*location).Control |= SL_PENDING_RETURNED };
    let ticket = {
        let mut waiting = lock();
        let ticket = Ticket(waiting.next);
        waiting.next += 1;
        let asked = Asked { irp: irp.expose_provenance(), pid: asker.pid, endpoint: question.endpoint };
        waiting.requests.insert(ticket, asked);
        let cancel: DRIVER_CANCEL = cancelled;
        request.CancelRoutine.store(cancel as device::CancelRoutine, Ordering::SeqCst);
        let already = request.Cancel.load(Ordering::SeqCst) != 0;
        if already && take_cancel_routine(request) {
            waiting.requests.remove(&ticket);
            waiting.cancelled += 1;
            None
        } else {
            Some(ticket)
        }
    };
    match ticket {
        Some(ticket) => workers::run(move || engine::ask(&asker, &question, move |answer| finish(ticket, answer))),
        None => {
            // SAFETY: the cancel routine was taken out, so this function is the only one to complete it.
            unsafe { device::complete(irp, Err(STATUS_CANCELLED)) };
        }
    }
}

/// The engine has answered.
fn finish(ticket: Ticket, answer: Answer) {
    let irp = {
        let mut waiting = lock();
        let Some(asked) = waiting.requests.remove(&ticket) else {
            return;
        };
        let irp = ptr::with_exposed_provenance_mut::<IRP>(asked.irp);
        // SAFETY: a request in the map is not completed, and the lock is held.
        if !take_cancel_routine(unsafe { &*irp }) {
            return;
        }
        match answer {
            Answer::Permit => waiting.permitted += 1,
            Answer::Block => waiting.blocked += 1,
            Answer::Lose => waiting.lost += 1,
        }
        irp
    };
    // SAFETY: the cancel routine was taken out, so this function is the only one to complete it.
    unsafe { device::complete_with_answer(irp, answer) };
}

/// The asker has gone: its thread or process ended, or it closed the handle.
unsafe extern "system-unwind" fn cancelled(_device: *mut DEVICE_OBJECT, irp: *mut IRP) {
    // SAFETY: the request being cancelled, which stays until it is completed below.
    let level = unsafe { (*irp).CancelIrql };
    // SAFETY: a cancel routine holds the cancel spin lock and gives it back at the level in the request.
    unsafe { IoReleaseCancelSpinLock(level) };
    let asked = {
        let mut waiting = lock();
        waiting.cancelled += 1;
        let ticket = waiting.requests.iter().find(|(_, asked)| asked.irp == irp.addr()).map(|(ticket, _)| *ticket);
        ticket.and_then(|ticket| waiting.requests.remove(&ticket))
    };
    if let Some(asked) = asked {
        // On a worker: closing a socket calls drivers, and this thread is inside Wine's I/O manager.
        workers::run(move || engine::abandon(asked.pid, asked.endpoint));
    }
    // SAFETY: the kernel took the cancel routine out to call it, so this function is the only one to complete it.
    unsafe { device::complete(irp, Err(STATUS_CANCELLED)) };
}

/// Whether the caller is now the one to complete the request.
fn take_cancel_routine(request: &IRP) -> bool {
    !request.CancelRoutine.swap(ptr::null_mut(), Ordering::SeqCst).is_null()
}

fn lock() -> MutexGuard<'static, Waiting> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}
