//! The messages.
//!
//! A session: the client sends one [`Hello`] line, the service answers with one [`Welcome`] line or a [`Refusal`] and
//! ends; then any number of [`Call`] lines, each answered by one [`ServerLine::Reply`] in any order, with
//! [`ServerLine::Event`]s in between once subscribed. Neighbours: `line` bounds them, `client` and `service` speak them.

use crate::entry::Entry;
use crate::filter::Filter;
use crate::prompt::{Answer, Closed, Prompt};
use crate::status::{Snooze, Status};
use rules::decision::Revision;
use rules::source::{Problem, SourceFile};
use serde::{Deserialize, Serialize};

/// The version of this protocol. A change that an older side would misread raises it.
pub const VERSION: u16 = 1;

/// The longest line, its end included, in bytes.
pub const MAX_LINE: usize = 1 << 20;

/// How many entries one reply holds at most.
pub const MAX_ENTRIES: u32 = 500;

/// How many proposed rules one request reviews at most.
pub const MAX_REVIEWED: usize = 1_000;

/// The names of all requests.
pub const REQUESTS: [&str; 11] = [
    "status",
    "entries",
    "follow_entries",
    "follow_prompts",
    "prompts",
    "answer",
    "snooze",
    "ruleset",
    "reload",
    "proposals",
    "review",
];

/// The first line of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`].
    pub tollgate: u16,
}

/// The first line of the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Greeting {
    /// The client may go on.
    Welcome(Welcome),
    /// It may not.
    Refusal {
        /// [`VERSION`] of the service.
        tollgate: u16,
        /// Why.
        error: Refusal,
    },
}

/// The client may go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`VERSION`] of the service.
    pub tollgate: u16,
    /// What the client may do.
    pub role: Role,
    /// The user that the service takes the client for, by name or else by id.
    pub user: String,
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A member of the operators' group: reads everything, answers prompts of its own user for a time.
    Operator,
    /// An administrator: changes policy, answers everybody's prompts.
    Administrator,
}

/// A request with its number, which the reply repeats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The number.
    pub id: u64,
    /// The request.
    #[serde(flatten)]
    pub request: Request,
}

/// What a client may ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// How the service does. Answered by [`Reply::Status`].
    Status,
    /// Entries of the log, newest last. Answered by [`Reply::Entries`].
    Entries {
        /// Which.
        #[serde(default)]
        filter: Filter,
        /// Only those with a higher number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
        /// Only those with a lower number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<u64>,
        /// At most so many, and at most [`MAX_ENTRIES`]: the first ones with `after`, else the last ones.
        limit: u32,
    },
    /// Sends [`Event::Entry`] for each new entry, and [`Event::Missed`] when this client is too slow.
    FollowEntries {
        /// Which.
        #[serde(default)]
        filter: Filter,
    },
    /// Sends [`Event::Prompt`] and [`Event::PromptClosed`], beginning with those that are open; this client answers
    /// prompts: while there is one that may, connections wait for a person.
    FollowPrompts,
    /// The open prompts, without following. Answered by [`Reply::Prompts`].
    Prompts,
    /// Answers a prompt. Answered by [`Reply::Done`] when it is in force and will survive a crash.
    Answer {
        /// Which prompt.
        prompt: u64,
        /// The answer.
        answer: Answer,
    },
    /// Snoozes prompts. Administrators.
    Snooze(Snooze),
    /// The files of the rules in force. Answered by [`Reply::Ruleset`].
    Ruleset {
        /// Those of this revision; those in force when `None`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<Revision>,
    },
    /// Reads the rules again, now. Administrators. Refused with [`ErrorKind::BadRules`] when they do not compile.
    Reload,
    /// Proposed rules. Answered by [`Reply::Proposals`].
    Proposals,
    /// Makes proposed rules real, or drops them. Administrators.
    Review {
        /// Their ids.
        ids: Vec<String>,
        /// `true` moves them into the `user` layer.
        adopt: bool,
    },
}

/// A line of the service, after the greeting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ServerLine {
    /// The request with this number is done.
    Reply {
        /// Its number.
        id: u64,
        /// What came of it.
        reply: Reply,
    },
    /// The request with this number is refused.
    Error {
        /// Its number.
        id: u64,
        /// Why.
        error: Refusal,
    },
    /// Something happened.
    Event {
        /// What.
        event: Event,
    },
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done.
    Done,
    /// How the service does.
    Status(Box<Status>),
    /// Entries, oldest first.
    Entries(Vec<Entry>),
    /// Prompts, oldest first.
    Prompts(Vec<Prompt>),
    /// The files of a ruleset.
    Ruleset {
        /// Its revision.
        revision: Revision,
        /// Its files, the floor's excepted; those beyond what fits into a line are left out.
        files: Vec<SourceFile>,
        /// How many were left out.
        left_out: u32,
    },
    /// Proposed rules.
    Proposals(Vec<Proposal>),
}

/// A proposed rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Its id.
    pub id: String,
    /// The rule, as TOML.
    pub toml: String,
    /// How many connections it would have decided.
    pub seen: u64,
}

/// What a client subscribed to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A decision was made.
    Entry(Box<Entry>),
    /// That many events were not sent because this client was too slow.
    Missed(u64),
    /// A prompt was opened, or changed.
    Prompt(Box<Prompt>),
    /// A prompt is closed.
    PromptClosed {
        /// Which.
        id: u64,
        /// Why.
        closed: Closed,
    },
}

/// Why something is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of refusal.
    pub kind: ErrorKind,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// With [`ErrorKind::BadRules`]: everything that is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

impl Refusal {
    /// Refuses.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), help: None, problems: Vec::new() }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Says everything that is wrong with the rules.
    #[must_use]
    pub fn with_problems(self, problems: Vec<Problem>) -> Self {
        Self { problems, ..self }
    }
}

/// What kind of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The two sides speak different versions.
    Version,
    /// This client may not do that.
    Denied,
    /// The line is not a request, or too long.
    BadRequest,
    /// There is no such prompt, entry, revision or proposal.
    NotFound,
    /// Too many clients, or too much at once.
    Busy,
    /// Rules do not compile, and those in force stay.
    BadRules,
    /// The machine does not let us: a disk is full, a file is locked.
    Failed,
}
