//! OpenSnitch's rules: a JSON file each.
//!
//! What they mean (<https://github.com/evilsocket/opensnitch/wiki/Rules>): rules are tried by name; the first that denies,
//! rejects or has `precedence` decides; else one that allows. They are about connections that this machine begins. So those
//! that decide at once come first, by name, and the plain permits after them.
//!
//! Invariants: a rule is imported with every condition it has, or not at all.

use super::draft::{self, Draft};
use super::regexp::{self, Piece};
use super::{ImportError, Input, Output, lists};
use serde::Deserialize;
use std::collections::HashMap;
use std::net::IpAddr;

/// How deep lists of conditions may stand in each other.
const MAX_DEPTH: u32 = 8;

/// The most remote ends that one rule may become.
const MAX_REMOTES: usize = 1_000;

/// Reads the files in a folder.
pub type ReadLists<'a> = dyn FnMut(&str) -> Option<Vec<Vec<u8>>> + 'a;

#[derive(Debug, Deserialize)]
struct Rule {
    name: String,
    #[serde(default)]
    description: String,
    action: String,
    #[serde(default)]
    duration: String,
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    precedence: bool,
    #[serde(default)]
    nolog: bool,
    operator: Operator,
}

#[derive(Debug, Deserialize)]
struct Operator {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    operand: String,
    #[serde(default)]
    data: String,
    #[serde(default)]
    sensitive: bool,
    #[serde(default)]
    list: Option<Vec<Operator>>,
}

/// Says whether JSON is such a rule, or a list of them.
pub fn looks_like(bytes: &[u8]) -> bool {
    parse(bytes).is_ok()
}

fn parse(bytes: &[u8]) -> Result<Vec<Rule>, serde_json::Error> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'[') {
        serde_json::from_slice(bytes)
    } else {
        serde_json::from_slice(bytes).map(|rule| vec![rule])
    }
}

/// Imports rules.
pub fn import(inputs: &[Input<'_>], lists: &mut ReadLists<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
    output.origin = "OpenSnitch's rules";
    let mut rules = Vec::new();
    for input in inputs {
        match parse(input.bytes) {
            Ok(parsed) => rules.extend(parsed),
            Err(error) if inputs.len() == 1 => {
                return Err(ImportError::Malformed { name: input.name.to_owned(), why: error.to_string() });
            }
            Err(error) => output.skip(input.name, format!("not a rule: {error}")),
        }
    }
    rules.sort_by(|a, b| a.name.cmp(&b.name));
    let decides_at_once = |rule: &Rule| rule.precedence || rule.action != "allow";
    let (first, later): (Vec<Rule>, Vec<Rule>) = rules.into_iter().partition(decides_at_once);
    for (priority, rules) in [(0, first), (1, later)] {
        for rule in rules {
            match translate(&rule, lists, output) {
                Ok(draft) => output.rule(Draft { priority, ..draft })?,
                Err(why) => {
                    let lost = if rule.action == "allow" { "" } else { "; what it blocked is no longer blocked" };
                    output.skip(rule.name, format!("{why}{lost}"));
                }
            }
        }
    }
    Ok(())
}

fn translate(rule: &Rule, lists: &mut ReadLists<'_>, output: &mut Output<'_>) -> Result<Draft, String> {
    let action = match rule.action.as_str() {
        "allow" => "permit",
        "deny" | "reject" => "block",
        other => return Err(format!("there is no action {other:?}")),
    };
    if !matches!(rule.duration.as_str(), "always" | "") {
        return Err(format!("it was for {:?} only", rule.duration));
    }
    let mut conditions = Conditions { permits: action == "permit", ..Conditions::default() };
    conditions.add(&rule.operator, 0)?;
    let mut draft = conditions.draft(rule, lists, output)?;
    draft.id = draft::slug(&rule.name);
    draft.action = action;
    draft.disabled = !rule.enabled;
    draft.quiet = rule.nolog;
    draft.direction = Some("out");
    draft.note = Some(rule.description.trim()).filter(|note| !note.is_empty()).map(str::to_owned);
    Ok(draft)
}

/// The conditions of one rule. Each may be given once: two of a kind would have to hold both, which lists cannot say.
#[derive(Default)]
struct Conditions<'a> {
    permits: bool,
    by_operand: HashMap<&'static str, &'a Operator>,
}

/// What operands there are that we have a field for, and which field.
const OPERANDS: &[(&str, &str)] = &[
    ("process.path", "program"),
    ("process.parent.path", "parent"),
    ("process.command", "command line"),
    ("user.id", "user"),
    ("user.name", "user"),
    ("iface.out", "interface"),
    ("source.port", "local port"),
    ("protocol", "protocol"),
    ("dest.ip", "host"),
    ("dest.host", "host"),
    ("dest.network", "host"),
    ("lists.domains", "host"),
    ("lists.ips", "host"),
    ("lists.nets", "host"),
    ("dest.port", "port"),
];

