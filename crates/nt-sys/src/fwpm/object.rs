//! The management objects.
//!
//! Invariant: `FWPM_ACTION0` is 20 bytes with alignment 4; the members behind it start at 152 of the filter only because of
//! their own alignment.

use crate::fwp::{FWP_ACTION_TYPE, FWP_BYTE_BLOB, FWP_CONDITION_VALUE0, FWP_MATCH_TYPE, FWP_VALUE0};
use crate::types::GUID;
use core::ffi::c_void;
use core::mem::{offset_of, size_of};

/// Name and description; the name must not be null.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWPM_DISPLAY_DATA0 {
    pub name: *mut u16,
    pub description: *mut u16,
}

/// A session.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWPM_SESSION0 {
    pub sessionKey: GUID,
    pub displayData: FWPM_DISPLAY_DATA0,
    pub flags: u32,
    pub txnWaitTimeoutInMSec: u32,
    pub processId: u32,
    pub sid: *mut c_void,
    pub username: *mut u16,
    pub kernelMode: u8,
}

/// The session's objects go when it is closed.
pub const FWPM_SESSION_FLAG_DYNAMIC: u32 = 0x1;

const _: () = {
    assert!(size_of::<FWPM_DISPLAY_DATA0>() == 16);
    assert!(size_of::<FWPM_SESSION0>() == 72 && align_of::<FWPM_SESSION0>() == 8);
    assert!(offset_of!(FWPM_SESSION0, displayData) == 16);
    assert!(offset_of!(FWPM_SESSION0, flags) == 32);
    assert!(offset_of!(FWPM_SESSION0, txnWaitTimeoutInMSec) == 36);
    assert!(offset_of!(FWPM_SESSION0, processId) == 40);
    assert!(offset_of!(FWPM_SESSION0, sid) == 48);
    assert!(offset_of!(FWPM_SESSION0, username) == 56);
    assert!(offset_of!(FWPM_SESSION0, kernelMode) == 64);
};

/// A provider: who the objects belong to.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWPM_PROVIDER0 {
    pub providerKey: GUID,
    pub displayData: FWPM_DISPLAY_DATA0,
    pub flags: u32,
    pub providerData: FWP_BYTE_BLOB,
    pub serviceName: *mut u16,
}

pub const FWPM_PROVIDER_FLAG_PERSISTENT: u32 = 0x1;
pub const FWPM_PROVIDER_FLAG_DISABLED: u32 = 0x10;

/// A sublayer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWPM_SUBLAYER0 {
    pub subLayerKey: GUID,
    pub displayData: FWPM_DISPLAY_DATA0,
    pub flags: u32,
    pub providerKey: *mut GUID,
    pub providerData: FWP_BYTE_BLOB,
    pub weight: u16,
}

pub const FWPM_SUBLAYER_FLAG_PERSISTENT: u32 = 0x1;

/// The management object of a callout.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWPM_CALLOUT0 {
    pub calloutKey: GUID,
    pub displayData: FWPM_DISPLAY_DATA0,
    pub flags: u32,
    pub providerKey: *mut GUID,
    pub providerData: FWP_BYTE_BLOB,
    pub applicableLayer: GUID,
    pub calloutId: u32,
}

pub const FWPM_CALLOUT_FLAG_PERSISTENT: u32 = 0x1_0000;
pub const FWPM_CALLOUT_FLAG_USES_PROVIDER_CONTEXT: u32 = 0x2_0000;
pub const FWPM_CALLOUT_FLAG_REGISTERED: u32 = 0x4_0000;

const _: () = {
    assert!(size_of::<FWPM_PROVIDER0>() == 64);
    assert!(offset_of!(FWPM_PROVIDER0, flags) == 32);
    assert!(offset_of!(FWPM_PROVIDER0, providerData) == 40);
    assert!(offset_of!(FWPM_PROVIDER0, serviceName) == 56);
    assert!(size_of::<FWPM_SUBLAYER0>() == 72);
    assert!(offset_of!(FWPM_SUBLAYER0, flags) == 32);
    assert!(offset_of!(FWPM_SUBLAYER0, providerKey) == 40);
    assert!(offset_of!(FWPM_SUBLAYER0, providerData) == 48);
    assert!(offset_of!(FWPM_SUBLAYER0, weight) == 64);
    assert!(size_of::<FWPM_CALLOUT0>() == 88);
    assert!(offset_of!(FWPM_CALLOUT0, flags) == 32);
    assert!(offset_of!(FWPM_CALLOUT0, providerKey) == 40);
    assert!(offset_of!(FWPM_CALLOUT0, providerData) == 48);
    assert!(offset_of!(FWPM_CALLOUT0, applicableLayer) == 64);
    assert!(offset_of!(FWPM_CALLOUT0, calloutId) == 80);
};

