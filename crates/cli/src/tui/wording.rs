//! The words for what was decided: the same in lists, panes and filters.
//!
//! Invariants: pure; what comes out may hold foreign text, so that it is cleaned where it is shown. Neighbours: `view`
//! and `filter` use them.

use super::text;
use control::entry::{Confidence, DefaultWhy, Direction, EnforcerWhy, Entry, Name, Reason, Verdict};
use control::prompt::{Closed, Hold, Prompt, Target};
use control::status::Unmatched;
use rules::facts::{Identity, User};
use rules::model::protocol_name;
use std::fmt::Write;
use std::net::SocketAddr;

/// A verdict as a word that stands out without colours, too.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Permit => "permit",
        Verdict::Block => "BLOCK",
    }
}

/// The program's file name.
pub fn program(identity: &Identity) -> &str {
    identity.program.path.as_deref().map_or("(unknown program)", text::file_name)
}

/// The user, by name where it has one.
pub fn user(user: &User) -> &str {
    user.name.as_deref().unwrap_or(&user.id)
}

/// Marks in front of a name how sure we are: nothing when sure.
pub fn doubt(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::OwnProcess => "",
        Confidence::OtherProcess => "~",
        Confidence::Ambiguous => "?",
    }
}

/// How sure we are of a name, in words.
pub fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::OwnProcess => "sure: this process looked it up",
        Confidence::OtherProcess => "likely: another process looked it up",
        Confidence::Ambiguous => "a guess: the address has other names, too",
    }
}

/// A protocol by its name.
pub fn protocol(number: u8) -> String {
    protocol_name(number).map_or_else(|| number.to_string(), str::to_owned)
}

/// Who is reached, or who reaches us: `example.com:443`, `~example.com:53/udp`, `:22 from 203.0.113.7`.
pub fn place(direction: Direction, protocol: u8, local: SocketAddr, remote: SocketAddr, name: Option<&Name>) -> String {
    let host = match (name, remote) {
        (Some(name), _) => format!("{}{}", doubt(name.confidence), name.text),
        (None, SocketAddr::V4(remote)) => remote.ip().to_string(),
        (None, SocketAddr::V6(remote)) => format!("[{}]", remote.ip()),
    };
    let kind = if protocol == 6 { String::new() } else { format!("/{}", self::protocol(protocol)) };
    let has_ports = matches!(protocol, 6 | 17 | 132);
    match direction {
        Direction::Out if has_ports => format!("{host}:{}{kind}", remote.port()),
        Direction::Out => format!("{host}{kind}"),
        Direction::In if has_ports => format!(":{}{kind} from {host}", local.port()),
        Direction::In => format!("{kind} from {host}"),
    }
}

/// [`place`] of an entry.
pub fn where_to(entry: &Entry) -> String {
    place(entry.direction, entry.protocol, entry.local, entry.remote, entry.name.as_ref())
}

/// [`place`] of a prompt.
pub fn where_asked(prompt: &Prompt) -> String {
    place(prompt.direction, prompt.protocol, prompt.local, prompt.remote, prompt.name.as_ref())
}

/// Why, in the words of a list: a rule, a person, a default, the gate.
pub fn why(entry: &Entry) -> String {
    let why = match &entry.reason {
        Reason::Rule { rule } => rule.to_string(),
        Reason::Answer { user, .. } => format!("answer of {user}"),
        Reason::Default { why } => format!("default: {}", default_short(*why)),
        Reason::Enforcer { why } => format!("gate: {}", enforcer_short(*why)),
    };
    if entry.in_force { why } else { format!("too late; {why}") }
}

/// Why, in a sentence.
pub fn why_long(entry: &Entry) -> String {
    match &entry.reason {
        Reason::Rule { rule } => format!("the rule {rule} says so"),
        Reason::Answer { user, prompt } => format!("{user} answered prompt {prompt}"),
        Reason::Default { why } => format!("by default: {}", default_long(*why)),
        Reason::Enforcer { why } => format!("the gate decided alone: {}", enforcer_long(*why)),
    }
}

