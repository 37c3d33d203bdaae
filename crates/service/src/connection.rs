//! One request as the decision point sees it: owned, and in types that mean something.
//!
//! Invariants: nothing is invented; what the driver does not know stays empty or zero. Neighbours: `wire::request` has
//! the bytes, `decide` looks at this.

use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use wire::batch::RequestView;
use wire::request::{Direction, RequestFlags};
use wire::verdict::RequestId;

/// A connection that waits for an answer, or was reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The name to answer with.
    pub id: RequestId,
    /// The process that connects.
    pub process_id: u64,
    /// The program's path, in the form the driver has it; empty when unknown.
    pub program: String,
    /// The user's SID in its usual spelling; empty when unknown.
    pub user: String,
    /// Who began it.
    pub direction: Direction,
    /// The IP protocol.
    pub protocol: Protocol,
    /// The local end.
    pub local: SocketAddr,
    /// The remote end. Its port means something only when [`Protocol::has_ports`].
    pub remote: SocketAddr,
    /// More facts.
    pub flags: RequestFlags,
    /// How long it had waited when it was delivered, in milliseconds.
    pub waited_ms: u32,
}

impl Connection {
    /// Reads one request of a batch.
    pub fn read(view: &RequestView<'_>) -> Self {
        let request = &view.request;
        let (local, remote) = (request.local_ip(), request.remote_ip());
        Self {
            id: request.id,
            process_id: request.process_id,
            program: utf16(view.path),
            user: sid(view.sid).unwrap_or_default(),
            direction: request.direction,
            protocol: Protocol(request.protocol),
            local: endpoint(local, request.local_port, 0),
            remote: endpoint(remote, request.remote_port, request.remote_scope),
            flags: request.flags(),
            waited_ms: request.waited_ms,
        }
    }

    /// The program's path, when the driver knows all of it.
    pub fn whole_program(&self) -> Option<&str> {
        (!self.program.is_empty() && !self.flags.contains(RequestFlags::PATH_TRUNCATED)).then_some(&self.program)
    }
}

/// An IP protocol number. Prints as its usual name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol(pub u8);

impl Protocol {
    /// The transmission control protocol.
    pub const TCP: Self = Self(6);
    /// The user datagram protocol.
    pub const UDP: Self = Self(17);

    /// Numbers: IANA "Protocol Numbers".
    const NAMES: &[(u8, &str)] = &[
        (1, "icmp"),
        (2, "igmp"),
        (6, "tcp"),
        (17, "udp"),
        (33, "dccp"),
        (47, "gre"),
        (50, "esp"),
        (51, "ah"),
        (58, "icmp6"),
        (132, "sctp"),
        (136, "udplite"),
    ];

    /// Whether endpoints of this protocol have ports.
    pub fn has_ports(self) -> bool {
        [Self::TCP, Self::UDP, Self(33), Self(132), Self(136)].contains(&self)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.pad(name),
            None => f.pad(&format!("ip{}", self.0)),
        }
    }
}

pub(crate) fn endpoint(ip: IpAddr, port: u16, scope: u32) -> SocketAddr {
    match ip {
        IpAddr::V4(ip) => SocketAddrV4::new(ip, port).into(),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
    }
}

/// UTF-16LE without the NUL that an application id ends with (learn.microsoft.com FwpmGetAppIdFromFileName0).
pub(crate) fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    String::from_utf16_lossy(&units).trim_end_matches('\0').to_owned()
}

/// `S-1-5-21-...`: revision, identifier authority in network order, sub-authorities (learn.microsoft.com [MS-DTYP]
/// "SID String Format Syntax" and "SID--Packet Representation").
pub(crate) fn sid(bytes: &[u8]) -> Option<String> {
    let ([revision, count, authority @ ..], tail) = bytes.split_first_chunk::<8>()?;
    let (sub_authorities, []) = tail.as_chunks::<4>() else { return None };
    if sub_authorities.len() != usize::from(*count) {
        return None;
    }
    let authority = authority.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    // The syntax asks for hexadecimal when the number does not fit into 32 bits.
    let authority = if authority >> 32 == 0 { authority.to_string() } else { format!("{authority:#014x}") };
    let sub_authorities: String =
        sub_authorities.iter().map(|bytes| format!("-{}", u32::from_le_bytes(*bytes))).collect();
    Some(format!("S-{revision}-{authority}{sub_authorities}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::request::{Address, FAMILY_V4, FAMILY_V6, Request};
    use zerocopy::FromZeros;

    fn path(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn a_request_keeps_what_the_driver_knows() {
        let mut request = Request::new_zeroed();
        request.id = RequestId(7);
        request.process_id = 1234;
        request.direction = Direction::OUTBOUND;
        request.protocol = 6;
        request.family = FAMILY_V4;
        request.remote = Address::v4([203, 0, 113, 7]);
        request.remote_port = 443;
        request.waited_ms = 12;
        let path = path("\\device\\harddiskvolume1\\nöde.exe\0");
        let connection =
            Connection::read(&RequestView { request, path: &path, sid: &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0] });
        assert_eq!(
            connection,
            Connection {
                id: RequestId(7),
                process_id: 1234,
                program: r"\device\harddiskvolume1\nöde.exe".to_owned(),
                user: "S-1-5-18".to_owned(),
                direction: Direction::OUTBOUND,
                protocol: Protocol::TCP,
                local: "0.0.0.0:0".parse().unwrap(),
                remote: "203.0.113.7:443".parse().unwrap(),
                flags: RequestFlags::empty(),
                waited_ms: 12,
            }
        );
    }

    #[test]
    fn a_link_local_remote_keeps_its_scope() {
        let mut request = Request::new_zeroed();
        request.family = FAMILY_V6;
        request.remote = Address::from("fe80::1".parse::<IpAddr>().unwrap());
        request.remote_port = 443;
        request.remote_scope = 3;
        let connection = Connection::read(&RequestView { request, path: &[], sid: &[] });
        assert_eq!(connection.remote.to_string(), "[fe80::1%3]:443");
        assert_eq!(connection.whole_program(), None);
    }

    #[test]
    fn a_cut_path_is_not_a_program() {
        let mut request = Request::new_zeroed();
        request.flags = RequestFlags::PATH_TRUNCATED.bits();
        let path = path(r"\device\x\node.exe");
        let connection = Connection::read(&RequestView { request, path: &path, sid: &[] });
        assert_eq!(connection.whole_program(), None);
    }

    #[test]
    fn a_sid_is_spelled_as_windows_does() {
        let user = [1, 3, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xe9, 3, 0, 0];
        assert_eq!(sid(&user).as_deref(), Some("S-1-5-21-4294967295-1001"));
        assert_eq!(sid(&[1, 0, 1, 2, 3, 4, 5, 6]).as_deref(), Some("S-1-0x010203040506"));
        for bad in [&[][..], &user[..19], &user[..16], &[1, 1, 0, 0, 0, 0, 0, 5]] {
            assert_eq!(sid(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_protocol_prints_as_its_name_or_number() {
        assert_eq!(Protocol::TCP.to_string(), "tcp");
        assert_eq!(format!("{:<5}|", Protocol(58)), "icmp6|");
        assert_eq!(Protocol(253).to_string(), "ip253");
    }
}
