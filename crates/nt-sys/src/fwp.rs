//! What run-time (`Fwps*`) and management (`Fwpm*`) interfaces share: values, matches, actions, flags.
//!
//! Invariant: every C enumeration here is a plain `u32`, so a value the header does not name is still a value.
//! Neighbours: [`crate::fwps`] carries values to callouts, [`crate::fwpm`] carries conditions to the engine.

mod token;

pub use token::*;

use core::ffi::c_void;
use core::mem::{offset_of, size_of};

pub type FWP_DATA_TYPE = u32;
pub const FWP_EMPTY: FWP_DATA_TYPE = 0;
pub const FWP_UINT8: FWP_DATA_TYPE = 1;
pub const FWP_UINT16: FWP_DATA_TYPE = 2;
pub const FWP_UINT32: FWP_DATA_TYPE = 3;
pub const FWP_UINT64: FWP_DATA_TYPE = 4;
pub const FWP_INT8: FWP_DATA_TYPE = 5;
pub const FWP_INT16: FWP_DATA_TYPE = 6;
pub const FWP_INT32: FWP_DATA_TYPE = 7;
pub const FWP_INT64: FWP_DATA_TYPE = 8;
pub const FWP_FLOAT: FWP_DATA_TYPE = 9;
pub const FWP_DOUBLE: FWP_DATA_TYPE = 10;
pub const FWP_BYTE_ARRAY16_TYPE: FWP_DATA_TYPE = 11;
pub const FWP_BYTE_BLOB_TYPE: FWP_DATA_TYPE = 12;
pub const FWP_SID: FWP_DATA_TYPE = 13;
pub const FWP_SECURITY_DESCRIPTOR_TYPE: FWP_DATA_TYPE = 14;
pub const FWP_TOKEN_INFORMATION_TYPE: FWP_DATA_TYPE = 15;
pub const FWP_TOKEN_ACCESS_INFORMATION_TYPE: FWP_DATA_TYPE = 16;
pub const FWP_UNICODE_STRING_TYPE: FWP_DATA_TYPE = 17;
pub const FWP_BYTE_ARRAY6_TYPE: FWP_DATA_TYPE = 18;
pub const FWP_V4_ADDR_MASK: FWP_DATA_TYPE = 0x100;
pub const FWP_V6_ADDR_MASK: FWP_DATA_TYPE = 0x101;
pub const FWP_RANGE_TYPE: FWP_DATA_TYPE = 0x102;

/// A typed value: integers up to 32 bits inline, everything else behind a pointer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWP_VALUE0 {
    pub r#type: FWP_DATA_TYPE,
    pub u: FWP_VALUE0_UNION,
}

/// The payload of [`FWP_VALUE0`]; which member is alive says `type`.
#[repr(C)]
#[derive(Clone, Copy)]
pub union FWP_VALUE0_UNION {
    pub uint8: u8,
    pub uint16: u16,
    pub uint32: u32,
    pub uint64: *mut u64,
    pub int8: i8,
    pub int16: i16,
    pub int32: i32,
    pub int64: *mut i64,
    pub float32: f32,
    pub double64: *mut f64,
    pub byteArray16: *mut FWP_BYTE_ARRAY16,
    pub byteBlob: *mut FWP_BYTE_BLOB,
    pub sid: *mut c_void,
    pub sd: *mut FWP_BYTE_BLOB,
    pub tokenInformation: *mut FWP_TOKEN_INFORMATION,
    pub tokenAccessInformation: *mut FWP_BYTE_BLOB,
    pub unicodeString: *mut u16,
    pub byteArray6: *mut FWP_BYTE_ARRAY6,
}

const _: () = {
    assert!(size_of::<FWP_VALUE0>() == 16 && align_of::<FWP_VALUE0>() == 8);
    assert!(offset_of!(FWP_VALUE0, r#type) == 0 && offset_of!(FWP_VALUE0, u) == 8);
};

/// The value of a condition: what [`FWP_VALUE0`] can hold, and masks and ranges.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWP_CONDITION_VALUE0 {
    pub r#type: FWP_DATA_TYPE,
    pub u: FWP_CONDITION_VALUE0_UNION,
}

/// The payload of [`FWP_CONDITION_VALUE0`]; which member is alive says `type`.
#[repr(C)]
#[derive(Clone, Copy)]
pub union FWP_CONDITION_VALUE0_UNION {
    pub value: FWP_VALUE0_UNION,
    pub v4AddrMask: *mut FWP_V4_ADDR_AND_MASK,
    pub v6AddrMask: *mut FWP_V6_ADDR_AND_MASK,
    pub rangeValue: *mut FWP_RANGE0,
}

const _: () = {
    assert!(size_of::<FWP_CONDITION_VALUE0>() == 16 && align_of::<FWP_CONDITION_VALUE0>() == 8);
    assert!(offset_of!(FWP_CONDITION_VALUE0, u) == 8);
};

/// Bytes with their length; `data` belongs to whoever made the blob.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWP_BYTE_BLOB {
    pub size: u32,
    pub data: *mut u8,
}

