//! The layers: ids, names, fields, and which of them the engine indicates at.
//!
//! Invariant: field lists are in the order of `FWPS_FIELDS_*`; IPv4 and IPv6 twins share one list. A layer without a list is
//! known by name, so that objects may name it, but nothing is ever indicated there.

use super::field::Field::{self, *};
use nt_sys::fwpm::*;
use nt_sys::fwps::*;
use nt_sys::types::GUID;

/// One layer.
pub(crate) struct Layer {
    pub id: u16,
    pub key: GUID,
    pub fields: Option<&'static [Field]>,
    pub is_v6: bool,
    /// Whether this is where discarded traffic is indicated.
    pub is_discard: bool,
}

impl Layer {
    pub fn by_key(key: &GUID) -> Option<&'static Self> {
        LAYERS.iter().find(|layer| layer.key == *key)
    }

    pub fn by_id(id: u16) -> &'static Self {
        &LAYERS[usize::from(id)]
    }

    /// The layer where what is blocked here is indicated.
    pub fn discard(&self) -> Option<&'static Self> {
        LAYERS.get(usize::from(self.id) + 1).filter(|next| next.is_discard && !self.is_discard)
    }
}

/// A step of a socket's life, as the pair of layers it is indicated at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    v4: u16,
    v6: u16,
}

pub(crate) const BIND_REDIRECT: Step =
    Step { v4: FWPS_LAYER_ALE_BIND_REDIRECT_V4, v6: FWPS_LAYER_ALE_BIND_REDIRECT_V6 };
pub(crate) const RESOURCE_ASSIGNMENT: Step =
    Step { v4: FWPS_LAYER_ALE_RESOURCE_ASSIGNMENT_V4, v6: FWPS_LAYER_ALE_RESOURCE_ASSIGNMENT_V6 };
pub(crate) const CONNECT_REDIRECT: Step =
    Step { v4: FWPS_LAYER_ALE_CONNECT_REDIRECT_V4, v6: FWPS_LAYER_ALE_CONNECT_REDIRECT_V6 };
pub(crate) const AUTH_LISTEN: Step = Step { v4: FWPS_LAYER_ALE_AUTH_LISTEN_V4, v6: FWPS_LAYER_ALE_AUTH_LISTEN_V6 };
pub(crate) const AUTH_RECV_ACCEPT: Step =
    Step { v4: FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V4, v6: FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V6 };
pub(crate) const AUTH_CONNECT: Step = Step { v4: FWPS_LAYER_ALE_AUTH_CONNECT_V4, v6: FWPS_LAYER_ALE_AUTH_CONNECT_V6 };
pub(crate) const FLOW_ESTABLISHED: Step =
    Step { v4: FWPS_LAYER_ALE_FLOW_ESTABLISHED_V4, v6: FWPS_LAYER_ALE_FLOW_ESTABLISHED_V6 };
pub(crate) const ENDPOINT_CLOSURE: Step =
    Step { v4: FWPS_LAYER_ALE_ENDPOINT_CLOSURE_V4, v6: FWPS_LAYER_ALE_ENDPOINT_CLOSURE_V6 };
pub(crate) const RESOURCE_RELEASE: Step =
    Step { v4: FWPS_LAYER_ALE_RESOURCE_RELEASE_V4, v6: FWPS_LAYER_ALE_RESOURCE_RELEASE_V6 };

impl Step {
    pub fn layer(self, is_v6: bool) -> &'static Layer {
        Layer::by_id(if is_v6 { self.v6 } else { self.v4 })
    }

    pub fn includes(self, layer: &Layer) -> bool {
        layer.id == self.v4 || layer.id == self.v6
    }

    /// Whether a block here stops the operation. A redirect layer only rewrites, and what has ended cannot be stopped.
    pub fn enforces(self) -> bool {
        [RESOURCE_ASSIGNMENT, AUTH_LISTEN, AUTH_RECV_ACCEPT, AUTH_CONNECT, FLOW_ESTABLISHED].contains(&self)
    }
}

