//! What systemd-resolved tells its monitor (`varlinkctl introspect`, interface `io.systemd.Resolve.Monitor`; the
//! encoding is varlink.org's: JSON objects, each followed by NUL).
//!
//! An object tells one lookup: the questions, and the records that answered them, aliases included. A record comes twice:
//! in fields, and as bytes of the DNS (RFC 1035 section 3.2.1), which alone hold its time to live.
//!
//! Invariants: a message that makes no sense gives no answers; none is longer than [`MAX_MESSAGE`]. Neighbours:
//! `linux::names` reads the socket.

use super::{Answer, normal};
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Where the monitor listens.
pub(crate) const SOCKET: &str = "/run/systemd/resolve/io.systemd.Resolve.Monitor";
/// What asks for every lookup from now on.
pub(crate) const SUBSCRIBE: &[u8] =
    b"{\"method\":\"io.systemd.Resolve.Monitor.SubscribeQueryResults\",\"parameters\":{},\"more\":true}\0";
/// The longest message, in bytes. One lookup has some records of at most 64 KiB, written in two ways.
pub(crate) const MAX_MESSAGE: usize = 1 << 20;

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;

/// What one message says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// These names have these addresses; often none.
    Answers(Vec<Answer>),
    /// The resolver refused.
    Error(String),
    /// Nothing that makes sense.
    Nonsense,
}

#[derive(Deserialize)]
struct Reply {
    error: Option<String>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
struct Parameters {
    #[serde(default)]
    question: Option<Vec<Key>>,
    #[serde(default)]
    answer: Option<Vec<Record>>,
}

#[derive(Deserialize)]
struct Key {
    class: u16,
    #[serde(rename = "type")]
    kind: u16,
    name: String,
}

#[derive(Deserialize)]
struct Record {
    rr: Option<Fields>,
    raw: Option<String>,
}

#[derive(Deserialize)]
struct Fields {
    key: Key,
    address: Option<Vec<u8>>,
}

/// Reads one message, without its NUL.
pub(crate) fn parse(message: &[u8]) -> Message {
    let Ok(reply) = serde_json::from_slice::<Reply>(message) else { return Message::Nonsense };
    if let Some(error) = reply.error {
        return Message::Error(error);
    }
    let questions = reply.parameters.question.unwrap_or_default();
    // All questions of one lookup are for one name, in several types.
    let Some(name) = questions.first().and_then(|key| normal(&key.name)) else { return Message::Answers(Vec::new()) };
    let records = reply.parameters.answer.unwrap_or_default();
    let answers = records.into_iter().filter_map(|record| {
        let address = address(record.rr?)?;
        let ttl = record.raw.as_deref().and_then(time_to_live);
        Some(Answer { pid: None, name: name.clone(), address, ttl })
    });
    Message::Answers(answers.collect())
}

fn address(record: Fields) -> Option<IpAddr> {
    let bytes = record.address?;
    match (record.key.class, record.key.kind) {
        (CLASS_IN, TYPE_A) => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        (CLASS_IN, TYPE_AAAA) => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

/// The field TTL of a record: after its owner's labels, type and class.
fn time_to_live(raw: &str) -> Option<Duration> {
    let bytes = base64(raw)?;
    let mut rest = bytes.as_slice();
    loop {
        let (length, after) = rest.split_first()?;
        match length {
            0 => {
                let ttl = after.get(4..8)?;
                return Some(Duration::from_secs(u32::from_be_bytes(ttl.try_into().ok()?).into()));
            }
            1..=63 => rest = after.get(usize::from(*length)..)?,
            // A pointer: there is nothing before this record to point to.
            _ => return None,
        }
    }
}

/// RFC 4648 section 4.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for c in text.trim_end_matches('=').bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(bits.wrapping_shr(held).to_le_bytes()[0]);
        }
    }
    Some(bytes)
}