/// A filter.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWPM_FILTER0 {
    pub filterKey: GUID,
    pub displayData: FWPM_DISPLAY_DATA0,
    pub flags: u32,
    pub providerKey: *mut GUID,
    pub providerData: FWP_BYTE_BLOB,
    pub layerKey: GUID,
    pub subLayerKey: GUID,
    pub weight: FWP_VALUE0,
    pub numFilterConditions: u32,
    pub filterCondition: *mut FWPM_FILTER_CONDITION0,
    pub action: FWPM_ACTION0,
    pub context: FWPM_FILTER0_CONTEXT,
    pub reserved: *mut GUID,
    pub filterId: u64,
    pub effectiveWeight: FWP_VALUE0,
}

/// What a callout finds in `FWPS_FILTER3::context`: a number of the caller, or the provider context it names.
#[repr(C)]
#[derive(Clone, Copy)]
pub union FWPM_FILTER0_CONTEXT {
    pub rawContext: u64,
    pub providerContextKey: GUID,
}

/// What a filter does; `key` is the callout of a callout action.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWPM_ACTION0 {
    pub r#type: FWP_ACTION_TYPE,
    pub calloutKey: GUID,
}

/// One condition of a filter.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWPM_FILTER_CONDITION0 {
    pub fieldKey: GUID,
    pub matchType: FWP_MATCH_TYPE,
    pub conditionValue: FWP_CONDITION_VALUE0,
}

pub const FWPM_FILTER_FLAG_PERSISTENT: u32 = 0x1;
pub const FWPM_FILTER_FLAG_BOOTTIME: u32 = 0x2;
pub const FWPM_FILTER_FLAG_HAS_PROVIDER_CONTEXT: u32 = 0x4;
pub const FWPM_FILTER_FLAG_CLEAR_ACTION_RIGHT: u32 = 0x8;
pub const FWPM_FILTER_FLAG_PERMIT_IF_CALLOUT_UNREGISTERED: u32 = 0x10;
pub const FWPM_FILTER_FLAG_DISABLED: u32 = 0x20;
pub const FWPM_FILTER_FLAG_INDEXED: u32 = 0x40;
pub const FWPM_FILTER_FLAG_SILENT_MODE: u32 = 0x400;

const _: () = {
    assert!(size_of::<FWPM_ACTION0>() == 20 && align_of::<FWPM_ACTION0>() == 4);
    assert!(offset_of!(FWPM_ACTION0, calloutKey) == 4);
    assert!(size_of::<FWPM_FILTER_CONDITION0>() == 40);
    assert!(offset_of!(FWPM_FILTER_CONDITION0, matchType) == 16);
    assert!(offset_of!(FWPM_FILTER_CONDITION0, conditionValue) == 24);
    assert!(size_of::<FWPM_FILTER0>() == 200 && align_of::<FWPM_FILTER0>() == 8);
    assert!(offset_of!(FWPM_FILTER0, displayData) == 16);
    assert!(offset_of!(FWPM_FILTER0, flags) == 32);
    assert!(offset_of!(FWPM_FILTER0, providerKey) == 40);
    assert!(offset_of!(FWPM_FILTER0, providerData) == 48);
    assert!(offset_of!(FWPM_FILTER0, layerKey) == 64);
    assert!(offset_of!(FWPM_FILTER0, subLayerKey) == 80);
    assert!(offset_of!(FWPM_FILTER0, weight) == 96);
    assert!(offset_of!(FWPM_FILTER0, numFilterConditions) == 112);
    assert!(offset_of!(FWPM_FILTER0, filterCondition) == 120);
    assert!(offset_of!(FWPM_FILTER0, action) == 128);
    assert!(offset_of!(FWPM_FILTER0, context) == 152);
    assert!(offset_of!(FWPM_FILTER0, reserved) == 168);
    assert!(offset_of!(FWPM_FILTER0, filterId) == 176);
    assert!(offset_of!(FWPM_FILTER0, effectiveWeight) == 184);
};