fn default_short(why: DefaultWhy) -> &'static str {
    match why {
        DefaultWhy::Unmatched => "no rule",
        DefaultWhy::NoClient => "nobody there",
        DefaultWhy::TimedOut => "no answer",
        DefaultWhy::Snoozed => "snoozed",
        DefaultWhy::Learning => "learning",
        DefaultWhy::TooMany => "too many",
        DefaultWhy::Stopping => "stopping",
        DefaultWhy::Unknown => "unknown",
    }
}

fn default_long(why: DefaultWhy) -> &'static str {
    match why {
        DefaultWhy::Unmatched => "no rule matched, and the configuration says to ask nobody",
        DefaultWhy::NoClient => "nobody who may answer was connected",
        DefaultWhy::TimedOut => "nobody answered in time",
        DefaultWhy::Snoozed => "prompts were snoozed",
        DefaultWhy::Learning => "learning: a rule is proposed instead of asking",
        DefaultWhy::TooMany => "too much waited for an answer already",
        DefaultWhy::Stopping => "the service was ending",
        DefaultWhy::Unknown => "facts that a rule turns on could not be learnt in time",
    }
}

fn enforcer_short(why: EnforcerWhy) -> &'static str {
    match why {
        EnforcerWhy::Cached => "remembered",
        EnforcerWhy::Fallback => "fallback",
        EnforcerWhy::Limit => "limit",
    }
}

fn enforcer_long(why: EnforcerWhy) -> &'static str {
    match why {
        EnforcerWhy::Cached => "it remembered the verdict of a like connection",
        EnforcerWhy::Fallback => "such an operation cannot be held, so its fallback answered",
        EnforcerWhy::Limit => "a limit was reached, so its fallback answered",
    }
}

/// Everything of an entry that a filter looks into.
pub fn searchable(entry: &Entry) -> String {
    let identity = &entry.identity;
    let mut text = format!("{} {} ", verdict(entry.verdict), why(entry));
    // Writing to a string does not fail.
    let _ = write!(text, "{} {} {} ", where_to(entry), entry.remote, protocol(entry.protocol));
    let _ = write!(text, "pid:{} ", entry.pid);
    let path = identity.program.path.as_deref();
    let who = identity.user.as_ref().map(user);
    let publisher = identity.program.publisher.as_deref();
    for part in [path, who, publisher].into_iter().flatten() {
        text.push_str(part);
        text.push(' ');
    }
    text
}

/// How long an answer holds, in words.
pub fn hold(hold: Hold) -> String {
    match hold {
        Hold::Once => "once".to_owned(),
        Hold::Process => "while the process runs".to_owned(),
        Hold::Duration { seconds } => format!("for {}", text::seconds(seconds.into())),
        Hold::Forever => "forever".to_owned(),
    }
}

/// What an answer is for, in words.
pub fn target(target: Target, prompt: &Prompt) -> String {
    match target {
        Target::Remote => {
            let local = prompt.local.port();
            match prompt.direction {
                Direction::Out => format!("{}/{}", prompt.remote, protocol(prompt.protocol)),
                Direction::In => format!("port {local}/{} from {}", protocol(prompt.protocol), prompt.remote.ip()),
            }
        }
        Target::Domain => match prompt.domain.as_deref() {
            Some(domain) => format!("{domain} and every name below it"),
            None => "its domain".to_owned(),
        },
        Target::Everything => "everything".to_owned(),
    }
}

/// What became of a prompt.
pub fn closed(closed: &Closed) -> String {
    match closed {
        Closed::Answered { user, verdict } => format!("{user} answered it: {}", self::verdict(*verdict)),
        Closed::Expired => "nobody answered in time".to_owned(),
        Closed::Ruled => "rules decide it now".to_owned(),
    }
}

/// What is done where no rule decides.
pub fn mode(unmatched: Unmatched) -> &'static str {
    match unmatched {
        Unmatched::Ask => "asks a person",
        Unmatched::Learn => "learns (permits)",
        Unmatched::Permit => "permits",
        Unmatched::Block => "blocks",
    }
}
