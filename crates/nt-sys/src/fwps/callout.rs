//! A registered callout and its three functions.

use super::{FWPS_CLASSIFY_OUT0, FWPS_INCOMING_METADATA_VALUES0, FWPS_INCOMING_VALUES0};
use crate::fwp::{FWP_ACTION_TYPE, FWP_CONDITION_VALUE0, FWP_MATCH_TYPE, FWP_VALUE0};
use crate::types::{GUID, NTSTATUS};
use core::ffi::c_void;
use core::mem::{offset_of, size_of};

/// A filter as a callout sees it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWPS_FILTER3 {
    pub filterId: u64,
    pub weight: FWP_VALUE0,
    pub subLayerWeight: u16,
    pub flags: u16,
    pub numFilterConditions: u32,
    pub filterCondition: *mut FWPS_FILTER_CONDITION0,
    pub action: FWPS_ACTION0,
    pub context: u64,
    pub providerContext: *mut c_void,
}

/// What the filter does, and with which callout.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWPS_ACTION0 {
    pub r#type: FWP_ACTION_TYPE,
    pub calloutId: u32,
}

/// One condition of a filter, by field index.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWPS_FILTER_CONDITION0 {
    pub fieldId: u16,
    pub reserved: u16,
    pub matchType: FWP_MATCH_TYPE,
    pub conditionValue: FWP_CONDITION_VALUE0,
}

pub const FWPS_FILTER_FLAG_CLEAR_ACTION_RIGHT: u16 = 0x1;
pub const FWPS_FILTER_FLAG_PERMIT_IF_CALLOUT_UNREGISTERED: u16 = 0x2;
pub const FWPS_FILTER_FLAG_OR_CONDITIONS: u16 = 0x4;
pub const FWPS_FILTER_FLAG_HAS_SECURITY_REALM_PROVIDER_CONTEXT: u16 = 0x8;
pub const FWPS_FILTER_FLAG_SILENT_MODE: u16 = 0x10;
pub const FWPS_FILTER_FLAG_IPSEC_NO_ACQUIRE_INITIATE: u16 = 0x20;

const _: () = {
    assert!(size_of::<FWPS_FILTER3>() == 64 && align_of::<FWPS_FILTER3>() == 8);
    assert!(offset_of!(FWPS_FILTER3, weight) == 8);
    assert!(offset_of!(FWPS_FILTER3, subLayerWeight) == 24);
    assert!(offset_of!(FWPS_FILTER3, flags) == 26);
    assert!(offset_of!(FWPS_FILTER3, numFilterConditions) == 28);
    assert!(offset_of!(FWPS_FILTER3, filterCondition) == 32);
    assert!(offset_of!(FWPS_FILTER3, action) == 40);
    assert!(offset_of!(FWPS_FILTER3, context) == 48);
    assert!(offset_of!(FWPS_FILTER3, providerContext) == 56);
    assert!(size_of::<FWPS_ACTION0>() == 8 && offset_of!(FWPS_ACTION0, calloutId) == 4);
    assert!(size_of::<FWPS_FILTER_CONDITION0>() == 24);
    assert!(offset_of!(FWPS_FILTER_CONDITION0, matchType) == 4);
    assert!(offset_of!(FWPS_FILTER_CONDITION0, conditionValue) == 8);
};

pub type FWPS_CALLOUT_NOTIFY_TYPE = u32;
pub const FWPS_CALLOUT_NOTIFY_ADD_FILTER: FWPS_CALLOUT_NOTIFY_TYPE = 0;
pub const FWPS_CALLOUT_NOTIFY_DELETE_FILTER: FWPS_CALLOUT_NOTIFY_TYPE = 1;
pub const FWPS_CALLOUT_NOTIFY_ADD_FILTER_POST_COMMIT: FWPS_CALLOUT_NOTIFY_TYPE = 2;

/// Decides about one indication. `<= DISPATCH_LEVEL`.
pub type FWPS_CALLOUT_CLASSIFY_FN3 = unsafe extern "system-unwind" fn(
    inFixedValues: *const FWPS_INCOMING_VALUES0,
    inMetaValues: *const FWPS_INCOMING_METADATA_VALUES0,
    layerData: *mut c_void,
    classifyContext: *const c_void,
    filter: *const FWPS_FILTER3,
    flowContext: u64,
    classifyOut: *mut FWPS_CLASSIFY_OUT0,
);

/// Hears of filters that name the callout; `filterKey` is null on delete. `<= DISPATCH_LEVEL`.
pub type FWPS_CALLOUT_NOTIFY_FN3 = unsafe extern "system-unwind" fn(
    notifyType: FWPS_CALLOUT_NOTIFY_TYPE,
    filterKey: *const GUID,
    filter: *mut FWPS_FILTER3,
) -> NTSTATUS;

/// Hears that a flow with a context has ended. `<= DISPATCH_LEVEL`.
pub type FWPS_CALLOUT_FLOW_DELETE_NOTIFY_FN0 =
    unsafe extern "system-unwind" fn(layerId: u16, calloutId: u32, flowContext: u64);

/// A callout to register.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWPS_CALLOUT3 {
    pub calloutKey: GUID,
    pub flags: u32,
    pub classifyFn: Option<FWPS_CALLOUT_CLASSIFY_FN3>,
    pub notifyFn: Option<FWPS_CALLOUT_NOTIFY_FN3>,
    pub flowDeleteFn: Option<FWPS_CALLOUT_FLOW_DELETE_NOTIFY_FN0>,
}

const _: () = {
    assert!(size_of::<FWPS_CALLOUT3>() == 48 && align_of::<FWPS_CALLOUT3>() == 8);
    assert!(offset_of!(FWPS_CALLOUT3, flags) == 16);
    assert!(offset_of!(FWPS_CALLOUT3, classifyFn) == 24);
    assert!(offset_of!(FWPS_CALLOUT3, notifyFn) == 32);
    assert!(offset_of!(FWPS_CALLOUT3, flowDeleteFn) == 40);
};
