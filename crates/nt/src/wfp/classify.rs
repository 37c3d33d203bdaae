//! One classify: what the filter engine says, and the answer.
//!
//! The rules of the action right are kept here and nowhere else: without it nothing is changed but that a block may veto
//! a permit; a block is always hard; a permit is hard only when the filter asks (R27).

use super::closure::Held;
use super::pend::Pended;
use super::values::Values;
use crate::status::{Result, Status};
use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::{NonNull, null_mut};
use nt_sys::fwps::*;
use nt_sys::ndis::NET_BUFFER_LIST;

pub use super::copy::Protection;
pub use super::metadata::Direction;

/// One running classify.
pub struct Classify<'a> {
    values: Values<'a>,
    pub(super) metadata: *const FWPS_INCOMING_METADATA_VALUES0,
    packets: *mut NET_BUFFER_LIST,
    context: *const c_void,
    filter: *const FWPS_FILTER3,
    out: *mut FWPS_CLASSIFY_OUT0,
    running: PhantomData<&'a mut FWPS_CLASSIFY_OUT0>,
}

impl<'a> Classify<'a> {
    /// # Safety
    /// The pointers are those the filter engine gave to a classify function of an ALE layer, and `'a` ends before that function returns.
    pub(super) unsafe fn new(
        values: *const FWPS_INCOMING_VALUES0,
        metadata: *const FWPS_INCOMING_METADATA_VALUES0,
        layer_data: *mut c_void,
        context: *const c_void,
        filter: *const FWPS_FILTER3,
        out: *mut FWPS_CLASSIFY_OUT0,
    ) -> Self {
        // SAFETY: passed on from the caller.
        let values = unsafe { Values::new(values) };
        Self { values, metadata, packets: layer_data.cast(), context, filter, out, running: PhantomData }
    }

    /// The values.
    pub fn values(&self) -> Values<'a> {
        self.values
    }

    /// The packet that is authorized, with its like; a TCP connect has none (R17).
    pub(super) fn packets(&self) -> Option<NonNull<NET_BUFFER_LIST>> {
        NonNull::new(self.packets)
    }

    /// Whether this callout may set the action. Without the right only [`Classify::block`] does something.
    pub fn may_set_action(&self) -> bool {
        // SAFETY: valid for the classify, as `new`'s caller vouches.
        unsafe { (*self.out).rights & FWPS_RIGHT_ACTION_WRITE != 0 }
    }

    /// Whether the operation can be pended: the engine gave a handle for it, and we hold the right.
    pub fn can_pend(&self) -> bool {
        self.may_set_action() && self.completion_handle().is_some()
    }

    /// Answers permit: soft, unless the filter wants it hard.
    pub fn permit(&mut self) {
        if !self.may_set_action() {
            return;
        }
        // SAFETY: valid for the classify; nobody else writes it meanwhile.
        unsafe { (*self.out).actionType = FWP_ACTION_PERMIT };
        // SAFETY: null or valid for the classify.
        let clear = unsafe { self.filter.as_ref() }
            .is_some_and(|filter| filter.flags & FWPS_FILTER_FLAG_CLEAR_ACTION_RIGHT != 0);
        if clear {
            self.clear_right();
        }
    }

    /// Answers block, hard. Without the right it vetoes a permit and changes nothing else.
    pub fn block(&mut self) {
        // SAFETY: as in `permit`.
        let action = unsafe { (*self.out).actionType };
        if self.may_set_action() || action == FWP_ACTION_PERMIT {
            // SAFETY: as in `permit`.
            unsafe { (*self.out).actionType = FWP_ACTION_BLOCK };
            self.clear_right();
        }
    }

    /// Discards this indication silently: it is not a decision, the operation still waits for one.
    pub fn absorb(&mut self) {
        if !self.may_set_action() {
            return;
        }
        self.block();
        // SAFETY: as in `permit`.
        unsafe { (*self.out).flags |= FWPS_CLASSIFY_OUT_FLAG_ABSORB };
    }

    /// Suspends the operation until the [`Pended`] is completed, and absorbs this indication.
    ///
    /// The record that will find the operation again must exist before (R3).
    ///
    /// # Errors
    /// What the filter engine says; then nothing is pended and nothing answered, and the caller must answer (R2).
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    #[doc(alias = "FwpsPendOperation0")]
    pub fn pend(&mut self) -> Result<Pended> {
        if !self.may_set_action() {
            return Err(Status::INVALID_DEVICE_STATE);
        }
        let handle = self.completion_handle().map_or(null_mut(), NonNull::as_ptr);
        let mut context = null_mut();
        // SAFETY: called inside the classify whose metadata gave the handle; a missing one is null, which the engine
        // refuses. The context is valid for a write.
        Status::check(unsafe { FwpsPendOperation0(handle, &raw mut context) })?;
        let context = NonNull::new(context).ok_or(Status::INVALID_PARAMETER)?;
        // SAFETY: the engine just gave it, and this is the only value made of it.
        let pended = unsafe { Pended::from_raw(context) };
        self.absorb();
        Ok(pended)
    }

    /// Suspends the closing of a socket until the [`Held`] is completed.
    ///
    /// # Errors
    /// `STATUS_INVALID_DEVICE_STATE` without the right, and what the filter engine says; then nothing is pended and the
    /// socket closes.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    #[doc(alias = "FwpsPendClassify0")]
    pub fn hold_closure(&mut self) -> Result<Held> {
        if !self.may_set_action() {
            return Err(Status::INVALID_DEVICE_STATE);
        }
        // SAFETY: null or valid for the classify.
        let filter_id = unsafe { self.filter.as_ref() }.map_or(0, |filter| filter.filterId);
        // SAFETY: context, filter and answer are those of the running classify.
        let held = unsafe { Held::pend(self.context, filter_id, self.out) }?;
        // SAFETY: as in `permit`. It is no decision: a block without the right tells lighter callouts that the classify is
        // pended (the WDK's static rule "Connect Redirect Callout Pend Classify").
        unsafe { (*self.out).actionType = FWP_ACTION_BLOCK };
        self.clear_right();
        Ok(held)
    }

    fn clear_right(&mut self) {
        // SAFETY: valid for the classify; nobody else writes it meanwhile.
        unsafe { (*self.out).rights &= !FWPS_RIGHT_ACTION_WRITE };
    }
}
