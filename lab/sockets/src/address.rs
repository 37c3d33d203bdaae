//! Socket addresses as Windows programs pass them.
//!
//! Invariant: an [`Address`] is IPv4 or IPv6, never anything else, so no later code asks again.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `AF_INET` on Windows.
pub const AF_INET: u16 = 2;
/// `AF_INET6` on Windows.
pub const AF_INET6: u16 = 23;

/// An IP endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// The port, in host order.
    pub port: u16,
    /// The IPv6 scope, 0 for IPv4.
    pub scope: u32,
}

impl Address {
    /// Bytes of [`Self::to_bytes`].
    pub const LEN: usize = 24;

    /// Reads a `SOCKADDR_IN` or `SOCKADDR_IN6`; another family or a short buffer is `None`.
    #[must_use]
    pub fn from_sockaddr(bytes: &[u8]) -> Option<Self> {
        let port = u16::from_be_bytes(array(bytes, 2)?);
        match u16::from_le_bytes(array(bytes, 0)?) {
            AF_INET => Some(Self { ip: Ipv4Addr::from(array::<4>(bytes, 4)?).into(), port, scope: 0 }),
            AF_INET6 => Some(Self {
                ip: Ipv6Addr::from(array::<16>(bytes, 8)?).into(),
                port,
                scope: u32::from_le_bytes(array(bytes, 24)?),
            }),
            _ => None,
        }
    }

    /// The discard port of this machine, in the family of `self`, as a sockaddr of the length the family needs.
    #[must_use]
    pub fn discard_sockaddr(&self) -> ([u8; 28], usize) {
        let mut bytes = [0; 28];
        bytes[3] = 9;
        match self.ip {
            IpAddr::V4(_) => {
                bytes[0..2].copy_from_slice(&AF_INET.to_le_bytes());
                bytes[4..8].copy_from_slice(&Ipv4Addr::LOCALHOST.octets());
                (bytes, 16)
            }
            IpAddr::V6(_) => {
                bytes[0..2].copy_from_slice(&AF_INET6.to_le_bytes());
                bytes[8..24].copy_from_slice(&Ipv6Addr::LOCALHOST.octets());
                (bytes, 28)
            }
        }
    }

    /// The address in the form a [`Question`](crate::Question) carries: family, port, scope, 16 bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let family = match self.ip {
            IpAddr::V4(v4) => {
                bytes[8..12].copy_from_slice(&v4.octets());
                AF_INET
            }
            IpAddr::V6(v6) => {
                bytes[8..24].copy_from_slice(&v6.octets());
                AF_INET6
            }
        };
        bytes[0..2].copy_from_slice(&family.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.port.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.scope.to_le_bytes());
        bytes
    }

    /// The inverse of [`Self::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let ip = match u16::from_le_bytes(array(bytes, 0)?) {
            AF_INET => Ipv4Addr::from(array::<4>(bytes, 8)?).into(),
            AF_INET6 => Ipv6Addr::from(array::<16>(bytes, 8)?).into(),
            _ => return None,
        };
        Some(Self { ip, port: u16::from_le_bytes(array(bytes, 2)?), scope: u32::from_le_bytes(array(bytes, 4)?) })
    }
}

/// The `N` bytes at `offset`, if they are there.
pub(crate) fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCALHOST_80: [u8; 16] = [2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn an_ipv4_sockaddr_is_read_in_network_order() {
        let address = Address::from_sockaddr(&LOCALHOST_80).expect("a valid address");
        assert_eq!(address.ip, IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(address.port, 80);
    }

    #[test]
    fn an_ipv6_sockaddr_keeps_its_scope() {
        let mut bytes = [0; 28];
        bytes[0] = 23;
        bytes[3] = 53;
        bytes[8..24].copy_from_slice(&Ipv6Addr::LOCALHOST.octets());
        bytes[24] = 7;
        let address = Address::from_sockaddr(&bytes).expect("a valid address");
        assert_eq!(address.ip, IpAddr::V6(Ipv6Addr::LOCALHOST));
        assert_eq!((address.port, address.scope), (53, 7));
    }

    #[test]
    fn the_discard_address_keeps_the_family() {
        for ip in ["192.0.2.1", "2001:db8::1"] {
            let address = Address { ip: ip.parse().expect("an address"), port: 53, scope: 0 };
            let (sockaddr, length) = address.discard_sockaddr();
            let discard = Address::from_sockaddr(&sockaddr[..length]).expect("a valid address");
            assert_eq!((discard.port, discard.ip.is_loopback()), (9, true));
            assert_eq!(discard.ip.is_ipv6(), address.ip.is_ipv6());
        }
    }

    #[test]
    fn a_short_or_foreign_sockaddr_is_refused() {
        assert_eq!(Address::from_sockaddr(&LOCALHOST_80[..7]), None);
        let mut unix = LOCALHOST_80;
        unix[0] = 1;
        assert_eq!(Address::from_sockaddr(&unix), None);
        let mut v6 = LOCALHOST_80;
        v6[0] = 23;
        assert_eq!(Address::from_sockaddr(&v6), None);
    }
}
