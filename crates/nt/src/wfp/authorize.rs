//! What a classify at ALE_AUTH_CONNECT or ALE_AUTH_RECV_ACCEPT says, V4 and V6 alike.
//!
//! The layers have the same values, some of them at other places; a table has the places.

use super::Guid;
use super::classify::{Classify, Direction};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use nt_sys::fwpm::{
    FWPM_LAYER_ALE_AUTH_CONNECT_V4, FWPM_LAYER_ALE_AUTH_CONNECT_V6, FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V4,
    FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V6,
};
use nt_sys::fwps::*;

/// The management key of ALE_AUTH_CONNECT for IPv4.
pub const CONNECT_V4: Guid = FWPM_LAYER_ALE_AUTH_CONNECT_V4;
/// The management key of ALE_AUTH_CONNECT for IPv6.
pub const CONNECT_V6: Guid = FWPM_LAYER_ALE_AUTH_CONNECT_V6;
/// The management key of ALE_AUTH_RECV_ACCEPT for IPv4.
pub const ACCEPT_V4: Guid = FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V4;
/// The management key of ALE_AUTH_RECV_ACCEPT for IPv6.
pub const ACCEPT_V6: Guid = FWPM_LAYER_ALE_AUTH_RECV_ACCEPT_V6;

/// IP protocol number of ICMP.
pub const ICMP: u8 = 1;
/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;
/// IP protocol number of ICMP for IPv6.
pub const ICMPV6: u8 = 58;

/// Where a layer has its values.
struct Places {
    app_id: usize,
    user: usize,
    local: usize,
    local_port: usize,
    protocol: usize,
    remote: usize,
    remote_port: usize,
    interface_luid: usize,
    interface_index: usize,
    sub_interface_index: usize,
    flags: usize,
    reason: usize,
}

const CONNECT: Places = Places {
    app_id: FWPS_FIELD_ALE_AUTH_CONNECT_ALE_APP_ID,
    user: FWPS_FIELD_ALE_AUTH_CONNECT_ALE_USER_ID,
    local: FWPS_FIELD_ALE_AUTH_CONNECT_IP_LOCAL_ADDRESS,
    local_port: FWPS_FIELD_ALE_AUTH_CONNECT_IP_LOCAL_PORT,
    protocol: FWPS_FIELD_ALE_AUTH_CONNECT_IP_PROTOCOL,
    remote: FWPS_FIELD_ALE_AUTH_CONNECT_IP_REMOTE_ADDRESS,
    remote_port: FWPS_FIELD_ALE_AUTH_CONNECT_IP_REMOTE_PORT,
    interface_luid: FWPS_FIELD_ALE_AUTH_CONNECT_IP_LOCAL_INTERFACE,
    interface_index: FWPS_FIELD_ALE_AUTH_CONNECT_INTERFACE_INDEX,
    sub_interface_index: FWPS_FIELD_ALE_AUTH_CONNECT_SUB_INTERFACE_INDEX,
    flags: FWPS_FIELD_ALE_AUTH_CONNECT_FLAGS,
    reason: FWPS_FIELD_ALE_AUTH_CONNECT_REAUTHORIZE_REASON,
};

const ACCEPT: Places = Places {
    app_id: FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_ALE_APP_ID,
    user: FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_ALE_USER_ID,
    local: FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_IP_LOCAL_ADDRESS,
    local_port: FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_IP_LOCAL_PORT,
    protocol: FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_IP_PROTOCOL,
    remote: FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_IP_REMOTE_ADDRESS,
    remote_port: FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_IP_REMOTE_PORT,
    interface_luid: FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_IP_LOCAL_INTERFACE,
    interface_index: FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_INTERFACE_INDEX,
    sub_interface_index: FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_SUB_INTERFACE_INDEX,
    flags: FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_FLAGS,
    reason: FWPS_FIELD_ALE_AUTH_RECV_ACCEPT_REAUTHORIZE_REASON,
};

