//! Work at `PASSIVE_LEVEL`: one work item that runs a driver's [`Driver::work`] as often as somebody asked, never twice at
//! once.

use crate::device::Device;
use crate::driver::Driver;
use crate::status::{Result, Status};
use crate::time::sleep_ms;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicU32, Ordering};
use nt_sys::io::{DEVICE_OBJECT, DelayedWorkQueue, IO_WORKITEM, IoAllocateWorkItem, IoFreeWorkItem, IoQueueWorkItem};

const IDLE: u32 = 0;
const BUSY: u32 = 1;
/// Asked for again while busy.
const AGAIN: u32 = 2;
/// Added to one of these when no more may be asked for. In the same word, so that nobody who looked before the stop asks
/// after it: the item would be freed while it is queued.
const STOPPING: u32 = 4;

/// The worker of a driver.
pub struct Worker<D: Driver> {
    item: NonNull<IO_WORKITEM>,
    state: AtomicU32,
    driver: PhantomData<fn() -> D>,
}

// SAFETY: the work item is only handed to kernel functions that may be called from any thread.
unsafe impl<D: Driver> Send for Worker<D> {}
// SAFETY: as above; the rest is atomic.
unsafe impl<D: Driver> Sync for Worker<D> {}

impl<D: Driver> Worker<D> {
    /// Makes a worker. It does nothing until [`Worker::kick`].
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    #[doc(alias = "IoAllocateWorkItem")]
    pub fn new(device: &Device) -> Result<Self> {
        // SAFETY: the device is ours and not deleted.
        let item = unsafe { IoAllocateWorkItem(device.as_ptr()) };
        let item = NonNull::new(item).ok_or(Status::INSUFFICIENT_RESOURCES)?;
        Ok(Self { item, state: AtomicU32::new(IDLE), driver: PhantomData })
    }

    /// Asks for one more run of [`Driver::work`], soon, in a system thread.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    #[doc(alias = "IoQueueWorkItem")]
    pub fn kick(&self) {
        let ask = |state| match state {
            IDLE => Some(BUSY),
            BUSY => Some(AGAIN),
            _ => None,
        };
        if self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, ask) == Ok(IDLE) {
            // SAFETY: the item is ours and, being idle until just now, not queued. `run::<D>` needs no context.
            unsafe { IoQueueWorkItem(self.item.as_ptr(), run::<D>, DelayedWorkQueue, null_mut()) };
        }
    }

    /// Lets no new run begin and waits for the running one. A second call returns at once.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`, and not from [`Driver::work`].
    pub fn stop(&self) {
        self.state.fetch_or(STOPPING, Ordering::SeqCst);
        while self.state.load(Ordering::SeqCst) != STOPPING {
            sleep_ms(1);
        }
    }

    /// Ends one run; `true` when another was asked for meanwhile.
    fn ended(&self) -> bool {
        // A run that was asked for before the stop still happens; `kick` asks for none after it.
        self.state.fetch_sub(1, Ordering::SeqCst) & !STOPPING == AGAIN
    }
}

impl<D: Driver> Drop for Worker<D> {
    fn drop(&mut self) {
        // SAFETY: the owner stopped the worker, so the item is not queued; it is freed once.
        unsafe { IoFreeWorkItem(self.item.as_ptr()) };
    }
}

/// The device is referenced by the I/O manager while this runs, so the image stays (learn.microsoft.com
/// "IoQueueWorkItem").
unsafe extern "system-unwind" fn run<D: Driver>(_device: *mut DEVICE_OBJECT, _context: *mut c_void) {
    let Some(driver) = D::slot().enter() else { return };
    loop {
        driver.work();
        if !driver.worker().ended() {
            break;
        }
    }
}
