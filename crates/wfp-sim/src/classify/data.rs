//! The packet that an indication shows.
//!
//! Invariant: where the data begin depends on the direction. Outbound they begin at the transport header, inbound behind it;
//! the metadata say by how many bytes a callout has to retreat (learn.microsoft.com "Data Offset Positions").

use std::ffi::c_void;
use std::ptr;

/// Stands for a packet that nobody looks into.
static PACKET: [u64; 46] = [0; 46];

/// A net buffer list as a classify function gets it; none where the layer shows no packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LayerData {
    /// The `NET_BUFFER_LIST`; valid until the indication ends. Null: no packet.
    pub list: *mut c_void,
    /// Bytes of the IP header in front of the transport header; zero where there is none yet.
    pub ip_header: u32,
    /// Bytes of the transport header.
    pub transport_header: u32,
}

impl Default for LayerData {
    fn default() -> Self {
        Self { list: ptr::null_mut(), ip_header: 0, transport_header: 0 }
    }
}

impl LayerData {
    /// A pointer that looks like a net buffer list, sent by `protocol`.
    pub fn opaque(protocol: u8) -> Self {
        let transport_header = if protocol == 6 { 20 } else { 8 };
        Self { list: (&raw const PACKET).cast_mut().cast(), ip_header: 0, transport_header }
    }

    /// The same as it arrives by IPv4 or IPv6.
    pub fn opaque_inbound(protocol: u8, is_v6: bool) -> Self {
        Self { ip_header: if is_v6 { 40 } else { 20 }, ..Self::opaque(protocol) }
    }

    pub fn is_packet(&self) -> bool {
        !self.list.is_null()
    }
}
