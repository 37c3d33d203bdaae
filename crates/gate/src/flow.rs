//! What one classify says about a connection.
//!
//! The caller has checked and bounded every value. Absent values are zero or empty.
//!
//! Neighbours: `facts` keeps a flow beyond its classify; `pending`, `cache` and `live` find things by it.

use crate::policy::TCP;
use crate::siphash::SipKey;
use wire::request::{Address, Direction};

/// Names a flow while its socket lives: the endpoint and the remote end.
///
/// The local end is not part of it: a reauthorize may leave it out (learn.microsoft.com "ALE Reauthorization").
///
/// A socket can be gone and its endpoint handle and ports be used again, so a key alone never identifies a held
/// operation to the service: its [`wire::verdict::RequestId`] does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlowKey {
    /// [`wire::request::FAMILY_V4`] or [`wire::request::FAMILY_V6`].
    pub family: u8,
    /// Who began it.
    pub direction: Direction,
    /// The IP protocol number.
    pub protocol: u8,
    /// The transport endpoint handle, or that of its parent, the listening socket, if it has one; `0` unknown. Held
    /// operations are found by it, so flows without should not be held.
    pub endpoint: u64,
    /// The remote address.
    pub remote: Address,
    /// The remote port; the ICMP code.
    pub remote_port: u16,
}

/// What one classify says.
#[derive(Clone, Copy, Debug)]
pub struct Flow<'a> {
    /// The flow.
    pub key: FlowKey,
    /// The transport endpoint handle itself; that in the key may be its parent's.
    pub own_endpoint: u64,
    /// The network compartment.
    pub compartment: u32,
    /// The local address.
    pub local: Address,
    /// The local port; the ICMP type.
    pub local_port: u16,
    /// The process that connects.
    pub process_id: u64,
    /// The program's path, UTF-16LE without terminator, of any length.
    pub program: &'a [u8],
    /// The user's SID; one longer than [`wire::request::MAX_SID_BYTES`] counts as unknown.
    pub user: &'a [u8],
    /// The local interface's LUID.
    pub interface_luid: u64,
    /// The local interface's index.
    pub interface_index: u32,
    /// The scope of a link-local remote address.
    pub remote_scope: u32,
    /// Both ends are on this machine.
    pub loopback: bool,
}

impl Flow<'_> {
    /// Whether it is an outbound TCP connect: it has no packet, so two of one key are two connections.
    pub(crate) fn is_tcp_connect(&self) -> bool {
        self.key.protocol == TCP && self.key.direction == Direction::OUTBOUND
    }
}

/// Whether the operation behind a classify can be held at all. The caller knows: rights, handles, protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ability {
    /// It can be pended. Copies of its packet cost at least `packet_bytes`; `0` when it has none, as a TCP connect.
    Hold {
        /// Bytes, all that is needed to keep it included.
        packet_bytes: u32,
    },
    /// It must be answered at once; the service gets a report.
    ReportOnly,
}

/// A flow as the tables look it up, with its remote hashed once.
#[derive(Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) key: FlowKey,
    /// The program id; `0` unknown.
    pub(crate) program: u64,
    /// What verdicts for a remote are found by, together with the program id.
    pub(crate) remote_hash: u64,
    /// What live flows are found by.
    pub(crate) flow_hash: u64,
}

impl Subject {
    #[inline]
    pub(crate) fn new(sip: SipKey, key: &FlowKey, program: u64) -> Self {
        let address = u128::from_ne_bytes(key.remote.0);
        let kind = u32::from_le_bytes([key.direction.0, key.family, key.protocol, 0]);
        let numbers = u64::from(kind) << 16 | u64::from(key.remote_port);
        let remote_hash = sip.words([address as u64, (address >> 64) as u64, numbers]);
        Self { key: *key, program, remote_hash, flow_hash: sip.scatter(remote_hash ^ key.endpoint) }
    }
}
