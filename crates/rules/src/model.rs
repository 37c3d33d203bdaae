//! A rule and its conditions, as types.
//!
//! Conditions of one rule must all hold (*and*); the alternatives in one condition are a list (*or*); an empty list is no
//! condition. Invariants: a value here is meaningful, so that nothing is checked again later. Neighbours: `source` has
//! the text it came from, `ruleset` the index.

use crate::decision::RuleName;
use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use wire::request::Direction;

/// Layers, in the order in which they are walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// Built in: without it a machine loses its address or its names. Seen, never changed.
    Floor,
    /// What the administrator of a fleet insists on.
    Mandatory,
    /// What the people at this machine decided.
    User,
    /// What holds when they decided nothing.
    Default,
}

impl Layer {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Floor, Self::Mandatory, Self::User, Self::Default];

    /// Its name, which is the name of its folder.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Mandatory => "mandatory",
            Self::User => "user",
            Self::Default => "default",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Permit.
    Permit,
    /// Block.
    Block,
    /// Hold, and ask a person.
    Ask,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Permit => "permit",
            Self::Block => "block",
            Self::Ask => "ask",
        })
    }
}

/// How long an answer holds. In text: `once`, `process`, a number with `s`, `m`, `h` or `d`, or `forever`. Without a word
/// in its rule an `ask` offers [`Self::Process`] first, and the other actions hold [`Self::Forever`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lifetime {
    /// For this connection.
    Once,
    /// While the process runs.
    Process,
    /// For this long: 1 second to 366 days.
    For(Duration),
    /// Until the rules change.
    Forever,
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = match self {
            Self::Once => return f.pad("once"),
            Self::Process => return f.pad("process"),
            Self::Forever => return f.pad("forever"),
            Self::For(duration) => duration.as_secs(),
        };
        let (unit, name) = LIFETIME_UNITS
            .into_iter()
            .rev()
            .find(|(unit, _)| seconds.is_multiple_of(*unit))
            .expect("every number is a multiple of one");
        f.pad(&format!("{}{name}", seconds / unit))
    }
}

/// The units of [`Lifetime::For`], in seconds.
pub(crate) const LIFETIME_UNITS: [(u64, char); 4] = [(1, 's'), (60, 'm'), (3600, 'h'), (86_400, 'd')];

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its layer and id.
    pub name: RuleName,
    /// Where it stands.
    pub origin: Origin,
    /// What it does.
    pub action: Action,
    /// Lower comes first in its layer: -1,000,000 to 1,000,000, usually 0.
    pub priority: i32,
    /// Whether it takes part.
    pub enabled: bool,
    /// After this moment it does not take part.
    pub expires: Option<Timestamp>,
    /// Programs.
    pub program: Vec<ProgramPattern>,
    /// Programs of the process that started it.
    pub parent: Vec<ProgramPattern>,
    /// Users, by id or name.
    pub user: Vec<Glob>,
    /// Command lines.
    pub command_line: Vec<Glob>,
    /// Who began it.
    pub direction: Option<Direction>,
    /// IP protocol numbers.
    pub protocol: Vec<u8>,
    /// Remote ends.
    pub remote: Vec<Remote>,
    /// Local ports.
    pub local_port: Vec<RangeInclusive<u16>>,
    /// Local interfaces.
    pub interface: Vec<Glob>,
    /// A CEL expression that must hold, too. Evaluated last.
    pub when: Option<Arc<str>>,
    /// How long its answer holds.
    pub lifetime: Lifetime,
    /// Whether its decisions go into the log.
    pub log: bool,
    /// For people.
    pub note: Option<Arc<str>>,
}

/// Where a rule stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The file, relative to the directory of rules, with `/`: `user/answers.toml`.
    pub file: Arc<str>,
    /// The line of its head, from 1.
    pub line: u32,
}

/// What names programs: all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProgramPattern {
    /// Its path.
    pub path: Option<PathPattern>,
    /// SHA-256 of its contents, lower-case hexadecimal.
    pub sha256: Option<Arc<str>>,
    /// Who signed it.
    pub publisher: Option<Glob>,
    /// Its package.
    pub package: Option<Glob>,
    /// The service it runs as.
    pub service: Option<Glob>,
}

/// What names files.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// A full path.
    Exact(Arc<str>),
    /// A file name, in any folder.
    Name(Arc<str>),
    /// A path with `*` (not across folders), `**` (across), `?`, `[...]` or `{a,b}`.
    Glob(Arc<str>),
}

