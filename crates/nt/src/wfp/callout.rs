//! Callouts: functions the filter engine calls.

use super::classify::Classify;
use crate::device::Device;
use crate::status::{Result, Status};
use crate::time::sleep_ms;
use core::ffi::c_void;
use nt_sys::fwps::{
    FWPS_CALLOUT_NOTIFY_ADD_FILTER, FWPS_CALLOUT_NOTIFY_DELETE_FILTER, FWPS_CALLOUT3, FWPS_CLASSIFY_OUT0, FWPS_FILTER3,
    FWPS_INCOMING_METADATA_VALUES0, FWPS_INCOMING_VALUES0, FwpsCalloutRegister3, FwpsCalloutUnregisterById0,
};
use nt_sys::status::STATUS_SUCCESS;
use nt_sys::types::{GUID, NTSTATUS};

/// What happened to a filter that names a callout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FilterChange {
    /// It was added.
    Added,
    /// It was deleted, perhaps without ever having been announced as added (R44).
    Deleted,
}

/// The functions of one callout. All run at `<= DISPATCH_LEVEL`, on any thread, several at once.
pub trait Callout: 'static {
    /// Decides about one indication. Not answering leaves the action as it is.
    fn classify(classify: &mut Classify<'_>);

    /// Hears of filters that name the callout. Other notifications are answered with success.
    fn filter_changed(change: FilterChange, filter_id: u64);

    /// Hears that a flow ended to which this callout had associated a context.
    fn flow_deleted(layer: u16, context: u64);
}

/// A registered callout. Unregistered when dropped.
#[must_use = "a callout is unregistered when it is dropped"]
pub struct RegisteredCallout {
    id: u32,
}

impl RegisteredCallout {
    /// Registers the functions of `C` under `key`. Works whether or not the base filtering engine runs (R39).
    ///
    /// # Errors
    /// `STATUS_FWP_ALREADY_EXISTS` and what else the engine says.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    #[doc(alias = "FwpsCalloutRegister3")]
    pub fn register<C: Callout>(device: &Device, key: GUID) -> Result<Self> {
        let callout = FWPS_CALLOUT3 {
            calloutKey: key,
            flags: 0,
            classifyFn: Some(classify::<C>),
            notifyFn: Some(notify::<C>),
            flowDeleteFn: Some(flow_delete::<C>),
        };
        let mut id = 0;
        // SAFETY: device and record are valid for the call; the functions are 'static and have the declared types.
        Status::check(unsafe { FwpsCalloutRegister3(device.as_ptr().cast(), &raw const callout, &raw mut id) })?;
        Ok(Self { id })
    }
}

impl Drop for RegisteredCallout {
    /// Asks again while the engine says that the callout is in use. The driver must not unload before this has succeeded
    /// (R45), so there is no giving up.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`, and not from a callout function.
    fn drop(&mut self) {
        loop {
            // SAFETY: any number may be asked for; this one is ours.
            let status = Status::check(unsafe { FwpsCalloutUnregisterById0(self.id) });
            match status {
                Err(Status::DEVICE_BUSY | Status::FWP_IN_USE) => sleep_ms(10),
                // Anything else means that it is not registered any more.
                _ => return,
            }
        }
    }
}

unsafe extern "system-unwind" fn classify<C: Callout>(
    values: *const FWPS_INCOMING_VALUES0,
    metadata: *const FWPS_INCOMING_METADATA_VALUES0,
    layer_data: *mut c_void,
    context: *const c_void,
    filter: *const FWPS_FILTER3,
    _flow_context: u64,
    out: *mut FWPS_CLASSIFY_OUT0,
) {
    // SAFETY: the filter engine called us with these, and the value ends with this function.
    let mut running = unsafe { Classify::new(values, metadata, layer_data, context, filter, out) };
    C::classify(&mut running);
}

unsafe extern "system-unwind" fn notify<C: Callout>(
    kind: u32,
    _key: *const GUID,
    filter: *mut FWPS_FILTER3,
) -> NTSTATUS {
    let change = match kind {
        FWPS_CALLOUT_NOTIFY_ADD_FILTER => Some(FilterChange::Added),
        FWPS_CALLOUT_NOTIFY_DELETE_FILTER => Some(FilterChange::Deleted),
        _ => None,
    };
    // SAFETY: null or valid for the call.
    let id = unsafe { filter.as_ref() }.map_or(0, |filter| filter.filterId);
    if let Some(change) = change {
        C::filter_changed(change, id);
    }
    STATUS_SUCCESS
}

unsafe extern "system-unwind" fn flow_delete<C: Callout>(layer: u16, _callout: u32, context: u64) {
    C::flow_deleted(layer, context);
}