/// The values of one classify at an authorize layer. Any may be missing (R14).
#[derive(Clone, Copy)]
pub struct Authorization<'a> {
    /// Whether this is an IPv6 layer.
    pub is_v6: bool,
    /// What the layer authorizes: a connect, or an accept. The packet of a reauthorization may go the other way (R13).
    pub direction: Direction,
    /// The program: its NT device path, UTF-16LE, lower case, without terminator.
    pub app_id: &'a [u8],
    /// The user's SID; empty when missing.
    pub user: &'a [u8],
    /// The local address.
    pub local: Option<IpAddr>,
    /// The local port, or ICMP type.
    pub local_port: Option<u16>,
    /// The IP protocol.
    pub protocol: Option<u8>,
    /// The remote address.
    pub remote: Option<IpAddr>,
    /// The remote port, or ICMP code.
    pub remote_port: Option<u16>,
    /// The local interface's LUID.
    pub interface_luid: Option<u64>,
    /// The local interface's index.
    pub interface_index: Option<u32>,
    /// The index of the part of the interface that the packet came through.
    pub sub_interface_index: Option<u32>,
    flags: Option<u32>,
    reason: Option<u32>,
}

impl<'a> Authorization<'a> {
    /// Reads the values. At a layer that is none of the four they are those of a connect, as far as they have the types.
    pub fn read(classify: &Classify<'a>) -> Self {
        let values = classify.values();
        let (is_v6, direction) = (is_v6(values.layer()), direction(values.layer()));
        let at = match direction {
            Direction::Outbound => &CONNECT,
            Direction::Inbound => &ACCEPT,
        };
        let address = |field| match is_v6 {
            true => values.bytes16(field).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes))),
            false => values.uint32(field).map(|host_order| IpAddr::V4(Ipv4Addr::from(host_order))),
        };
        Self {
            is_v6,
            direction,
            app_id: without_terminator(values.blob(at.app_id).unwrap_or_default()),
            user: values.user_sid(at.user).unwrap_or_default(),
            local: address(at.local),
            local_port: values.uint16(at.local_port),
            protocol: values.uint8(at.protocol),
            remote: address(at.remote),
            remote_port: values.uint16(at.remote_port),
            interface_luid: values.uint64(at.interface_luid),
            interface_index: values.uint32(at.interface_index),
            sub_interface_index: values.uint32(at.sub_interface_index),
            flags: values.uint32(at.flags),
            reason: values.uint32(at.reason),
        }
    }

    /// Whether this is a reauthorization, which cannot be pended.
    pub fn is_reauthorize(&self) -> bool {
        self.has_flag(FWP_CONDITION_FLAG_IS_REAUTHORIZE)
    }

    /// Whether this is known to be a first authorization. When the flags are missing (R14) nothing is known.
    pub fn is_first(&self) -> bool {
        self.flags.is_some() && !self.is_reauthorize()
    }

    /// Whether it is the reauthorization that follows a completion, ours or another product's. When the reason is missing
    /// (R14) this says no: to take a live flow for a new connection would be worse than the other way round.
    pub fn is_completion(&self) -> bool {
        self.reason.is_some_and(|reason| reason & FWP_CONDITION_REAUTHORIZE_REASON_CLASSIFY_COMPLETION != 0)
    }

    /// Whether both ends are on this machine.
    pub fn is_loopback(&self) -> bool {
        self.has_flag(FWP_CONDITION_FLAG_IS_LOOPBACK)
    }

    /// Whether the engine asks only about the original destination of a redirected connection; the redirected one is
    /// asked about separately. Such a classify is to be permitted (learn.microsoft.com "Filtering Condition Flags").
    pub fn honors_redirect_policy(&self) -> bool {
        self.has_flag(FWP_CONDITION_FLAG_IS_HONORING_POLICY_AUTHORIZE)
    }

    fn has_flag(&self, flag: u32) -> bool {
        self.flags.is_some_and(|flags| flags & flag != 0)
    }
}

/// Whether a run-time layer is one for IPv6.
pub(super) fn is_v6(layer: u16) -> bool {
    matches!(layer, FWPS_LAYER_ALE_AUTH_CONNECT_V6 | FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V6)
}

/// What a run-time layer authorizes.
pub(super) fn direction(layer: u16) -> Direction {
    match layer {
        FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V4 | FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V6 => Direction::Inbound,
        _ => Direction::Outbound,
    }
}

/// The engine's paths end with a zero unit, which is not promised.
fn without_terminator(path: &[u8]) -> &[u8] {
    let even = path.get(..path.len() & !1).unwrap_or_default();
    even.strip_suffix(&[0, 0]).unwrap_or(even)
}
