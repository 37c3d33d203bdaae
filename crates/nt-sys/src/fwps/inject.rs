//! Packet injection: handles, packets of our own, what the engine says about packets that come by.

use crate::mdl::MDL;
use crate::ndis::{NDIS_HANDLE, NET_BUFFER_LIST};
use crate::types::{BOOLEAN, HANDLE, NTSTATUS};
use core::ffi::c_void;
use core::mem::{align_of, offset_of, size_of};

pub const FWPS_INJECTION_TYPE_STREAM: u32 = 0x1;
pub const FWPS_INJECTION_TYPE_TRANSPORT: u32 = 0x2;
pub const FWPS_INJECTION_TYPE_NETWORK: u32 = 0x4;
pub const FWPS_INJECTION_TYPE_FORWARD: u32 = 0x8;
pub const FWPS_INJECTION_TYPE_L2: u32 = 0x10;

pub type FWPS_PACKET_INJECTION_STATE = i32;
pub const FWPS_PACKET_NOT_INJECTED: FWPS_PACKET_INJECTION_STATE = 0;
pub const FWPS_PACKET_INJECTED_BY_SELF: FWPS_PACKET_INJECTION_STATE = 1;
pub const FWPS_PACKET_INJECTED_BY_OTHER: FWPS_PACKET_INJECTION_STATE = 2;
pub const FWPS_PACKET_PREVIOUSLY_INJECTED_BY_SELF: FWPS_PACKET_INJECTION_STATE = 3;

/// `ADDRESS_FAMILY` of a transport injection handle.
pub const AF_UNSPEC: u16 = 0;
pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 23;

/// Where an injected packet goes, beside its bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FWPS_TRANSPORT_SEND_PARAMS1 {
    /// An `in_addr` or `in6_addr`, in network order.
    pub remoteAddress: *mut u8,
    pub remoteScopeId: u32,
    /// A chain of `WSACMSGHDR`.
    pub controlData: *mut c_void,
    pub controlDataLength: u32,
    pub headerIncludeHeader: *mut u8,
    pub headerIncludeHeaderLength: u32,
}

/// What IPsec did with a packet, and whether it was injected.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct FWPS_PACKET_LIST_INFORMATION0 {
    /// Bits; of inbound packets those below.
    pub ipsecInformation: u32,
    pub fwpInformation: u32,
}

pub const FWPS_PACKET_LIST_INBOUND_IPSEC_IS_SECURE: u32 = 0x1;
pub const FWPS_PACKET_LIST_INBOUND_IPSEC_IS_TRANSPORT_MODE: u32 = 0x2;
pub const FWPS_PACKET_LIST_INBOUND_IPSEC_IS_TUNNEL_MODE: u32 = 0x4;
pub const FWPS_PACKET_LIST_INBOUND_IPSEC_IS_DE_TUNNELED: u32 = 0x20;

/// Query flags of [`FwpsGetPacketListSecurityInformation0`].
pub const FWPS_PACKET_LIST_INFORMATION_QUERY_INBOUND: u32 = 0x1;
pub const FWPS_PACKET_LIST_INFORMATION_QUERY_OUTBOUND: u32 = 0x2;
pub const FWPS_PACKET_LIST_INFORMATION_QUERY_IPSEC: u32 = 0x4;

const _: () = {
    assert!(size_of::<FWPS_TRANSPORT_SEND_PARAMS1>() == 48 && align_of::<FWPS_TRANSPORT_SEND_PARAMS1>() == 8);
    assert!(offset_of!(FWPS_TRANSPORT_SEND_PARAMS1, remoteScopeId) == 8);
    assert!(offset_of!(FWPS_TRANSPORT_SEND_PARAMS1, controlData) == 16);
    assert!(offset_of!(FWPS_TRANSPORT_SEND_PARAMS1, controlDataLength) == 24);
    assert!(offset_of!(FWPS_TRANSPORT_SEND_PARAMS1, headerIncludeHeader) == 32);
    assert!(offset_of!(FWPS_TRANSPORT_SEND_PARAMS1, headerIncludeHeaderLength) == 40);
    assert!(size_of::<FWPS_PACKET_LIST_INFORMATION0>() == 8 && align_of::<FWPS_PACKET_LIST_INFORMATION0>() == 4);
    assert!(offset_of!(FWPS_PACKET_LIST_INFORMATION0, fwpInformation) == 4);
};