const ASSIGNMENT_FIELDS: &[Field] = &[
    AppId,
    UserId,
    LocalAddress,
    LocalAddressType,
    LocalPort,
    Protocol,
    PromiscuousMode,
    LocalInterface,
    Flags,
    InterfaceType,
    TunnelType,
    LocalInterfaceProfile,
    SioFirewall,
    PackageId,
    Fqbn,
    CompartmentId,
    Reserved,
    Reserved,
];

const LISTEN_FIELDS: &[Field] = &[
    AppId,
    UserId,
    LocalAddress,
    LocalAddressType,
    LocalPort,
    LocalInterface,
    Flags,
    InterfaceType,
    TunnelType,
    LocalInterfaceProfile,
    SioFirewall,
    PackageId,
    Fqbn,
    CompartmentId,
];

const ACCEPT_FIELDS: &[Field] = &[
    AppId,
    UserId,
    LocalAddress,
    LocalAddressType,
    LocalPort,
    Protocol,
    RemoteAddress,
    RemotePort,
    RemoteUserId,
    RemoteMachineId,
    LocalInterface,
    Flags,
    SioFirewall,
    NapContext,
    InterfaceType,
    TunnelType,
    InterfaceIndex,
    SubInterfaceIndex,
    ArrivalInterface,
    ArrivalInterfaceType,
    ArrivalTunnelType,
    ArrivalInterfaceIndex,
    NexthopSubInterfaceIndex,
    NexthopInterface,
    NexthopInterfaceType,
    NexthopTunnelType,
    NexthopInterfaceIndex,
    OriginalProfile,
    CurrentProfile,
    ReauthorizeReason,
    OriginalIcmpType,
    QuarantineEpoch,
    PackageId,
    Fqbn,
    CompartmentId,
    Reserved,
    Reserved,
    Reserved,
    Reserved,
];

const CONNECT_FIELDS: &[Field] = &[
    AppId,
    UserId,
    LocalAddress,
    LocalAddressType,
    LocalPort,
    Protocol,
    RemoteAddress,
    RemotePort,
    RemoteUserId,
    RemoteMachineId,
    DestinationAddressType,
    LocalInterface,
    Flags,
    InterfaceType,
    TunnelType,
    InterfaceIndex,
    SubInterfaceIndex,
    ArrivalInterface,
    ArrivalInterfaceType,
    ArrivalTunnelType,
    ArrivalInterfaceIndex,
    NexthopSubInterfaceIndex,
    NexthopInterface,
    NexthopInterfaceType,
    NexthopTunnelType,
    NexthopInterfaceIndex,
    OriginalProfile,
    CurrentProfile,
    ReauthorizeReason,
    PeerName,
    OriginalIcmpType,
    QuarantineEpoch,
    OriginalAppId,
    PackageId,
    Fqbn,
    EffectiveName,
    CompartmentId,
    Reserved,
    Reserved,
    Reserved,
    Reserved,
];

const ESTABLISHED_FIELDS: &[Field] = &[
    AppId,
    UserId,
    LocalAddress,
    LocalAddressType,
    LocalPort,
    Protocol,
    RemoteAddress,
    RemotePort,
    RemoteUserId,
    RemoteMachineId,
    DestinationAddressType,
    LocalInterface,
    Direction,
    InterfaceType,
    TunnelType,
    Flags,
    OriginalAppId,
    PackageId,
    Fqbn,
    CompartmentId,
    Reserved,
    Reserved,
    Reserved,
    Reserved,
];

const RELEASE_FIELDS: &[Field] = &[
    AppId,
    UserId,
    LocalAddress,
    LocalAddressType,
    LocalPort,
    Protocol,
    LocalInterface,
    Flags,
    PackageId,
    Fqbn,
    CompartmentId,
];

const CLOSURE_FIELDS: &[Field] = &[
    AppId,
    UserId,
    LocalAddress,
    LocalAddressType,
    LocalPort,
    Protocol,
    RemoteAddress,
    RemotePort,
    LocalInterface,
    Flags,
    PackageId,
    Fqbn,
    CompartmentId,
];

