//! What is known about one indication, and the value that each field takes from it.
//!
//! Invariant: a value is worked out when it is asked for; the same facts serve conditions and callouts at every layer.

use super::field::Field;
use super::value::Value;
use crate::ale::{Direction, Identity, Peer};
use nt_sys::fwp::{FWP_DIRECTION_INBOUND, FWP_DIRECTION_OUTBOUND};
use std::net::{IpAddr, SocketAddr};

/// Everything about one indication that values and metadata are made of.
pub(crate) struct Facts<'a> {
    pub identity: &'a Identity,
    pub protocol: u8,
    pub local: SocketAddr,
    /// The local address is still a wildcard.
    pub is_wildcard: bool,
    pub peer: Option<&'a Peer>,
    /// Who began what is indicated.
    pub direction: Direction,
    pub endpoint: u64,
    /// The listener, where the endpoint is its child.
    pub parent: Option<u64>,
    pub flow_id: Option<u64>,
    pub flags: u32,
    pub reason: u32,
    /// The direction of the packet that caused a reauthorization.
    pub packet: Option<Direction>,
    /// Fields that have no value here, as bits by index.
    pub empty_fields: u64,
    /// Metadata that is not provided here.
    pub omit_metadata: u32,
}

const COMPARTMENT: u32 = 1;
const PROFILE: u32 = 1;
const ETHERNET: u32 = 6;
const SOFTWARE_LOOPBACK: u32 = 24;
const UNICAST: u8 = 1;
const MULTICAST: u8 = 3;
const ETHERNET_INDEX: u32 = 7;
const LOOPBACK_INDEX: u32 = 1;
const SUB_INTERFACE_INDEX: u32 = 2;

/// S-1-0-0: the package of a process that is in none.
const NULL_SID: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

impl Facts<'_> {
    /// The value at `index`, where the layer lists `field`.
    pub fn value(&self, index: usize, field: Field) -> Value<'_> {
        if self.empty_fields >> index & 1 == 1 {
            return Value::Empty;
        }
        match field {
            Field::AppId | Field::OriginalAppId => Value::Blob(&self.identity.app_id),
            Field::UserId => Value::Token(&self.identity.sids),
            Field::LocalAddress if self.is_wildcard => Value::Empty,
            Field::LocalAddress => address(self.local.ip()),
            Field::LocalAddressType => Value::U8(UNICAST),
            Field::LocalPort => Value::U16(self.icmp().map_or(self.local.port(), |icmp| icmp.kind.into())),
            Field::Protocol => Value::U8(self.protocol),
            Field::RemoteAddress => self.peer.map_or(Value::Empty, |peer| address(peer.addr.ip())),
            Field::RemotePort => self
                .peer
                .map_or(Value::Empty, |peer| Value::U16(peer.icmp.map_or(peer.addr.port(), |icmp| icmp.code.into()))),
            Field::DestinationAddressType => self.peer.map_or(Value::Empty, |peer| {
                Value::U8(if peer.addr.ip().is_multicast() { MULTICAST } else { UNICAST })
            }),
            Field::LocalInterface | Field::NexthopInterface => Value::U64(self.luid()),
            Field::Flags => Value::U32(self.flags),
            Field::InterfaceType | Field::NexthopInterfaceType => Value::U32(self.interface_type()),
            Field::TunnelType | Field::NexthopTunnelType => Value::U32(0),
            Field::InterfaceIndex | Field::NexthopInterfaceIndex => Value::U32(self.interface_index()),
            Field::SubInterfaceIndex | Field::NexthopSubInterfaceIndex => Value::U32(SUB_INTERFACE_INDEX),
            // Only an arriving packet has arrived somewhere (learn.microsoft.com "ALE Reauthorization").
            Field::ArrivalInterface => self.if_arriving(|| Value::U64(self.luid())),
            Field::ArrivalInterfaceType => self.if_arriving(|| Value::U32(self.interface_type())),
            Field::ArrivalTunnelType => self.if_arriving(|| Value::U32(0)),
            Field::ArrivalInterfaceIndex => self.if_arriving(|| Value::U32(self.interface_index())),
            Field::OriginalProfile | Field::CurrentProfile | Field::LocalInterfaceProfile => Value::U32(PROFILE),
            Field::ReauthorizeReason => Value::U32(self.reason),
            Field::PackageId => Value::Sid(NULL_SID),
            Field::CompartmentId => Value::U32(COMPARTMENT),
            Field::PromiscuousMode => Value::U32(0),
            Field::Direction => Value::U32(match self.direction {
                Direction::Outbound => FWP_DIRECTION_OUTBOUND,
                Direction::Inbound => FWP_DIRECTION_INBOUND,
            }),
            Field::RemoteUserId
            | Field::RemoteMachineId
            | Field::PeerName
            | Field::OriginalIcmpType
            | Field::QuarantineEpoch
            | Field::Fqbn
            | Field::EffectiveName
            | Field::SioFirewall
            | Field::NapContext
            | Field::Reserved => Value::Empty,
        }
    }

    pub fn compartment(&self) -> u32 {
        COMPARTMENT
    }

    pub fn is_loopback(&self) -> bool {
        self.peer.is_some_and(|peer| peer.addr.ip().is_loopback() || peer.addr.ip() == self.local.ip())
    }

    fn icmp(&self) -> Option<crate::ale::Icmp> {
        self.peer.and_then(|peer| peer.icmp)
    }

    fn if_arriving<'a>(&self, value: impl FnOnce() -> Value<'a>) -> Value<'a> {
        if self.packet.unwrap_or(self.direction) == Direction::Inbound { value() } else { Value::Empty }
    }

    fn interface_type(&self) -> u32 {
        if self.is_loopback() { SOFTWARE_LOOPBACK } else { ETHERNET }
    }

    fn interface_index(&self) -> u32 {
        if self.is_loopback() { LOOPBACK_INDEX } else { ETHERNET_INDEX }
    }

    /// An interface LUID: the type in the upper 16 bits, an index above the lower 24.
    fn luid(&self) -> u64 {
        u64::from(self.interface_type()) << 48 | u64::from(self.interface_index()) << 24
    }
}

fn address<'a>(ip: IpAddr) -> Value<'a> {
    match ip {
        IpAddr::V4(ip) => Value::U32(ip.to_bits()),
        IpAddr::V6(ip) => Value::Bytes16(ip.octets()),
    }
}
