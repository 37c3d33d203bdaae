//! IP packets as bytes: building the ones that the stack sends and receives, and reading the ones that are injected.
//!
//! Invariant: what is built has right lengths and checksums, and reads back as what it was built from.
//! Neighbours: `ndis` lends packets to callouts as net buffer lists; `ale` says which packet goes where.

use crate::ale::{ICMP, ICMP_V6, Icmp, TCP, UDP};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// Where a packet comes from and goes to. Ports are zero where the protocol has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub protocol: u8,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub icmp: Option<Icmp>,
}

/// One IP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub route: Route,
    /// From the IP header on.
    pub bytes: Vec<u8>,
    pub ip_header: usize,
    pub transport_header: usize,
}

impl Packet {
    /// A packet with `payload`; `options` adds options to an IPv4 header, or an extension header to an IPv6 one.
    pub fn build(route: Route, payload: &[u8], options: bool) -> Self {
        let mut transport = transport_header(&route, payload.len());
        let transport_header = transport.len();
        transport.extend_from_slice(payload);
        let sum = checksum(&route, &transport);
        if let Some(at) = checksum_offset(route.protocol) {
            transport[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        let mut bytes = ip_header(&route, transport.len(), options);
        let ip_header = bytes.len();
        bytes.extend(transport);
        Self { route, bytes, ip_header, transport_header }
    }

    /// Reads a whole packet; nothing when the bytes are not one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (protocol, source, destination, ip_header) = match bytes.first()? >> 4 {
            4 => {
                let ip_header = usize::from(bytes.first()? & 0xF) * 4;
                let length = usize::from(u16_at(bytes, 2)?);
                if ip_header < IPV4_HEADER || length != bytes.len() || ones_sum(bytes.get(..ip_header)?) != 0xFFFF {
                    return None;
                }
                (*bytes.get(9)?, IpAddr::V4(v4_at(bytes, 12)?), IpAddr::V4(v4_at(bytes, 16)?), ip_header)
            }
            6 => {
                let length = IPV6_HEADER + usize::from(u16_at(bytes, 4)?);
                if length != bytes.len() {
                    return None;
                }
                let (mut protocol, mut ip_header) = (*bytes.get(6)?, IPV6_HEADER);
                if protocol == DESTINATION_OPTIONS {
                    protocol = *bytes.get(ip_header)?;
                    ip_header += 8 + usize::from(*bytes.get(ip_header + 1)?) * 8;
                }
                (protocol, IpAddr::V6(v6_at(bytes, 8)?), IpAddr::V6(v6_at(bytes, 24)?), ip_header)
            }
            _ => return None,
        };
        let transport = bytes.get(ip_header..)?;
        let (route, transport_header) = read_transport(transport, protocol, source, destination)?;
        Some(Self { route, bytes: bytes.to_vec(), ip_header, transport_header })
    }

    /// Reads what starts at the transport header, as a send injection has it.
    pub fn read_transport(bytes: &[u8], protocol: u8, source: IpAddr, destination: IpAddr) -> Option<Self> {
        let (route, transport_header) = read_transport(bytes, protocol, source, destination)?;
        let mut whole = ip_header(&route, bytes.len(), false);
        let ip_header = whole.len();
        whole.extend_from_slice(bytes);
        Some(Self { route, bytes: whole, ip_header, transport_header })
    }

    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.ip_header + self.transport_header..]
    }
}

/// The IPv6 extension header that [`Packet::build`] adds.
const DESTINATION_OPTIONS: u8 = 60;

fn ip_header(route: &Route, length: usize, options: bool) -> Vec<u8> {
    match (route.source.ip(), route.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = if options { IPV4_HEADER + 4 } else { IPV4_HEADER };
            let mut bytes = vec![0; header];
            bytes[0] = 0x40 | (header / 4) as u8;
            bytes[2..4].copy_from_slice(&length_field(header + length).to_be_bytes());
            bytes[8] = 128;
            bytes[9] = route.protocol;
            bytes[12..16].copy_from_slice(&source.octets());
            bytes[16..20].copy_from_slice(&destination.octets());
            // Options that say nothing.
            bytes[IPV4_HEADER..].fill(1);
            let sum = !ones_sum(&bytes);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
            bytes
        }
        (source, destination) => {
            let extension = if options { 8 } else { 0 };
            let mut bytes = vec![0; IPV6_HEADER + extension];
            bytes[0] = 0x60;
            bytes[4..6].copy_from_slice(&length_field(extension + length).to_be_bytes());
            bytes[6] = if options { DESTINATION_OPTIONS } else { route.protocol };
            bytes[7] = 128;
            bytes[8..24].copy_from_slice(&v6(source).octets());
            bytes[24..40].copy_from_slice(&v6(destination).octets());
            if options {
                // One padding option that fills the header.
                bytes[IPV6_HEADER..].copy_from_slice(&[route.protocol, 0, 1, 4, 0, 0, 0, 0]);
            }
            bytes
        }
    }
}

