//! Entries for other programs: JSON lines, OCSF, ECS, and syslog.
//!
//! * [`json`], [`ocsf`], [`ecs`], [`syslog`]: an entry in each form.
//! * [`target`]: files and sockets.
//! * [`exporter`]: sends continuously.
//!
//! Invariants: an entry becomes one line, whatever is in it; a form is of a pinned version, and adds fields only.
//! Neighbours: `tollgate log` prints and sends with it, the daemon sends with it; `docs/log.md` shows an example of each.

pub mod ecs;
pub mod exporter;
pub mod json;
pub mod ocsf;
pub mod syslog;
pub mod target;

pub use exporter::Exporter;
pub use target::Target;

use control::entry::{Confidence, DefaultWhy, Direction, EnforcerWhy, Entry, Reason, Verdict};
use rules::decision::RuleName;
use rules::model::{has_ports, icmp_name, is_icmp};
use serde_json::Value;
use std::env;
use std::fs;
use std::net::SocketAddr;

/// A form of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The entry itself, as JSON.
    Json,
    /// OCSF class 4001.
    Ocsf,
    /// Elastic Common Schema.
    Ecs,
    /// RFC 5424.
    Syslog,
}

/// Where entries come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The name of this machine, when it is known.
    pub host: Option<String>,
    /// The release.
    pub version: String,
    /// The process that exports.
    pub pid: u32,
    /// Who syslog messages are from.
    pub facility: syslog::Facility,
}

impl Origin {
    /// This process on this machine, as the system's environment or, where there is none, its files tell.
    pub fn here() -> Self {
        let host = env::var("COMPUTERNAME").ok().or_else(|| fs::read_to_string("/proc/sys/kernel/hostname").ok());
        Self {
            host: host.map(|host| host.trim().to_owned()).filter(|host| !host.is_empty()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            facility: syslog::Facility::LOCAL0,
        }
    }
}

impl Format {
    /// `entry` as one line, without its end.
    pub fn line(self, entry: &Entry, origin: &Origin) -> String {
        match self {
            Self::Json => json::line(entry),
            Self::Ocsf => ocsf::event(entry, origin).to_string(),
            Self::Ecs => ecs::event(entry, origin).to_string(),
            Self::Syslog => syslog::message(entry, origin),
        }
    }
}

/// One sentence about `entry`: what was decided about whom, and why.
pub fn sentence(entry: &Entry) -> String {
    let verdict = match entry.verdict {
        Verdict::Permit => "permitted",
        Verdict::Block if entry.live => "ended",
        Verdict::Block => "blocked",
    };
    let program = entry.identity.program.path.as_deref().unwrap_or("an unknown program");
    let late = if entry.in_force { "" } else { ", too late" };
    let (host, protocol) = (host(entry), protocol_text(entry.protocol));
    let way = match (entry.direction, has_ports(entry.protocol)) {
        (Direction::Out, true) => format!("to {}", place(entry)),
        (Direction::Out, false) => format!("to {host}"),
        (Direction::In, true) => format!("from {host} to port {}", entry.local.port()),
        (Direction::In, false) => format!("from {host}"),
    };
    let message = message(entry).map(|message| format!(" ({message})")).unwrap_or_default();
    format!("{verdict} {program} {way}/{protocol}{message} by {}{late}", because(entry))
}

/// The remote end as a person reads it: its name when there is one, else its address. Of what came in, the local port comes
/// first; ICMP is told by its message.
pub fn place(entry: &Entry) -> String {
    let (host, local) = (host(entry), entry.local.port());
    let message = message(entry);
    match (entry.direction, has_ports(entry.protocol), &entry.name) {
        (Direction::Out, true, Some(name)) => format!("{}:{}", name.text, entry.remote.port()),
        (Direction::Out, true, None) => entry.remote.to_string(),
        (Direction::In, true, _) => format!(":{local} from {host}"),
        (Direction::Out, false, _) => message.map_or_else(|| host.clone(), |message| format!("{host} {message}")),
        (Direction::In, false, _) => message.map_or_else(|| host.clone(), |message| format!("{message} from {host}")),
    }
}

/// The name of the remote end, else its address.
fn host(entry: &Entry) -> String {
    match &entry.name {
        Some(name) => name.text.to_string(),
        None => entry.remote.ip().to_string(),
    }
}

/// What an ICMP message is called.
fn message(entry: &Entry) -> Option<String> {
    let (protocol, kind) = (entry.protocol, entry.local.port());
    is_icmp(protocol).then(|| icmp_name(protocol, kind).map_or_else(|| format!("type {kind}"), str::to_owned))
}

/// A port, where the protocol has ports.
fn port(entry: &Entry, end: &SocketAddr) -> Option<u16> {
    has_ports(entry.protocol).then(|| end.port())
}

/// Who decided, in a few words.
pub fn because(entry: &Entry) -> String {
    let why = match &entry.reason {
        Reason::Rule { rule } => return rule.to_string(),
        Reason::Answer { user, .. } => format!("answer of {user}"),
        Reason::Default { why } => format!("default: {}", default_text(*why)),
        Reason::Enforcer { why } => format!("driver: {}", enforcer_text(*why)),
    };
    match &entry.asked_by {
        Some(rule) => format!("{why} ({rule})"),
        None => why,
    }
}

const fn default_text(why: DefaultWhy) -> &'static str {
    match why {
        DefaultWhy::Unmatched => "no rule",
        DefaultWhy::NoClient => "nobody to ask",
        DefaultWhy::TimedOut => "no answer in time",
        DefaultWhy::Snoozed => "snoozed",
        DefaultWhy::Learning => "learning",
        DefaultWhy::TooMany => "too many prompts",
        DefaultWhy::Stopping => "service ending",
        DefaultWhy::Unknown => "facts unknown",
    }
}