impl<'a> Conditions<'a> {
    fn add(&mut self, operator: &'a Operator, depth: u32) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err("its lists stand too deep in each other".to_owned());
        }
        if operator.operand == "true" {
            return Ok(());
        }
        if operator.kind == "list" || operator.operand == "list" {
            let list =
                operator.list.as_ref().filter(|list| !list.is_empty()).ok_or("its list of conditions is empty")?;
            return list.iter().try_for_each(|operator| self.add(operator, depth + 1));
        }
        let operand = operator.operand.as_str();
        let Some((_, field)) = OPERANDS.iter().find(|(name, _)| *name == operand) else {
            return Err(format!("there is no field for {operand:?}"));
        };
        if self.by_operand.insert(field, operator).is_some() {
            return Err(format!("it has two conditions on the {field}, which must both hold"));
        }
        Ok(())
    }

    fn draft(&self, rule: &Rule, lists: &mut ReadLists<'_>, output: &mut Output<'_>) -> Result<Draft, String> {
        let get = |field| self.by_operand.get(field).copied();
        let mut draft = Draft::default();
        if let Some(operator) = get("program") {
            draft.program = paths(operator)?;
            note_case(operator, output);
        }
        if let Some(operator) = get("parent") {
            if !self.permits {
                return Err("it is about all ancestors of a process, and we know the parent only".to_owned());
            }
            draft.parent = paths(operator)?;
            output.note(format!("{}: permits for a parent only, where OpenSnitch looks at all ancestors", rule.name));
        }
        if let Some(operator) = get("command line") {
            if operator.sensitive && operator.data.chars().any(char::is_alphabetic) {
                return Err("command lines are compared without case".to_owned());
            }
            draft.command_line = texts(operator)?;
        }
        draft.user = get("user").map(texts).transpose()?.unwrap_or_default();
        draft.interface = get("interface").map(texts).transpose()?.unwrap_or_default();
        draft.local_port = get("local port").map(ports).transpose()?.unwrap_or_default();
        let mut family = None;
        if let Some(operator) = get("protocol") {
            (draft.protocol, family) = protocol(operator)?;
        }
        let hosts = match get("host") {
            Some(operator) if operator.operand == "dest.host" => match names(operator) {
                Ok(names) => Some(names),
                Err(why) => {
                    draft.when = Some(name_expression(operator).ok_or(why)?);
                    None
                }
            },
            Some(operator) => Some(hosts(operator, rule, lists, output)?),
            None => None,
        };
        let ports = get("port").map(ports).transpose()?;
        draft.remote = remotes(hosts, family, ports)?;
        Ok(draft)
    }
}

fn note_case(operator: &Operator, output: &mut Output<'_>) {
    if !operator.sensitive {
        output.note("OpenSnitch compares program paths without case; on Linux we compare them as they are");
    }
}

/// What values an operator takes, as patterns.
fn pieces(operator: &Operator) -> Result<Vec<Vec<Piece>>, String> {
    match operator.kind.as_str() {
        "simple" => Ok(vec![vec![Piece::Text(operator.data.clone())]]),
        "regexp" => regexp::patterns(&operator.data)
            .ok_or_else(|| format!("the expression {:?} has no equal among our patterns", operator.data)),
        other => Err(format!("{:?} cannot be compared by {other:?}", operator.operand)),
    }
}

fn paths(operator: &Operator) -> Result<Vec<String>, String> {
    let none = || format!("no pattern of paths means {:?}", operator.data);
    let globs = pieces(operator)?.iter().map(|pieces| regexp::path_globs(pieces)).collect::<Option<Vec<_>>>();
    globs.map(|globs| globs.concat()).ok_or_else(none)
}

fn texts(operator: &Operator) -> Result<Vec<String>, String> {
    let none = || format!("{:?} has a * or a ? in it, which are wildcards to us", operator.data);
    let globs = pieces(operator)?.iter().map(|pieces| regexp::text_glob(pieces)).collect::<Option<Vec<_>>>();
    globs.filter(|globs| globs.iter().all(|glob| !glob.is_empty())).ok_or_else(none)
}

/// The values of an operator that takes some texts and no others.
fn members(operator: &Operator) -> Result<Vec<String>, String> {
    let none = || format!("{:?} is not a list of values", operator.data);
    let member = |pieces: Vec<Piece>| match pieces.as_slice() {
        [Piece::Text(text)] => Some(text.clone()),
        _ => None,
    };
    pieces(operator)?.into_iter().map(member).collect::<Option<Vec<_>>>().ok_or_else(none)
}

