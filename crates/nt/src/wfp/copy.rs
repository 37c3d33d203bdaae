//! Copying the packets of a classify.
//!
//! What is authorized on its way out begins with its transport header; what has arrived begins after it, and is moved back to
//! its IP header for the time of the copy (R18). Both may lie in several pieces, and a list may have several packets (R20):
//! each becomes a [`Packet`] of its own.

use super::authorize::{self, Authorization};
use super::classify::{Classify, Direction};
use super::inject::Injector;
use super::packet::{Facts, Family, MAX_DATA, Packet, Packets, Sizes, Way};
use crate::pool::Tag;
use crate::status::{Result, Status};
use core::net::IpAddr;
use core::ptr::NonNull;
use nt_sys::fwps::*;
use nt_sys::ndis::*;
use nt_sys::types::FALSE;

/// What IPsec does with an inbound packet (R24).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protection {
    /// Nothing.
    None,
    /// It is still in its tunnel, and comes again when it is out of it.
    Tunnel,
    /// It was secured, and a copy of it would not be.
    Secured,
}

impl Classify<'_> {
    /// Whether there is a packet; a TCP connect has none (R17).
    pub fn has_packet(&self) -> bool {
        self.net_buffers().next().is_some()
    }

    /// What keeping the packets would take of the pool.
    pub fn packet_bytes(&self) -> u32 {
        let direction = self.direction();
        let Some((control, header)) = self.attachments(direction) else { return u32::MAX };
        let headers = match direction {
            Direction::Inbound => self.header_sizes().map_or(0, |(ip, transport)| ip.saturating_add(transport)),
            Direction::Outbound => 0,
        };
        let size = |buffer: NonNull<NET_BUFFER>| {
            let sizes = Sizes::of(control, header, data_length(buffer).saturating_add(headers));
            u32::try_from(sizes.total()).unwrap_or(u32::MAX)
        };
        self.net_buffers().map(size).fold(0, u32::saturating_add)
    }

    /// Copies the packets.
    ///
    /// # Errors
    /// `STATUS_NOT_FOUND` if there is none, `STATUS_INVALID_BUFFER_SIZE` and `STATUS_INVALID_PARAMETER` for a packet that is
    /// none we could inject, `STATUS_INSUFFICIENT_RESOURCES`. Then nothing is kept, and the packets are as they were.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    #[doc(alias = "NdisGetDataBuffer")]
    pub fn copy_packets(&self, tag: Tag) -> Result<Packets> {
        let list = self.packets().ok_or(Status::NOT_FOUND)?;
        let (way, remote, headers) = self.way()?;
        let facts = Facts {
            family: self.family(),
            compartment: self.compartment().unwrap_or_default(),
            // SAFETY: the engine's list is valid for the classify.
            checksum: unsafe { (*list.as_ptr()).NetBufferListInfo }
                .get(TcpIpChecksumNetBufferListInfo)
                .map_or(0, |value| value.addr()),
            remote,
            way,
        };
        let mut packets = Packets::default();
        for buffer in self.net_buffers() {
            let retreated = Retreated::by(buffer, headers)?;
            packets.push_back(self.copy(retreated.buffer, facts, tag)?);
        }
        if packets.is_empty() { Err(Status::NOT_FOUND) } else { Ok(packets) }
    }

    fn copy(&self, buffer: NonNull<NET_BUFFER>, facts: Facts, tag: Tag) -> Result<Packet> {
        let (control, header) = self.attachments(self.direction()).ok_or(Status::INVALID_BUFFER_SIZE)?;
        let data = data_length(buffer);
        let mut packet = Packet::new(facts, Sizes::of(control, header, data), tag)?;
        packet.put_attachments(control, header);
        let to = packet.data();
        // SAFETY: the engine's packet is valid for the classify; the storage has `data` bytes.
        let from = unsafe { NdisGetDataBuffer(buffer.as_ptr(), data, to.cast(), 1, 0) };
        let from = NonNull::new(from.cast::<u8>()).ok_or(Status::INSUFFICIENT_RESOURCES)?;
        if from.as_ptr() != to {
            // SAFETY: in one piece of `data` bytes in the packet; the target has as many, and is another allocation.
            unsafe { to.copy_from_nonoverlapping(from.as_ptr(), data as usize) };
        }
        Ok(packet)
    }

    /// Where the packets go on, to whom, and how many bytes of headers lie before them.
    fn way(&self) -> Result<(Way, [u8; 16], u32)> {
        let values = Authorization::read(self);
        let mut remote = [0; 16];
        if self.direction() == Direction::Outbound {
            let endpoint = self.endpoint().ok_or(Status::INVALID_PARAMETER)?;
            match values.remote.ok_or(Status::INVALID_PARAMETER)? {
                IpAddr::V4(address) => remote[..4].copy_from_slice(&address.octets()),
                IpAddr::V6(address) => remote = address.octets(),
            }
            return Ok((Way::Send { endpoint, scope: self.remote_scope().unwrap_or_default() }, remote, 0));
        }
        let (ip, transport) = self.header_sizes().ok_or(Status::INVALID_PARAMETER)?;
        let least = if values.is_v6 { 40 } else { 20 };
        let headers = ip.checked_add(transport).filter(|headers| ip >= least && *headers <= MAX_DATA);
        let (interface, sub_interface) =
            values.interface_index.zip(values.sub_interface_index).ok_or(Status::INVALID_PARAMETER)?;
        Ok((Way::Receive { interface, sub_interface }, remote, headers.ok_or(Status::INVALID_BUFFER_SIZE)?))
    }

    /// What goes with an outbound packet beside its data: control data, and a header that the program made.
    fn attachments(&self, direction: Direction) -> Option<(&[u8], &[u8])> {
        match direction {
            Direction::Outbound => self.control_data().zip(self.included_header()),
            Direction::Inbound => Some((&[], &[])),
        }
    }

    /// Which way the packet goes; when nothing says so, the way that the layer authorizes.
    fn direction(&self) -> Direction {
        self.packet_direction().unwrap_or_else(|| authorize::direction(self.values().layer()))
    }

    fn family(&self) -> Family {
        if authorize::is_v6(self.values().layer()) { Family::V6 } else { Family::V4 }
    }

    /// Whether the packet is one that we injected, now or before (R23).
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    #[doc(alias = "FwpsQueryPacketInjectionState0")]
    pub fn is_injected_by(&self, injector: &Injector) -> bool {
        let state = self.injection_state(injector);
        matches!(state, Some(FWPS_PACKET_INJECTED_BY_SELF | FWPS_PACKET_PREVIOUSLY_INJECTED_BY_SELF))
    }

    /// Whether we are the last who injected the packet. One that we sent to this very machine, and that arrives now, was
    /// injected before.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub fn is_last_injected_by(&self, injector: &Injector) -> bool {
        self.injection_state(injector) == Some(FWPS_PACKET_INJECTED_BY_SELF)
    }

    fn injection_state(&self, injector: &Injector) -> Option<FWPS_PACKET_INJECTION_STATE> {
        let (list, handle) = (self.packets()?, injector.handle(self.family()));
        // SAFETY: the handle lives as long as the injector; the engine's list is valid for the classify.
        Some(unsafe { FwpsQueryPacketInjectionState0(handle, list.as_ptr(), core::ptr::null_mut()) })
    }

    /// What IPsec does with the packet, if it is inbound. When the engine does not say, the packet counts as secured.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    #[doc(alias = "FwpsGetPacketListSecurityInformation0")]
    pub fn protection(&self) -> Protection {
        let Some(list) = self.packets().filter(|_| self.direction() == Direction::Inbound) else {
            return Protection::None;
        };
        let mut information = FWPS_PACKET_LIST_INFORMATION0::default();
        let query = FWPS_PACKET_LIST_INFORMATION_QUERY_IPSEC | FWPS_PACKET_LIST_INFORMATION_QUERY_INBOUND;
        // SAFETY: the engine's list is valid for the classify; the record is valid for a write.
        let known =
            Status::check(unsafe { FwpsGetPacketListSecurityInformation0(list.as_ptr(), query, &raw mut information) });
        let has = |bit| information.ipsecInformation & bit != 0;
        if known.is_err() {
            Protection::Secured
        } else if has(FWPS_PACKET_LIST_INBOUND_IPSEC_IS_TUNNEL_MODE)
            && !has(FWPS_PACKET_LIST_INBOUND_IPSEC_IS_DE_TUNNELED)
        {
            Protection::Tunnel
        } else if has(FWPS_PACKET_LIST_INBOUND_IPSEC_IS_SECURE) {
            Protection::Secured
        } else {
            Protection::None
        }
    }

    fn net_buffers(&self) -> impl Iterator<Item = NonNull<NET_BUFFER>> {
        let first = self.packets().and_then(|list| {
            // SAFETY: the engine's list is valid for the classify.
            NonNull::new(unsafe { (*list.as_ptr()).FirstNetBuffer })
        });
        // SAFETY: so is everything in it.
        core::iter::successors(first, |buffer| NonNull::new(unsafe { (*buffer.as_ptr()).Next }))
    }
}

