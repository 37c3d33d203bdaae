//! A prompt as a person reads it.
//!
//! Invariants: what others wrote is escaped before it is shown, and cut: a command line has no end. Neighbours:
//! `conversation` says these.

use super::language::offered_target;
use crate::output::line::printable;
use control::entry::{Confidence, Direction};
use control::prompt::{Answer, Closed, Hold, Prompt, Target};
use jiff::Timestamp;
use rules::facts::User;
use rules::model::{has_ports, icmp_name, is_icmp, protocol_name};

/// How much of a text that others wrote is shown, in characters.
const SHOWN: usize = 200;

/// A prompt, line by line.
pub fn prompt(prompt: &Prompt, now: Timestamp) -> Vec<String> {
    let identity = &prompt.identity;
    let program = identity.program.path.as_deref().map_or("a program that is not known".to_owned(), shown);
    let user = identity.user.as_ref().map_or_else(|| "an unknown user".to_owned(), user);
    let wants = wants(prompt, &program);
    let mut lines = vec![format!("prompt {}: {wants}", prompt.id), format!("  process    {} of {user}", prompt.pid)];
    let mut fact = |name: &str, value: Option<String>| {
        lines.extend(value.map(|value| format!("  {name:<10} {value}")));
    };
    fact("signed by", identity.program.publisher.as_deref().map(shown));
    fact("service", identity.program.service.as_deref().map(shown));
    fact("package", identity.program.package.as_deref().map(shown));
    fact("started by", identity.parent.as_ref().and_then(|parent| parent.path.as_deref()).map(shown));
    fact("as", identity.command_line.as_deref().map(shown));
    fact("name", prompt.name.as_ref().map(|name| format!("{}, {}", shown(&name.text), sure(name.confidence))));
    fact("asked by", prompt.asked_by.as_ref().map(|rule| format!("the rule {rule}")));
    fact(
        "places",
        prompt.many.then(|| {
            match prompt.direction {
                Direction::Out => "it connects to many others, too; only `e` covers them all",
                Direction::In => "others reach it on many more ports; only `e` covers them all",
            }
            .to_owned()
        }),
    );
    fact("waiting", Some(waiting(prompt, now)));
    lines.push(format!("  offered    {}", offer(prompt)));
    lines
}

/// Who wants to reach whom, and how.
fn wants(prompt: &Prompt, program: &str) -> String {
    let (protocol, remote) = (protocol(prompt), remote(prompt));
    let sent =
        match is_icmp(prompt.protocol) {
            true => {
                let kind = prompt.local.port();
                let name = icmp_name(prompt.protocol, kind);
                Some(name.map_or_else(
                    || format!("an {protocol} message of type {kind}"),
                    |name| format!("{protocol} {name}"),
                ))
            }
            false => (!has_ports(prompt.protocol)).then_some(protocol.clone()),
        };
    match (prompt.direction, sent) {
        (Direction::Out, None) => format!("{program} wants to connect to {remote} ({protocol})"),
        (Direction::Out, Some(sent)) => format!("{program} wants to send {sent} to {remote}"),
        (Direction::In, None) => {
            format!("{remote} wants to reach {program} on port {} ({protocol})", prompt.local.port())
        }
        (Direction::In, Some(sent)) => format!("{remote} wants to send {sent} to {program}"),
    }
}

/// How many wait, for how long yet, and what happens then.
pub fn waiting(prompt: &Prompt, now: Timestamp) -> String {
    let connections = match prompt.waiting {
        0 => return "nobody any more; an answer holds for the next attempt".to_owned(),
        1 => "1 connection".to_owned(),
        more => format!("{more} connections"),
    };
    let then = prompt.default;
    match prompt.deadline {
        Some(deadline) => format!("{connections}; in {}: {then}", time(seconds_left(deadline, now))),
        None => connections,
    }
}

/// Whole seconds until `deadline`, rounded up; none when it has passed.
pub fn seconds_left(deadline: Timestamp, now: Timestamp) -> u64 {
    let left = deadline.duration_since(now).as_millis();
    u64::try_from(left.max(0)).unwrap_or(0).div_ceil(1_000)
}

/// What an answer says.
pub fn answer(answer: &Answer) -> String {
    format!("{} {}, {}", answer.verdict, target(answer.target), hold(answer.hold))
}

fn target(target: Target) -> &'static str {
    match target {
        Target::Remote => "this address and port",
        Target::Port => "this port of ours, whoever connects",
        Target::Domain => "this domain",
        Target::Everything => "everything of this program",
    }
}

/// What became of a prompt.
pub fn closed(closed: &Closed) -> String {
    match closed {
        Closed::Answered { user, verdict } => format!("{} answered: {verdict}", shown(user)),
        Closed::Expired => "nobody answered".to_owned(),
        Closed::Ruled => "rules decide it now".to_owned(),
    }
}

fn offer(prompt: &Prompt) -> String {
    let target = match offered_target(prompt) {
        Target::Remote if !has_ports(prompt.protocol) => "this address and protocol",
        offered => target(offered),
    };
    format!("`p` or `b` is for {target}, {}", hold(prompt.offer))
}

fn hold(hold: Hold) -> String {
    match hold {
        Hold::Once => "once".to_owned(),
        Hold::Process => "while the process runs".to_owned(),
        Hold::Duration { seconds } => format!("for {}", time(seconds.into())),
        Hold::Forever => "forever".to_owned(),
    }
}

fn remote(prompt: &Prompt) -> String {
    let address = match prompt.direction {
        Direction::Out if has_ports(prompt.protocol) => prompt.remote.to_string(),
        _ => prompt.remote.ip().to_string(),
    };
    match &prompt.name {
        Some(name) => format!("{} at {address}", shown(&name.text)),
        None => address,
    }
}

fn protocol(prompt: &Prompt) -> String {
    protocol_name(prompt.protocol).map_or_else(|| format!("protocol {}", prompt.protocol), str::to_owned)
}

fn user(user: &User) -> String {
    shown(user.name.as_deref().unwrap_or(&user.id))
}

fn sure(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::OwnProcess => "which this process looked up",
        Confidence::OtherProcess => "which another process looked up",
        Confidence::Ambiguous => "or another name of that address: a guess",
    }
}

fn time(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", printable(&text[..end])),
        None => printable(text),
    }
}
