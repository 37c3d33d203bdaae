//! An answer for ever, as a rule in the `user` layer.
//!
//! The rule is appended to the text of [`FILE`], which people may edit: comments, order and spelling of everything else
//! stay. A program with a trusted signature is named by publisher and file name, so that its next release, in another
//! folder perhaps, is the same program; any other by its path. Where a rule of the `user` layer asks, the new one comes
//! just before it.
//!
//! Invariants: text in, text out; nothing is written that would not decide the connection it was made for: each rule is
//! compiled and asked first; rules for the same connections are one rule, and the last word counts. Neighbours: the daemon
//! keeps the file and puts it in force.

use super::answers::Kept;
use super::coverage::Aim;
use super::waiting::Waiting;
use crate::connection::Protocol;
use control::entry::{Direction, Name, Verdict};
use jiff::Timestamp;
use rules::decision::Judgement;
use rules::facts::Flow;
use rules::model::{Action, Host, Layer, Remote, is_icmp, protocol_name};
use rules::ruleset::{Environment, PathStyle, Ruleset};
use rules::source::SourceFile;
use std::net::IpAddr;
use std::sync::Arc;
use toml_edit::{DocumentMut, InlineTable, Item, Table, Value};

/// The file, in the directory of rules.
pub const FILE: &str = "user/answers.toml";

/// The longest file that is appended to, in bytes.
pub const MAX_FILE: usize = 8 << 20;

/// The lowest priority there is.
const LOWEST: i32 = -1_000_000;

/// An answer for ever: what a rule is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Forever {
    /// What it covers and what it says.
    pub kept: Kept,
    /// The connection that the person was shown.
    pub asked: Waiting<()>,
    /// Why, in the person's words.
    pub note: Option<String>,
}

/// A file with the rule in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The file's new text.
    pub text: String,
    /// The id of the rule.
    pub id: String,
}