fn transport_header(route: &Route, payload: usize) -> Vec<u8> {
    let ports = [route.source.port().to_be_bytes(), route.destination.port().to_be_bytes()].concat();
    match (route.protocol, route.icmp) {
        (UDP, _) => [ports, length_field(8 + payload).to_be_bytes().to_vec(), vec![0, 0]].concat(),
        (TCP, _) => {
            const SYN: u8 = 0x02;
            const PSH_ACK: u8 = 0x18;
            // Data, or a SYN that offers a segment size, as every stack sends one.
            let options = if payload == 0 { vec![2, 4, 0x05, 0xB4] } else { Vec::new() };
            let mut bytes = [ports, vec![0; 16], options].concat();
            bytes[4..8].copy_from_slice(&0x1234_5678_u32.to_be_bytes());
            bytes[12] = ((bytes.len() / 4) << 4) as u8;
            bytes[13] = if payload == 0 { SYN } else { PSH_ACK };
            bytes[14..16].copy_from_slice(&0xFFFF_u16.to_be_bytes());
            bytes
        }
        (_, Some(icmp)) => [vec![icmp.kind, icmp.code, 0, 0], icmp.id.to_be_bytes().to_vec(), vec![0, 1]].concat(),
        _ => Vec::new(),
    }
}

fn read_transport(bytes: &[u8], protocol: u8, source: IpAddr, destination: IpAddr) -> Option<(Route, usize)> {
    let route = |source_port, destination_port, icmp| Route {
        protocol,
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
        icmp,
    };
    Some(match protocol {
        UDP => {
            if usize::from(u16_at(bytes, 4)?) != bytes.len() {
                return None;
            }
            (route(u16_at(bytes, 0)?, u16_at(bytes, 2)?, None), 8)
        }
        TCP => {
            let header = usize::from(bytes.get(12)? >> 4) * 4;
            (header >= 20 && header <= bytes.len())
                .then_some((route(u16_at(bytes, 0)?, u16_at(bytes, 2)?, None), header))?
        }
        ICMP | ICMP_V6 => {
            let icmp = Icmp { kind: *bytes.first()?, code: *bytes.get(1)?, id: u16_at(bytes, 4)? };
            (bytes.len() >= 8).then_some((route(0, 0, Some(icmp)), 8))?
        }
        _ => (route(0, 0, None), 0),
    })
}

fn checksum_offset(protocol: u8) -> Option<usize> {
    match protocol {
        UDP => Some(6),
        TCP => Some(16),
        ICMP | ICMP_V6 => Some(2),
        _ => None,
    }
}

/// The checksum of a transport segment whose checksum field is zero.
fn checksum(route: &Route, transport: &[u8]) -> u16 {
    let mut covered = Vec::new();
    if route.protocol != ICMP {
        match (route.source.ip(), route.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                covered.extend(source.octets());
                covered.extend(destination.octets());
            }
            (source, destination) => {
                covered.extend(v6(source).octets());
                covered.extend(v6(destination).octets());
            }
        }
        covered.extend([0, route.protocol]);
        covered.extend(length_field(transport.len()).to_be_bytes());
    }
    covered.extend_from_slice(transport);
    match !ones_sum(&covered) {
        // Zero means that there is none.
        0 if route.protocol == UDP => 0xFFFF,
        sum => sum,
    }
}

/// The ones' complement sum of 16-bit words.
fn ones_sum(bytes: &[u8]) -> u16 {
    let mut sum: u64 = 0;
    for pair in bytes.chunks(2) {
        sum += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xFFFF {
        sum = (sum >> 16) + (sum & 0xFFFF);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

fn length_field(length: usize) -> u16 {
    u16::try_from(length).expect("a packet is at most 65535 bytes long")
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn v4_at(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?))
}

fn v6_at(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?))
}

fn v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Vec<Route> {
        let echo = |kind| Some(Icmp { kind, code: 0, id: 0x4321 });
        let route = |protocol, source: &str, destination: &str, icmp| Route {
            protocol,
            source: source.parse().expect("an address"),
            destination: destination.parse().expect("an address"),
            icmp,
        };
        vec![
            route(UDP, "10.0.0.2:1025", "9.9.9.9:53", None),
            route(UDP, "[fd00::2]:1025", "[2620:fe::fe]:53", None),
            route(TCP, "10.0.0.2:1025", "9.9.9.9:443", None),
            route(TCP, "[fd00::2]:1025", "[2620:fe::fe]:443", None),
            route(ICMP, "10.0.0.2:0", "9.9.9.9:0", echo(8)),
            route(ICMP_V6, "[fd00::2]:0", "[2620:fe::fe]:0", echo(128)),
            route(47, "10.0.0.2:0", "9.9.9.9:0", None),
        ]
    }

    #[test]
    fn what_is_built_reads_back() {
        for route in routes() {
            for (payload, options) in [(&b""[..], false), (b"odd", true), (b"payload!", false), (b"payload!", true)] {
                let packet = Packet::build(route, payload, options);
                assert_eq!(Packet::read(&packet.bytes).as_ref(), Some(&packet));
                assert_eq!(packet.payload(), payload);
                let transport = &packet.bytes[packet.ip_header..];
                let (source, destination) = (route.source.ip(), route.destination.ip());
                let read = Packet::read_transport(transport, route.protocol, source, destination);
                assert_eq!(read.map(|read| read.route), Some(route));
            }
        }
    }

    // RFC 1071: a segment with its checksum sums up to all ones
    #[test]
    fn checksums_are_right() {
        for route in routes() {
            let packet = Packet::build(route, b"seven b", true);
            if checksum_offset(route.protocol).is_some() {
                assert!(matches!(checksum(&route, &packet.bytes[packet.ip_header..]), 0 | 0xFFFF));
            }
        }
    }

    #[test]
    fn what_is_cut_short_is_not_a_packet() {
        let packet = Packet::build(routes()[0], b"payload", false);
        for len in 0..packet.bytes.len() {
            assert_eq!(Packet::read(&packet.bytes[..len]), None);
        }
    }
}
