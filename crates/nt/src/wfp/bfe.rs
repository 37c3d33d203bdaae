//! The base filtering engine: is it running, and tell me when that changes.

use crate::device::Device;
use crate::driver::Driver;
use crate::status::{Result, Status};
use core::ffi::c_void;
use core::ptr::null_mut;
use nt_sys::fwpm::{
    FWPM_SERVICE_RUNNING, FWPM_SERVICE_STATE, FwpmBfeStateGet0, FwpmBfeStateSubscribeChanges0,
    FwpmBfeStateUnsubscribeChanges0,
};
use nt_sys::types::HANDLE;

/// Whether management calls can succeed now.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
#[doc(alias = "FwpmBfeStateGet0")]
pub fn is_running() -> bool {
    // SAFETY: no precondition.
    unsafe { FwpmBfeStateGet0() == FWPM_SERVICE_RUNNING }
}

/// A subscription to state changes, told to [`Driver::filter_engine_changed`]. Ends when dropped.
#[must_use = "the subscription ends when it is dropped"]
pub struct Subscription(HANDLE);

// SAFETY: the handle is an opaque token that any thread may give back.
unsafe impl Send for Subscription {}

impl Subscription {
    /// Subscribes. Look at [`is_running`] afterwards, not before: a change in between would be missed (R40).
    ///
    /// # Errors
    /// What the engine says.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    #[doc(alias = "FwpmBfeStateSubscribeChanges0")]
    pub fn new<D: Driver>(device: &Device) -> Result<Self> {
        let mut handle = null_mut();
        // SAFETY: the device is ours; `on_change::<D>` needs no context; the handle is valid for a write.
        Status::check(unsafe {
            FwpmBfeStateSubscribeChanges0(device.as_ptr().cast(), Some(on_change::<D>), null_mut(), &raw mut handle)
        })?;
        Ok(Self(handle))
    }
}

impl Drop for Subscription {
    /// # IRQL
    /// `PASSIVE_LEVEL`, and never from the subscription's own callback: that deadlocks.
    fn drop(&mut self) {
        // SAFETY: the handle came from a successful subscription and is given back once. A failure has no remedy.
        let _ = unsafe { FwpmBfeStateUnsubscribeChanges0(self.0) };
    }
}

unsafe extern "system-unwind" fn on_change<D: Driver>(_context: *mut c_void, state: FWPM_SERVICE_STATE) {
    if let Some(driver) = D::slot().enter() {
        driver.filter_engine_changed(state == FWPM_SERVICE_RUNNING);
    }
}
