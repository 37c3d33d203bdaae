//! The floor: the rules that are built in, in the language that all rules are written in.
//!
//! Without it a machine whose rules block everything would lose its address or its names, and with them every way to be
//! repaired from afar. Invariants: as narrow as the language can say it; the same for every ruleset of a machine.

use crate::ruleset::Environment;
use crate::source::SourceFile;
use std::fmt::Write;

/// The floor's file.
pub const PATH: &str = "floor/built-in.toml";

/// Addresses. DHCP: RFC 2131 section 4.1; a server may be anywhere. DHCPv6: RFC 8415 sections 7.1, 7.2 and 13; servers and
/// relays are asked by multicast and answer from link-local addresses. Neighbour discovery: RFC 4861 section 4; a neighbour is
/// asked in a group that it told the routers and switches about, RFC 4861 section 7.2.1, RFC 2710 and RFC 3810.
const ADDRESSES: &str = r#"# Built in: seen, never changed.

[rule.dhcp]
action = "permit"
remote = ":67/udp"
local_port = 68
note = "The machine's IPv4 address."

[rule.dhcpv6]
action = "permit"
remote = ["[ff02::1:2]:547/udp", "[ff05::1:3]:547/udp", "[fe80::/10]:547/udp"]
local_port = 546
note = "The machine's IPv6 address."

[rule.neighbour-discovery]
action = "permit"
protocol = "icmpv6"
when = "icmp.type >= 130 && icmp.type <= 137 || icmp.type == 143"
note = "IPv6 routers and neighbours, types 133 to 137, and the groups in which they are asked, 130 to 132 and 143."
"#;

/// Names: what the system's resolver sends. Other services may run in the same program file and cannot be told apart by it,
/// so these remote ports alone, and only what this machine begins: anybody may send *from* port 53. Ports: IANA "Service
/// Name and Transport Protocol Port Number Registry"; DNS, DNS over TLS, multicast DNS, LLMNR. DNS over HTTPS uses port 443
/// like everything else and is therefore not here.
const NAMES: &str = r#"direction = "out"
remote = [":53/udp", ":53/tcp", ":853/tcp", ":5353/udp", ":5355/udp"]
note = "Name resolution by the system's resolver."
"#;

/// The floor of a machine.
pub fn file(environment: &Environment) -> SourceFile {
    let mut text = ADDRESSES.to_owned();
    if let Some(resolver) = &environment.resolver {
        let program = toml::Value::from(literal(resolver));
        let _ = write!(text, "\n[rule.name-resolution]\naction = \"permit\"\nprogram = {program}\n{NAMES}");
    }
    SourceFile { path: PATH.into(), text: text.into() }
}

/// A path as a pattern for this path alone: what would be a pattern's character stands in brackets.
fn literal(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '*' | '?' | '[' | '{' => out.extend(['[', c, ']']),
            _ => out.push(c),
        }
    }
    out
}
