//! One `[rule.ID]` table.

use super::reader::{Reader, Value};
use super::text::{self, excerpt};
use super::wrong::Wrong;
use super::{path, remote};
use crate::decision::RuleName;
use crate::model::{Action, Glob, Layer, Lifetime, Origin, PROTOCOLS, ProgramPattern, Remote, Rule};
use crate::ruleset::Environment;
use crate::when;
use jiff::Timestamp;
use std::ops::RangeInclusive;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};
use wire::request::Direction;

/// The keys of a rule.
pub const KEYS: [&str; 17] = [
    "action",
    "priority",
    "enabled",
    "program",
    "parent",
    "user",
    "command_line",
    "direction",
    "protocol",
    "remote",
    "local_port",
    "interface",
    "when",
    "for",
    "expires",
    "log",
    "note",
];
/// The keys of a program given as a table.
pub const PROGRAM_KEYS: [&str; 5] = ["path", "sha256", "publisher", "package", "service"];
/// The words of `action`.
pub const ACTIONS: [(&str, Action); 3] = [("permit", Action::Permit), ("block", Action::Block), ("ask", Action::Ask)];
/// The words of `direction`.
pub const DIRECTIONS: [(&str, Direction); 2] = [("out", Direction::OUTBOUND), ("in", Direction::INBOUND)];

/// The lowest and the highest priority.
pub const PRIORITIES: RangeInclusive<i64> = -1_000_000..=1_000_000;
/// How many alternatives one condition may list.
pub const MAX_ALTERNATIVES: usize = 10_000;
/// The longest pattern for a user, a command line, a publisher and such, in bytes.
pub const MAX_PATTERN: usize = 1024;
/// The longest note, in bytes.
pub const MAX_NOTE: usize = 4096;

/// A rule, and where the parts stand that are checked when all files are known.
#[derive(Debug)]
pub struct Parsed {
    /// The rule.
    pub rule: Rule,
    /// Where its id stands, in bytes.
    pub at: usize,
    /// The sets that it names, and where.
    pub sets: Vec<(Arc<str>, usize)>,
}

/// Reads a rule. `None` when it makes no sense at all; what is wrong is noted in any case. In a file that is not whole, a
/// missing key may be one that could not be read.
pub fn rule(
    reader: &mut Reader<'_>,
    environment: &Environment,
    (layer, id, at): (Layer, &str, usize),
    table: &DeTable<'_>,
    is_whole: bool,
) -> Parsed {
    let mut lifetime = None;
    let mut sets = Vec::new();
    let mut rule = Rule {
        name: RuleName { layer, id: id.into() },
        origin: Origin { file: reader.file.path.clone(), line: reader.line(at) },
        action: Action::Ask,
        priority: 0,
        enabled: true,
        expires: None,
        program: Vec::new(),
        parent: Vec::new(),
        user: Vec::new(),
        command_line: Vec::new(),
        direction: None,
        protocol: Vec::new(),
        remote: Vec::new(),
        local_port: Vec::new(),
        interface: Vec::new(),
        when: None,
        lifetime: Lifetime::Forever,
        log: true,
        note: None,
    };
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "action" => rule.action = reader.word("action", value, &ACTIONS).unwrap_or(rule.action),
            "priority" => {
                rule.priority = reader.number("priority", value, PRIORITIES).map_or(0, |number| number as i32)
            }
            "enabled" => rule.enabled = reader.flag("enabled", value).unwrap_or(true),
            "program" => rule.program = programs(reader, environment, "program", value),
            "parent" => rule.parent = programs(reader, environment, "parent", value),
            "user" => rule.user = globs(reader, "user", value),
            "command_line" => rule.command_line = globs(reader, "command_line", value),
            "direction" => rule.direction = reader.word("direction", value, &DIRECTIONS),
            "protocol" => rule.protocol = each(reader, "protocol", value, protocol),
            "remote" => rule.remote = remotes(reader, value, &mut sets),
            "local_port" => rule.local_port = each(reader, "local_port", value, local_port),
            "interface" => rule.interface = globs(reader, "interface", value),
            "when" => rule.when = expression(reader, value),
            "for" => lifetime = time_to_live(reader, value),
            "expires" => rule.expires = moment(reader, value),
            "log" => rule.log = reader.flag("log", value).unwrap_or(true),
            "note" => rule.note = reader.text("note", value, MAX_NOTE).map(Arc::from),
            _ => reader.unknown_key(key, &KEYS, "a rule"),
        }
    }
    if is_whole && !table.contains_key("action") {
        let wrong = Wrong::new(format!("the rule `{id}` has no action"));
        reader.wrong_at(at, wrong.help("`action` is \"permit\", \"block\" or \"ask\""));
    }
    rule.lifetime = lifetime.unwrap_or(match rule.action {
        Action::Ask => Lifetime::Process,
        Action::Permit | Action::Block => Lifetime::Forever,
    });
    Parsed { rule, at, sets }
}

