//! A cancel-safe queue of parked requests: the inverted call.
//!
//! Invariants: an IRP in the list has our cancel routine set, or its cancel routine is about to run and will take it out
//! itself. Whoever exchanges the cancel routine for null owns the IRP. Requests are completed with no lock held (Q3, Q4).
//! Why not `IoCsq*`: the same protocol in a few lines, without the kernel calling back into us under its lock.
//! Source: learn.microsoft.com "Cancel-Safe IRP Queues" and "Points to Consider When Canceling IRPs".

use crate::irp::{Answered, FileId, Irp, overlay};
use crate::lock::SpinLock;
use crate::status::Status;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering;
use nt_sys::io::{DEVICE_OBJECT, DRIVER_CANCEL, IRP, IoReleaseCancelSpinLock, SL_PENDING_RETURNED};

/// Parked requests, first in first out. Must not move while it holds any.
pub struct IrpQueue {
    list: SpinLock<List>,
}

/// A doubly linked list through `Tail.Overlay.ListEntry`, whose pointers hold IRPs.
struct List {
    head: *mut IRP,
    tail: *mut IRP,
    len: usize,
}

// SAFETY: the list owns its IRPs as `Irp` values would, and those are Send.
unsafe impl Send for List {}

impl IrpQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self { list: SpinLock::new(List { head: null_mut(), tail: null_mut(), len: 0 }) }
    }

    /// Parks a request of a dispatch routine at the end, unless `limit` requests wait already.
    ///
    /// A request that was cancelled before it got here is completed at once.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`, with no lock held.
    #[doc(alias = "IoMarkIrpPending")]
    pub fn park(&self, irp: Irp, limit: usize) -> Answered {
        let mut list = self.list.lock();
        if list.len >= limit {
            drop(list);
            return irp.complete(Err(Status::QUOTA_EXCEEDED));
        }
        mark_pending(&irp);
        let refused = list.insert(irp, self, End::Tail);
        drop(list);
        cancel(refused);
        Answered::PENDING
    }

    /// Puts a request that [`IrpQueue::take`] gave back to the front.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`, with no lock held.
    pub fn put_back(&self, irp: Irp) {
        let refused = self.list.lock().insert(irp, self, End::Head);
        cancel(refused);
    }

    /// Takes the first request that is not being cancelled.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn take(&self) -> Option<Irp> {
        self.take_where(|_| true)
    }

    /// Takes the first request of `file`.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn take_of(&self, file: FileId) -> Option<Irp> {
        // SAFETY: an IRP in the list is owned by the list, and the borrow ends before anybody completes it.
        self.take_where(|irp| core::mem::ManuallyDrop::new(unsafe { Irp::from_raw(irp) }).file() == file)
    }

    /// Whether nothing is parked.
    pub fn is_empty(&self) -> bool {
        self.list.lock().len == 0
    }

    fn take_where(&self, wanted: impl Fn(NonNull<IRP>) -> bool) -> Option<Irp> {
        let mut list = self.list.lock();
        let mut next = list.head;
        while let Some(irp) = NonNull::new(next) {
            next = links(irp).0;
            // If the routine is gone already, its cancellation is on its way and takes the IRP out itself.
            if wanted(irp) && clear_cancel_routine(irp) {
                list.remove(irp);
                // SAFETY: it was in the list, and winning the exchange made it ours.
                return Some(unsafe { Irp::from_raw(irp) });
            }
        }
        None
    }
}

impl Default for IrpQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for IrpQueue {
    fn drop(&mut self) {
        while let Some(irp) = self.take() {
            drop(irp);
        }
    }
}

#[derive(Clone, Copy)]
enum End {
    Head,
    Tail,
}