const fn enforcer_text(why: EnforcerWhy) -> &'static str {
    match why {
        EnforcerWhy::Cached => "remembered",
        EnforcerWhy::Fallback => "fallback",
        EnforcerWhy::Limit => "limit reached",
    }
}

/// The rule that an entry is about: the one that decided, else the one that asked.
fn rule(entry: &Entry) -> Option<&RuleName> {
    match &entry.reason {
        Reason::Rule { rule } => Some(rule),
        _ => entry.asked_by.as_ref(),
    }
}

/// A word for each kind of reason.
const fn reason_word(reason: &Reason) -> &'static str {
    match reason {
        Reason::Rule { .. } => "rule",
        Reason::Answer { .. } => "answer",
        Reason::Default { .. } => "default",
        Reason::Enforcer { .. } => "enforcer",
    }
}

const fn confidence_word(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Ambiguous => "ambiguous",
        Confidence::OtherProcess => "other_process",
        Confidence::OwnProcess => "own_process",
    }
}

/// IANA's keyword for a protocol in lower case, where a connection of it can be logged.
const fn protocol_name(protocol: u8) -> Option<&'static str> {
    Some(match protocol {
        1 => "icmp",
        2 => "igmp",
        6 => "tcp",
        17 => "udp",
        41 => "ipv6",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "ipv6-icmp",
        132 => "sctp",
        136 => "udplite",
        _ => return None,
    })
}

/// A protocol's name, else its number.
pub fn protocol_text(protocol: u8) -> String {
    protocol_name(protocol).map_or_else(|| protocol.to_string(), str::to_owned)
}

/// The last part of a path of any system.
pub fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().filter(|name| !name.is_empty()).unwrap_or(path)
}

/// Without what is null, or has nothing in it.
fn pruned(value: Value) -> Value {
    let is_something = |value: &Value| match value {
        Value::Null => false,
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().map(|(key, value)| (key, pruned(value)));
            Value::Object(kept.filter(|(_, value)| is_something(value)).collect())
        }
        value => value,
    }
}
