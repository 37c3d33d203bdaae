//! Tables of cases: connections, and what the rules should say about each.
//!
//! ```toml
//! [[case]]
//! title = "git fetches"
//! program = "/usr/bin/git"
//! remote = "github.com:22"
//! expect = "permit"
//! rule = "user/git"
//! ```
//!
//! Invariants: what a case does not say is unknown, and a condition on it does not hold; the same case means the same on
//! every machine, but for its time. Neighbours: `ruleset` decides, `cli` reads tables and describes single connections.

use crate::decision::{Judgement, RuleName};
use crate::facts::{Flow, Identity, Needs, Program, User};
use crate::model::{Action, Origin, PROTOCOLS, has_ports, is_icmp};
use crate::ruleset::Ruleset;
use crate::source::{Lines, Problem, SourceFile};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use wire::request::Direction;

/// The most cases in one table.
pub const MAX_CASES: usize = 10_000;

/// The most bytes in one table.
pub const MAX_BYTES: usize = 8 << 20;

/// The address of a remote end that is given by its name alone: of those for benchmarks, RFC 2544, which no rule is about.
pub const ADDRESS_OF_A_NAME: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));

/// The port of the end that begins a connection, when it is not given: the first of the dynamic ones, RFC 6335.
const DYNAMIC_PORT: u16 = 49_152;

/// The protocol number of ICMP for IPv6.
const ICMPV6: u8 = 58;

/// A connection in words, as in a case or on a command line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Description {
    /// The program.
    pub program: Option<ProgramWords>,
    /// The program that started it.
    pub parent: Option<ProgramWords>,
    /// The user.
    pub user: Option<UserWords>,
    /// The command line.
    pub command_line: Option<String>,
    /// `out` or `in`; `out` when not given.
    pub direction: Option<String>,
    /// The name or number of the IP protocol; `tcp` when not given.
    pub protocol: Option<String>,
    /// `address:port` or `name:port`; without a port for protocols that have none.
    pub remote: String,
    /// The name that the address was looked up by.
    pub name: Option<String>,
    /// The local port.
    pub local_port: Option<u16>,
    /// The type of an ICMP message; an echo request when not given.
    pub icmp_type: Option<u8>,
    /// Its code; `0` when not given.
    pub icmp_code: Option<u8>,
    /// The local interface.
    pub interface: Option<String>,
}

/// A program in words.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a path, or a table with path, sha256, publisher, package, service")]
pub enum ProgramWords {
    /// Its path.
    Path(String),
    /// What is known about it.
    Known(KnownProgram),
}

/// What is known about a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KnownProgram {
    /// Its path.
    pub path: Option<Arc<str>>,
    /// SHA-256 of its contents.
    pub sha256: Option<String>,
    /// Who signed it.
    pub publisher: Option<Arc<str>>,
    /// Its package.
    pub package: Option<Arc<str>>,
    /// The service it runs as.
    pub service: Option<Arc<str>>,
}

/// A user in words.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a name or id, or a table with id and name")]
pub enum UserWords {
    /// A name or an id: both are that.
    One(String),
    /// Both.
    Both(KnownUser),
}

/// What is known about a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KnownUser {
    /// The SID or user id.
    pub id: Arc<str>,
    /// The name.
    pub name: Option<Arc<str>>,
}

/// A connection, ready to be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Who connects.
    pub identity: Arc<Identity>,
    /// Who began it.
    pub direction: Direction,
    /// The IP protocol number.
    pub protocol: u8,
    /// The local end.
    pub local: SocketAddr,
    /// The remote end.
    pub remote: SocketAddr,
    /// The name of the remote end.
    pub name: Option<String>,
    /// As [`Flow::is_name_sure`].
    pub is_name_sure: bool,
    /// The local interface.
    pub interface: Option<String>,
}

impl Connection {
    /// As the rules take it, at that time in seconds since 1970.
    pub fn flow(&self, now: i64) -> Flow<'_> {
        Flow {
            direction: self.direction,
            protocol: self.protocol,
            local: self.local,
            remote: self.remote,
            name: self.name.as_deref(),
            is_name_sure: self.is_name_sure,
            interface: self.interface.as_deref(),
            now,
        }
    }
}