fn data_length(buffer: NonNull<NET_BUFFER>) -> u32 {
    // SAFETY: the engine's packet is valid for the classify, which the caller is in.
    u32::try_from(unsafe { (*buffer.as_ptr()).stDataLength }).unwrap_or(u32::MAX)
}

/// A packet that begins earlier than it did, until this is dropped.
struct Retreated {
    buffer: NonNull<NET_BUFFER>,
    bytes: u32,
}

impl Retreated {
    fn by(buffer: NonNull<NET_BUFFER>, bytes: u32) -> Result<Self> {
        if bytes != 0 {
            // SAFETY: the engine's packet is valid for the classify, which the caller is in.
            let before = unsafe { (*buffer.as_ptr()).DataOffset };
            if before < bytes {
                // The headers are not there. NDIS would put new memory before the packet, which is not what is wanted.
                return Err(Status::INVALID_BUFFER_SIZE);
            }
            // SAFETY: as above; there is room, so nothing is allocated.
            Status::check(unsafe { NdisRetreatNetBufferDataStart(buffer.as_ptr(), bytes, 0, None) })?;
        }
        Ok(Self { buffer, bytes })
    }
}

impl Drop for Retreated {
    fn drop(&mut self) {
        if self.bytes != 0 {
            // SAFETY: the packet still is valid, and begins `bytes` earlier than it did. Nothing was allocated, so nothing is
            // freed.
            unsafe { NdisAdvanceNetBufferDataStart(self.buffer.as_ptr(), self.bytes, FALSE, None) };
        }
    }
}