/// Text with `*` and `?`; case does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glob(pub Arc<str>);

/// A remote end: `host`, `host:port`, `:port`, each with or without `/protocol`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remote {
    /// Which hosts.
    pub host: Host,
    /// Which ports; all when `None`.
    pub ports: Option<RangeInclusive<u16>>,
    /// Which IP protocol; all when `None`.
    pub protocol: Option<u8>,
}

/// Which hosts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// All: `*`.
    Any,
    /// An address or a prefix: `10.0.0.1`, `2001:db8::/32`.
    Net(IpNet),
    /// From an address to another of the same family: `10.0.0.1-10.0.0.9`.
    Range(IpAddr, IpAddr),
    /// That name alone: `example.com`. Lower case, A-labels, no final dot.
    Domain(Arc<str>),
    /// That name and every name below it: `.example.com`, kept without the first dot.
    DomainTree(Arc<str>),
    /// A named set: `@ads`. `@loopback`, `@private`, `@link-local` and `@multicast` are built in.
    Set(Arc<str>),
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Exact(text) | Self::Name(text) | Self::Glob(text)) = self;
        f.pad(text)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Net(net) if net.prefix_len() == net.max_prefix_len() => write!(f, "{}", net.addr()),
            Self::Net(net) => write!(f, "{net}"),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
            Self::Domain(name) => f.write_str(name),
            Self::DomainTree(name) => write!(f, ".{name}"),
            Self::Set(name) => write!(f, "@{name}"),
        }
    }
}

/// As it is written in a rule.
impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_v6 = match &self.host {
            Host::Net(net) => net.addr().is_ipv6(),
            Host::Range(first, _) => first.is_ipv6(),
            _ => false,
        };
        match (&self.host, &self.ports) {
            (Host::Any, Some(_)) => {}
            (host, Some(_)) if is_v6 => write!(f, "[{host}]")?,
            (host, _) => write!(f, "{host}")?,
        }
        match &self.ports {
            Some(ports) if ports.start() == ports.end() => write!(f, ":{}", ports.start())?,
            Some(ports) => write!(f, ":{}-{}", ports.start(), ports.end())?,
            None => {}
        }
        match self.protocol.map(|number| (number, protocol_name(number))) {
            Some((_, Some(name))) => write!(f, "/{name}"),
            Some((number, None)) => write!(f, "/{number}"),
            None => Ok(()),
        }
    }
}

/// The IP protocols that have a name here: IANA "Assigned Internet Protocol Numbers".
pub const PROTOCOLS: [(&str, u8); 12] = [
    ("icmp", 1),
    ("igmp", 2),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("pim", 103),
    ("sctp", 132),
    ("udplite", 136),
];

/// The name of an IP protocol, if it has one here.
pub fn protocol_name(number: u8) -> Option<&'static str> {
    PROTOCOLS.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}

/// Whether a protocol is ICMP, for IPv4 or IPv6. Its flows have a type of message where others have the local port, and a
/// code where others have the remote port.
pub const fn is_icmp(protocol: u8) -> bool {
    matches!(protocol, 1 | 58)
}

/// What a type of ICMP message is called, if it has a name here: IANA "ICMP Type Numbers" and "ICMPv6 type Numbers".
pub const fn icmp_name(protocol: u8, kind: u16) -> Option<&'static str> {
    Some(match (protocol, kind) {
        (1, 0) | (58, 129) => "echo reply",
        (1, 3) | (58, 1) => "destination unreachable",
        (1, 5) | (58, 137) => "redirect",
        (1, 8) | (58, 128) => "echo request",
        (1, 9) | (58, 134) => "router advertisement",
        (1, 10) | (58, 133) => "router solicitation",
        (1, 11) | (58, 3) => "time exceeded",
        (1, 12) | (58, 4) => "parameter problem",
        (1, 13) => "timestamp request",
        (1, 14) => "timestamp reply",
        (58, 2) => "packet too big",
        (58, 130) => "multicast listener query",
        (58, 131 | 143) => "multicast listener report",
        (58, 132) => "multicast listener done",
        (58, 135) => "neighbor solicitation",
        (58, 136) => "neighbor advertisement",
        _ => return None,
    })
}

/// Whether a protocol has ports. For the others a condition on a port does not hold.
pub const fn has_ports(protocol: u8) -> bool {
    matches!(protocol, 6 | 17 | 33 | 132 | 136)
}
