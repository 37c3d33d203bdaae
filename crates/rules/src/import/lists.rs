//! Host files, and lists of names, addresses, prefixes and ranges.
//!
//! Invariants: a line is taken as a whole or left out and named. Neighbours: `opensnitch` refers to such lists, too.

use super::draft::{Draft, slug};
use super::{ImportError, Input, MAX_ENTRIES, Output};
use ipnet::IpNet;
use std::net::IpAddr;

/// Names that host files give to this machine.
const OWN_NAMES: &[&str] = &["localhost", "localhost.localdomain", "local", "broadcasthost"];

/// Imports lists: one set and one rule that blocks each.
pub fn import(inputs: &[Input<'_>], output: &mut Output<'_>) -> Result<(), ImportError> {
    output.origin = "lists of hosts";
    for input in inputs {
        let text = std::str::from_utf8(input.bytes).map_err(|error| ImportError::Malformed {
            name: input.name.to_owned(),
            why: format!("not text: {error}"),
        })?;
        let mut all = Vec::new();
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            match entries(line) {
                Some(entries) => all.extend(entries),
                None => output.skip(
                    format!("{}:{}", input.name, number + 1),
                    format!("no name, address, prefix or range: {:?}", line.chars().take(60).collect::<String>()),
                ),
            }
            if all.len() > MAX_ENTRIES {
                let name = input.name.to_owned();
                return Err(ImportError::TooMany { name, what: "entries", most: MAX_ENTRIES });
            }
        }
        all.sort();
        all.dedup();
        if all.is_empty() {
            let why = "it has no name, address, prefix or range in it".to_owned();
            return Err(ImportError::Malformed { name: input.name.to_owned(), why });
        }
        let stem = if inputs.len() == 1 { output.target.name.clone() } else { slug(stem(input.name)) };
        let set = output.set(&stem, &all);
        output.rule(Draft { id: set.clone(), action: "block", remote: vec![format!("@{set}")], ..Draft::default() })?;
    }
    Ok(())
}

/// The name of a file without its folders and its end.
fn stem(name: &str) -> &str {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    file.split('.').next().unwrap_or(file)
}

/// The entries of one line: none for a comment or an own name; `None` when it cannot be understood.
pub fn entries(line: &str) -> Option<Vec<String>> {
    let line = line.split(['#', ';']).next().unwrap_or_default().trim();
    if line.is_empty() || line.starts_with('!') {
        return Some(Vec::new());
    }
    let mut words = line.split_whitespace();
    let first = words.next()?;
    let names: Vec<&str> = words.collect();
    if names.is_empty() {
        return Some(vec![entry(first)?]);
    }
    // A host file: an address that leads nowhere, and the names that are sent there.
    let address = first.parse::<IpAddr>().ok()?;
    if OWN_NAMES.iter().any(|own| names.contains(own)) || names.iter().all(|name| name.starts_with("ip6-")) {
        return Some(Vec::new());
    }
    if !address.is_unspecified() && !address.is_loopback() {
        return None;
    }
    names.into_iter().map(name).collect()
}

/// One entry in canonical form.
fn entry(word: &str) -> Option<String> {
    if let Ok(address) = word.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    if let Ok(net) = word.parse::<IpNet>() {
        return Some(net.trunc().to_string());
    }
    if let Some((low, high)) = word.split_once('-')
        && let (Ok(low), Ok(high)) = (low.parse::<IpAddr>(), high.parse::<IpAddr>())
    {
        return (low.is_ipv4() == high.is_ipv4() && low <= high).then(|| format!("{low}-{high}"));
    }
    // The form of lists for browsers: the name and all below it.
    let below = word.strip_prefix("||").and_then(|word| word.strip_suffix('^')).or_else(|| word.strip_prefix("*."));
    match below.or_else(|| word.strip_prefix('.')) {
        Some(below) if !word.starts_with("*.") => name(below).map(|name| format!(".{name}")),
        // Everything below a name but not itself: we have no way to say that.
        Some(_) => None,
        None => name(word),
    }
}

/// A domain name in canonical form: lower case, no final dot. Addresses and single words are no such names.
pub fn name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let labels: Vec<&str> = name.split('.').collect();
    let numeric = labels.last().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    (name.len() <= 253 && labels.len() >= 2 && !numeric && labels.into_iter().all(label)).then_some(name)
}
