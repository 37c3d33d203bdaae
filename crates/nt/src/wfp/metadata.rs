//! What a classify says beside its values: handles, process, packet. A member is read only when its bit says it is there.

use super::classify::Classify;
use core::ffi::c_void;
use core::ptr::NonNull;
use nt_sys::fwp::{FWP_DIRECTION_INBOUND, FWP_DIRECTION_OUTBOUND};
use nt_sys::fwps::*;

/// Which way a packet goes, or what a layer authorizes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From this machine.
    Outbound,
    /// To this machine.
    Inbound,
}

/// The largest control data and the largest raw header that are taken for what they are; both are some tens of bytes.
const MAX_ATTACHMENT: u32 = 4096;

impl<'a> Classify<'a> {
    fn has(&self, bit: u32) -> bool {
        // SAFETY: valid for the classify, as `new`'s caller vouches.
        unsafe { (*self.metadata).currentMetadataValues & bit == bit }
    }

    /// The process.
    pub fn process_id(&self) -> Option<u64> {
        // SAFETY: as in `has`; the bit says the member is there.
        self.has(FWPS_METADATA_FIELD_PROCESS_ID).then(|| unsafe { (*self.metadata).processId })
    }

    /// The socket, as the transport layer names it.
    pub fn endpoint(&self) -> Option<u64> {
        // SAFETY: as in `has`; the bit says the member is there.
        self.has(FWPS_METADATA_FIELD_TRANSPORT_ENDPOINT_HANDLE)
            .then(|| unsafe { (*self.metadata).transportEndpointHandle })
    }

    /// The listener that the socket came from, if it came from one.
    pub fn parent_endpoint(&self) -> Option<u64> {
        // SAFETY: as in `has`; the bit says the member is there.
        self.has(FWPS_METADATA_FIELD_PARENT_ENDPOINT_HANDLE).then(|| unsafe { (*self.metadata).parentEndpointHandle })
    }

    /// The network compartment.
    pub fn compartment(&self) -> Option<u32> {
        // SAFETY: as in `has`; the bit says the member is there.
        self.has(FWPS_METADATA_FIELD_COMPARTMENT_ID).then(|| unsafe { (*self.metadata).compartmentId })
    }

    /// The scope of a link-local remote address.
    pub fn remote_scope(&self) -> Option<u32> {
        // SAFETY: as in `has`; the bit says the member is there.
        self.has(FWPS_METADATA_FIELD_REMOTE_SCOPE_ID).then(|| unsafe { (*self.metadata).remoteScopeId })
    }

    /// Which way the packet goes: at a reauthorization perhaps the other way than what the layer authorizes (R13).
    pub fn packet_direction(&self) -> Option<Direction> {
        // SAFETY: as in `has`; the bit says the member is there.
        let direction =
            self.has(FWPS_METADATA_FIELD_PACKET_DIRECTION).then(|| unsafe { (*self.metadata).packetDirection });
        match direction? {
            FWP_DIRECTION_OUTBOUND => Some(Direction::Outbound),
            FWP_DIRECTION_INBOUND => Some(Direction::Inbound),
            _ => None,
        }
    }

    /// How many bytes of headers lie before the data of an inbound packet: IP header, and everything up to the data.
    pub(super) fn header_sizes(&self) -> Option<(u32, u32)> {
        let ip = self.has(FWPS_METADATA_FIELD_IP_HEADER_SIZE).then(|| {
            // SAFETY: as in `has`; the bit says the member is there.
            unsafe { (*self.metadata).ipHeaderSize }
        });
        let transport = self.has(FWPS_METADATA_FIELD_TRANSPORT_HEADER_SIZE).then(|| {
            // SAFETY: as in `has`; the bit says the member is there.
            unsafe { (*self.metadata).transportHeaderSize }
        });
        Some((ip?, transport?))
    }

    /// What the program gave to `WSASendMsg` beside the data; empty when there is none.
    pub(super) fn control_data(&self) -> Option<&'a [u8]> {
        if !self.has(FWPS_METADATA_FIELD_TRANSPORT_CONTROL_DATA) {
            return Some(&[]);
        }
        // SAFETY: as in `has`; the bit says the member is there.
        let data = unsafe { (*self.metadata).controlData };
        // SAFETY: as above.
        let len = unsafe { (*self.metadata).controlDataLength };
        // SAFETY: the engine's control data is valid for the classify.
        unsafe { attachment(data, len) }
    }

    /// The IP header that a program with `IP_HDRINCL` made itself; empty when it did not.
    pub(super) fn included_header(&self) -> Option<&'a [u8]> {
        if !self.has(FWPS_METADATA_FIELD_TRANSPORT_HEADER_INCLUDE_HEADER) {
            return Some(&[]);
        }
        // SAFETY: as in `has`; the bit says the member is there.
        let data = unsafe { (*self.metadata).headerIncludeHeader };
        // SAFETY: as above.
        let len = unsafe { (*self.metadata).headerIncludeHeaderLength };
        // SAFETY: the engine's header is valid for the classify.
        unsafe { attachment(data, len) }
    }

    pub(super) fn completion_handle(&self) -> Option<NonNull<c_void>> {
        // SAFETY: as in `has`; the bit says the member is there.
        let handle =
            self.has(FWPS_METADATA_FIELD_COMPLETION_HANDLE).then(|| unsafe { (*self.metadata).completionHandle });
        handle.and_then(NonNull::new)
    }
}

/// # Safety
/// `data` is null or points to `len` bytes that are valid for `'a`.
unsafe fn attachment<'a>(data: *const c_void, len: u32) -> Option<&'a [u8]> {
    if data.is_null() || len == 0 {
        return Some(&[]);
    }
    // SAFETY: as the caller vouches.
    (len <= MAX_ATTACHMENT).then(|| unsafe { core::slice::from_raw_parts(data.cast(), len as usize) })
}
