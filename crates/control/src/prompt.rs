//! A question to a person, and the answer.
//!
//! Neighbours: `service` asks, `cli` shows.

use crate::entry::{Direction, Name, Verdict};
use jiff::Timestamp;
use rules::decision::RuleName;
use rules::facts::Identity;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;

/// A question: may this program of this user connect there? When [`Direction::In`]: may it be reached there?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Its number: not used again while the service runs.
    pub id: u64,
    /// Who connects.
    pub identity: Arc<Identity>,
    /// The process that asked first.
    pub pid: u64,
    /// Who began it.
    pub direction: Direction,
    /// The IP protocol number of the first connection.
    pub protocol: u8,
    /// The local end of the first connection: its port is what the remote asks for when [`Direction::In`].
    pub local: SocketAddr,
    /// The remote end of the first connection.
    pub remote: SocketAddr,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// What [`Target::Domain`] would mean: the registrable domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<Arc<str>>,
    /// The program asks for more places than have prompts of their own: connections to other places wait here, too, and
    /// only [`Target::Everything`] covers them.
    #[serde(default)]
    pub many: bool,
    /// The rule that asks; `None` when no rule matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<RuleName>,
    /// What to do with those that wait when nobody answers.
    pub default: Verdict,
    /// How many connections wait for the answer. `0`: nobody answered in time; an answer holds for the next.
    pub waiting: u32,
    /// When the first of them gives up; `None` when none waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// When it was opened.
    pub opened: Timestamp,
    /// How long an answer may hold at most, for the client that reads this: a client that may not change policy, and
    /// nobody where a mandatory rule asks, can say [`Hold::Forever`].
    pub holds: Vec<HoldKind>,
    /// What to offer first: what the rule that asks says, when that is among `holds`.
    pub offer: Hold,
}

/// The longest duration of an answer, in seconds: 366 days.
pub const MAX_SECONDS: u32 = 366 * 86_400;

/// The longest note, in characters.
pub const MAX_NOTE: usize = 500;

/// The answer to a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Permit or block.
    pub verdict: Verdict,
    /// For how long.
    pub hold: Hold,
    /// For what.
    pub target: Target,
    /// Why, for the rule that a forever answer becomes: at most [`MAX_NOTE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How long an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum Hold {
    /// For the connections that wait now.
    Once,
    /// While the process runs.
    Process,
    /// For this long.
    Duration {
        /// In seconds: 1 to [`MAX_SECONDS`].
        seconds: u32,
    },
    /// As a rule in the `user` layer.
    Forever,
}

/// A kind of [`Hold`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldKind {
    /// [`Hold::Once`].
    Once,
    /// [`Hold::Process`].
    Process,
    /// [`Hold::Duration`].
    Duration,
    /// [`Hold::Forever`].
    Forever,
}

impl From<Hold> for HoldKind {
    fn from(hold: Hold) -> Self {
        match hold {
            Hold::Once => Self::Once,
            Hold::Process => Self::Process,
            Hold::Duration { .. } => Self::Duration,
            Hold::Forever => Self::Forever,
        }
    }
}

/// What an answer is for: this program of this user, and
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// the remote address, port and protocol of the prompt; the local port instead of the remote's when
    /// [`Direction::In`].
    Remote,
    /// the registrable domain of the prompt.
    Domain,
    /// the local port and protocol of the prompt, whoever connects, when [`Direction::In`]; for ICMP the type of message.
    Port,
    /// everything.
    Everything,
}

/// What became of a prompt that is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Closed {
    /// Somebody answered it, or another prompt whose answer covers it.
    Answered {
        /// The user who did.
        user: Arc<str>,
        /// The verdict.
        verdict: Verdict,
    },
    /// Nobody did.
    Expired,
    /// Rules decide it now.
    Ruled,
}