/// Why there is no rule.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The file does not parse.
    #[error("the file {0} does not parse; correct it, then answer again: {1}")]
    Damaged(&'static str, #[source] toml_edit::TomlError),
    /// In the file `rule` is something else.
    #[error("in the file {0} `rule` is not a table of rules; correct it, then answer again")]
    Shape(&'static str),
    /// The file is full.
    #[error("the file {0} has more than {MAX_FILE} bytes; move rules to another file, then answer again")]
    Full(&'static str),
    /// Nothing comes before the rule that asks.
    #[error("the rule that asks has the lowest priority there is, {LOWEST}, so no rule comes before it; raise it")]
    NoRoom,
    /// The port is zero.
    #[error("no rule can name port 0")]
    NoPort,
    /// It would decide something else.
    #[error("a rule for this program and remote would not decide this connection; write one by hand")]
    DoesNotDecide,
}

/// Adds the rule of an answer to the text of [`FILE`].
///
/// `asking` is the priority of the rule that asked, when that is in the `user` layer. `is_taken` tells the ids of that
/// layer's rules, in all files.
pub fn add(
    text: &str,
    forever: &Forever,
    asking: Option<i32>,
    environment: &Environment,
    is_taken: impl Fn(&str) -> bool,
) -> Result<Added, RuleError> {
    if text.len() > MAX_FILE {
        return Err(RuleError::Full(FILE));
    }
    let priority = match asking {
        Some(LOWEST) => return Err(RuleError::NoRoom),
        Some(asking) => asking - 1,
        None => 0,
    };
    let terms = Terms::of(&forever.kept, forever.asked.protocol)?;
    let mut table = terms.table(forever.kept.verdict, priority, environment.paths);
    table.insert("note", note(forever).into());
    let mut document = parse(FILE, text)?;
    let rules = rules(FILE, &mut document)?;
    let there = rules.iter().find(|(_, rule)| is_for_the_same(rule, &table)).map(|(id, _)| id.to_owned());
    if let Some(id) = there {
        if let Some(rule) = rules.get_mut(&id).and_then(Item::as_table_like_mut)
            && rule.get("action").and_then(Item::as_str) != table.get("action").and_then(Item::as_str)
        {
            for key in ["action", "note"] {
                rule.insert(key, table.get(key).cloned().unwrap_or_default());
            }
        }
        return Ok(Added { text: document.to_string(), id });
    }
    let id = unique(&terms.slug(environment.paths), |id| rules.contains_key(id) || is_taken(id));
    check(&id, &table, forever, environment)?;
    rules.insert(&id, Item::Table(table));
    Ok(Added { text: finish(document, "# Answers given for ever. This file is yours to edit, too.\n"), id })
}

/// What a rule says, its action and note excepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub user: Arc<str>,
    pub program: Arc<str>,
    pub publisher: Option<Arc<str>>,
    pub direction: Direction,
    pub host: Option<Host>,
    /// The remote port, or the local one when [`Direction::In`].
    pub port: Option<u16>,
    pub protocol: Option<u8>,
    /// The type of an ICMP message.
    pub icmp: Option<u16>,
}

impl Terms {
    fn of(kept: &Kept, protocol: u8) -> Result<Self, RuleError> {
        let (host, port, protocol) = match &kept.aim {
            Aim::Everything => (None, None, None),
            Aim::Domain(domain) => (Some(Host::DomainTree(domain.clone())), None, None),
            Aim::Remote { end, .. } => {
                let port = port(protocol, end.port())?;
                (Some(Host::Net(end.ip().into())), port, Some(protocol))
            }
            Aim::Local { protocol, port: number } => (None, port(*protocol, *number)?, Some(*protocol)),
        };
        let icmp = match &kept.aim {
            Aim::Local { protocol, port } if is_icmp(*protocol) => Some(*port),
            _ => None,
        };
        Ok(Self {
            user: kept.user.clone(),
            program: kept.program.clone(),
            publisher: kept.vouched.publisher.clone(),
            direction: kept.direction,
            host,
            port,
            protocol,
            icmp,
        })
    }

    /// The rule.
    pub fn table(&self, verdict: Verdict, priority: i32, style: PathStyle) -> Table {
        let mut table = Table::new();
        table.insert("action", if verdict == Verdict::Permit { "permit" } else { "block" }.into());
        if priority != 0 {
            table.insert("priority", i64::from(priority).into());
        }
        table.insert("user", (*self.user).into());
        table.insert("program", self.program(style));
        table.insert("direction", if self.direction == Direction::Out { "out" } else { "in" }.into());
        let named = self.protocol.filter(|number| protocol_name(*number).is_some());
        if let Some(host) = &self.host {
            let ports = self.port.filter(|_| self.direction == Direction::Out).map(|port| port..=port);
            let remote = Remote { host: host.clone(), ports, protocol: named };
            table.insert("remote", remote.to_string().into());
        }
        if let Some(port) = self.port.filter(|_| self.direction == Direction::In) {
            table.insert("local_port", i64::from(port).into());
        }
        if let Some(number) = self.protocol.filter(|_| named.is_none() || self.host.is_none()) {
            let name = protocol_name(number);
            table.insert("protocol", name.map_or_else(|| i64::from(number).into(), Item::from));
        }
        if let Some(kind) = self.icmp {
            table.insert("when", format!("icmp.type == {kind}").into());
        }
        table
    }

    /// The program: publisher and file name when a signature vouches for it and text with `*` would not be misread.
    fn program(&self, style: PathStyle) -> Item {
        let publisher = self.publisher.as_ref().filter(|publisher| !publisher.contains(['*', '?']));
        let Some(publisher) = publisher else { return literal(&self.program).into() };
        let mut table = InlineTable::new();
        table.insert("publisher", Value::from(&**publisher));
        table.insert("path", literal(file_name(&self.program, style)).into());
        Item::Value(Value::InlineTable(table))
    }

    /// Begins its id: the program's name, and where to.
    pub fn slug(&self, style: PathStyle) -> String {
        let mut slug = plain(file_name(&self.program, style), 24);
        let host = self.host.as_ref().map(ToString::to_string);
        let host = host.map(|host| plain(&host, 28)).filter(|host| !host.is_empty());
        let icmp = self.icmp.map(|kind| format!("icmp-{kind}"));
        for part in host.into_iter().chain(self.port.map(|port| port.to_string())).chain(icmp) {
            slug.push('-');
            slug.push_str(&part);
        }
        slug
    }
}

/// A port that a rule can name; none when the protocol has none.
pub(super) fn port(protocol: u8, port: u16) -> Result<Option<u16>, RuleError> {
    match (Protocol(protocol).has_ports(), port) {
        (false, _) => Ok(None),
        (true, 0) => Err(RuleError::NoPort),
        (true, port) => Ok(Some(port)),
    }
}

/// Reads a file of rules.
pub(super) fn parse(name: &'static str, text: &str) -> Result<DocumentMut, RuleError> {
    text.parse().map_err(|error| RuleError::Damaged(name, error))
}

/// Its rules.
pub(super) fn rules<'a>(name: &'static str, document: &'a mut DocumentMut) -> Result<&'a mut Table, RuleError> {
    let rules = document.entry("rule").or_insert_with(|| {
        let mut rules = Table::new();
        rules.set_implicit(true);
        Item::Table(rules)
    });
    rules.as_table_mut().ok_or(RuleError::Shape(name))
}

/// Its text. A file that was empty begins with `head`.
pub(super) fn finish(document: DocumentMut, head: &str) -> String {
    let text = document.to_string();
    if text.starts_with('\n') || text.starts_with('[') { format!("{head}\n{}", text.trim_start()) } else { text }
}

/// A name that is not taken: `name-1`, `name-2`.
pub(super) fn unique(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    (1_u32..).map(|number| format!("{name}-{number}")).find(|id| !is_taken(id)).unwrap_or_default()
}

/// Whether two rules hold for the same connections, as they are written.
fn is_for_the_same(one: &Item, other: &Table) -> bool {
    let Some(one) = one.as_table_like() else { return false };
    let count = |keys: usize, has_note: bool| keys - usize::from(has_note);
    let same = |key: &str, value: &Item| one.get(key).map(bare) == Some(bare(value));
    count(one.len(), one.contains_key("note")) == count(other.len(), other.contains_key("note"))
        && other.iter().all(|(key, value)| matches!(key, "action" | "note") || same(key, value))
}

/// A value without the spaces and comments around it.
fn bare(item: &Item) -> String {
    item.as_value().map(|value| value.clone().decorated("", "").to_string()).unwrap_or_default()
}

/// Compiles the rule alone, and asks it about the connection it was made for.
fn check(id: &str, table: &Table, forever: &Forever, environment: &Environment) -> Result<(), RuleError> {
    let mut document = DocumentMut::new();
    rules(FILE, &mut document)?.insert(id, Item::Table(table.clone()));
    let file = SourceFile { path: FILE.into(), text: document.to_string().into() };
    let ruleset = Ruleset::compile(&[file], environment).map_err(|_| RuleError::DoesNotDecide)?;
    let asked = &forever.asked;
    let flow = Flow {
        direction: match asked.direction {
            Direction::Out => wire::request::Direction::OUTBOUND,
            Direction::In => wire::request::Direction::INBOUND,
        },
        protocol: asked.protocol,
        local: asked.local,
        remote: asked.remote,
        name: asked.name.as_ref().map(|name| &*name.text),
        is_name_sure: asked.name.as_ref().is_none_or(Name::is_sure),
        interface: None,
        now: forever.kept.given.as_second(),
    };
    let wanted = if forever.kept.verdict == Verdict::Permit { Action::Permit } else { Action::Block };
    match ruleset.decide(&ruleset.subject(asked.identity.clone()), &flow) {
        Judgement::Decided(decision)
            if decision.action == wanted && decision.because.as_ref().is_some_and(|rule| rule.layer == Layer::User) =>
        {
            Ok(())
        }
        _ => Err(RuleError::DoesNotDecide),
    }
}

/// Who, when and why.
fn note(forever: &Forever) -> String {
    let (by, day) = (&forever.kept.by, date(forever.kept.given));
    let why = forever.note.as_deref().map(str::trim).filter(|why| !why.is_empty());
    let note =
        why.map_or_else(|| format!("answered by {by} on {day}"), |why| format!("answered by {by} on {day}: {why}"));
    note.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The day, in UTC.
fn date(time: Timestamp) -> impl std::fmt::Display {
    time.strftime("%Y-%m-%d")
}

/// A path as a pattern that means it alone: what would be a wildcard stands in brackets.
fn literal(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '*' | '?' | '[' => pattern.extend(['[', c, ']']),
            c => pattern.push(c),
        }
    }
    pattern
}

fn file_name(path: &str, style: PathStyle) -> &str {
    let is_separator = |c: char| c == '/' || c == '\\' && style == PathStyle::Windows;
    path.rsplit(is_separator).next().unwrap_or(path)
}

/// Text for an id: lower-case letters, digits, dots and single hyphens, of so many characters at most.
fn plain(text: &str, most: usize) -> String {
    let mut plain = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' | '0'..='9' | '.' => plain.push(c),
            _ if plain.ends_with('-') => {}
            _ => plain.push('-'),
        }
    }
    let plain = plain.trim_matches(['-', '.']);
    plain.get(..most).unwrap_or(plain).trim_end_matches(['-', '.']).to_owned()
}

/// Whether an address is another host on another link: rules know no scopes (RFC 4007).
pub(super) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}
