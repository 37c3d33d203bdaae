//! What one classify says about a connection.
//!
//! The caller has checked and bounded every value. Absent values are zero or empty.
//!
//! Neighbours: `facts` keeps a flow beyond its classify; `pending` and `live` find flows by their key.

use crate::siphash::SipKey;
use wire::request::{Address, Direction};

/// Names a flow while its socket lives: the endpoint and both addresses.
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
    /// The network compartment.
    pub compartment: u32,
    /// The transport endpoint handle; `0` unknown. Held operations are found by it, so flows without should not be held.
    pub endpoint: u64,
    /// The local address.
    pub local: Address,
    /// The local port; the ICMP type.
    pub local_port: u16,
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

/// Whether the operation behind a classify can be held at all. The caller knows: rights, handles, protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ability {
    /// It can be pended.
    Hold,
    /// It must be answered at once; the service gets a report.
    ReportOnly,
}

impl FlowKey {
    pub(crate) fn hash(&self, key: SipKey) -> u64 {
        let [local_high, local_low] = self.local.words();
        let [remote_high, remote_low] = self.remote.words();
        let [numbers, ports] = [
            u64::from(self.compartment) << 32
                | u64::from(self.family) << 16
                | u64::from(self.direction.0) << 8
                | u64::from(self.protocol),
            u64::from(self.local_port) << 16 | u64::from(self.remote_port),
        ];
        key.words([self.endpoint, remote_high, remote_low, local_high, local_low, ports, numbers])
    }
}

/// An address as two words.
pub(crate) trait Words {
    fn words(&self) -> [u64; 2];
}

impl Words for Address {
    fn words(&self) -> [u64; 2] {
        let all = u128::from_ne_bytes(self.0);
        [(all >> 64) as u64, all as u64]
    }
}
