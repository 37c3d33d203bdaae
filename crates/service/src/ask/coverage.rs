//! What an answer covers.
//!
//! Invariants: an answer decides nothing outside what it covers: one asker, as its program was vouched for, and a target.
//! Neighbours: `prompts` releases what a new answer covers, `answers` keeps it for later.

use super::place::{Asker, domain, end, local_port};
use super::waiting::Waiting;
use control::entry::Direction;
use control::prompt::Target;
use rules::facts::{Identity, Needs};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;

/// The longest publisher that vouches, in bytes: RFC 5280 ends a common name at 64 characters, and few exceed it.
const MAX_PUBLISHER: usize = 1024;

/// What an answer is for, resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// One end, with one protocol: see [`end`].
    Remote {
        /// Address and port.
        end: SocketAddr,
        /// The IP protocol number.
        protocol: u8,
    },
    /// A registrable domain.
    Domain(Arc<str>),
    /// What others reach here: see [`super::place::Place::Local`].
    Local {
        /// The IP protocol number.
        protocol: u8,
        /// The port, or type.
        port: u16,
    },
    /// Everything.
    Everything,
}

impl Aim {
    /// What `target` means for this connection; `None`: it has no domain, or no local port that others reach.
    pub fn of<T>(waiting: &Waiting<T>, target: Target) -> Option<Self> {
        Some(match target {
            Target::Remote => Self::Remote { end: end(waiting), protocol: waiting.protocol },
            Target::Domain if waiting.direction == Direction::In => return None,
            Target::Domain => Self::Domain(domain(waiting.name.as_ref())?),
            Target::Port if waiting.direction == Direction::Out => return None,
            Target::Port => Self::Local { protocol: waiting.protocol, port: local_port(waiting) },
            Target::Everything => Self::Everything,
        })
    }

    /// Every aim that covers this connection.
    pub fn all<T>(waiting: &Waiting<T>) -> impl Iterator<Item = Self> {
        [Target::Remote, Target::Domain, Target::Port, Target::Everything]
            .into_iter()
            .filter_map(|target| Self::of(waiting, target))
    }

    fn covers<T>(&self, waiting: &Waiting<T>) -> bool {
        match self {
            Self::Remote { end: own, protocol } => *own == end(waiting) && *protocol == waiting.protocol,
            Self::Domain(_) | Self::Local { .. } => Self::all(waiting).any(|aim| aim == *self),
            Self::Everything => true,
        }
    }
}

/// What vouched for the program when the answer was given: a publisher, whose next release is the same program; else a
/// hash; else nothing was known, and the path is all there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Vouched {
    /// Who signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<Arc<str>>,
    /// What it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Arc<str>>,
}

/// Whether a program is the one that was vouched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Same {
    /// It is.
    Yes,
    /// It was replaced.
    No,
    /// That turns on these facts.
    Needs(Needs),
}

impl Vouched {
    /// What vouches for this program.
    pub fn of(identity: &Identity) -> Self {
        match &identity.program.publisher {
            Some(publisher) if publisher.len() <= MAX_PUBLISHER => {
                Self { publisher: Some(publisher.clone()), sha256: None }
            }
            _ => Self { publisher: None, sha256: identity.program.sha256.clone() },
        }
    }

    /// Whether that is still it.
    pub fn compare(&self, identity: &Identity) -> Same {
        let fact = |then: &Arc<str>, now: &Option<Arc<str>>, need| match now {
            Some(now) if now == then => Same::Yes,
            None if identity.pending.contains(need) => Same::Needs(need),
            _ => Same::No,
        };
        match (&self.publisher, &self.sha256) {
            (Some(publisher), _) => fact(publisher, &identity.program.publisher, Needs::PUBLISHER),
            (None, Some(sha256)) => fact(sha256, &identity.program.sha256, Needs::HASH),
            (None, None) => Same::Yes,
        }
    }
}

/// What an answer covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Whose connections.
    pub asker: Asker,
    /// As what.
    pub vouched: Vouched,
    /// Where to.
    pub aim: Aim,
}

impl Coverage {
    /// Whether it covers this connection, which waits now. What is not known yet does not speak against it: the answer is
    /// for what waits.
    pub fn covers<T>(&self, waiting: &Waiting<T>) -> bool {
        self.asker == Asker::of(waiting)
            && self.aim.covers(waiting)
            && self.vouched.compare(&waiting.identity) != Same::No
    }
}
