//! A connection on its way through a question, and what comes out.
//!
//! Invariants: a [`Waiting`] goes in once and comes out once, as a [`Decided`] or handed back; nothing here decides.
//! Neighbours: the daemon makes them, `prompts` keeps them meanwhile.

use control::entry::{Direction, Name, Reason, Verdict};
use rules::decision::RuleName;
use rules::facts::{Identity, Needs};
use rules::model::Lifetime;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use wire::verdict::RequestId;

/// A connection for which the ruleset says *ask*.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting<T> {
    /// What the daemon needs to give the verdict. Comes back untouched.
    pub token: T,
    /// Names it, among all that wait.
    pub request: RequestId,
    /// Who connects. The path as it is compared: equal paths, equal text.
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
    /// The rule that asks; `None` when no rule matched.
    pub asked_by: Option<RuleName>,
    /// What that rule says to offer first.
    pub lifetime: Lifetime,
    /// When it gets the default: a [`crate::clock::Now::monotonic`].
    pub deadline: Duration,
}

impl<T> Waiting<T> {
    /// Its facts.
    pub fn without_token(&self) -> Waiting<()> {
        Waiting {
            token: (),
            request: self.request,
            identity: self.identity.clone(),
            pid: self.pid,
            start_key: self.start_key,
            direction: self.direction,
            protocol: self.protocol,
            local: self.local,
            remote: self.remote,
            name: self.name.clone(),
            asked_by: self.asked_by.clone(),
            lifetime: self.lifetime,
            deadline: self.deadline,
        }
    }

    /// Gives it a verdict.
    pub fn decided(self, verdict: Verdict, reason: Reason) -> Decided<T> {
        Decided { waiting: self, verdict, reason }
    }
}

/// A connection with its verdict.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a program waits for this verdict"]
pub struct Decided<T> {
    /// The connection.
    pub waiting: Waiting<T>,
    /// Permit or block.
    pub verdict: Verdict,
    /// Who decided, and why.
    pub reason: Reason,
}

/// What becomes of a connection at first.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a program waits for this verdict"]
pub enum Considered<T> {
    /// It has its verdict.
    Decided(Decided<T>),
    /// It waits in this prompt. It comes out of another method, once.
    Held(u64),
    /// An answer is in force for a program with this path, and whether it is still the same program turns on facts that
    /// are being looked up. Consider it again when they are known, or given up.
    Needs(Waiting<T>, Needs),
}

/// What a new ruleset says about a connection that waits.
#[derive(Clone, Debug, PartialEq)]
pub enum Ruling {
    /// It is decided.
    Decided(Verdict, Reason),
    /// It still asks, perhaps by another rule.
    Ask {
        /// As [`Waiting::asked_by`].
        asked_by: Option<RuleName>,
        /// As [`Waiting::lifetime`].
        lifetime: Lifetime,
    },
    /// The daemon takes it back, to look up facts.
    TakeBack,
}