/// An IPv6 address, in network order.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FWP_BYTE_ARRAY16 {
    pub byteArray16: [u8; 16],
}

/// A MAC address.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FWP_BYTE_ARRAY6 {
    pub byteArray6: [u8; 6],
}

/// The SIDs of a token.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWP_TOKEN_INFORMATION {
    pub sidCount: u32,
    pub sids: *mut c_void,
    pub restrictedSidCount: u32,
    pub restrictedSids: *mut c_void,
}

/// An IPv4 network; both members in host order.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWP_V4_ADDR_AND_MASK {
    pub addr: u32,
    pub mask: u32,
}

/// An IPv6 network.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWP_V6_ADDR_AND_MASK {
    pub addr: [u8; 16],
    pub prefixLength: u8,
}

/// A range; both ends belong to it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWP_RANGE0 {
    pub valueLow: FWP_VALUE0,
    pub valueHigh: FWP_VALUE0,
}

const _: () = {
    assert!(size_of::<FWP_BYTE_BLOB>() == 16 && offset_of!(FWP_BYTE_BLOB, data) == 8);
    assert!(size_of::<FWP_BYTE_ARRAY16>() == 16 && align_of::<FWP_BYTE_ARRAY16>() == 1);
    assert!(size_of::<FWP_TOKEN_INFORMATION>() == 32);
    assert!(offset_of!(FWP_TOKEN_INFORMATION, sids) == 8);
    assert!(offset_of!(FWP_TOKEN_INFORMATION, restrictedSidCount) == 16);
    assert!(offset_of!(FWP_TOKEN_INFORMATION, restrictedSids) == 24);
    assert!(size_of::<FWP_V4_ADDR_AND_MASK>() == 8 && offset_of!(FWP_V4_ADDR_AND_MASK, mask) == 4);
    assert!(size_of::<FWP_V6_ADDR_AND_MASK>() == 17);
    assert!(offset_of!(FWP_V6_ADDR_AND_MASK, prefixLength) == 16);
    assert!(size_of::<FWP_RANGE0>() == 32 && offset_of!(FWP_RANGE0, valueHigh) == 16);
};

pub type FWP_MATCH_TYPE = u32;
pub const FWP_MATCH_EQUAL: FWP_MATCH_TYPE = 0;
pub const FWP_MATCH_GREATER: FWP_MATCH_TYPE = 1;
pub const FWP_MATCH_LESS: FWP_MATCH_TYPE = 2;
pub const FWP_MATCH_GREATER_OR_EQUAL: FWP_MATCH_TYPE = 3;
pub const FWP_MATCH_LESS_OR_EQUAL: FWP_MATCH_TYPE = 4;
pub const FWP_MATCH_RANGE: FWP_MATCH_TYPE = 5;
pub const FWP_MATCH_FLAGS_ALL_SET: FWP_MATCH_TYPE = 6;
pub const FWP_MATCH_FLAGS_ANY_SET: FWP_MATCH_TYPE = 7;
pub const FWP_MATCH_FLAGS_NONE_SET: FWP_MATCH_TYPE = 8;
pub const FWP_MATCH_EQUAL_CASE_INSENSITIVE: FWP_MATCH_TYPE = 9;
pub const FWP_MATCH_NOT_EQUAL: FWP_MATCH_TYPE = 10;
pub const FWP_MATCH_PREFIX: FWP_MATCH_TYPE = 11;
pub const FWP_MATCH_NOT_PREFIX: FWP_MATCH_TYPE = 12;

pub type FWP_DIRECTION = u32;
pub const FWP_DIRECTION_OUTBOUND: FWP_DIRECTION = 0;
pub const FWP_DIRECTION_INBOUND: FWP_DIRECTION = 1;

pub type FWP_ACTION_TYPE = u32;
pub const FWP_ACTION_FLAG_TERMINATING: FWP_ACTION_TYPE = 0x1000;
pub const FWP_ACTION_FLAG_NON_TERMINATING: FWP_ACTION_TYPE = 0x2000;
pub const FWP_ACTION_FLAG_CALLOUT: FWP_ACTION_TYPE = 0x4000;
pub const FWP_ACTION_BLOCK: FWP_ACTION_TYPE = 0x1001;
pub const FWP_ACTION_PERMIT: FWP_ACTION_TYPE = 0x1002;
pub const FWP_ACTION_CONTINUE: FWP_ACTION_TYPE = 0x2006;
pub const FWP_ACTION_CALLOUT_TERMINATING: FWP_ACTION_TYPE = 0x5003;
pub const FWP_ACTION_CALLOUT_INSPECTION: FWP_ACTION_TYPE = 0x6004;
pub const FWP_ACTION_CALLOUT_UNKNOWN: FWP_ACTION_TYPE = 0x4005;
pub const FWP_ACTION_NONE: FWP_ACTION_TYPE = 7;
pub const FWP_ACTION_NONE_NO_MATCH: FWP_ACTION_TYPE = 8;

