//! One decision, as it is logged, shown and exported.
//!
//! Invariants: it tells what was decided then; nothing in it is looked up later. Neighbours: `service` makes them, its log
//! keeps them.

use jiff::Timestamp;
use rules::decision::{Revision, RuleName};
use rules::facts::{Flow, Identity};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number: grows with every decision, also across restarts.
    pub id: u64,
    /// When it was made.
    pub time: Timestamp,
    /// Permit or block.
    pub verdict: Verdict,
    /// Who decided, and why.
    pub reason: Reason,
    /// The rule that asked, when the decision is an answer or a default in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<RuleName>,
    /// The ruleset in force.
    pub revision: Revision,
    /// Whether it lived already, let in under older rules or before anybody was asked, and this ended it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
    /// Whether the enforcement point took it. `false`: the connection was gone, or past its deadline.
    pub in_force: bool,
    /// Who began it.
    pub direction: Direction,
    /// The IP protocol number.
    pub protocol: u8,
    /// The local end.
    pub local: SocketAddr,
    /// The remote end.
    pub remote: SocketAddr,
    /// The name of the remote end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The local interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<Arc<str>>,
    /// The process id.
    pub pid: u64,
    /// Names the process among all of this boot; `0` unknown.
    pub start_key: u64,
    /// Who connects.
    pub identity: Arc<Identity>,
    /// How long it was held, in milliseconds.
    pub held_ms: u64,
}

impl Entry {
    /// Where to, and how, as rules saw it when it was decided.
    pub fn flow(&self) -> Flow<'_> {
        Flow {
            direction: match self.direction {
                Direction::Out => wire::request::Direction::OUTBOUND,
                Direction::In => wire::request::Direction::INBOUND,
            },
            protocol: self.protocol,
            local: self.local,
            remote: self.remote,
            name: self.name.as_ref().map(|name| &*name.text),
            is_name_sure: self.name.as_ref().is_none_or(Name::is_sure),
            interface: self.interface.as_deref(),
            now: self.time.as_second(),
        }
    }
}

/// Permit or block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It may proceed.
    Permit,
    /// It may not.
    Block,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Permit => "permit",
            Self::Block => "block",
        })
    }
}

/// Who began a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// This machine did.
    Out,
    /// The remote did.
    In,
}

/// Who decided, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Reason {
    /// A rule.
    Rule {
        /// Which.
        rule: RuleName,
    },
    /// A person: the answer to a prompt.
    Answer {
        /// The prompt.
        prompt: u64,
        /// The user who answered.
        user: Arc<str>,
    },
    /// The configured default, in place of a person.
    Default {
        /// Why nobody was asked, or answered.
        why: DefaultWhy,
    },
    /// The enforcement point itself, without the service.
    Enforcer {
        /// Why.
        why: EnforcerWhy,
    },
}

/// Why nobody was asked, or answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefaultWhy {
    /// The configuration says to ask nobody.
    Unmatched,
    /// No client that may answer is connected.
    NoClient,
    /// Nobody answered in time.
    TimedOut,
    /// Prompts are snoozed.
    Snoozed,
    /// Learning: a rule is proposed instead.
    Learning,
    /// Too many prompts, or too many connections in one, wait already.
    TooMany,
    /// The service is ending.
    Stopping,
    /// Facts that a rule turns on could not be learnt in time.
    Unknown,
}

/// Why the enforcement point decided alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnforcerWhy {
    /// It remembered a verdict.
    Cached,
    /// Such an operation cannot be held.
    Fallback,
    /// A limit was reached.
    Limit,
}

/// The name of an address, and how sure we are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Name {
    /// Lower case, no final dot.
    pub text: Arc<str>,
    /// How sure we are.
    pub confidence: Confidence,
}

impl Name {
    /// Whether the address has no other name that could be meant.
    pub fn is_sure(&self) -> bool {
        self.confidence > Confidence::Ambiguous
    }
}

/// How sure we are that a connection is for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Some process looked it up, and the address has other names, too.
    Ambiguous,
    /// Some process looked it up.
    OtherProcess,
    /// This process looked it up.
    OwnProcess,
}
