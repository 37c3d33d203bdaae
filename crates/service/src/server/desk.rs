//! What the server asks of the service, and who asks.
//!
//! Invariants: when a method of [`Desk`] is called, the server has already seen to it that the client's role allows the
//! request and that the prompt is one the client may see; a desk refuses for reasons of its own only. Neighbours: the
//! daemon is the desk, `session` calls it, `feed` is how it speaks unasked.

use control::entry::Entry;
use control::filter::Filter;
use control::prompt::{Answer, Prompt};
use control::protocol::{Proposal, Refusal, Role};
use control::status::{Snooze, Status};
use rules::decision::Revision;
use rules::facts::User;
use rules::source::SourceFile;

/// What the server asks of the service. Called from a thread for each client, so several at once; a call that waits, for
/// a disk say, holds up that client alone.
pub trait Desk: Send + Sync {
    /// How the service does.
    fn status(&self) -> Status;

    /// Entries of the log, oldest first. The query's limit is within [`control::protocol::MAX_ENTRIES`].
    fn entries(&self, query: &Query) -> Result<Vec<Entry>, Refusal>;

    /// Calls `look` once with all open prompts, oldest first, in such a way that none opens, changes or closes meanwhile,
    /// and nothing about one is told to the [`super::Feed`] meanwhile: whoever begins to follow in `look` sees each
    /// change after it exactly once. `look` does not wait and does not call the desk. [`Prompt::holds`] as for an
    /// administrator.
    fn prompts(&self, look: &mut dyn FnMut(&[Prompt]));

    /// The clients that answer prompts are others now: [`super::Feed::audience`]. Whoever waits for an answer that nobody
    /// is left to give gets the default.
    fn audience_changed(&self);

    /// Answers a prompt. `Ok` when the answer is in force and will survive a crash.
    fn answer(&self, client: &Client, prompt: u64, answer: Answer) -> Result<(), Refusal>;

    /// Begins or ends a snooze.
    fn snooze(&self, client: &Client, snooze: Snooze) -> Result<(), Refusal>;

    /// The files of a ruleset, the floor's excepted: of those in force when `revision` is `None`.
    fn ruleset(&self, revision: Option<&Revision>) -> Result<(Revision, Vec<SourceFile>), Refusal>;

    /// Reads the rules again.
    fn reload(&self, client: &Client) -> Result<(), Refusal>;

    /// Proposed rules.
    fn proposals(&self) -> Result<Vec<Proposal>, Refusal>;

    /// Makes proposed rules real, or drops them.
    fn review(&self, client: &Client, ids: &[String], adopt: bool) -> Result<(), Refusal>;

    /// A client changed what is decided, or tried to and was refused. For the journal; called after the fact.
    fn audit(&self, client: &Client, change: &Change, refused: Option<&Refusal>);
}

/// One client, as the system says who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its number: not used again while the service runs.
    pub number: u64,
    /// Its process.
    pub pid: u64,
    /// The user it runs as.
    pub user: User,
    /// What it may do.
    pub role: Role,
}

impl Client {
    /// Whether it sees and answers prompts for a process of `owner`. A process whose user is not known is for
    /// administrators.
    pub fn may_answer(&self, owner: Option<&User>) -> bool {
        self.role == Role::Administrator || owner.is_some_and(|owner| !owner.id.is_empty() && owner.id == self.user.id)
    }

    /// The user's name, or else id.
    pub fn user_name(&self) -> &str {
        self.user.name.as_deref().unwrap_or(&self.user.id)
    }
}

/// A query of the log: see [`control::protocol::Request::Entries`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Which.
    pub filter: Filter,
    /// Only those with a higher number.
    pub after: Option<u64>,
    /// Only those with a lower number.
    pub before: Option<u64>,
    /// At most so many: the first ones with `after`, else the last ones.
    pub limit: u32,
}

/// What a client changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It answers a prompt.
    Answer {
        /// Which prompt.
        prompt: u64,
        /// The answer.
        answer: Answer,
    },
    /// It snoozes.
    Snooze(Snooze),
    /// It reloads the rules.
    Reload,
    /// It reviews proposed rules.
    Review {
        /// Their ids.
        ids: Vec<String>,
        /// Whether they become real.
        adopt: bool,
    },
}
