//! Little Snitch's rule groups: `.lsrules`.
//!
//! What they mean: <https://help.obdev.at/littlesnitch5/ref-lsrules-file-format>. Of the rules that match, one with high
//! priority wins, then the one with the more specific server, then the more specific process
//! (<https://help.obdev.at/littlesnitch5/ref-rule-precedence>). We sort by the same and give each rank a priority of its
//! own; where their order goes on to compare lists, ours has what blocks first.
//!
//! Invariants: a rule with a key that we do not know may have a condition that we do not know, and is left out.

use super::draft::{Draft, slug};
use super::{ImportError, Input, MAX_ENTRIES, Output, lists};
use ipnet::IpNet;
use serde_json::{Map, Value};
use std::net::IpAddr;

/// Keys that say nothing about what a rule matches.
const IGNORED: &[&str] = &["notes", "creationDate", "modificationDate", "origin", "approved", "uid", "help"];

/// How a rule compares with others: smaller wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    regular: bool,
    server: u8,
    process: u8,
    any_port: bool,
    any_protocol: bool,
    permits: bool,
}

/// Imports rule groups.
pub fn import(inputs: &[Input<'_>], output: &mut Output<'_>) -> Result<(), ImportError> {
    output.origin = "Little Snitch's rules";
    let mut ranked = Vec::new();
    for input in inputs {
        let malformed = |why: String| ImportError::Malformed { name: input.name.to_owned(), why };
        let group: Value = serde_json::from_slice(input.bytes).map_err(|error| malformed(error.to_string()))?;
        let group = group.as_object().ok_or_else(|| malformed("a rule group is a JSON object".to_owned()))?;
        let name = group.get("name").and_then(Value::as_str).unwrap_or(input.name);
        let rules = match group.get("rules") {
            None => &[][..],
            Some(rules) => rules.as_array().ok_or_else(|| malformed("`rules` is not a list".to_owned()))?,
        };
        for (number, rule) in rules.iter().enumerate() {
            let title = format!("{name}: rule {}", number + 1);
            match translate(rule, &title, output) {
                Ok((rank, draft)) => ranked.push((rank, draft)),
                Err(why) => {
                    let blocks = rule.get("action").and_then(Value::as_str) != Some("allow");
                    let lost = if blocks { "; what it blocked or asked about is no longer" } else { "" };
                    output.skip(title, format!("{why}{lost}"));
                }
            }
        }
        ranked.extend(denied(group, name, output)?);
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    let mut ranks: Vec<Rank> = ranked.iter().map(|(rank, _)| *rank).collect();
    ranks.dedup();
    for (rank, draft) in ranked {
        let priority = ranks.binary_search(&rank).ok().and_then(|place| i32::try_from(place).ok()).unwrap_or_default();
        output.rule(Draft { priority, ..draft })?;
    }
    Ok(())
}

/// The short form of lists of what is denied.
fn denied(group: &Map<String, Value>, name: &str, output: &mut Output<'_>) -> Result<Vec<(Rank, Draft)>, ImportError> {
    type Entry = fn(&str) -> Option<String>;
    let kinds: [(&str, u8, Entry); 3] = [
        ("denied-remote-addresses", 0, address),
        ("denied-remote-hosts", 1, lists::name),
        ("denied-remote-domains", 2, |name| lists::name(name).map(|name| format!(".{name}"))),
    ];
    let mut drafts = Vec::new();
    for (key, server, entry) in kinds {
        let mut entries = Vec::new();
        let given = group.get(key).map(strings).unwrap_or_default();
        if given.len() > MAX_ENTRIES {
            return Err(ImportError::TooMany { name: name.to_owned(), what: "entries", most: MAX_ENTRIES });
        }
        for text in given {
            match entry(&text) {
                Some(entry) => entries.push(entry),
                None => output.skip(format!("{name}: {key}: {text}"), "not understood"),
            }
        }
        entries.sort();
        entries.dedup();
        if entries.is_empty() {
            continue;
        }
        let set = output.set(&format!("{}-{key}", slug(name)), &entries);
        let rank = Rank { regular: true, server, process: 2, any_port: true, any_protocol: true, permits: false };
        let remote = vec![format!("@{set}")];
        drafts.push((rank, Draft { id: set, action: "block", direction: Some("out"), remote, ..Draft::default() }));
    }
    Ok(drafts)
}

fn translate(rule: &Value, title: &str, output: &mut Output<'_>) -> Result<(Rank, Draft), String> {
    let mut keys = rule.as_object().ok_or("it is not a JSON object")?.clone();
    let mut text = |key: &str| match keys.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(format!("`{key}` is not text")),
    };
    let action = match text("action")?.as_deref() {
        Some("allow") => "permit",
        Some("deny") => "block",
        Some("ask") => "ask",
        other => return Err(format!("there is no action {other:?}")),
    };
    let direction = match text("direction")?.as_deref() {
        None | Some("outgoing") => "out",
        Some("incoming") => "in",
        Some(other) => return Err(format!("there is no direction {other:?}")),
    };
    let regular = match text("priority")?.as_deref() {
        None | Some("regular") => true,
        Some("high") => false,
        Some(other) => return Err(format!("there is no priority {other:?}")),
    };
    let protocol = text("protocol")?.filter(|protocol| protocol != "any");
    let ports = text("ports")?.filter(|ports| ports != "any").map(|text| ports(&text)).transpose()?;
    let process = text("process")?.filter(|process| process != "any");
    let via = text("via")?.filter(|via| via != "any");
    let special = text("remote")?;
    let notes = text("notes")?.filter(|notes| !notes.trim().is_empty());
    let disabled = match keys.remove("disabled") {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(_) => return Err("`disabled` is neither true nor false".to_owned()),
    };
    let (server, hosts) = hosts(&mut keys, special.as_deref())?;
    if let Some(key) = keys.keys().find(|key| !IGNORED.contains(&key.as_str())) {
        return Err(format!("we do not know the key {key:?}"));
    }
    let rank = Rank {
        regular,
        server,
        process: if via.is_some() { 0 } else { 1 + u8::from(process.is_none()) },
        any_port: ports.is_none(),
        any_protocol: protocol.is_none(),
        permits: action == "permit",
    };
    let mut draft =
        Draft { id: slug(title), action, disabled, direction: Some(direction), note: notes, ..Draft::default() };
    (draft.program, draft.parent) = match (process, via) {
        (None, None) => (Vec::new(), Vec::new()),
        (Some(process), None) => (vec![path(&process)?], Vec::new()),
        (process, Some(via)) => {
            if action != "permit" {
                return Err("it is about any ancestor of a process, and we know the parent only".to_owned());
            }
            output.note(format!("{title}: permits for a parent only, where Little Snitch looks at all ancestors"));
            (vec![path(&via)?], process.as_deref().map(path).transpose()?.into_iter().collect())
        }
    };
    draft.protocol = protocol.map(|name| protocol_name(&name)).transpose()?.into_iter().collect();
    // What answers at a port of this machine has that as its local port.
    draft.remote = match ports {
        None => hosts,
        Some(ports) if direction == "in" => {
            draft.local_port = ports;
            hosts
        }
        Some(ports) if hosts.is_empty() => ports.iter().map(|port| format!(":{port}")).collect(),
        Some(ports) => hosts.iter().flat_map(|host| ports.iter().map(move |port| with_port(host, port))).collect(),
    };
    Ok((rank, draft))
}

/// The rank of the server, and the remote ends.
fn hosts(keys: &mut Map<String, Value>, special: Option<&str>) -> Result<(u8, Vec<String>), String> {
    type Entry = fn(&str) -> Option<String>;
    let kinds: [(&str, u8, Entry); 3] = [
        ("remote-addresses", 0, address),
        ("remote-hosts", 1, lists::name),
        ("remote-domains", 2, |name| lists::name(name).map(|name| format!(".{name}"))),
    ];
    let mut found = None;
    for (key, rank, entry) in kinds {
        let Some(value) = keys.remove(key) else { continue };
        if found.is_some() {
            return Err("it has two conditions on the server".to_owned());
        }
        let entries: Option<Vec<String>> = strings(&value).iter().map(|text| entry(text)).collect();
        let entries =
            entries.filter(|entries| !entries.is_empty()).ok_or_else(|| format!("`{key}` is not understood"))?;
        found = Some((rank, entries));
    }
    match (found, special) {
        (None, None | Some("any")) => Ok((8, Vec::new())),
        (None, Some("multicast")) => Ok((5, vec!["224.0.0.0/4".to_owned(), "ff00::/8".to_owned()])),
        (None, Some(special)) => {
            Err(format!("what `{special}` is depends on the network it is in, and we have no such set"))
        }
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => Err("it has two conditions on the server".to_owned()),
    }
}

/// A text, a text of several with commas, or a list of texts.
fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
        Value::Array(values) => {
            values.iter().map(|value| value.as_str().unwrap_or_default().trim().to_owned()).collect()
        }
        _ => vec![String::new()],
    }
}

