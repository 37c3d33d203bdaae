//! What the engine knows beyond the values: handles, process, packet.
//!
//! Invariant: a member may be read only when its bit is set in `currentMetadataValues`. Newer systems append members, so
//! the record is never copied by its size.

use crate::fwp::{FWP_BYTE_BLOB, FWP_DIRECTION};
use crate::types::HANDLE;
use core::ffi::c_void;
use core::mem::{offset_of, size_of};

/// The metadata of one indication.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWPS_INCOMING_METADATA_VALUES0 {
    pub currentMetadataValues: u32,
    pub flags: u32,
    pub reserved: u64,
    pub discardMetadata: FWPS_DISCARD_METADATA0,
    pub flowHandle: u64,
    pub ipHeaderSize: u32,
    pub transportHeaderSize: u32,
    pub processPath: *mut FWP_BYTE_BLOB,
    pub token: u64,
    pub processId: u64,
    pub sourceInterfaceIndex: u32,
    pub destinationInterfaceIndex: u32,
    pub compartmentId: u32,
    pub fragmentMetadata: FWPS_INBOUND_FRAGMENT_METADATA0,
    pub pathMtu: u32,
    pub completionHandle: HANDLE,
    pub transportEndpointHandle: u64,
    pub remoteScopeId: u32,
    pub controlData: *mut c_void,
    pub controlDataLength: u32,
    pub packetDirection: FWP_DIRECTION,
    pub headerIncludeHeader: *mut c_void,
    pub headerIncludeHeaderLength: u32,
    pub destinationPrefix: IP_ADDRESS_PREFIX,
    pub frameLength: u16,
    pub parentEndpointHandle: u64,
    pub icmpIdAndSequence: u32,
    pub localRedirectTargetPID: u32,
    pub originalDestination: *mut c_void,
    pub redirectRecords: HANDLE,
    pub currentL2MetadataValues: u32,
    pub l2Flags: u32,
    pub ethernetMacHeaderSize: u32,
    pub wiFiOperationMode: u32,
    pub vSwitchSourcePortId: u32,
    pub vSwitchSourceNicIndex: u16,
    pub vSwitchDestinationPortId: u32,
    pub vSwitchPacketContext: HANDLE,
    pub subProcessTag: *mut c_void,
    pub reserved1: u64,
}

/// Why a discard layer was reached.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWPS_DISCARD_METADATA0 {
    pub discardModule: u32,
    pub discardReason: u32,
    pub filterId: u64,
}

/// The fragment a packet is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FWPS_INBOUND_FRAGMENT_METADATA0 {
    pub fragmentIdentification: u32,
    pub fragmentOffset: u16,
    pub fragmentLength: u32,
}

/// An address with a prefix length.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IP_ADDRESS_PREFIX {
    pub Prefix: SOCKADDR_INET,
    pub PrefixLength: u8,
}

/// A socket address of either family, as its seven words.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SOCKADDR_INET(pub [u32; 7]);

/// Module of a discard that the filter engine decided.
pub const FWPS_DISCARD_MODULE_NETWORK: u32 = 0;
pub const FWPS_DISCARD_MODULE_TRANSPORT: u32 = 1;
pub const FWPS_DISCARD_MODULE_GENERAL: u32 = 2;
/// Reason, in the general module: a filter blocked.
pub const FWPS_DISCARD_FIREWALL_POLICY: u32 = 0;

macro_rules! assert_offsets {
    ($($field:ident: $offset:literal),+ $(,)?) => {
        const _: () = {
            $(assert!(offset_of!(FWPS_INCOMING_METADATA_VALUES0, $field) == $offset);)+
        };
    };
}

assert_offsets! {
    currentMetadataValues: 0, flags: 4, reserved: 8, discardMetadata: 16, flowHandle: 32, ipHeaderSize: 40,
    transportHeaderSize: 44, processPath: 48, token: 56, processId: 64, sourceInterfaceIndex: 72,
    destinationInterfaceIndex: 76, compartmentId: 80, fragmentMetadata: 84, pathMtu: 96, completionHandle: 104,
    transportEndpointHandle: 112, remoteScopeId: 120, controlData: 128, controlDataLength: 136, packetDirection: 140,
    headerIncludeHeader: 144, headerIncludeHeaderLength: 152, destinationPrefix: 156, frameLength: 188,
    parentEndpointHandle: 192, icmpIdAndSequence: 200, localRedirectTargetPID: 204, originalDestination: 208,
    redirectRecords: 216, currentL2MetadataValues: 224, l2Flags: 228, ethernetMacHeaderSize: 232,
    wiFiOperationMode: 236, vSwitchSourcePortId: 240, vSwitchSourceNicIndex: 244, vSwitchDestinationPortId: 248,
    vSwitchPacketContext: 256, subProcessTag: 264, reserved1: 272,
}

