//! The values of one indication and the answer to it.

use crate::fwp::{FWP_ACTION_TYPE, FWP_VALUE0};
use core::mem::{offset_of, size_of};

/// The values of one indication; never read past `valueCount`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWPS_INCOMING_VALUES0 {
    pub layerId: u16,
    pub valueCount: u32,
    pub incomingValue: *mut FWPS_INCOMING_VALUE0,
}

/// One value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWPS_INCOMING_VALUE0 {
    pub value: FWP_VALUE0,
}

const _: () = {
    assert!(size_of::<FWPS_INCOMING_VALUES0>() == 16);
    assert!(offset_of!(FWPS_INCOMING_VALUES0, valueCount) == 4);
    assert!(offset_of!(FWPS_INCOMING_VALUES0, incomingValue) == 8);
    assert!(size_of::<FWPS_INCOMING_VALUE0>() == 16);
};

/// The answer of a callout; holds the decision so far on entry.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWPS_CLASSIFY_OUT0 {
    pub actionType: FWP_ACTION_TYPE,
    pub outContext: u64,
    pub filterId: u64,
    pub rights: u32,
    pub flags: u32,
    pub reserved: u32,
}

const _: () = {
    assert!(size_of::<FWPS_CLASSIFY_OUT0>() == 40 && align_of::<FWPS_CLASSIFY_OUT0>() == 8);
    assert!(offset_of!(FWPS_CLASSIFY_OUT0, outContext) == 8);
    assert!(offset_of!(FWPS_CLASSIFY_OUT0, filterId) == 16);
    assert!(offset_of!(FWPS_CLASSIFY_OUT0, rights) == 24);
    assert!(offset_of!(FWPS_CLASSIFY_OUT0, flags) == 28);
    assert!(offset_of!(FWPS_CLASSIFY_OUT0, reserved) == 32);
};

/// The callout may set the action.
pub const FWPS_RIGHT_ACTION_WRITE: u32 = 0x1;

pub const FWPS_CLASSIFY_OUT_FLAG_ABSORB: u32 = 0x1;
pub const FWPS_CLASSIFY_OUT_FLAG_BUFFER_LIMIT_REACHED: u32 = 0x2;
pub const FWPS_CLASSIFY_OUT_FLAG_NO_MORE_DATA: u32 = 0x4;
pub const FWPS_CLASSIFY_OUT_FLAG_ALE_FAST_CACHE_CHECK: u32 = 0x8;
pub const FWPS_CLASSIFY_OUT_FLAG_ALE_FAST_CACHE_POSSIBLE: u32 = 0x10;