fn address(text: &str) -> Option<String> {
    if let Some((low, high)) = text.split_once('-') {
        let (low, high) = (low.trim().parse::<IpAddr>().ok()?, high.trim().parse::<IpAddr>().ok()?);
        return (low.is_ipv4() == high.is_ipv4() && low <= high).then(|| format!("{low}-{high}"));
    }
    let address = text.parse::<IpAddr>().ok().map(|address| address.to_string());
    address.or_else(|| text.parse::<IpNet>().ok().map(|net| net.trunc().to_string()))
}

fn with_port(host: &str, port: &str) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn ports(text: &str) -> Result<Vec<String>, String> {
    let bad = || format!("{text:?} is no port");
    let one = |part: &str| {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (low, high): (u16, u16) = low.trim().parse().ok().zip(high.trim().parse().ok())?;
        match low.cmp(&high) {
            _ if low == 0 => None,
            std::cmp::Ordering::Less => Some(format!("{low}-{high}")),
            std::cmp::Ordering::Equal => Some(low.to_string()),
            std::cmp::Ordering::Greater => None,
        }
    };
    text.split(',').map(one).collect::<Option<Vec<_>>>().ok_or_else(bad)
}

fn protocol_name(name: &str) -> Result<String, String> {
    match name.to_ascii_lowercase().as_str() {
        name @ ("tcp" | "udp" | "icmp" | "icmpv6") => Ok(name.to_owned()),
        number if number.parse::<u8>().is_ok() => Ok(number.to_owned()),
        other => Err(format!("there is no protocol {other:?}")),
    }
}

/// A full path without anything that our patterns would read.
fn path(text: &str) -> Result<String, String> {
    let plain = text.starts_with('/') && !text.contains(['*', '?', '[', ']', '{', '}', '\\']);
    plain.then(|| text.to_owned()).ok_or_else(|| format!("{text:?} is not the full path of a program"))
}