impl Description {
    /// Makes sense of the words, or says what makes none.
    pub fn connection(&self) -> Result<Connection, String> {
        let direction = match self.direction.as_deref() {
            None | Some("out") => Direction::OUTBOUND,
            Some("in") => Direction::INBOUND,
            Some(other) => return Err(format!("`{other}` is no direction: out, in")),
        };
        let protocol = protocol(self.protocol.as_deref().unwrap_or("tcp"))?;
        let (address, port, mut name) = remote(&self.remote)?;
        if let Some(given) = &self.name {
            if name.is_some() {
                return Err("`remote` is a name already: give its address there, or leave `name` out".to_owned());
            }
            name = Some(domain(given)?);
        }
        if !is_icmp(protocol) && (self.icmp_type.is_some() || self.icmp_code.is_some()) {
            return Err("an ICMP type or code is given, and the protocol is not icmp or icmpv6".to_owned());
        }
        if name.is_some() && direction == Direction::INBOUND {
            return Err("names are of what this machine connects to: give the address of who connects".to_owned());
        }
        let (remote_port, local_port) = match (has_ports(protocol), direction) {
            (false, _) if port.is_some() || self.local_port.is_some() => {
                return Err("a port is given, and the protocol has none".to_owned());
            }
            // Where others have ports, as everywhere.
            (false, _) if is_icmp(protocol) => {
                let echo = if protocol == ICMPV6 { 128 } else { 8 };
                (self.icmp_code.unwrap_or(0).into(), self.icmp_type.unwrap_or(echo).into())
            }
            (false, _) => (0, 0),
            (true, Direction::INBOUND) => (
                port.unwrap_or(DYNAMIC_PORT),
                self.local_port.ok_or("`local_port` is missing: an incoming connection is to one")?,
            ),
            (true, _) => {
                let port = port.ok_or_else(|| format!("`remote` has no port: `{}:443`", self.remote))?;
                (port, self.local_port.unwrap_or(DYNAMIC_PORT))
            }
        };
        let unspecified = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let identity = Identity {
            program: self.program.as_ref().map(program).unwrap_or_default(),
            parent: self.parent.as_ref().map(|parent| Arc::new(program(parent))),
            user: self.user.as_ref().map(user),
            command_line: self.command_line.as_deref().map(Arc::from),
            pending: Needs::empty(),
        };
        Ok(Connection {
            identity: Arc::new(identity),
            direction,
            protocol,
            local: SocketAddr::new(unspecified, local_port),
            remote: SocketAddr::new(address, remote_port),
            name,
            is_name_sure: true,
            interface: self.interface.clone(),
        })
    }
}

fn program(words: &ProgramWords) -> Program {
    match words {
        ProgramWords::Path(path) => Program { path: Some(path.as_str().into()), ..Program::default() },
        ProgramWords::Known(known) => Program {
            path: known.path.clone(),
            sha256: known.sha256.as_ref().map(|hash| hash.to_ascii_lowercase().into()),
            publisher: known.publisher.clone(),
            package: known.package.clone(),
            service: known.service.clone(),
        },
    }
}

fn user(words: &UserWords) -> User {
    match words {
        UserWords::One(text) => User { id: text.as_str().into(), name: Some(text.as_str().into()) },
        UserWords::Both(known) => User { id: known.id.clone(), name: known.name.clone() },
    }
}

fn protocol(text: &str) -> Result<u8, String> {
    let named = PROTOCOLS.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    named.or_else(|| text.parse().ok()).ok_or_else(|| format!("`{text}` is no protocol: tcp, udp, icmp, 0 to 255"))
}

/// The address, the port and the name of a remote end.
fn remote(text: &str) -> Result<(IpAddr, Option<u16>, Option<String>), String> {
    if text.is_empty() {
        return Err("`remote` is missing: \"93.184.216.34:443\" or \"example.com:443\"".to_owned());
    }
    if let Ok(end) = text.parse::<SocketAddr>() {
        return Ok((end.ip(), Some(end.port()), None));
    }
    if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok((address, None, None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().map_err(|_| format!("`{port}` is no port"))?)),
        None => (text, None),
    };
    Ok((ADDRESS_OF_A_NAME, port, Some(domain(host)?)))
}

/// A name as the rules know it.
fn domain(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let good = !name.is_empty() && name.len() <= 253 && name.bytes().all(plain) && !name.contains("..");
    if good { Ok(name) } else { Err(format!("`{text}` is no address and no domain name")) }
}

/// A case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What it is about.
    pub title: String,
    /// Where it stands.
    pub origin: Origin,
    /// The connection.
    pub connection: Connection,
    /// When; now when `None`.
    pub time: Option<Timestamp>,
    /// What the rules should say.
    pub expect: Action,
    /// Which rule should say it.
    pub rule: Option<ExpectedRule>,
}

/// Which rule should decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedRule {
    /// That one.
    Rule(RuleName),
    /// None: no rule matches.
    None,
}

impl fmt::Display for ExpectedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(name) => write!(f, "{name}"),
            Self::None => f.write_str("none"),
        }
    }
}

/// A case as it is written.
#[derive(Deserialize)]
struct Written {
    title: Option<String>,
    expect: Action,
    rule: Option<String>,
    time: Option<toml::value::Datetime>,
    #[serde(flatten)]
    rest: toml::Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    case: Vec<toml::Spanned<toml::Value>>,
}