pub const FWP_CONDITION_FLAG_IS_LOOPBACK: u32 = 0x1;
pub const FWP_CONDITION_FLAG_IS_IPSEC_SECURED: u32 = 0x2;
pub const FWP_CONDITION_FLAG_IS_REAUTHORIZE: u32 = 0x4;
pub const FWP_CONDITION_FLAG_IS_WILDCARD_BIND: u32 = 0x8;
pub const FWP_CONDITION_FLAG_IS_RAW_ENDPOINT: u32 = 0x10;
pub const FWP_CONDITION_FLAG_IS_IMPLICIT_BIND: u32 = 0x200;
pub const FWP_CONDITION_FLAG_IS_NAME_APP_SPECIFIED: u32 = 0x4000;
pub const FWP_CONDITION_FLAG_IS_AUTH_FW: u32 = 0x1_0000;
pub const FWP_CONDITION_FLAG_IS_RECLASSIFY: u32 = 0x2_0000;
pub const FWP_CONDITION_FLAG_IS_CONNECTION_REDIRECTED: u32 = 0x10_0000;
pub const FWP_CONDITION_FLAG_IS_PROXY_CONNECTION: u32 = 0x20_0000;
pub const FWP_CONDITION_FLAG_IS_APPCONTAINER_LOOPBACK: u32 = 0x40_0000;
pub const FWP_CONDITION_FLAG_IS_NON_APPCONTAINER_LOOPBACK: u32 = 0x80_0000;
pub const FWP_CONDITION_FLAG_IS_HONORING_POLICY_AUTHORIZE: u32 = 0x200_0000;

pub const FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE: u32 = 0x1;
pub const FWP_CONDITION_REAUTHORIZE_REASON_NEW_ARRIVAL_INTERFACE: u32 = 0x2;
pub const FWP_CONDITION_REAUTHORIZE_REASON_NEW_NEXTHOP_INTERFACE: u32 = 0x4;
pub const FWP_CONDITION_REAUTHORIZE_REASON_PROFILE_CROSSING: u32 = 0x8;
/// A connection that a callout held is being authorized again.
pub const FWP_CONDITION_REAUTHORIZE_REASON_CLASSIFY_COMPLETION: u32 = 0x10;
pub const FWP_CONDITION_REAUTHORIZE_REASON_IPSEC_PROPERTIES_CHANGED: u32 = 0x20;
pub const FWP_CONDITION_REAUTHORIZE_REASON_MID_STREAM_INSPECTION: u32 = 0x40;
pub const FWP_CONDITION_REAUTHORIZE_REASON_SOCKET_PROPERTY_CHANGED: u32 = 0x80;
pub const FWP_CONDITION_REAUTHORIZE_REASON_NEW_INBOUND_MCAST_BCAST_PACKET: u32 = 0x100;
pub const FWP_CONDITION_REAUTHORIZE_REASON_EDP_POLICY_CHANGED: u32 = 0x200;
pub const FWP_CONDITION_REAUTHORIZE_REASON_PROXY_HANDLE_CHANGED: u32 = 0x4000;
pub const FWP_CONDITION_REAUTHORIZE_REASON_CHECK_OFFLOAD: u32 = 0x1_0000;

/// The access that a security-descriptor condition asks for.
pub const FWP_ACTRL_MATCH_FILTER: u32 = 0x1;

pub const FWP_CALLOUT_FLAG_CONDITIONAL_ON_FLOW: u32 = 0x1;
pub const FWP_CALLOUT_FLAG_ALLOW_OFFLOAD: u32 = 0x2;
pub const FWP_CALLOUT_FLAG_ENABLE_COMMIT_ADD_NOTIFY: u32 = 0x4;
pub const FWP_CALLOUT_FLAG_ALLOW_MID_STREAM_INSPECTION: u32 = 0x8;
pub const FWP_CALLOUT_FLAG_ALLOW_RECLASSIFY: u32 = 0x10;
pub const FWP_CALLOUT_FLAG_ALLOW_RSC: u32 = 0x40;
pub const FWP_CALLOUT_FLAG_ALLOW_L2_BATCH_CLASSIFY: u32 = 0x80;
pub const FWP_CALLOUT_FLAG_ALLOW_USO: u32 = 0x100;
pub const FWP_CALLOUT_FLAG_ALLOW_URO: u32 = 0x200;