/// Hears that an injected packet is no longer needed. Its status is in the list. `<= DISPATCH_LEVEL`.
pub type FWPS_INJECT_COMPLETE0 =
    unsafe extern "system-unwind" fn(context: *mut c_void, netBufferList: *mut NET_BUFFER_LIST, dispatchLevel: BOOLEAN);

#[cfg_attr(windows, link(name = "fwpkclnt.sys", kind = "raw-dylib", modifiers = "+verbatim"))]
unsafe extern "system-unwind" {
    /// Makes an injection handle. `PASSIVE_LEVEL`.
    pub fn FwpsInjectionHandleCreate0(addressFamily: u16, flags: u32, injectionHandle: *mut HANDLE) -> NTSTATUS;

    /// Ends an injection handle; waits for what was injected with it. `PASSIVE_LEVEL`.
    pub fn FwpsInjectionHandleDestroy0(injectionHandle: HANDLE) -> NTSTATUS;

    /// Who injected a packet, as far as this handle knows. `<= DISPATCH_LEVEL`.
    pub fn FwpsQueryPacketInjectionState0(
        injectionHandle: HANDLE,
        netBufferList: *const NET_BUFFER_LIST,
        injectionContext: *mut HANDLE,
    ) -> FWPS_PACKET_INJECTION_STATE;

    /// Makes a list of one packet over an MDL chain. `<= DISPATCH_LEVEL`.
    pub fn FwpsAllocateNetBufferAndNetBufferList0(
        poolHandle: NDIS_HANDLE,
        contextSize: u16,
        contextBackFill: u16,
        mdlChain: *mut MDL,
        dataOffset: u32,
        dataLength: usize,
        netBufferList: *mut *mut NET_BUFFER_LIST,
    ) -> NTSTATUS;

    /// Frees such a list; the MDLs are not touched. `<= DISPATCH_LEVEL`.
    pub fn FwpsFreeNetBufferList0(netBufferList: *mut NET_BUFFER_LIST);

    /// Sends a packet that begins with its transport header. When it fails, the completion function is not called.
    /// `<= DISPATCH_LEVEL`.
    pub fn FwpsInjectTransportSendAsync1(
        injectionHandle: HANDLE,
        injectionContext: HANDLE,
        endpointHandle: u64,
        flags: u32,
        sendArgs: *mut FWPS_TRANSPORT_SEND_PARAMS1,
        addressFamily: u16,
        compartmentId: u32,
        netBufferList: *mut NET_BUFFER_LIST,
        completionFn: Option<FWPS_INJECT_COMPLETE0>,
        completionContext: HANDLE,
    ) -> NTSTATUS;

    /// Receives a packet that begins with its IP header. When it fails, the completion function is not called.
    /// `<= DISPATCH_LEVEL`.
    pub fn FwpsInjectTransportReceiveAsync0(
        injectionHandle: HANDLE,
        injectionContext: HANDLE,
        reserved: *mut c_void,
        flags: u32,
        addressFamily: u16,
        compartmentId: u32,
        interfaceIndex: u32,
        subInterfaceIndex: u32,
        netBufferList: *mut NET_BUFFER_LIST,
        completionFn: Option<FWPS_INJECT_COMPLETE0>,
        completionContext: HANDLE,
    ) -> NTSTATUS;

    /// What IPsec did with a packet. `<= DISPATCH_LEVEL`.
    pub fn FwpsGetPacketListSecurityInformation0(
        packetList: *mut NET_BUFFER_LIST,
        queryFlags: u32,
        packetInfo: *mut FWPS_PACKET_LIST_INFORMATION0,
    ) -> NTSTATUS;
}
