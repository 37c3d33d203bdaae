//! What the service says about itself, as it happens: for the console, the system's journal, and tests.
//!
//! Neighbours: `daemon` is told whom to tell; `cli` prints.

use crate::clock::Now;
use jiff::Timestamp;
use rules::decision::Revision;
use rules::source::Problem;
use std::fmt;
use std::sync::Arc;

/// Something that an administrator may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Attached: connections are held, and rules decide.
    Attached {
        /// The version that the driver speaks.
        version: u16,
    },
    /// Not attached, or not any more: the driver's fallback decides.
    Detached {
        /// Why.
        why: String,
        /// When it is tried again; `None` when the service ends.
        retry: Option<Timestamp>,
    },
    /// These rules are in force from now on.
    Rules {
        /// Names their contents.
        revision: Revision,
        /// How many.
        count: usize,
        /// Where they are from, when that is not the directory of rules.
        instead: Option<Instead>,
    },
    /// The rules as they are now have errors. Those in force stay.
    RulesRefused(Vec<Problem>),
    /// The configuration is read again, and in force.
    Configured,
    /// The configuration as it is now has errors. The one in force stays.
    ConfigRefused(Vec<Problem>),
    /// Names of addresses are not seen.
    NoNames(String),
    /// A part of the service does not work.
    Broken {
        /// Which: `the log`, `metrics`.
        part: &'static str,
        /// Why.
        why: String,
    },
    /// A client changed something, or tried to.
    Changed {
        /// The user.
        who: String,
        /// What, in words.
        what: String,
        /// Why it was refused.
        refused: Option<String>,
    },
}

/// Rules that are in force instead of those in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// The last ones that compiled.
    LastGood,
    /// The built-in floor alone.
    Floor,
}

/// Who is told.
pub type Journal = Arc<dyn Fn(Now, &Event) + Send + Sync>;

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attached { version } => write!(f, "attached to the driver (version {version})"),
            Self::Detached { why, retry: Some(retry) } => write!(f, "not attached: {why}; next attempt at {retry}"),
            Self::Detached { why, retry: None } => write!(f, "detached: {why}"),
            Self::Rules { revision, count, instead } => {
                let plural = if *count == 1 { "" } else { "s" };
                write!(f, "{count} rule{plural} in force, revision {revision}")?;
                match instead {
                    None => Ok(()),
                    Some(Instead::LastGood) => {
                        f.write_str(": the last ones without errors, not those in the directory of rules")
                    }
                    Some(Instead::Floor) => f.write_str(": the built-in floor alone"),
                }
            }
            Self::RulesRefused(problems) => many(f, "the rules have errors, and those in force stay", problems),
            Self::Configured => f.write_str("the configuration is read again"),
            Self::ConfigRefused(problems) => {
                many(f, "the configuration has errors, and the one in force stays", problems)
            }
            Self::NoNames(why) => write!(f, "names of addresses are not seen: {why}"),
            Self::Broken { part, why } => write!(f, "{part} does not work: {why}"),
            Self::Changed { who, what, refused } => {
                write!(f, "{}: {}", line(who), line(what))?;
                refused.as_ref().map_or(Ok(()), |why| write!(f, ": refused: {}", line(why)))
            }
        }
    }
}

/// What a client sent, as a part of one line: the journal takes each line for an event of its own, and anybody who may
/// ask for something could write the next one.
fn line(text: &str) -> String {
    let plain =
        |c: char| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { char::REPLACEMENT_CHARACTER } else { c };
    let mut line: String = text.chars().take(LONGEST).map(plain).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push_str("...");
    }
    line
}

/// How much of it is told, in characters.
const LONGEST: usize = 1_000;

fn many(f: &mut fmt::Formatter<'_>, what: &str, problems: &[Problem]) -> fmt::Result {
    write!(f, "{what}:")?;
    problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_is_one_line_of_bounded_length() {
        let what = format!("drop a\n12:00:00  root: reload\r\u{2028}\u{1b}[2J{}", "x".repeat(1 << 20));
        for refused in [None, Some(what.clone())] {
            let text = Event::Changed { who: "mara\nroot".to_owned(), what: what.clone(), refused }.to_string();
            assert_eq!(text.lines().count(), 1);
            assert!(!text.contains(|c: char| c.is_control() || c == '\u{2028}'), "{text}");
            assert!(text.chars().count() < 3 * LONGEST);
        }
    }
}