fn ports(operator: &Operator) -> Result<Vec<String>, String> {
    let bad = || format!("{:?} is not a port", operator.data);
    if operator.kind == "range" {
        let (low, high) = operator.data.split_once('-').ok_or_else(bad)?;
        let (low, high): (u16, u16) = low.trim().parse().ok().zip(high.trim().parse().ok()).ok_or_else(bad)?;
        return if 0 < low && low <= high { Ok(vec![format!("{low}-{high}")]) } else { Err(bad()) };
    }
    let one = |port: &String| port.parse::<std::num::NonZeroU16>().map(|port| port.to_string()).map_err(|_| bad());
    members(operator)?.iter().map(one).collect()
}

/// OpenSnitch's names: without 6 they are about IPv4.
const PROTOCOLS: &[(&str, &str, u8)] = &[
    ("tcp", "tcp", 4),
    ("tcp6", "tcp", 6),
    ("udp", "udp", 4),
    ("udp6", "udp", 6),
    ("icmp", "icmp", 4),
    ("icmp6", "icmpv6", 6),
];

/// Which protocols, and of which family alone.
fn protocol(operator: &Operator) -> Result<(Vec<String>, Option<u8>), String> {
    let unknown = || format!("there is no protocol for {:?}", operator.data);
    // All that its expressions match, among those we know. What matches others, too, is refused with them.
    let patterns = pieces(operator)?;
    let mut found = Vec::new();
    for pieces in &patterns {
        let glob = regexp::text_glob(pieces).ok_or_else(unknown)?;
        let glob = glob.to_ascii_lowercase();
        let matching = PROTOCOLS.iter().filter(|(name, ..)| text_matches(&glob, name)).collect::<Vec<_>>();
        if matching.is_empty() || ["udplite", "sctp"].iter().any(|name| text_matches(&glob, name)) {
            return Err(unknown());
        }
        found.extend(matching);
    }
    let mut names: Vec<String> = Vec::new();
    for (_, name, _) in &found {
        if !names.iter().any(|known| known == name) {
            names.push((*name).to_owned());
        }
    }
    let has = |protocol: &str, family| found.iter().any(|(_, name, of)| *name == protocol && *of == family);
    let families = [4, 6].map(|family| names.iter().all(|name| name.starts_with("icmp") || has(name, family)));
    let icmp_only = names.iter().all(|name| name.starts_with("icmp"));
    match families {
        [true, true] if icmp_only || !found.is_empty() => Ok((names, None)),
        [true, false] if !found.iter().any(|(_, _, of)| *of == 6) => Ok((names, Some(4))),
        [false, true] if !found.iter().any(|(_, _, of)| *of == 4) => Ok((names, Some(6))),
        _ => Err(format!("{:?} is about one family for one protocol and another for the next", operator.data)),
    }
}

/// Compares text with a pattern of `*` and `?`.
fn text_matches(glob: &str, text: &str) -> bool {
    match (glob.as_bytes(), text.as_bytes()) {
        ([], text) => text.is_empty(),
        ([b'*', ..], _) => {
            (0..=text.len()).any(|start| text.get(start..).is_some_and(|text| text_matches(&glob[1..], text)))
        }
        ([b'?', ..], [_, ..]) => text_matches(&glob[1..], &text[1..]),
        ([a, ..], [b, ..]) if a == b && a.is_ascii() => text_matches(&glob[1..], &text[1..]),
        _ => false,
    }
}

fn hosts(
    operator: &Operator,
    rule: &Rule,
    read_lists: &mut ReadLists<'_>,
    output: &mut Output<'_>,
) -> Result<Vec<String>, String> {
    let data = operator.data.trim();
    match (operator.operand.as_str(), operator.kind.as_str()) {
        ("dest.network", "network" | "simple") => data
            .parse::<ipnet::IpNet>()
            .map(|net| vec![net.trunc().to_string()])
            .map_err(|_| format!("we do not know what the network {data:?} is here")),
        ("lists.domains" | "lists.ips" | "lists.nets", "lists" | "simple") => {
            let files = read_lists(data).ok_or_else(|| format!("its lists in {data:?} cannot be read"))?;
            let mut entries = Vec::new();
            for file in &files {
                let text = String::from_utf8_lossy(file);
                for line in text.lines() {
                    entries.extend(lists::entries(line).unwrap_or_default());
                }
                if entries.len() > super::MAX_ENTRIES {
                    return Err(format!("its lists in {data:?} are too long"));
                }
            }
            if entries.is_empty() {
                return Err(format!("its lists in {data:?} are empty"));
            }
            entries.sort();
            entries.dedup();
            Ok(vec![format!("@{}", output.set(&draft::slug(&rule.name), &entries))])
        }
        ("dest.ip", _) => addresses(operator),
        (operand, kind) => Err(format!("{operand:?} cannot be compared by {kind:?}")),
    }
}

