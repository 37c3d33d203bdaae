//! The words for what was decided: the same in lists, panes and filters.
//!
//! Invariants: pure; what comes out may hold foreign text, so that it is cleaned where it is shown. Neighbours: `view`
//! and `filter` use them.

use super::text;
use control::entry::{Confidence, DefaultWhy, Direction, EnforcerWhy, Entry, Name, Reason, Verdict};
use control::prompt::{Closed, Hold, Prompt, Target};
use control::status::Unmatched;
use rules::facts::{Identity, User};
use rules::model::{has_ports, icmp_name, is_icmp, protocol_name};
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
    let message = message(protocol, local.port());
    match direction {
        Direction::Out if has_ports(protocol) => format!("{host}:{}{kind}", remote.port()),
        Direction::Out => format!("{host}{kind}{}", message.map(|message| format!(" {message}")).unwrap_or_default()),
        Direction::In if has_ports(protocol) => format!(":{}{kind} from {host}", local.port()),
        Direction::In => format!("{} from {host}", message.unwrap_or_else(|| self::protocol(protocol))),
    }
}

/// What an ICMP message is called, by its type.
fn message(protocol: u8, kind: u16) -> Option<String> {
    is_icmp(protocol).then(|| icmp_name(protocol, kind).map_or_else(|| format!("type {kind}"), str::to_owned))
}

/// Who wants to reach whom: the heading of a prompt.
pub fn question(prompt: &Prompt) -> String {
    let program = program(&prompt.identity);
    let (remote, port) = (prompt.remote.ip(), prompt.local.port());
    match (prompt.direction, message(prompt.protocol, port)) {
        (Direction::Out, None) => format!("May {program} connect?"),
        (Direction::Out, Some(message)) => format!("May {program} send an ICMP {message}?"),
        (Direction::In, Some(message)) => format!("May {remote} send an ICMP {message} to {program}?"),
        (Direction::In, None) if has_ports(prompt.protocol) => format!("May {remote} reach {program} on port {port}?"),
        (Direction::In, None) => format!("May {remote} reach {program}?"),
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
    match (entry.in_force, entry.live) {
        (false, _) => format!("too late; {why}"),
        (true, true) => format!("ended; {why}"),
        (true, false) => why,
    }
}

/// Why, in a sentence.
pub fn why_long(entry: &Entry) -> String {
    let why = match &entry.reason {
        Reason::Rule { rule } => format!("the rule {rule} says so"),
        Reason::Answer { user, prompt } => format!("{user} answered prompt {prompt}"),
        Reason::Default { why } => format!("by default: {}", default_long(*why)),
        Reason::Enforcer { why } => format!("the gate decided alone: {}", enforcer_long(*why)),
    };
    if entry.live { format!("{why}; it lived already, and was ended") } else { why }
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

/// The remote end of a prompt, with its port where that says something.
pub fn end(prompt: &Prompt) -> String {
    let has_port = prompt.direction == Direction::Out && has_ports(prompt.protocol);
    if has_port { prompt.remote.to_string() } else { prompt.remote.ip().to_string() }
}

/// The remote end of an entry, with its port where the protocol has ports; of ICMP what is in their place.
pub fn remote(entry: &Entry) -> String {
    let (kind, code) = (entry.local.port(), entry.remote.port());
    match entry.protocol {
        protocol if has_ports(protocol) => entry.remote.to_string(),
        protocol if is_icmp(protocol) => format!("{}, type {kind}, code {code}", entry.remote.ip()),
        _ => entry.remote.ip().to_string(),
    }
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
            let (protocol, remote) = (protocol(prompt.protocol), prompt.remote.ip());
            match (prompt.direction, has_ports(prompt.protocol)) {
                (Direction::Out, true) => format!("{}/{protocol}", prompt.remote),
                (Direction::Out, false) => format!("{protocol} to {remote}"),
                (Direction::In, true) => format!("port {}/{protocol} from {remote}", prompt.local.port()),
                (Direction::In, false) => format!("{protocol} from {remote}"),
            }
        }
        Target::Domain => match prompt.domain.as_deref() {
            Some(domain) => format!("{domain} and every name below it"),
            None => "its domain".to_owned(),
        },
        Target::Port => {
            let (protocol, port) = (protocol(prompt.protocol), prompt.local.port());
            match message(prompt.protocol, port) {
                Some(message) => format!("{protocol} {message}, whoever sends it"),
                None if has_ports(prompt.protocol) => format!("port {port}/{protocol}, whoever connects"),
                None => format!("{protocol}, whoever sends it"),
            }
        }
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