impl List {
    /// Puts an IRP in and arms its cancellation. Gives it back when it is cancelled already.
    fn insert(&mut self, irp: Irp, queue: &IrpQueue, end: End) -> Option<Irp> {
        let raw = irp.into_raw();
        let address = &raw const *queue;
        let tail = overlay(raw);
        // SAFETY: the driver context belongs to the owner of the IRP, which we are.
        unsafe { (*tail).DriverContext = [address.cast_mut().cast(), null_mut(), null_mut(), null_mut()] };
        let routine: DRIVER_CANCEL = on_cancel;
        // SAFETY: atomic member of an IRP we own.
        unsafe { (*raw.as_ptr()).CancelRoutine.swap(routine as *mut _, Ordering::SeqCst) };
        // SAFETY: as above. The store above and this load are ordered against IoCancelIrp's store and load.
        let cancelled = unsafe { (*raw.as_ptr()).Cancel.load(Ordering::SeqCst) } != 0;
        if cancelled && clear_cancel_routine(raw) {
            // SAFETY: winning the exchange made it ours again.
            return Some(unsafe { Irp::from_raw(raw) });
        }
        // If the exchange was lost, the cancel routine is waiting for our lock and will find the IRP in the list.
        self.link(raw, end);
        None
    }

    fn link(&mut self, irp: NonNull<IRP>, end: End) {
        let (before, after) = match end {
            End::Head => (null_mut(), self.head),
            End::Tail => (self.tail, null_mut()),
        };
        set_links(irp, after, before);
        match NonNull::new(before) {
            Some(before) => set_links(before, irp.as_ptr(), links(before).1),
            None => self.head = irp.as_ptr(),
        }
        match NonNull::new(after) {
            Some(after) => set_links(after, links(after).0, irp.as_ptr()),
            None => self.tail = irp.as_ptr(),
        }
        self.len += 1;
    }

    fn remove(&mut self, irp: NonNull<IRP>) {
        let (after, before) = links(irp);
        match NonNull::new(before) {
            Some(before) => set_links(before, after, links(before).1),
            None => self.head = after,
        }
        match NonNull::new(after) {
            Some(after) => set_links(after, links(after).0, before),
            None => self.tail = before,
        }
        self.len = self.len.saturating_sub(1);
    }
}

/// Next and previous of an IRP in a list.
fn links(irp: NonNull<IRP>) -> (*mut IRP, *mut IRP) {
    let tail = overlay(irp);
    // SAFETY: the list entry belongs to the owner of the IRP: the list, whose lock the caller holds.
    let entry = unsafe { (*tail).ListEntry };
    (entry.Flink.cast(), entry.Blink.cast())
}

fn set_links(irp: NonNull<IRP>, next: *mut IRP, previous: *mut IRP) {
    let entry = nt_sys::types::LIST_ENTRY { Flink: next.cast(), Blink: previous.cast() };
    let tail = overlay(irp);
    // SAFETY: as in `links`.
    unsafe { (*tail).ListEntry = entry };
}

/// `IoSetCancelRoutine(irp, NULL)`: whether there still was one, which makes the caller the owner.
fn clear_cancel_routine(irp: NonNull<IRP>) -> bool {
    // SAFETY: atomic member; the IRP cannot be completed before somebody owns it.
    !unsafe { (*irp.as_ptr()).CancelRoutine.swap(null_mut(), Ordering::SeqCst) }.is_null()
}

fn mark_pending(irp: &Irp) {
    let stack = irp.stack();
    // SAFETY: the current stack location of an IRP we own.
    unsafe { (*stack).Control |= SL_PENDING_RETURNED };
}

fn cancel(irp: Option<Irp>) {
    if let Some(irp) = irp {
        let _ = irp.complete(Err(Status::CANCELLED));
    }
}

/// The I/O manager cancels a parked request: it cleared the cancel routine and holds the cancel spin lock for us.
unsafe extern "system-unwind" fn on_cancel(_device: *mut DEVICE_OBJECT, irp: *mut IRP) {
    // SAFETY: the I/O manager gives a valid IRP whose CancelIrql it just set.
    let irql = unsafe { (*irp).CancelIrql };
    // SAFETY: the I/O manager acquired the cancel spin lock for this call.
    unsafe { IoReleaseCancelSpinLock(irql) };
    let Some(irp) = NonNull::new(irp) else { return };
    let tail = overlay(irp);
    // SAFETY: `insert` stored the address of the queue.
    let [queue, ..] = unsafe { (*tail).DriverContext };
    // SAFETY: the queue outlives its IRPs and does not move while it has any.
    let queue = unsafe { &*queue.cast::<IrpQueue>() };
    queue.list.lock().remove(irp);
    // SAFETY: the routine having been exchanged for this call, nobody else takes the IRP: it is ours, out of the list.
    let irp = unsafe { Irp::from_raw(irp) };
    let _ = irp.complete(Err(Status::CANCELLED));
}
