//! How the service does, truthfully.
//!
//! Neighbours: `service` fills it in; `tollgate status` shows it.

use crate::entry::Verdict;
use jiff::Timestamp;
use rules::decision::Revision;
use rules::source::Problem;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How the service does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The release of the service.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Since when it runs.
    pub started: Timestamp,
    /// Whether connections are held, now.
    pub gate: Gate,
    /// The rules in force.
    pub rules: Rules,
    /// What is done with connections that no rule decides.
    pub unmatched: Unmatched,
    /// Until when prompts are snoozed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snoozed_until: Option<Timestamp>,
    /// Open prompts.
    pub prompts: u64,
    /// What was done since the service started.
    pub counters: Counters,
    /// The log.
    pub log: Log,
    /// Where names of addresses come from; why not, when from nowhere.
    pub names: Source,
}

/// Whether connections are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Gate {
    /// Attached: rules decide.
    Attached {
        /// Since when.
        since: Timestamp,
    },
    /// Not attached: the fallback of the enforcement point decides, if there is one at all.
    Detached {
        /// Since when.
        since: Timestamp,
        /// Why.
        why: String,
        /// When it is tried again.
        retry: Timestamp,
    },
}

/// The rules in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Names their contents.
    pub revision: Revision,
    /// How many there are.
    pub count: u64,
    /// Since when they are in force.
    pub since: Timestamp,
    /// What is wrong with the files now, when those in force are older ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Problem>,
}

/// What is done with connections that no rule decides, or for which a rule says `ask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unmatched {
    /// A person is asked.
    Ask,
    /// They are permitted, and a rule is proposed.
    Learn,
    /// They are permitted.
    Permit,
    /// They are blocked.
    Block,
}

/// What was done since the service started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Connections permitted.
    pub permitted: u64,
    /// Connections blocked.
    pub blocked: u64,
    /// Connections that lived already, and were ended because what is in force now blocks them.
    pub ended: u64,
    /// Decisions that came too late.
    pub stale: u64,
    /// Connections that the enforcement point decided alone, and reported.
    pub reported: u64,
    /// Reports that were lost because they were not taken in time.
    pub lost_reports: u64,
    /// Decisions by default, in place of a person.
    pub defaulted: u64,
    /// Prompts opened.
    pub prompts: u64,
    /// Prompts answered.
    pub answered: u64,
    /// Log entries shed because the disk was too slow.
    pub shed: u64,
    /// Connections that wait for a person, now.
    pub waiting: u64,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// Whether entries are kept; why not, when they are not.
    pub state: Source,
    /// Its size in bytes.
    pub bytes: u64,
    /// How many entries it holds, about.
    pub entries: u64,
}

/// Something that works, or does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Source {
    /// It works.
    Works {
        /// What it is.
        what: Arc<str>,
    },
    /// It does not.
    Fails {
        /// Why.
        why: Arc<str>,
    },
    /// It is not wanted.
    Off,
}

/// The longest snooze, in seconds: a day.
pub const MAX_SNOOZE: u32 = 86_400;

/// A snooze.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snooze {
    /// For how long, in seconds: 1 to [`MAX_SNOOZE`]; `0` ends one.
    pub seconds: u32,
    /// What to do meanwhile; the configured default when `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}
