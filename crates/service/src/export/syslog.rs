//! RFC 5424 messages.
//!
//! `<PRI>1 TIME HOST tollgate PID PERMIT|BLOCK [tollgate@32473 ...] sentence`. The structured data has what the sentence
//! is made of, for programs. 32473 is the enterprise number that RFC 5612 sets aside for documentation: we have none of
//! our own, and a name without one would be IANA's to give (RFC 5424, 7.2). Invariants: no control characters; values are
//! cut at [`LONGEST`] characters, so that a message stays near the 2048 octets that every receiver takes (RFC 5426, 3.2).

use crate::export::{Origin, because, confidence_word, protocol_text, reason_word, rule, sentence};
use control::entry::{Direction, Entry, Verdict};
use std::str::FromStr;

/// The name of the structured data.
pub const SD_ID: &str = "tollgate@32473";

/// How many characters a value has at most.
const LONGEST: usize = 256;

/// Who a message is from, by the table of RFC 5424, 6.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Facility(u8);

impl Facility {
    /// `local0`.
    pub const LOCAL0: Self = Self(16);

    /// The names of all, in the order of their numbers.
    pub const NAMES: [&str; 24] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
        "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
    ];
}

/// There is no such facility.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no facility: it is one of {}", Facility::NAMES.join(", "))]
pub struct NoFacility;

impl FromStr for Facility {
    type Err = NoFacility;

    fn from_str(name: &str) -> Result<Self, NoFacility> {
        (0..).zip(Self::NAMES).find(|(_, known)| *known == name).map(|(number, _)| Self(number)).ok_or(NoFacility)
    }
}

/// Severities: a block is worth a notice.
const NOTICE: u8 = 5;
const INFORMATIONAL: u8 = 6;

/// `entry` as a message, without framing.
pub fn message(entry: &Entry, origin: &Origin) -> String {
    let (severity, kind) = match entry.verdict {
        Verdict::Permit => (INFORMATIONAL, "PERMIT"),
        Verdict::Block => (NOTICE, "BLOCK"),
    };
    let priority = origin.facility.0 * 8 + severity;
    // At most six digits of a second: RFC 5424, 6.
    let time = entry.time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ");
    let (host, pid) = (header(origin.host.as_deref()), origin.pid);
    let mut text = format!("<{priority}>1 {time} {host} tollgate {pid} {kind} ");
    data(&mut text, entry);
    text.push(' ');
    push(&mut text, &sentence(entry), usize::MAX, "");
    text
}

fn data(text: &mut String, entry: &Entry) {
    text.push('[');
    text.push_str(SD_ID);
    let identity = &entry.identity;
    let (program, user) = (&identity.program, identity.user.as_ref());
    let direction = match entry.direction {
        Direction::Out => "out",
        Direction::In => "in",
    };
    let mut add = |name: &str, value: Option<&str>| {
        let Some(value) = value else { return };
        text.push(' ');
        text.push_str(name);
        text.push_str("=\"");
        push(text, value, LONGEST, r#""\]"#);
        text.push('"');
    };
    add("id", Some(&entry.id.to_string()));
    add("reason", Some(reason_word(&entry.reason)));
    add("because", Some(&because(entry)));
    add("rule", rule(entry).map(ToString::to_string).as_deref());
    add("revision", Some(&entry.revision.0));
    add("inForce", (!entry.in_force).then_some("false"));
    add("direction", Some(direction));
    add("protocol", Some(&protocol_text(entry.protocol)));
    add("local", Some(&entry.local.to_string()));
    add("remote", Some(&entry.remote.to_string()));
    add("name", entry.name.as_ref().map(|name| &*name.text));
    add("confidence", entry.name.as_ref().map(|name| confidence_word(name.confidence)));
    add("pid", Some(&entry.pid.to_string()));
    add("program", program.path.as_deref());
    add("sha256", program.sha256.as_deref());
    add("publisher", program.publisher.as_deref());
    add("userId", user.map(|user| &*user.id));
    add("user", user.and_then(|user| user.name.as_deref()));
    add("heldMs", Some(&entry.held_ms.to_string()));
    text.push(']');
}

/// Appends at most `most` characters of `value`, with a `\` before each that is in `escaped`.
fn push(text: &mut String, value: &str, most: usize, escaped: &str) {
    for character in value.chars().take(most) {
        if escaped.contains(character) {
            text.push('\\');
        }
        text.push(if character.is_control() { char::REPLACEMENT_CHARACTER } else { character });
    }
}

/// A field of the header: printable ASCII, up to 255 characters; `-` when there is none.
fn header(value: Option<&str>) -> String {
    let text: String = value.unwrap_or_default().chars().filter(char::is_ascii_graphic).take(255).collect();
    if text.is_empty() { "-".to_owned() } else { text }
}