/// Reads a table. Gives everything that is wrong with it.
pub fn parse(file: &SourceFile) -> Result<Vec<Case>, Vec<Problem>> {
    let lines = Lines::new(&file.text);
    let problem = |at: usize, message: String, help: Option<&str>| {
        let (line, column) = lines.place(at);
        Problem { file: file.path.clone(), line, column, message, help: help.map(str::to_owned) }
    };
    if file.text.len() > MAX_BYTES {
        return Err(vec![problem(0, format!("a table of cases has at most {MAX_BYTES} bytes"), None)]);
    }
    let table: Table = toml::from_str(&file.text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        vec![problem(at, error.message().to_owned(), Some("cases are `[[case]]` tables"))]
    })?;
    if table.case.len() > MAX_CASES {
        return Err(vec![problem(0, format!("a table has at most {MAX_CASES} cases"), None)]);
    }
    let mut cases = Vec::new();
    let mut problems = Vec::new();
    for (number, written) in table.case.into_iter().enumerate() {
        let at = written.span().start;
        let origin = Origin { file: file.path.clone(), line: lines.place(at).0 };
        match case(written.into_inner(), number, origin) {
            Ok(case) => cases.push(case),
            Err(message) => problems.push(problem(at, message, None)),
        }
    }
    if problems.is_empty() { Ok(cases) } else { Err(problems) }
}

fn case(value: toml::Value, number: usize, origin: Origin) -> Result<Case, String> {
    let error = |error: toml::de::Error| error.message().trim().to_owned();
    let written: Written = value.try_into().map_err(error)?;
    let description: Description = toml::Value::Table(written.rest).try_into().map_err(error)?;
    let rule = match written.rule.as_deref() {
        None => None,
        Some("none") => Some(ExpectedRule::None),
        Some(text) => Some(ExpectedRule::Rule(rule_name(text)?)),
    };
    let time = written.time.map(|time| time.to_string().parse::<Timestamp>());
    let time = time.transpose().map_err(|_| "`time` is a date with time and offset: 2027-01-31T18:00:00Z")?;
    Ok(Case {
        title: written.title.unwrap_or_else(|| format!("case {}", number + 1)),
        origin,
        connection: description.connection()?,
        time,
        expect: written.expect,
        rule,
    })
}

/// Reads `layer/id`.
pub fn rule_name(text: &str) -> Result<RuleName, String> {
    let bad = || format!("`{text}` is no rule: write layer/id, as in user/git");
    let (layer, id) = text.split_once('/').ok_or_else(bad)?;
    let layer = crate::model::Layer::ALL.into_iter().find(|known| known.name() == layer).ok_or_else(bad)?;
    Ok(RuleName { layer, id: id.into() })
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// What it is about.
    pub title: String,
    /// Where it stands.
    pub origin: Origin,
    /// Whether the rules say what they should.
    pub passed: bool,
    /// What they should say.
    pub expected: Action,
    /// Which rule should have said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_rule: Option<String>,
    /// What they say.
    pub got: Action,
    /// Which rule says it; `None` when none matched.
    pub because: Option<RuleName>,
    /// Where that rule stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because_at: Option<Origin>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, origin, expected, got, .. } = self;
        write!(f, "{}:{}: {title}: expected {expected}", origin.file, origin.line)?;
        if let Some(rule) = &self.expected_rule {
            write!(f, " by {rule}")?;
        }
        write!(f, ", got {got} ")?;
        match (&self.because, &self.because_at) {
            (Some(rule), Some(at)) => write!(f, "by {rule} ({}:{})", at.file, at.line),
            (Some(rule), None) => write!(f, "by {rule}"),
            (None, _) => f.write_str("because no rule matches"),
        }
    }
}

/// Runs cases against rules; `now` is the time of those that give none, in seconds since 1970.
pub fn run(ruleset: &Ruleset, cases: &[Case], now: i64) -> Vec<Outcome> {
    cases.iter().map(|case| outcome(ruleset, case, now)).collect()
}

fn outcome(ruleset: &Ruleset, case: &Case, now: i64) -> Outcome {
    let now = case.time.map_or(now, Timestamp::as_second);
    let subject = ruleset.subject(case.connection.identity.clone());
    let (got, because) = match ruleset.decide(&subject, &case.connection.flow(now)) {
        Judgement::Decided(decision) => (decision.action, decision.because),
        // Nothing about a described process is still being looked up.
        Judgement::Needs(_) => (Action::Ask, None),
    };
    let as_named = match (&case.rule, &because) {
        (None, _) | (Some(ExpectedRule::None), None) => true,
        (Some(ExpectedRule::Rule(expected)), Some(because)) => expected == because,
        _ => false,
    };
    let origin =
        |name: &RuleName| ruleset.rules().iter().find(|rule| rule.name == *name).map(|rule| rule.origin.clone());
    Outcome {
        title: case.title.clone(),
        origin: case.origin.clone(),
        passed: got == case.expect && as_named,
        expected: case.expect,
        expected_rule: case.rule.as_ref().map(ToString::to_string),
        got,
        because_at: because.as_ref().and_then(origin),
        because,
    }
}
