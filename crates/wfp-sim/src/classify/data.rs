//! The packet that an indication shows.
//!
//! Invariant: where the data begin depends on the direction. Outbound they begin at the transport header, inbound behind it;
//! the metadata say by how many bytes a callout has to retreat (learn.microsoft.com "Data Offset Positions").

use std::ffi::c_void;
use std::ptr;

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
    pub fn is_packet(&self) -> bool {
        !self.list.is_null()
    }
}