const _: () = {
    assert!(size_of::<FWPS_INCOMING_METADATA_VALUES0>() == 280);
    assert!(align_of::<FWPS_INCOMING_METADATA_VALUES0>() == 8);
    assert!(size_of::<FWPS_DISCARD_METADATA0>() == 16);
    assert!(offset_of!(FWPS_DISCARD_METADATA0, filterId) == 8);
    assert!(offset_of!(FWPS_INBOUND_FRAGMENT_METADATA0, fragmentOffset) == 4);
    assert!(offset_of!(FWPS_INBOUND_FRAGMENT_METADATA0, fragmentLength) == 8);
    assert!(size_of::<IP_ADDRESS_PREFIX>() == 32 && align_of::<IP_ADDRESS_PREFIX>() == 4);
    assert!(offset_of!(IP_ADDRESS_PREFIX, PrefixLength) == 28);
};

pub const FWPS_METADATA_FIELD_DISCARD_REASON: u32 = 0x1;
pub const FWPS_METADATA_FIELD_FLOW_HANDLE: u32 = 0x2;
pub const FWPS_METADATA_FIELD_IP_HEADER_SIZE: u32 = 0x4;
pub const FWPS_METADATA_FIELD_PROCESS_PATH: u32 = 0x8;
pub const FWPS_METADATA_FIELD_TOKEN: u32 = 0x10;
pub const FWPS_METADATA_FIELD_PROCESS_ID: u32 = 0x20;
pub const FWPS_METADATA_FIELD_SYSTEM_FLAGS: u32 = 0x40;
pub const FWPS_METADATA_FIELD_SOURCE_INTERFACE_INDEX: u32 = 0x100;
pub const FWPS_METADATA_FIELD_DESTINATION_INTERFACE_INDEX: u32 = 0x200;
pub const FWPS_METADATA_FIELD_TRANSPORT_HEADER_SIZE: u32 = 0x400;
pub const FWPS_METADATA_FIELD_COMPARTMENT_ID: u32 = 0x800;
pub const FWPS_METADATA_FIELD_FRAGMENT_DATA: u32 = 0x1000;
pub const FWPS_METADATA_FIELD_PATH_MTU: u32 = 0x2000;
pub const FWPS_METADATA_FIELD_COMPLETION_HANDLE: u32 = 0x4000;
pub const FWPS_METADATA_FIELD_TRANSPORT_ENDPOINT_HANDLE: u32 = 0x8000;
pub const FWPS_METADATA_FIELD_TRANSPORT_CONTROL_DATA: u32 = 0x1_0000;
pub const FWPS_METADATA_FIELD_REMOTE_SCOPE_ID: u32 = 0x2_0000;
pub const FWPS_METADATA_FIELD_PACKET_DIRECTION: u32 = 0x4_0000;
pub const FWPS_METADATA_FIELD_PACKET_SYSTEM_CRITICAL: u32 = 0x8_0000;
pub const FWPS_METADATA_FIELD_ALE_CLASSIFY_REQUIRED: u32 = 0x40_0000;
pub const FWPS_METADATA_FIELD_TRANSPORT_HEADER_INCLUDE_HEADER: u32 = 0x80_0000;
pub const FWPS_METADATA_FIELD_DESTINATION_PREFIX: u32 = 0x100_0000;
pub const FWPS_METADATA_FIELD_ETHER_FRAME_LENGTH: u32 = 0x200_0000;
pub const FWPS_METADATA_FIELD_PARENT_ENDPOINT_HANDLE: u32 = 0x400_0000;
pub const FWPS_METADATA_FIELD_ICMP_ID_AND_SEQUENCE: u32 = 0x800_0000;
pub const FWPS_METADATA_FIELD_LOCAL_REDIRECT_TARGET_PID: u32 = 0x1000_0000;
pub const FWPS_METADATA_FIELD_ORIGINAL_DESTINATION: u32 = 0x2000_0000;
pub const FWPS_METADATA_FIELD_REDIRECT_RECORD_HANDLE: u32 = 0x4000_0000;
pub const FWPS_METADATA_FIELD_SUB_PROCESS_TAG: u32 = 0x8000_0000;
