//! Who asks, and for where: what prompts are coalesced by.
//!
//! What this machine begins is coalesced by where it goes, what others begin by the local port: the port of a remote that
//! connects says nothing, and one that is asked about for each of its peers would be asked about without end. Names are of
//! what this machine looked up, and say nothing about who connects.
//!
//! Invariants: two processes whose program or user is unknown are never the same asker; a name that may be another's, too,
//! gives no domain. Neighbours: `prompts` coalesces by these, `coverage` compares them.

use super::waiting::Waiting;
use crate::connection::Protocol;
use control::entry::{Confidence, Direction, Name};
use rules::model::is_icmp;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

/// The longest program path that an answer may be kept for, in bytes: Linux allows no longer one, and the driver cuts
/// sooner.
const MAX_PATH: usize = 4096;

/// The longest user id, in bytes: a SID has at most 184 characters.
const MAX_USER: usize = 256;

/// A program of a user, in one direction: being asked about what it connects to says nothing about who connects to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asker {
    /// The user id, when known.
    pub user: Option<Arc<str>>,
    /// The program.
    pub program: Programs,
    /// Who begins its connections.
    pub direction: Direction,
}

/// Which processes are one program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Programs {
    /// All with this path.
    Path(Arc<str>),
    /// This process alone: its path or its user is unknown, or nothing that can be written down.
    Process {
        /// As [`Waiting::start_key`].
        start_key: u64,
        /// As [`Waiting::pid`].
        pid: u64,
    },
}

impl Asker {
    /// Who asks here.
    pub fn of<T>(waiting: &Waiting<T>) -> Self {
        let user = waiting.identity.user.as_ref().map(|user| user.id.clone()).filter(|id| is_plain(id, MAX_USER));
        let path = waiting.identity.program.path.clone().filter(|path| is_plain(path, MAX_PATH));
        let program = match path {
            Some(path) if user.is_some() => Programs::Path(path),
            _ => Programs::Process { start_key: waiting.start_key, pid: waiting.pid },
        };
        Self { user, program, direction: waiting.direction }
    }

    /// Its program's path, when answers can be kept for it.
    pub fn path(&self) -> Option<&Arc<str>> {
        match &self.program {
            Programs::Path(path) => Some(path),
            Programs::Process { .. } => None,
        }
    }
}

fn is_plain(text: &str, most: usize) -> bool {
    !text.is_empty() && text.len() <= most && !text.contains(char::is_control)
}

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A registrable domain.
    Domain(Arc<str>),
    /// An address, with its scope and port `0`.
    Host(SocketAddr),
    /// What others reach here: a local port; for ICMP the type of message; `0` for a protocol without either. Whoever
    /// connects: a service is asked about once, however many knock.
    Local {
        /// The IP protocol number.
        protocol: u8,
        /// The port, or type.
        port: u16,
    },
    /// Everywhere else: the program asks for too many places.
    Many,
}

impl Place {
    /// Where this goes: its domain, else its remote address. Where it comes in, when the remote began it.
    pub fn of<T>(waiting: &Waiting<T>) -> Self {
        if waiting.direction == Direction::In {
            return Self::Local { protocol: waiting.protocol, port: local_port(waiting) };
        }
        domain(waiting.name.as_ref()).map_or_else(|| Self::Host(with_port(waiting.remote, 0)), Self::Domain)
    }
}

/// The registrable domain of a name: by the public suffix list, which has a rule for every name of two labels
/// (publicsuffix.org, "If no rules match, the prevailing rule is `*`"). A name that is ambiguous gives none, because an
/// answer for its domain would be for the other names of that address, too.
pub fn domain(name: Option<&Name>) -> Option<Arc<str>> {
    let name = name.filter(|name| name.confidence > Confidence::Ambiguous)?;
    psl::domain_str(&name.text).filter(|domain| domain.parse::<IpAddr>().is_err()).map(Into::into)
}

/// The local port that is reached; for ICMP the type of message; `0` for a protocol without either.
pub fn local_port<T>(waiting: &Waiting<T>) -> u16 {
    let has_one = Protocol(waiting.protocol).has_ports() || is_icmp(waiting.protocol);
    if has_one { waiting.local.port() } else { 0 }
}

/// The end that [`control::prompt::Target::Remote`] is about: the remote with its port, or with the local port when the
/// remote began it, whose own port says nothing. Port `0` when the protocol has none.
pub fn end<T>(waiting: &Waiting<T>) -> SocketAddr {
    let port = match waiting.direction {
        _ if !Protocol(waiting.protocol).has_ports() => 0,
        Direction::Out => waiting.remote.port(),
        Direction::In => waiting.local.port(),
    };
    with_port(waiting.remote, port)
}

/// The address in its canonical form, with another port.
fn with_port(address: SocketAddr, port: u16) -> SocketAddr {
    match (address.ip().to_canonical(), address) {
        (IpAddr::V6(ip), SocketAddr::V6(v6)) => SocketAddrV6::new(ip, port, 0, v6.scope_id()).into(),
        (ip, _) => SocketAddr::new(ip, port),
    }
}
