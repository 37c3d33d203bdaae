//! What a classify at ALE_AUTH_CONNECT says, V4 and V6 alike.

use super::Guid;
use super::classify::Classify;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use nt_sys::fwpm::{FWPM_LAYER_ALE_AUTH_CONNECT_V4, FWPM_LAYER_ALE_AUTH_CONNECT_V6};
use nt_sys::fwps::*;

/// The management key of the layer for IPv4.
pub const LAYER_V4: Guid = FWPM_LAYER_ALE_AUTH_CONNECT_V4;
/// The management key of the layer for IPv6.
pub const LAYER_V6: Guid = FWPM_LAYER_ALE_AUTH_CONNECT_V6;

/// IP protocol number of TCP.
pub const TCP: u8 = 6;

/// The values of one classify at ALE_AUTH_CONNECT. Any may be missing (R14).
#[derive(Clone, Copy)]
pub struct AuthConnect<'a> {
    /// Whether this is the IPv6 layer.
    pub is_v6: bool,
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
    flags: Option<u32>,
    reason: Option<u32>,
}

impl<'a> AuthConnect<'a> {
    /// Reads the values.
    pub fn read(classify: &Classify<'a>) -> Self {
        let values = classify.values();
        let is_v6 = values.layer() == FWPS_LAYER_ALE_AUTH_CONNECT_V6;
        let address = |field| match is_v6 {
            true => values.bytes16(field).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes))),
            false => values.uint32(field).map(|host_order| IpAddr::V4(Ipv4Addr::from(host_order))),
        };
        Self {
            is_v6,
            app_id: without_terminator(values.blob(FWPS_FIELD_ALE_AUTH_CONNECT_ALE_APP_ID).unwrap_or_default()),
            user: values.user_sid(FWPS_FIELD_ALE_AUTH_CONNECT_ALE_USER_ID).unwrap_or_default(),
            local: address(FWPS_FIELD_ALE_AUTH_CONNECT_IP_LOCAL_ADDRESS),
            local_port: values.uint16(FWPS_FIELD_ALE_AUTH_CONNECT_IP_LOCAL_PORT),
            protocol: values.uint8(FWPS_FIELD_ALE_AUTH_CONNECT_IP_PROTOCOL),
            remote: address(FWPS_FIELD_ALE_AUTH_CONNECT_IP_REMOTE_ADDRESS),
            remote_port: values.uint16(FWPS_FIELD_ALE_AUTH_CONNECT_IP_REMOTE_PORT),
            interface_luid: values.uint64(FWPS_FIELD_ALE_AUTH_CONNECT_IP_LOCAL_INTERFACE),
            interface_index: values.uint32(FWPS_FIELD_ALE_AUTH_CONNECT_INTERFACE_INDEX),
            flags: values.uint32(FWPS_FIELD_ALE_AUTH_CONNECT_FLAGS),
            reason: values.uint32(FWPS_FIELD_ALE_AUTH_CONNECT_REAUTHORIZE_REASON),
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

/// The engine's paths end with a zero unit, which is not promised.
fn without_terminator(path: &[u8]) -> &[u8] {
    let even = path.get(..path.len() & !1).unwrap_or_default();
    even.strip_suffix(&[0, 0]).unwrap_or(even)
}
