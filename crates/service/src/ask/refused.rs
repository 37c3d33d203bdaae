//! Why an answer is refused.
//!
//! Invariants: a refused answer changes nothing; what belongs to somebody else is refused as if it did not exist.
//! Neighbours: `answer` refuses, the control server passes it on.

use control::entry::Verdict;
use control::protocol::{ErrorKind, Refusal};
use rules::decision::RuleName;
use std::sync::Arc;

/// Why an answer is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerRefused {
    /// There is none, or it belongs to another user.
    #[error("there is no prompt {0}")]
    NotFound(u64),
    /// Somebody was faster.
    #[error("prompt {prompt} is answered already: {user} said {}", match verdict { Verdict::Permit => "permit", Verdict::Block => "block" })]
    AlreadyAnswered {
        /// The prompt.
        prompt: u64,
        /// Who.
        user: Arc<str>,
        /// What they said.
        verdict: Verdict,
    },
    /// It is closed.
    #[error("prompt {0} has expired")]
    Expired(u64),
    /// Rules decide it now.
    #[error("prompt {0} is closed: rules decide it now")]
    Ruled(u64),
    /// `once`, and nothing waits.
    #[error("no connection waits in prompt {0} any more, so there is nothing to answer once")]
    NothingWaits(u64),
    /// `forever`, by an operator.
    #[error("only an administrator may answer for ever")]
    NeedsAdministrator,
    /// `forever`, where a mandatory rule asks.
    #[error("the rule {0} asks each time, and an answer for ever cannot overrule it")]
    Mandatory(RuleName),
    /// The domain, and there is none.
    #[error("prompt {0} has no domain")]
    NoDomain(u64),
    /// The local port, and this machine begins it.
    #[error("prompt {0} is about what this machine connects to, so there is no port of its own to answer for")]
    NoPort(u64),
    /// The program or its user is unknown.
    #[error("which program of which user connects is unknown, so the answer can hold once only")]
    Unknown,
    /// The process cannot be told from a later one.
    #[error("the process cannot be told from a later one with the same number")]
    NoProcess,
    /// A link-local address, for ever.
    #[error("a link-local address is another host on another link, so no rule can name this one")]
    LinkLocal,
    /// The duration is out of range.
    #[error("an answer holds for 1 to 31622400 seconds, not for {0}")]
    BadDuration(u32),
    /// The note is too long.
    #[error("the note has {0} characters, and 500 are allowed")]
    LongNote(usize),
}

impl AnswerRefused {
    /// What kind of refusal that is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) | Self::AlreadyAnswered { .. } | Self::Expired(_) | Self::Ruled(_) => ErrorKind::NotFound,
            Self::NeedsAdministrator | Self::Mandatory(_) => ErrorKind::Denied,
            _ => ErrorKind::BadRequest,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotFound(_) => "list the open prompts: `tollgate ask --list`",
            Self::AlreadyAnswered { .. } => return None,
            Self::Expired(_) | Self::Ruled(_) => "try the connection again to be asked again",
            Self::NothingWaits(_) => {
                "answer for the process, for a time or for ever, and it holds for the next attempt"
            }
            Self::NeedsAdministrator => "answer for a time, or ask an administrator",
            Self::Mandatory(_) | Self::LinkLocal => "answer for a time",
            Self::NoDomain(_) | Self::NoPort(_) => "answer for the remote address, or for everything",
            Self::Unknown => "answer once",
            Self::NoProcess => "answer once, or for a time",
            Self::BadDuration(_) => "at most 366 days; for longer answer for ever",
            Self::LongNote(_) => "shorten it",
        })
    }
}

impl From<AnswerRefused> for Refusal {
    fn from(refused: AnswerRefused) -> Self {
        let help = refused.help().map(str::to_owned);
        Self { kind: refused.kind(), message: refused.to_string(), help, problems: Vec::new() }
    }
}
