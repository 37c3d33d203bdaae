//! Small texts with a meaning: ids, lifetimes, protocols, ports, domain names.

use super::wrong::Wrong;
use crate::model::{LIFETIME_UNITS, Lifetime, PROTOCOLS};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest id and set name, in characters.
pub const MAX_ID: usize = 64;
/// The longest [`Lifetime::For`]: 366 days.
pub const MAX_LIFETIME: Duration = Duration::from_secs(366 * 86_400);
/// The longest domain name, RFC 1035 section 2.3.4, without the final dot.
pub const MAX_DOMAIN: usize = 253;
/// The longest label of a domain name.
pub const MAX_LABEL: usize = 63;

/// Checks the id of a rule or the name of a set: 1 to 64 letters, digits, `.`, `_` and `-`.
pub fn id(text: &str) -> Result<(), Wrong> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if text.is_empty() || text.len() > MAX_ID || !text.bytes().all(is_allowed) {
        let wrong = Wrong::new(format!("`{}` is not a name", excerpt(text)));
        return Err(wrong.help(format!("1 to {MAX_ID} letters, digits, `.`, `_` and `-`")));
    }
    Ok(())
}

/// The begin of a text, for messages.
pub fn excerpt(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().count() <= SHOWN { text.to_owned() } else { text.chars().take(SHOWN).chain(['…']).collect() }
}

/// `once`, `process`, `forever`, or a number with `s`, `m`, `h` or `d`.
pub fn lifetime(text: &str) -> Result<Lifetime, Wrong> {
    let fixed = [Lifetime::Once, Lifetime::Process, Lifetime::Forever];
    if let Some(fixed) = fixed.into_iter().find(|fixed| fixed.to_string() == text) {
        return Ok(fixed);
    }
    let wrong = || {
        let wrong = Wrong::new(format!("`{}` is not a time to live", excerpt(text)));
        let wrong = wrong.known(text, ["once", "process", "forever"]);
        let is_near = wrong.help.as_deref().is_some_and(|help| help.starts_with("did"));
        if is_near { wrong } else { wrong.help("`once`, `process`, `forever`, or a number with s, m, h or d: `8h`") }
    };
    let mut digits = text.chars();
    let unit = digits.next_back().ok_or_else(wrong)?;
    let (unit, _) = LIFETIME_UNITS.into_iter().find(|(_, name)| *name == unit).ok_or_else(wrong)?;
    let digits = digits.as_str();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let seconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match seconds.map(Duration::from_secs) {
        Some(duration) if !duration.is_zero() && duration <= MAX_LIFETIME => Ok(Lifetime::For(duration)),
        _ => Err(Wrong::new(format!("`{}` is out of range", excerpt(text))).help("from `1s` to `366d`")),
    }
}

/// The name of an IP protocol.
pub fn protocol(text: &str) -> Result<u8, Wrong> {
    let found = PROTOCOLS.iter().find(|(name, _)| *name == text);
    found.map(|(_, number)| *number).ok_or_else(|| {
        Wrong::new(format!("`{}` is not a protocol with a name here", excerpt(text)))
            .known(text, PROTOCOLS.iter().map(|(name, _)| *name))
    })
}

/// A port or a range of ports: `443`, `8000-8999`.
pub fn ports(text: &str) -> Result<RangeInclusive<u16>, Wrong> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let offset = if text.contains('-') { first.len() + 1 } else { 0 };
    let (first, last) = (port(first)?, port(last).map_err(|wrong| wrong.shift(offset))?);
    if first > last {
        let wrong = Wrong::new(format!("the ports `{text}` run backwards"));
        return Err(wrong.help(format!("`{last}-{first}`")));
    }
    Ok(first..=last)
}

fn port(text: &str) -> Result<u16, Wrong> {
    let number = if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().unwrap_or(0) } else { 0 };
    if number == 0 {
        let wrong = Wrong::new(format!("`{}` is not a port", excerpt(text)));
        return Err(wrong.help("1 to 65535, or a range: `8000-8999`"));
    }
    Ok(number)
}

/// A domain name as it is kept: lower case, no final dot.
pub fn domain(text: &str) -> Result<String, Wrong> {
    let wrong = |what: &str| Wrong::new(format!("`{}` is not a domain name: {what}", excerpt(text)));
    let name = text.strip_suffix('.').unwrap_or(text);
    let name = if name.is_ascii() {
        name.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii(name).map_err(|_| wrong("its letters have no form in the name system"))?
    };
    if name.is_empty() || name.len() > MAX_DOMAIN {
        return Err(wrong("it has 1 to 253 characters"));
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err(wrong("there is nothing between two dots"));
        }
        if label.len() > MAX_LABEL {
            return Err(wrong("there are at most 63 characters between dots"));
        }
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if let Some(odd) = label.bytes().find(|byte| !is_allowed(*byte)) {
            let wrong = wrong(&format!("`{}` does not occur in one", char::from(odd)));
            return Err(if name.starts_with("*.") {
                wrong.help(format!("`{}` means the name and every name below it", &name[1..]))
            } else {
                wrong
            });
        }
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("it ends with a number, but it is not an IP address either"));
    }
    Ok(name)
}
