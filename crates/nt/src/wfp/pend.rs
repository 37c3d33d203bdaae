//! A pended operation: an application waiting in `connect()`.

use core::mem::ManuallyDrop;
use core::ptr::{NonNull, null_mut};
use nt_sys::fwps::FwpsCompleteOperation0;
use nt_sys::ndis::NET_BUFFER_LIST;

/// The obligation to complete one pended operation. Dropping it completes it too.
///
/// At ALE_AUTH_CONNECT completing makes the filter engine reauthorize, possibly on this very thread before `complete`
/// returns, so whoever completes holds no lock (R7) and has stored the verdict before (R8).
#[must_use = "a pended operation holds an application until it is completed"]
pub struct Pended {
    context: NonNull<core::ffi::c_void>,
}

// SAFETY: the context is an opaque token that the filter engine takes back on any thread.
unsafe impl Send for Pended {}

impl Pended {
    /// # Safety
    /// `context` came from a successful `FwpsPendOperation0` and no other `Pended` holds it.
    pub(super) unsafe fn from_raw(context: NonNull<core::ffi::c_void>) -> Self {
        Self { context }
    }

    /// Completes the operation.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`, with no lock held.
    #[doc(alias = "FwpsCompleteOperation0")]
    pub fn complete(self) {
        let this = ManuallyDrop::new(self);
        // SAFETY: `from_raw`'s caller vouches for the context; consuming `self` makes this the only completion. No packet
        // is handed over.
        unsafe { FwpsCompleteOperation0(this.context.as_ptr(), null_mut()) };
    }

    /// Completes an operation at ALE_AUTH_RECV_ACCEPT with the packet that will be received for it.
    ///
    /// # Safety
    /// `list` is alive.
    pub(super) unsafe fn complete_with(self, list: NonNull<NET_BUFFER_LIST>) {
        let this = ManuallyDrop::new(self);
        // SAFETY: as in `complete`; the caller vouches for the list.
        unsafe { FwpsCompleteOperation0(this.context.as_ptr(), list.as_ptr()) };
    }
}

impl Drop for Pended {
    fn drop(&mut self) {
        // SAFETY: `self` is not used again, so the obligation moves to the new value.
        unsafe { Self::from_raw(self.context) }.complete();
    }
}
