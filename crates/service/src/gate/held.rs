//! A connection that waits for its verdict, as the service keeps it.
//!
//! Invariants: not `Clone`: it is in one place, and ends by being ruled about and submitted (or with its attachment, when
//! the enforcement point released it). Neighbours: `ask` keeps those that wait for a person; `gate` submits.

use crate::clock::Now;
use crate::identity::Key;
use control::entry::{DefaultWhy, Name, Reason, Verdict};
use rules::decision::RuleName;
use rules::facts::{Flow, Identity};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use wire::request::{Direction, RequestFlags};
use wire::verdict::{RequestId, Scope};

/// A connection that waits for its verdict.
#[derive(Debug)]
pub struct Held {
    /// The attachment it came by; those of an earlier one are gone.
    pub attachment: u64,
    /// The name to answer with, within the attachment.
    pub id: RequestId,
    /// Who connects, as far as it is known.
    pub identity: Arc<Identity>,
    /// The process id.
    pub pid: u64,
    /// Names the process among all of this boot; `0` unknown.
    pub start_key: u64,
    /// Who began it.
    pub direction: Direction,
    /// The IP protocol number.
    pub protocol: u8,
    /// The local end.
    pub local: SocketAddr,
    /// The remote end.
    pub remote: SocketAddr,
    /// The name of the remote end.
    pub name: Option<Name>,
    /// The local interface.
    pub interface: Option<Arc<str>>,
    /// More facts.
    pub flags: RequestFlags,
    /// When it was delivered.
    pub received: Now,
    /// How long it had waited then.
    pub waited: Duration,
    /// When, by [`Now::monotonic`], it must be ruled about at the latest, so that the enforcement point's fallback does not.
    pub deadline: Duration,
    /// Whether the rule that asks wants it in the log.
    pub log: bool,
}

impl Held {
    /// Names its process.
    pub fn key(&self) -> Key {
        Key { pid: self.pid, start_key: self.start_key }
    }

    /// Whether it is a question about a connection that lives already, and nothing waits for the answer.
    pub fn is_live(&self) -> bool {
        self.flags.contains(RequestFlags::LIVE)
    }

    /// Where to, and how, for rules.
    pub fn flow(&self, now: Now) -> Flow<'_> {
        Flow {
            direction: self.direction,
            protocol: self.protocol,
            local: self.local,
            remote: self.remote,
            name: self.name.as_ref().map(|name| &*name.text),
            is_name_sure: self.name.as_ref().is_none_or(Name::is_sure),
            interface: self.interface.as_deref(),
            now: now.wall.as_second(),
        }
    }
}

/// What is ruled about one connection, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Permit or block.
    pub verdict: Verdict,
    /// Who decided, and why.
    pub reason: Reason,
    /// The rule that asked, when an answer or a default stands in its place.
    pub asked_by: Option<RuleName>,
    /// How widely the enforcement point may remember it.
    pub scope: Scope,
    /// How long it may; until the rules change when `None`.
    pub lifetime: Option<Duration>,
    /// Whether it goes into the log.
    pub log: bool,
}

impl Ruling {
    /// A default, in place of a person.
    pub fn by_default(verdict: Verdict, why: DefaultWhy) -> Self {
        let reason = Reason::Default { why };
        Self { verdict, reason, asked_by: None, scope: Scope::OPERATION, lifetime: None, log: true }
    }
}
