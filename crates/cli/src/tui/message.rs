//! What happens to the model, and what it wants done.
//!
//! Neighbours: `update` takes messages and gives effects; `run` carries them out.

use super::ruleset::Loaded;
use super::trace::Trace;
use control::entry::Entry;
use control::prompt::{Answer, Closed, Prompt};
use control::protocol::{Refusal, Welcome};
use control::status::{Snooze, Status};
use crossterm::event::KeyEvent;
use jiff::Timestamp;
use std::sync::Arc;

/// Something happened.
#[derive(Clone, Debug)]
pub enum Message {
    /// It is so late.
    Time(Timestamp),
    /// A key was pressed.
    Key(KeyEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has another size: columns, rows.
    Resize(u16, u16),
    /// The terminal is gone.
    Hangup,
    /// The service took us.
    Connected(Welcome),
    /// There is no service, or it went away.
    Disconnected {
        /// Why.
        why: String,
        /// What to do about it.
        help: Option<String>,
        /// When it is tried again.
        retry: Timestamp,
    },
    /// A decision was made.
    Entry(Box<Entry>),
    /// Decisions that were made before we looked.
    Past(Vec<Entry>),
    /// So many events were not sent because we were too slow.
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
    /// How the service does.
    Status(Box<Status>),
    /// What became of an answer.
    Answered {
        /// To which prompt.
        prompt: u64,
        /// Whether the service took it.
        outcome: Result<(), Refusal>,
    },
    /// What became of a snooze.
    Snoozed(Result<(), Refusal>),
    /// The rules in force.
    Rules(Result<Loaded, String>),
    /// What a check of the rules found.
    Checked(Trace),
    /// How a decision came about.
    Explained {
        /// Of which entry.
        entry: u64,
        /// How.
        trace: Trace,
    },
    /// A call failed, and says so nowhere else.
    Refused(Refusal),
}

/// What the model wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Ask how the service does.
    AskStatus,
    /// Answer a prompt.
    Answer {
        /// Which.
        prompt: u64,
        /// How.
        answer: Answer,
    },
    /// Snooze prompts.
    Snooze(Snooze),
    /// Fetch the rules in force.
    LoadRules,
    /// Check the rules in force.
    CheckRules,
    /// Explain a decision.
    Explain(Arc<Entry>),
    /// Ring the terminal's bell.
    Bell,
    /// End.
    Quit,
}