fn each<T>(
    reader: &mut Reader<'_>,
    name: &str,
    value: &Value<'_>,
    read: fn(&mut Reader<'_>, &Value<'_>) -> Option<T>,
) -> Vec<T> {
    reader.list(name, value, MAX_ALTERNATIVES).into_iter().filter_map(|value| read(reader, value)).collect()
}

fn globs(reader: &mut Reader<'_>, name: &str, value: &Value<'_>) -> Vec<Glob> {
    let values = reader.list(name, value, MAX_ALTERNATIVES);
    values.into_iter().filter_map(|value| glob(reader, name, value)).collect()
}

fn glob(reader: &mut Reader<'_>, name: &str, value: &Value<'_>) -> Option<Glob> {
    reader.text(name, value, MAX_PATTERN).map(|text| Glob(text.into()))
}

fn programs(reader: &mut Reader<'_>, environment: &Environment, name: &str, value: &Value<'_>) -> Vec<ProgramPattern> {
    let values = reader.list(name, value, MAX_ALTERNATIVES);
    values.into_iter().filter_map(|value| program(reader, environment, name, value)).collect()
}

fn program(
    reader: &mut Reader<'_>,
    environment: &Environment,
    name: &str,
    value: &Value<'_>,
) -> Option<ProgramPattern> {
    let mut pattern = ProgramPattern::default();
    let path = |reader: &mut Reader<'_>, value: &Value<'_>| {
        let text = reader.text(name, value, path::MAX_PATH)?;
        reader.note(value, path::pattern(text, environment))
    };
    match value.get_ref() {
        DeValue::String(_) => pattern.path = Some(path(reader, value)?),
        DeValue::Table(table) => {
            for (key, value) in table {
                match key.get_ref().as_ref() {
                    "path" => pattern.path = path(reader, value),
                    "sha256" => pattern.sha256 = sha256(reader, value),
                    "publisher" => pattern.publisher = glob(reader, "publisher", value),
                    "package" => pattern.package = glob(reader, "package", value),
                    "service" => pattern.service = glob(reader, "service", value),
                    _ => reader.unknown_key(key, &PROGRAM_KEYS, "a program"),
                }
            }
            if table.is_empty() {
                let wrong = Wrong::new(format!("`{name}` is an empty table, which names no program"));
                reader.wrong(value, wrong.help(format!("give one of {}", PROGRAM_KEYS.join(", "))));
            }
        }
        _ => return reader.mismatch(name, value, "a string or a table, or a list of them"),
    }
    Some(pattern)
}

fn sha256(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Arc<str>> {
    let text = reader.text("sha256", value, MAX_PATTERN)?;
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        reader.wrong(value, Wrong::new(format!("`{}` is not a SHA-256", excerpt(text))).help("64 hexadecimal digits"));
        return None;
    }
    Some(text.to_ascii_lowercase().into())
}

fn protocol(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<u8> {
    match value.get_ref() {
        DeValue::String(_) => reader.word("protocol", value, &PROTOCOLS),
        DeValue::Integer(_) => reader.number("protocol", value, 0..=255).map(|number| number as u8),
        _ => reader.mismatch("protocol", value, "a name or a number, or a list of them"),
    }
}

fn local_port(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<RangeInclusive<u16>> {
    match value.get_ref() {
        DeValue::Integer(_) => reader.number("local_port", value, 1..=65_535).map(|port| port as u16..=port as u16),
        DeValue::String(text) => reader.note(value, text::ports(text)),
        _ => reader.mismatch("local_port", value, "a port or a range like \"8000-8999\", or a list of them"),
    }
}

fn remotes(reader: &mut Reader<'_>, value: &Value<'_>, sets: &mut Vec<(Arc<str>, usize)>) -> Vec<Remote> {
    let mut remotes = Vec::new();
    for value in reader.list("remote", value, MAX_ALTERNATIVES) {
        let DeValue::String(text) = value.get_ref() else {
            reader.mismatch::<()>("remote", value, "a string or a list of strings");
            continue;
        };
        let Some(remote) = reader.note(value, remote::remote(text)) else { continue };
        if let crate::model::Host::Set(name) = &remote.host {
            sets.push((name.clone(), value.span().start));
        }
        remotes.push(remote);
    }
    remotes
}

fn expression(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Arc<str>> {
    let text = reader.text("when", value, when::MAX_EXPRESSION)?;
    reader.note(value, when::check(text))?;
    Some(text.into())
}

fn time_to_live(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Lifetime> {
    let text = reader.text("for", value, MAX_PATTERN)?;
    reader.note(value, text::lifetime(text))
}

fn moment(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Timestamp> {
    const WANTED: &str = "a date with time and offset, without quotes: 2027-01-31T18:00:00Z";
    let Some(moment) = value.get_ref().as_datetime() else { return reader.mismatch("expires", value, WANTED) };
    if moment.date.is_none() || moment.time.is_none() || moment.offset.is_none() {
        reader.wrong(value, Wrong::new(format!("`expires` is not a moment: {moment}")).help(WANTED));
        return None;
    }
    let parsed = moment.to_string().parse::<Timestamp>();
    reader.note(value, parsed.map_err(|_| Wrong::new(format!("there is no moment {moment}")).help(WANTED)))
}
