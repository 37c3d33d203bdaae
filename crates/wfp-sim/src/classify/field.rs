//! The fields of the ALE layers: what each is called as a condition and which type it has.
//!
//! Invariant: a field has one meaning wherever it occurs; the layers differ only in which fields they list and in what order
//! ([`super::layer`]).

use super::value::Kind;
use nt_sys::fwpm::*;
use nt_sys::types::GUID;

/// A field of an indication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
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
    LocalInterfaceProfile,
    ReauthorizeReason,
    PeerName,
    OriginalIcmpType,
    QuarantineEpoch,
    OriginalAppId,
    PackageId,
    Fqbn,
    EffectiveName,
    CompartmentId,
    PromiscuousMode,
    Direction,
    SioFirewall,
    NapContext,
    Reserved,
}

/// Name and type of every field that a condition can name.
const CONDITIONS: &[(Field, GUID, Kind)] = &[
    (Field::AppId, FWPM_CONDITION_ALE_APP_ID, Kind::Blob),
    (Field::UserId, FWPM_CONDITION_ALE_USER_ID, Kind::Token),
    (Field::LocalAddress, FWPM_CONDITION_IP_LOCAL_ADDRESS, Kind::Address),
    (Field::LocalAddressType, FWPM_CONDITION_IP_LOCAL_ADDRESS_TYPE, Kind::U8),
    (Field::LocalPort, FWPM_CONDITION_IP_LOCAL_PORT, Kind::U16),
    (Field::Protocol, FWPM_CONDITION_IP_PROTOCOL, Kind::U8),
    (Field::RemoteAddress, FWPM_CONDITION_IP_REMOTE_ADDRESS, Kind::Address),
    (Field::RemotePort, FWPM_CONDITION_IP_REMOTE_PORT, Kind::U16),
    (Field::RemoteUserId, FWPM_CONDITION_ALE_REMOTE_USER_ID, Kind::Token),
    (Field::RemoteMachineId, FWPM_CONDITION_ALE_REMOTE_MACHINE_ID, Kind::Token),
    (Field::DestinationAddressType, FWPM_CONDITION_IP_DESTINATION_ADDRESS_TYPE, Kind::U8),
    (Field::LocalInterface, FWPM_CONDITION_IP_LOCAL_INTERFACE, Kind::U64),
    (Field::Flags, FWPM_CONDITION_FLAGS, Kind::U32),
    (Field::InterfaceType, FWPM_CONDITION_INTERFACE_TYPE, Kind::U32),
    (Field::TunnelType, FWPM_CONDITION_TUNNEL_TYPE, Kind::U32),
    (Field::InterfaceIndex, FWPM_CONDITION_INTERFACE_INDEX, Kind::U32),
    (Field::SubInterfaceIndex, FWPM_CONDITION_SUB_INTERFACE_INDEX, Kind::U32),
    (Field::ArrivalInterface, FWPM_CONDITION_IP_ARRIVAL_INTERFACE, Kind::U64),
    (Field::ArrivalInterfaceType, FWPM_CONDITION_ARRIVAL_INTERFACE_TYPE, Kind::U32),
    (Field::ArrivalTunnelType, FWPM_CONDITION_ARRIVAL_TUNNEL_TYPE, Kind::U32),
    (Field::ArrivalInterfaceIndex, FWPM_CONDITION_ARRIVAL_INTERFACE_INDEX, Kind::U32),
    (Field::NexthopSubInterfaceIndex, FWPM_CONDITION_NEXTHOP_SUB_INTERFACE_INDEX, Kind::U32),
    (Field::NexthopInterface, FWPM_CONDITION_IP_NEXTHOP_INTERFACE, Kind::U64),
    (Field::NexthopInterfaceType, FWPM_CONDITION_NEXTHOP_INTERFACE_TYPE, Kind::U32),
    (Field::NexthopTunnelType, FWPM_CONDITION_NEXTHOP_TUNNEL_TYPE, Kind::U32),
    (Field::NexthopInterfaceIndex, FWPM_CONDITION_NEXTHOP_INTERFACE_INDEX, Kind::U32),
    (Field::OriginalProfile, FWPM_CONDITION_ORIGINAL_PROFILE_ID, Kind::U32),
    (Field::CurrentProfile, FWPM_CONDITION_CURRENT_PROFILE_ID, Kind::U32),
    (Field::LocalInterfaceProfile, FWPM_CONDITION_LOCAL_INTERFACE_PROFILE_ID, Kind::U32),
    (Field::ReauthorizeReason, FWPM_CONDITION_REAUTHORIZE_REASON, Kind::U32),
    (Field::PeerName, FWPM_CONDITION_PEER_NAME, Kind::Text),
    (Field::OriginalIcmpType, FWPM_CONDITION_ORIGINAL_ICMP_TYPE, Kind::U16),
    (Field::QuarantineEpoch, FWPM_CONDITION_INTERFACE_QUARANTINE_EPOCH, Kind::U64),
    (Field::OriginalAppId, FWPM_CONDITION_ALE_ORIGINAL_APP_ID, Kind::Blob),
    (Field::PackageId, FWPM_CONDITION_ALE_PACKAGE_ID, Kind::Sid),
    (Field::Fqbn, FWPM_CONDITION_ALE_SECURITY_ATTRIBUTE_FQBN_VALUE, Kind::Blob),
    (Field::EffectiveName, FWPM_CONDITION_ALE_EFFECTIVE_NAME, Kind::Text),
    (Field::CompartmentId, FWPM_CONDITION_COMPARTMENT_ID, Kind::U32),
    (Field::PromiscuousMode, FWPM_CONDITION_ALE_PROMISCUOUS_MODE, Kind::U32),
    (Field::Direction, FWPM_CONDITION_DIRECTION, Kind::U32),
];

impl Field {
    /// The field that a condition names.
    pub fn named(key: &GUID) -> Option<(Self, Kind)> {
        CONDITIONS.iter().find(|(_, name, _)| name == key).map(|&(field, _, kind)| (field, kind))
    }
}
