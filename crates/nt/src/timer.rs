//! A periodic timer, set once. Its tick runs [`Driver::tick`] at `DISPATCH_LEVEL`.

use crate::driver::Driver;
use crate::pool::{PoolBox, Tag};
use crate::status::Result;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use nt_sys::ke::{
    KDPC, KTIMER, KeCancelTimer, KeFlushQueuedDpcs, KeInitializeDpc, KeInitializeTimerEx, KeSetTimerEx,
    NotificationTimer,
};

/// Timer and DPC stay at one address in nonpaged pool while the kernel knows them; it writes them whenever it likes.
struct Parts {
    timer: UnsafeCell<MaybeUninit<KTIMER>>,
    dpc: UnsafeCell<MaybeUninit<KDPC>>,
}

/// Ticks until it is dropped.
pub struct PeriodicTimer {
    parts: PoolBox<Parts>,
}

// SAFETY: the parts are only handed to kernel functions that may be called from any thread.
unsafe impl Send for PeriodicTimer {}

impl PeriodicTimer {
    /// Starts ticking every `period_ms`.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    #[doc(alias = "KeSetTimerEx")]
    pub fn start<D: Driver>(period_ms: u32, tag: Tag) -> Result<Self> {
        let parts = Parts { timer: MaybeUninit::zeroed().into(), dpc: MaybeUninit::zeroed().into() };
        let parts = PoolBox::new(parts, tag)?;
        let (timer, dpc) = (parts.timer.get().cast::<KTIMER>(), parts.dpc.get().cast::<KDPC>());
        // SAFETY: the timer is nonpaged, stays in place, and is not in use.
        unsafe { KeInitializeTimerEx(timer, NotificationTimer) };
        // SAFETY: likewise; `on_tick::<D>` needs no context.
        unsafe { KeInitializeDpc(dpc, on_tick::<D>, null_mut()) };
        let period = i32::try_from(period_ms).unwrap_or(i32::MAX);
        // SAFETY: timer and DPC are initialized and live until `drop` has cancelled and flushed them. Negative means
        // relative, in 100 ns.
        unsafe { KeSetTimerEx(timer, -10_000 * i64::from(period_ms), period, dpc) };
        Ok(Self { parts })
    }
}

impl Drop for PeriodicTimer {
    /// Waits for a running tick.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    fn drop(&mut self) {
        // SAFETY: the timer was set in `start`.
        unsafe { KeCancelTimer(self.parts.timer.get().cast()) };
        // SAFETY: the owner drops timers at PASSIVE_LEVEL. After this no tick is queued or running.
        unsafe { KeFlushQueuedDpcs() };
    }
}

unsafe extern "system-unwind" fn on_tick<D: Driver>(
    _dpc: *mut KDPC,
    _context: *mut c_void,
    _argument1: *mut c_void,
    _argument2: *mut c_void,
) {
    if let Some(driver) = D::slot().enter() {
        driver.tick();
    }
}