/// Addresses, and expressions that stand for whole prefixes, such as `^192\.168\..*`.
fn addresses(operator: &Operator) -> Result<Vec<String>, String> {
    let none = || format!("no address or prefix means {:?}", operator.data);
    let address = |pieces: &Vec<Piece>| match pieces.as_slice() {
        [Piece::Text(text)] => text.parse::<IpAddr>().ok().map(|address| address.to_string()),
        [Piece::Text(text), Piece::Star] => {
            let octets =
                text.strip_suffix('.')?.split('.').map(str::parse::<u8>).collect::<Result<Vec<_>, _>>().ok()?;
            let mut all = [0; 4];
            all.get_mut(..octets.len()).filter(|some| some.len() < 4)?.copy_from_slice(&octets);
            let [a, b, c, d] = all;
            Some(format!("{a}.{b}.{c}.{d}/{}", octets.len() * 8))
        }
        _ => None,
    };
    pieces(operator)?.iter().map(address).collect::<Option<Vec<_>>>().ok_or_else(none)
}

/// Names: `example.com`, and `.example.com` for an expression that matches it with everything below it.
fn names(operator: &Operator) -> Result<Vec<String>, String> {
    let none = || format!("no name, or name with all below it, means {:?}", operator.data);
    let mut exact = Vec::new();
    let mut below = Vec::new();
    for pieces in pieces(operator)? {
        match pieces.as_slice() {
            [Piece::Text(name)] => exact.push(lists::name(name).ok_or_else(none)?),
            [Piece::Star, Piece::Text(name)] => {
                let name = name.strip_prefix('.').ok_or_else(none)?;
                below.push(lists::name(name).ok_or_else(none)?);
            }
            _ => return Err(none()),
        }
    }
    // "Below" alone is without the name itself, which we have no way to say.
    if below.iter().any(|name| !exact.contains(name)) {
        return Err(none());
    }
    exact.retain(|name| !below.contains(name));
    Ok(below.into_iter().map(|name| format!(".{name}")).chain(exact).collect())
}

/// An expression about a name, for what names in `remote` cannot say: everything below a name without itself, parts of names.
fn name_expression(operator: &Operator) -> Option<String> {
    let plain = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
        (!text.is_empty() && text.bytes().all(plain)).then(|| text.to_owned())
    };
    let test = |pieces: Vec<Piece>| match pieces.as_slice() {
        [Piece::Text(text)] => plain(text).map(|text| format!("remote.name == \"{text}\"")),
        [Piece::Star, Piece::Text(text)] => plain(text).map(|text| format!("remote.name.endsWith(\"{text}\")")),
        [Piece::Text(text), Piece::Star] => plain(text).map(|text| format!("remote.name.startsWith(\"{text}\")")),
        [Piece::Star, Piece::Text(text), Piece::Star] => {
            plain(text).map(|text| format!("remote.name.contains(\"{text}\")"))
        }
        _ => None,
    };
    let tests: Vec<String> = pieces(operator).ok()?.into_iter().map(test).collect::<Option<_>>()?;
    Some(tests.join(" || ")).filter(|expression| expression.len() <= crate::when::MAX_EXPRESSION)
}

/// Hosts and ports together, one of the families alone when that is asked for.
fn remotes(hosts: Option<Vec<String>>, family: Option<u8>, ports: Option<Vec<String>>) -> Result<Vec<String>, String> {
    let hosts = match (hosts, family) {
        (None, None) if ports.is_none() => return Ok(Vec::new()),
        (None, None) => vec![String::new()],
        (None, Some(4)) => vec!["0.0.0.0/0".to_owned()],
        (None, Some(_)) => vec!["::/0".to_owned()],
        (Some(hosts), None) => hosts,
        (Some(hosts), Some(family)) => {
            let is_v6 = |host: &String| {
                let address = host.split('/').next().unwrap_or_default();
                address.parse::<IpAddr>().ok().map(|address| address.is_ipv6())
            };
            if hosts.iter().any(|host| is_v6(host) != Some(family == 6)) {
                return Err(format!("it is about IPv{family} alone, and its hosts are not only of that"));
            }
            hosts
        }
    };
    let remote = |host: &str, port: &str| match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    let remotes: Vec<String> = match ports {
        None => hosts,
        Some(ports) => {
            hosts.iter().flat_map(|host| ports.iter().map(|port| remote(host, port))).take(MAX_REMOTES + 1).collect()
        }
    };
    if remotes.len() > MAX_REMOTES { Err("it has too many hosts and ports".to_owned()) } else { Ok(remotes) }
}
