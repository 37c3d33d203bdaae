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

#[cfg(test)]
mod tests {
    use super::*;

    /// As `resolvectl monitor --json=short` shows a lookup of www.example.com, an alias, but for its addresses. The first
    /// `raw` holds edge.example.net, A, IN, 60 s.
    const LOOKUP: &str = r#"{"parameters":{"state":"success",
        "question":[{"class":1,"type":1,"name":"WWW.example.com"},{"class":1,"type":28,"name":"www.example.com"}],
        "collectedQuestions":[{"class":1,"type":1,"name":"edge.example.net"}],
        "answer":[
          {"rr":{"key":{"class":1,"type":5,"name":"www.example.com"},"name":"edge.example.net"},"raw":"AAAB","ifindex":2},
          {"rr":{"key":{"class":1,"type":1,"name":"edge.example.net"},"address":[192,0,2,1]},
           "raw":"BGVkZ2UHZXhhbXBsZQNuZXQAAAEAAQAAADwABMAAAgE=","ifindex":2},
          {"rr":{"key":{"class":1,"type":28,"name":"edge.example.net"},
           "address":[32,1,13,184,0,0,0,0,0,0,0,0,0,0,0,1]},"raw":"!","ifindex":2}]},"continues":true}"#;

    #[test]
    fn a_lookup_gives_every_address_under_the_name_that_was_asked_for() {
        let answer = |address: &str, ttl: Option<u64>| Answer {
            pid: None,
            name: "www.example.com".to_owned(),
            address: address.parse().unwrap(),
            ttl: ttl.map(Duration::from_secs),
        };
        let expected = vec![answer("192.0.2.1", Some(60)), answer("2001:db8::1", None)];
        assert_eq!(parse(LOOKUP.as_bytes()), Message::Answers(expected));
    }

    #[test]
    fn what_has_no_addresses_gives_none() {
        for text in [
            r#"{"parameters":{"ready":true},"continues":true}"#,
            r#"{"parameters":{"state":"rcode-failure","rcode":3,"question":[{"class":1,"type":1,"name":"a.b"}]}}"#,
            r#"{"parameters":{"question":null,"answer":null}}"#,
            r#"{"parameters":{"question":[{"class":1,"type":1,"name":"a.b"}],
                "answer":[{"rr":{"key":{"class":1,"type":1,"name":"a.b"},"address":[1,2,3]}}]}}"#,
        ] {
            assert_eq!(parse(text.as_bytes()), Message::Answers(Vec::new()), "{text}");
        }
    }

    #[test]
    fn a_refusal_is_told_and_nonsense_is_seen_as_such() {
        let refusal = r#"{"error":"org.varlink.service.PermissionDenied","parameters":{}}"#;
        assert_eq!(parse(refusal.as_bytes()), Message::Error("org.varlink.service.PermissionDenied".to_owned()));
        for length in 0..LOOKUP.len() {
            assert_eq!(parse(&LOOKUP.as_bytes()[..length]), Message::Nonsense, "{length}");
        }
    }
}
