//! ALE_ENDPOINT_CLOSURE: a socket goes away, or waits until it may.
//!
//! The classify carries the endpoint in its metadata, the same handle as at the authorize layers (learn.microsoft.com "ALE
//! Endpoint Lifetime Management", which also says that a closure can be pended until asynchronous work is done). Its values
//! are of no use to us.

use super::Guid;
use crate::status::{Result, Status};
use core::ffi::c_void;
use nt_sys::fwpm::{FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V4, FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V6};
use nt_sys::fwps::*;

/// The management key of the layer for IPv4.
pub const LAYER_V4: Guid = FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V4;
/// The management key of the layer for IPv6.
pub const LAYER_V6: Guid = FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V6;

/// The obligation to let one socket close. Dropping it lets it close too.
#[must_use = "a socket cannot close until its closure is completed"]
pub struct Held {
    handle: u64,
    /// A copy of the answer as it was when the classify was pended: the engine asks for it back (learn.microsoft.com
    /// "FwpsCompleteClassify0").
    out: FWPS_CLASSIFY_OUT0,
}

// SAFETY: the handle is a number that the filter engine takes back on any thread; the copied answer belongs to nobody.
unsafe impl Send for Held {}

impl Held {
    /// # Safety
    /// Called inside a classify, with its context, its filter's id and its answer.
    pub(super) unsafe fn pend(context: *const c_void, filter_id: u64, out: *mut FWPS_CLASSIFY_OUT0) -> Result<Self> {
        let mut handle = 0;
        // SAFETY: the context of the running classify; the handle is valid for a write.
        Status::check(unsafe { FwpsAcquireClassifyHandle0(context.cast_mut(), 0, &raw mut handle) })?;
        // SAFETY: valid for the classify. Acquiring may have written it, so it is copied now.
        let before = unsafe { out.read() };
        // SAFETY: the handle was just acquired in this classify, whose filter and answer these are.
        let pended = Status::check(unsafe { FwpsPendClassify0(handle, filter_id, 0, out) });
        if let Err(error) = pended {
            // SAFETY: acquired above, and released once.
            unsafe { FwpsReleaseClassifyHandle0(handle) };
            return Err(error);
        }
        Ok(Self { handle, out: FWPS_CLASSIFY_OUT0 { actionType: FWP_ACTION_PERMIT, ..before } })
    }

    /// Lets the socket close.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`, with no lock held.
    #[doc(alias = "FwpsCompleteClassify0")]
    pub fn complete(self) {
        drop(self);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: the classify was pended with this handle, and `self` is not used again. A permit is the final decision;
        // without one the engine would ask again.
        unsafe { FwpsCompleteClassify0(self.handle, 0, &raw const self.out) };
        // SAFETY: acquired by `pend`; released once, after the completion.
        unsafe { FwpsReleaseClassifyHandle0(self.handle) };
    }
}
