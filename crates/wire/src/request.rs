//! What the driver tells the service about one connection.

use crate::open_enum::open_enum;
use crate::verdict::{RequestId, Verdict};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

open_enum! {
    /// Who began the flow.
    pub enum Direction: u8 {
        /// This machine did.
        OUTBOUND = 1,
        /// The remote did.
        INBOUND = 2,
    }
}

open_enum! {
    /// Why the driver answered a connection itself.
    pub enum Because: u8 {
        /// It did not: the request is held.
        HELD = 0,
        /// A cached verdict.
        CACHED = 1,
        /// The fallback: the kind of operation cannot be held, or nothing else applied.
        FALLBACK = 2,
        /// The fallback, because a limit was reached.
        LIMIT = 3,
        /// It is the inbound half of loopback, which is not held ([`crate::settings::Holds::ACCEPT_LOOPBACK`]).
        LOOPBACK = 4,
    }
}

bitflags::bitflags! {
    /// Facts about a request.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RequestFlags: u32 {
        /// The connection waits for an answer. Clear: a report of what was decided at once, or a question (`LIVE`).
        const HELD = 1;
        /// Both ends are on this machine.
        const LOOPBACK = 2;
        /// The program path was longer than [`MAX_PATH_BYTES`] and is cut.
        const PATH_TRUNCATED = 4;
        /// No process had this id any more when the request was delivered.
        const PROCESS_GONE = 8;
        /// A question about a flow that lives already, because nothing that is known about it is valid any more. Its
        /// packets pass until the answer; a block ends it with its next packet. Answering is optional.
        const LIVE = 16;
    }
}

/// An IPv4 or IPv6 address: 4 or 16 bytes in network order, the rest zero. The family says which.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Address(pub [u8; 16]);

impl Address {
    /// An IPv4 address.
    pub fn v4(octets: [u8; 4]) -> Self {
        let mut bytes = [0; 16];
        if let Some(head) = bytes.first_chunk_mut::<4>() {
            *head = octets;
        }
        Self(bytes)
    }

    /// An IPv6 address.
    pub const fn v6(octets: [u8; 16]) -> Self {
        Self(octets)
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::v4(v4.octets()),
            IpAddr::V6(v6) => Self::v6(v6.octets()),
        }
    }
}

/// `family` of an IPv4 connection.
pub const FAMILY_V4: u8 = 4;
/// `family` of an IPv6 connection.
pub const FAMILY_V6: u8 = 6;

/// The longest program path a request carries, in bytes of UTF-16.
pub const MAX_PATH_BYTES: usize = 1024;
/// The longest user SID: revision, count, authority and 15 sub-authorities.
pub const MAX_SID_BYTES: usize = 68;

/// The fixed part of a request. `path_bytes` of UTF-16LE program path and `sid_bytes` of user SID follow, then zeroes up
/// to `size`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Request {
    /// The whole request in bytes, tail included; a multiple of 8.
    pub size: u32,
    /// [`RequestFlags`], as bits.
    pub flags: u32,
    /// The name to answer with; `0` in a report.
    pub id: RequestId,
    /// The process that connects.
    pub process_id: u64,
    /// Names, among all processes of this boot, the one that had this id when the request was delivered; `0` unknown.
    pub process_start_key: u64,
    /// The program: equal for equal paths while the driver is loaded; `0` unknown.
    pub program: u64,
    /// The local interface's LUID; `0` unknown.
    pub interface_luid: u64,
    /// The local interface's index; `0` unknown.
    pub interface_index: u32,
    /// The network compartment; `0` unknown.
    pub compartment: u32,
    /// The scope of a link-local remote address; else `0`.
    pub remote_scope: u32,
    /// How long the connection has waited, in milliseconds.
    pub waited_ms: u32,
    /// How long it will wait from now before the fallback answers, in milliseconds; `0` in a report.
    pub deadline_ms: u32,
    /// The local port; the ICMP type for ICMP.
    pub local_port: u16,
    /// The remote port; the ICMP code for ICMP.
    pub remote_port: u16,
    /// The local address; all zero when it is not chosen yet.
    pub local: Address,
    /// The remote address.
    pub remote: Address,
    /// [`FAMILY_V4`] or [`FAMILY_V6`].
    pub family: u8,
    /// Who began it.
    pub direction: Direction,
    /// The IP protocol number.
    pub protocol: u8,
    /// In a report: what was answered. Zero in a held request.
    pub verdict: Verdict,
    /// In a report: why.
    pub because: Because,
    /// Zero.
    pub reserved: [u8; 3],
    /// Length of the program path in bytes.
    pub path_bytes: u32,
    /// Length of the user SID in bytes.
    pub sid_bytes: u32,
}

const _: () = assert!(size_of::<Request>() == 120);

/// The largest request, tail included.
pub const MAX_REQUEST_BYTES: usize = (size_of::<Request>() + MAX_PATH_BYTES + MAX_SID_BYTES).next_multiple_of(8);

impl Request {
    /// The flags, without those this version does not know.
    pub fn flags(&self) -> RequestFlags {
        RequestFlags::from_bits_truncate(self.flags)
    }

    /// The local address as an `IpAddr`.
    pub fn local_ip(&self) -> IpAddr {
        ip(self.family, self.local)
    }

    /// The remote address as an `IpAddr`.
    pub fn remote_ip(&self) -> IpAddr {
        ip(self.family, self.remote)
    }
}

fn ip(family: u8, address: Address) -> IpAddr {
    if family == FAMILY_V6 {
        return IpAddr::V6(Ipv6Addr::from(address.0));
    }
    let [a, b, c, d, ..] = address.0;
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}