const CONNECT_REDIRECT_FIELDS: &[Field] = &[
    AppId,
    UserId,
    LocalAddress,
    LocalAddressType,
    LocalPort,
    Protocol,
    RemoteAddress,
    DestinationAddressType,
    RemotePort,
    Flags,
    OriginalAppId,
    PackageId,
    Fqbn,
    CompartmentId,
];

const BIND_REDIRECT_FIELDS: &[Field] =
    &[AppId, UserId, LocalAddress, LocalAddressType, LocalPort, Protocol, Flags, PackageId, Fqbn, CompartmentId];

const fn layer(id: u16, key: GUID, fields: Option<&'static [Field]>, is_v6: bool, is_discard: bool) -> Layer {
    Layer { id, key, fields, is_v6, is_discard }
}

/// Every layer, by id.
static LAYERS: &[Layer] = &[
    layer(FWPS_LAYER_INBOUND_IPPACKET_V4, FWPM_LAYER_INBOUND_IPPACKET_V4, None, false, false),
    layer(FWPS_LAYER_INBOUND_IPPACKET_V4_DISCARD, FWPM_LAYER_INBOUND_IPPACKET_V4_DISCARD, None, false, true),
    layer(FWPS_LAYER_INBOUND_IPPACKET_V6, FWPM_LAYER_INBOUND_IPPACKET_V6, None, true, false),
    layer(FWPS_LAYER_INBOUND_IPPACKET_V6_DISCARD, FWPM_LAYER_INBOUND_IPPACKET_V6_DISCARD, None, true, true),
    layer(FWPS_LAYER_OUTBOUND_IPPACKET_V4, FWPM_LAYER_OUTBOUND_IPPACKET_V4, None, false, false),
    layer(FWPS_LAYER_OUTBOUND_IPPACKET_V4_DISCARD, FWPM_LAYER_OUTBOUND_IPPACKET_V4_DISCARD, None, false, true),
    layer(FWPS_LAYER_OUTBOUND_IPPACKET_V6, FWPM_LAYER_OUTBOUND_IPPACKET_V6, None, true, false),
    layer(FWPS_LAYER_OUTBOUND_IPPACKET_V6_DISCARD, FWPM_LAYER_OUTBOUND_IPPACKET_V6_DISCARD, None, true, true),
    layer(FWPS_LAYER_IPFORWARD_V4, FWPM_LAYER_IPFORWARD_V4, None, false, false),
    layer(FWPS_LAYER_IPFORWARD_V4_DISCARD, FWPM_LAYER_IPFORWARD_V4_DISCARD, None, false, true),
    layer(FWPS_LAYER_IPFORWARD_V6, FWPM_LAYER_IPFORWARD_V6, None, true, false),
    layer(FWPS_LAYER_IPFORWARD_V6_DISCARD, FWPM_LAYER_IPFORWARD_V6_DISCARD, None, true, true),
    layer(FWPS_LAYER_INBOUND_TRANSPORT_V4, FWPM_LAYER_INBOUND_TRANSPORT_V4, None, false, false),
    layer(FWPS_LAYER_INBOUND_TRANSPORT_V4_DISCARD, FWPM_LAYER_INBOUND_TRANSPORT_V4_DISCARD, None, false, true),
    layer(FWPS_LAYER_INBOUND_TRANSPORT_V6, FWPM_LAYER_INBOUND_TRANSPORT_V6, None, true, false),
    layer(FWPS_LAYER_INBOUND_TRANSPORT_V6_DISCARD, FWPM_LAYER_INBOUND_TRANSPORT_V6_DISCARD, None, true, true),
    layer(FWPS_LAYER_OUTBOUND_TRANSPORT_V4, FWPM_LAYER_OUTBOUND_TRANSPORT_V4, None, false, false),
    layer(FWPS_LAYER_OUTBOUND_TRANSPORT_V4_DISCARD, FWPM_LAYER_OUTBOUND_TRANSPORT_V4_DISCARD, None, false, true),
    layer(FWPS_LAYER_OUTBOUND_TRANSPORT_V6, FWPM_LAYER_OUTBOUND_TRANSPORT_V6, None, true, false),
    layer(FWPS_LAYER_OUTBOUND_TRANSPORT_V6_DISCARD, FWPM_LAYER_OUTBOUND_TRANSPORT_V6_DISCARD, None, true, true),
    layer(FWPS_LAYER_STREAM_V4, FWPM_LAYER_STREAM_V4, None, false, false),
    layer(FWPS_LAYER_STREAM_V4_DISCARD, FWPM_LAYER_STREAM_V4_DISCARD, None, false, true),
    layer(FWPS_LAYER_STREAM_V6, FWPM_LAYER_STREAM_V6, None, true, false),
    layer(FWPS_LAYER_STREAM_V6_DISCARD, FWPM_LAYER_STREAM_V6_DISCARD, None, true, true),
    layer(FWPS_LAYER_DATAGRAM_DATA_V4, FWPM_LAYER_DATAGRAM_DATA_V4, None, false, false),
    layer(FWPS_LAYER_DATAGRAM_DATA_V4_DISCARD, FWPM_LAYER_DATAGRAM_DATA_V4_DISCARD, None, false, true),
    layer(FWPS_LAYER_DATAGRAM_DATA_V6, FWPM_LAYER_DATAGRAM_DATA_V6, None, true, false),
    layer(FWPS_LAYER_DATAGRAM_DATA_V6_DISCARD, FWPM_LAYER_DATAGRAM_DATA_V6_DISCARD, None, true, true),
    layer(FWPS_LAYER_INBOUND_ICMP_ERROR_V4, FWPM_LAYER_INBOUND_ICMP_ERROR_V4, None, false, false),
    layer(FWPS_LAYER_INBOUND_ICMP_ERROR_V4_DISCARD, FWPM_LAYER_INBOUND_ICMP_ERROR_V4_DISCARD, None, false, true),
    layer(FWPS_LAYER_INBOUND_ICMP_ERROR_V6, FWPM_LAYER_INBOUND_ICMP_ERROR_V6, None, true, false),
    layer(FWPS_LAYER_INBOUND_ICMP_ERROR_V6_DISCARD, FWPM_LAYER_INBOUND_ICMP_ERROR_V6_DISCARD, None, true, true),
    layer(FWPS_LAYER_OUTBOUND_ICMP_ERROR_V4, FWPM_LAYER_OUTBOUND_ICMP_ERROR_V4, None, false, false),
    layer(FWPS_LAYER_OUTBOUND_ICMP_ERROR_V4_DISCARD, FWPM_LAYER_OUTBOUND_ICMP_ERROR_V4_DISCARD, None, false, true),
    layer(FWPS_LAYER_OUTBOUND_ICMP_ERROR_V6, FWPM_LAYER_OUTBOUND_ICMP_ERROR_V6, None, true, false),
    layer(FWPS_LAYER_OUTBOUND_ICMP_ERROR_V6_DISCARD, FWPM_LAYER_OUTBOUND_ICMP_ERROR_V6_DISCARD, None, true, true),
    layer(
        FWPS_LAYER_ALE_RESOURCE_ASSIGNMENT_V4,
        FWPM_LAYER_ALE_RESOURCE_ASSIGNMENT_V4,
        Some(ASSIGNMENT_FIELDS),
        false,
        false,
    ),
    layer(
        FWPS_LAYER_ALE_RESOURCE_ASSIGNMENT_V4_DISCARD,
        FWPM_LAYER_ALE_RESOURCE_ASSIGNMENT_V4_DISCARD,
        Some(ASSIGNMENT_FIELDS),
        false,
        true,
    ),
    layer(
        FWPS_LAYER_ALE_RESOURCE_ASSIGNMENT_V6,
        FWPM_LAYER_ALE_RESOURCE_ASSIGNMENT_V6,
        Some(ASSIGNMENT_FIELDS),
        true,
        false,
    ),
    layer(
        FWPS_LAYER_ALE_RESOURCE_ASSIGNMENT_V6_DISCARD,
        FWPM_LAYER_ALE_RESOURCE_ASSIGNMENT_V6_DISCARD,
        Some(ASSIGNMENT_FIELDS),
        true,
        true,
    ),
    layer(FWPS_LAYER_ALE_AUTH_LISTEN_V4, FWPM_LAYER_ALE_AUTH_LISTEN_V4, Some(LISTEN_FIELDS), false, false),
    layer(
        FWPS_LAYER_ALE_AUTH_LISTEN_V4_DISCARD,
        FWPM_LAYER_ALE_AUTH_LISTEN_V4_DISCARD,
        Some(LISTEN_FIELDS),
        false,
        true,
    ),
    layer(FWPS_LAYER_ALE_AUTH_LISTEN_V6, FWPM_LAYER_ALE_AUTH_LISTEN_V6, Some(LISTEN_FIELDS), true, false),
    layer(
        FWPS_LAYER_ALE_AUTH_LISTEN_V6_DISCARD,
        FWPM_LAYER_ALE_AUTH_LISTEN_V6_DISCARD,
        Some(LISTEN_FIELDS),
        true,
        true,
    ),
    layer(FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V4, FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V4, Some(ACCEPT_FIELDS), false, false),
    layer(
        FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V4_DISCARD,
        FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V4_DISCARD,
        Some(ACCEPT_FIELDS),
        false,
        true,
    ),
    layer(FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V6, FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V6, Some(ACCEPT_FIELDS), true, false),
    layer(
        FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V6_DISCARD,
        FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V6_DISCARD,
        Some(ACCEPT_FIELDS),
        true,
        true,
    ),
    layer(FWPS_LAYER_ALE_AUTH_CONNECT_V4, FWPM_LAYER_ALE_AUTH_CONNECT_V4, Some(CONNECT_FIELDS), false, false),
    layer(
        FWPS_LAYER_ALE_AUTH_CONNECT_V4_DISCARD,
        FWPM_LAYER_ALE_AUTH_CONNECT_V4_DISCARD,
        Some(CONNECT_FIELDS),
        false,
        true,
    ),
    layer(FWPS_LAYER_ALE_AUTH_CONNECT_V6, FWPM_LAYER_ALE_AUTH_CONNECT_V6, Some(CONNECT_FIELDS), true, false),
    layer(
        FWPS_LAYER_ALE_AUTH_CONNECT_V6_DISCARD,
        FWPM_LAYER_ALE_AUTH_CONNECT_V6_DISCARD,
        Some(CONNECT_FIELDS),
        true,
        true,
    ),
    layer(
        FWPS_LAYER_ALE_FLOW_ESTABLISHED_V4,
        FWPM_LAYER_ALE_FLOW_ESTABLISHED_V4,
        Some(ESTABLISHED_FIELDS),
        false,
        false,
    ),
    layer(
        FWPS_LAYER_ALE_FLOW_ESTABLISHED_V4_DISCARD,
        FWPM_LAYER_ALE_FLOW_ESTABLISHED_V4_DISCARD,
        Some(ESTABLISHED_FIELDS),
        false,
        true,
    ),
    layer(
        FWPS_LAYER_ALE_FLOW_ESTABLISHED_V6,
        FWPM_LAYER_ALE_FLOW_ESTABLISHED_V6,
        Some(ESTABLISHED_FIELDS),
        true,
        false,
    ),
    layer(
        FWPS_LAYER_ALE_FLOW_ESTABLISHED_V6_DISCARD,
        FWPM_LAYER_ALE_FLOW_ESTABLISHED_V6_DISCARD,
        Some(ESTABLISHED_FIELDS),
        true,
        true,
    ),
    layer(FWPS_LAYER_INBOUND_MAC_FRAME_ETHERNET, FWPM_LAYER_INBOUND_MAC_FRAME_ETHERNET, None, false, false),
    layer(FWPS_LAYER_OUTBOUND_MAC_FRAME_ETHERNET, FWPM_LAYER_OUTBOUND_MAC_FRAME_ETHERNET, None, false, false),
    layer(FWPS_LAYER_INBOUND_MAC_FRAME_NATIVE, FWPM_LAYER_INBOUND_MAC_FRAME_NATIVE, None, false, false),
    layer(FWPS_LAYER_OUTBOUND_MAC_FRAME_NATIVE, FWPM_LAYER_OUTBOUND_MAC_FRAME_NATIVE, None, false, false),
    layer(FWPS_LAYER_NAME_RESOLUTION_CACHE_V4, FWPM_LAYER_NAME_RESOLUTION_CACHE_V4, None, false, false),
    layer(FWPS_LAYER_NAME_RESOLUTION_CACHE_V6, FWPM_LAYER_NAME_RESOLUTION_CACHE_V6, None, true, false),
    layer(FWPS_LAYER_ALE_RESOURCE_RELEASE_V4, FWPM_LAYER_ALE_RESOURCE_RELEASE_V4, Some(RELEASE_FIELDS), false, false),
    layer(FWPS_LAYER_ALE_RESOURCE_RELEASE_V6, FWPM_LAYER_ALE_RESOURCE_RELEASE_V6, Some(RELEASE_FIELDS), true, false),
    layer(FWPS_LAYER_ALE_ENDPOINT_CLOSURE_V4, FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V4, Some(CLOSURE_FIELDS), false, false),
    layer(FWPS_LAYER_ALE_ENDPOINT_CLOSURE_V6, FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V6, Some(CLOSURE_FIELDS), true, false),
    layer(
        FWPS_LAYER_ALE_CONNECT_REDIRECT_V4,
        FWPM_LAYER_ALE_CONNECT_REDIRECT_V4,
        Some(CONNECT_REDIRECT_FIELDS),
        false,
        false,
    ),
    layer(
        FWPS_LAYER_ALE_CONNECT_REDIRECT_V6,
        FWPM_LAYER_ALE_CONNECT_REDIRECT_V6,
        Some(CONNECT_REDIRECT_FIELDS),
        true,
        false,
    ),
    layer(FWPS_LAYER_ALE_BIND_REDIRECT_V4, FWPM_LAYER_ALE_BIND_REDIRECT_V4, Some(BIND_REDIRECT_FIELDS), false, false),
    layer(FWPS_LAYER_ALE_BIND_REDIRECT_V6, FWPM_LAYER_ALE_BIND_REDIRECT_V6, Some(BIND_REDIRECT_FIELDS), true, false),
    layer(FWPS_LAYER_STREAM_PACKET_V4, FWPM_LAYER_STREAM_PACKET_V4, None, false, false),
    layer(FWPS_LAYER_STREAM_PACKET_V6, FWPM_LAYER_STREAM_PACKET_V6, None, true, false),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_sits_at_its_id() {
        for (index, layer) in LAYERS.iter().enumerate() {
            assert_eq!(usize::from(layer.id), index);
        }
    }

    #[test]
    fn field_lists_end_where_the_headers_do() {
        let ends = [
            (ASSIGNMENT_FIELDS, FWPS_FIELD_ALE_RESOURCE_ASSIGNMENT_MAX),
            (LISTEN_FIELDS, FWPS_FIELD_ALE_AUTH_LISTEN_MAX),
            (ACCEPT_FIELDS, FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_MAX),
            (CONNECT_FIELDS, FWPS_FIELD_ALE_AUTH_CONNECT_MAX),
            (ESTABLISHED_FIELDS, FWPS_FIELD_ALE_FLOW_ESTABLISHED_MAX),
            (RELEASE_FIELDS, FWPS_FIELD_ALE_RESOURCE_RELEASE_MAX),
            (CLOSURE_FIELDS, FWPS_FIELD_ALE_ENDPOINT_CLOSURE_MAX),
            (CONNECT_REDIRECT_FIELDS, FWPS_FIELD_ALE_CONNECT_REDIRECT_MAX),
            (BIND_REDIRECT_FIELDS, FWPS_FIELD_ALE_BIND_REDIRECT_MAX),
        ];
        for (fields, end) in ends {
            assert_eq!(fields.len(), end);
        }
    }

    #[test]
    fn only_layers_with_a_twin_have_a_discard_layer() {
        assert_eq!(AUTH_CONNECT.layer(true).discard().map(|layer| layer.id), Some(51));
        assert!(ENDPOINT_CLOSURE.layer(false).discard().is_none());
        assert!(Layer::by_id(51).discard().is_none());
    }
}
