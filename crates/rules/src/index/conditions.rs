//! The conditions of one rule, compiled, and how each is tested.
//!
//! Conditions on a process may turn on facts that are still being looked up; conditions on a connection never do.
//! Invariants: what is not known and not being looked up matches nothing.

use super::hosts::{Class, Hosts};
use super::process::{Path, PathTest, Process};
use crate::facts::{Flow, Needs, Program};
use crate::model::{Action, Glob, Host, ProgramPattern, Rule, has_ports};
use crate::ruleset::PathStyle;
use crate::when::Expression;
use crate::wildcard;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use wire::request::Direction;

/// A rule, compiled.
#[derive(Debug)]
pub struct Conditions {
    /// The rule.
    pub rule: Arc<Rule>,
    /// The paths in `program`, in its order.
    program: Vec<Option<PathTest>>,
    parent: Vec<Option<PathTest>>,
    /// Its remote ends.
    pub remote: Vec<End>,
    /// Its expression.
    pub when: Option<Expression>,
    /// The last second in which it takes part.
    until: i64,
    // What most connections are tested for is kept here, too: a rule is large, and seldom in the cache.
    direction: Option<Direction>,
    protocol: Box<[u8]>,
    /// Whether a name that may not be the one that was meant will do: to permit, it will not.
    takes_guesses: bool,
    /// Whether there are conditions on the local port or the interface.
    is_about_local: bool,
}

/// A remote end, compiled.
#[derive(Debug)]
pub struct End {
    /// Which hosts.
    pub hosts: HostTest,
    /// The class that these hosts are; `None` when they are all hosts.
    pub class: Option<Class>,
    /// Which ports.
    pub ports: Option<RangeInclusive<u16>>,
    /// Which IP protocol.
    pub protocol: Option<u8>,
}

/// Hosts, compiled.
#[derive(Debug)]
pub enum HostTest {
    /// All.
    Any,
    /// From an address to another of the same family.
    Range(IpAddr, IpAddr),
    /// A name.
    Domain(Arc<str>),
    /// A name and every name below it.
    Tree(Arc<str>),
    /// The members of a class.
    Class {
        /// The class.
        class: Class,
        /// Whether there are names among them.
        has_names: bool,
    },
}

/// A condition of a rule, by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// `enabled`
    Enabled,
    /// `program`
    Program,
    /// `parent`
    Parent,
    /// `user`
    User,
    /// `command_line`
    CommandLine,
    /// `direction`
    Direction,
    /// `protocol`
    Protocol,
    /// `remote`
    Remote,
    /// `local_port`
    LocalPort,
    /// `interface`
    Interface,
    /// `expires`
    Expires,
    /// `when`
    When,
}

/// A connection, prepared: its remote address without IPv6 clothes, its name in the form in which names are kept.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// As it was given, but for the name.
    pub flow: Flow<'a>,
    /// The remote address.
    pub address: IpAddr,
    /// The remote port; `None` for a protocol without ports.
    pub port: Option<u16>,
}

/// What can be said about a condition when a part of what it tests is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holds {
    /// It holds never.
    Never,
    /// It turns on the rest.
    Varies,
    /// It always holds.
    Always,
}

/// `None`: it does not hold. `Some`: it holds, once these facts are known to be as it wants.
pub type Standing = Option<Needs>;

impl<'a> Place<'a> {
    /// Prepares a connection whose name is in the form in which names are kept.
    pub fn new(flow: &Flow<'a>) -> Self {
        let port = has_ports(flow.protocol).then(|| flow.remote.port());
        Self { flow: *flow, address: flow.remote.ip().to_canonical(), port }
    }
}

impl Conditions {
    /// Compiles a rule whose remote ends are compiled.
    pub fn new(rule: Arc<Rule>, remote: Vec<End>, style: PathStyle) -> Self {
        let paths = |patterns: &[ProgramPattern]| {
            let paths = patterns.iter().map(|pattern| pattern.path.as_ref().map(|path| PathTest::new(path, style)));
            paths.collect::<Vec<_>>()
        };
        let when = rule.when.as_deref();
        Self {
            program: paths(&rule.program),
            parent: paths(&rule.parent),
            remote,
            when: when.map(|when| Expression::compile(when).expect("the language compiled this expression before")),
            until: rule.expires.map_or(i64::MAX, |expires| expires.as_second()),
            direction: rule.direction,
            protocol: rule.protocol.as_slice().into(),
            takes_guesses: rule.action != Action::Permit,
            is_about_local: !(rule.local_port.is_empty() && rule.interface.is_empty()),
            rule,
        }
    }

    /// Whether the conditions on the process hold; else the first that does not.
    pub fn on_process(&self, process: &Process) -> Result<Needs, Condition> {
        let rule = &self.rule;
        let identity = &process.identity;
        let pending = process.pending();
        let mut needs = Needs::empty();
        if !self.program.is_empty() {
            let tests = rule.program.iter().zip(&self.program);
            let known = (&identity.program, process.program.as_ref());
            // The path comes with the connection: when it is not known, it never will be.
            let one = |(pattern, test)| program(pattern, test, known, Needs::empty(), pending);
            needs |= any(tests.map(one)).ok_or(Condition::Program)?;
        }
        if !self.parent.is_empty() {
            needs |= match identity.parent.as_deref() {
                Some(parent) => {
                    let tests = rule.parent.iter().zip(&self.parent);
                    let known = (parent, process.parent.as_ref());
                    any(tests.map(|(pattern, test)| program(pattern, test, known, Needs::PROCESS, pending)))
                }
                None => unknown(Needs::PROCESS, pending),
            }
            .ok_or(Condition::Parent)?;
        }
        if !rule.user.is_empty() {
            needs |= match &identity.user {
                Some(user) if rule.user.iter().any(|glob| wildcard::matches(&glob.0, &user.id)) => Some(Needs::empty()),
                Some(user) => text(&rule.user, user.name.as_deref(), Needs::PROCESS, pending),
                None => unknown(Needs::PROCESS, pending),
            }
            .ok_or(Condition::User)?;
        }
        if !rule.command_line.is_empty() {
            let line = identity.command_line.as_deref();
            needs |= text(&rule.command_line, line, Needs::PROCESS, pending).ok_or(Condition::CommandLine)?;
        }
        Ok(needs)
    }

    /// Whether the conditions on the connection hold, `when` excepted; else the first that does not.
    pub fn on_connection(&self, place: &Place<'_>, hosts: &Hosts) -> Result<(), Condition> {
        let flow = &place.flow;
        let check = |holds: bool, condition| if holds { Ok(()) } else { Err(condition) };
        check(self.direction.is_none_or(|direction| direction == flow.direction), Condition::Direction)?;
        check(self.protocol.is_empty() || self.protocol.contains(&flow.protocol), Condition::Protocol)?;
        let name = flow.name.filter(|_| self.takes_guesses || flow.is_name_sure);
        let remote = |end: &End| end.takes_port(place) && end.hosts.holds(place.address, name, hosts);
        check(self.remote.is_empty() || self.remote.iter().any(remote), Condition::Remote)?;
        if self.is_about_local {
            let Rule { local_port, interface, .. } = &*self.rule;
            let local = |ports: &RangeInclusive<u16>| place.port.is_some() && ports.contains(&flow.local.port());
            check(local_port.is_empty() || local_port.iter().any(local), Condition::LocalPort)?;
            let is_it = |name| interface.iter().any(|glob| wildcard::matches(&glob.0, name));
            check(interface.is_empty() || flow.interface.is_some_and(is_it), Condition::Interface)?;
        }
        check(flow.now <= self.until, Condition::Expires)
    }

    /// Whether the expression asks for a name that is a guess, by a rule that does not take one. Then it does not hold,
    /// whatever it says of the name.
    pub fn asks_for_guess(&self, when: &Expression, flow: &Flow<'_>) -> bool {
        !self.takes_guesses && !flow.is_name_sure && flow.name.is_some() && when.is_about_name()
    }

    /// What the program's path alone says about the conditions on the process.
    pub fn by_path(&self, path: &Path) -> Holds {
        let rule = &self.rule;
        let program = rule.program.iter().zip(&self.program).map(|(pattern, test)| match test {
            Some(test) if !path.is(test) => Holds::Never,
            _ if pattern.has_path_alone() => Holds::Always,
            _ => Holds::Varies,
        });
        let program = if rule.program.is_empty() { Holds::Always } else { program.max().unwrap_or(Holds::Never) };
        let more = !(rule.parent.is_empty() && rule.user.is_empty() && rule.command_line.is_empty());
        if more { program.min(Holds::Varies) } else { program }
    }

    /// What direction, protocol, remote address and remote port alone say about the conditions on the connection.
    pub fn by_remote(&self, place: &Place<'_>, hosts: &Hosts) -> Holds {
        let rule = &self.rule;
        let flow = &place.flow;
        if rule.direction.is_some_and(|direction| direction != flow.direction)
            || !(rule.protocol.is_empty() || rule.protocol.contains(&flow.protocol))
            || (!rule.local_port.is_empty() && place.port.is_none())
        {
            return Holds::Never;
        }
        let end = |end: &End| {
            if end.takes_port(place) { end.hosts.by_address(place.address, hosts) } else { Holds::Never }
        };
        let remote = if self.remote.is_empty() {
            Holds::Always
        } else {
            self.remote.iter().map(end).max().unwrap_or(Holds::Never)
        };
        if self.turns_on_more() { remote.min(Holds::Varies) } else { remote }
    }

    /// Whether it has conditions on the connection that are neither on direction, protocol, nor the remote end.
    fn turns_on_more(&self) -> bool {
        let rule = &self.rule;
        self.is_about_local || self.when.is_some() || rule.expires.is_some()
    }

    /// Whether it has conditions on the connection that the remote end, as an address, does not settle.
    pub fn is_beyond_remote(&self) -> bool {
        self.turns_on_more() || self.remote.iter().any(|end| end.hosts.has_names())
    }

    /// Whether it has conditions on the connection other than on the direction.
    pub fn is_beyond_direction(&self) -> bool {
        self.turns_on_more() || !self.remote.is_empty() || !self.rule.protocol.is_empty()
    }

    /// Whether it has conditions on the process.
    pub fn is_about_processes(&self) -> bool {
        let rule = &self.rule;
        !(rule.program.is_empty() && rule.parent.is_empty() && rule.user.is_empty() && rule.command_line.is_empty())
    }
}

impl End {
    fn takes_port(&self, place: &Place<'_>) -> bool {
        self.protocol.is_none_or(|protocol| protocol == place.flow.protocol)
            && self.ports.as_ref().is_none_or(|ports| place.port.is_some_and(|port| ports.contains(&port)))
    }
}

impl HostTest {
    /// Compiles a host that is no set.
    pub fn new(host: &Host) -> Self {
        match host {
            Host::Any | Host::Set(_) => Self::Any,
            Host::Net(IpNet::V4(net)) => Self::Range(net.network().into(), net.broadcast().into()),
            Host::Net(IpNet::V6(net)) => Self::Range(net.network().into(), net.broadcast().into()),
            Host::Range(first, last) => Self::Range(*first, *last),
            Host::Domain(name) => Self::Domain(name.clone()),
            Host::DomainTree(name) => Self::Tree(name.clone()),
        }
    }

    fn holds(&self, address: IpAddr, name: Option<&str>, hosts: &Hosts) -> bool {
        match self {
            Self::Any => true,
            Self::Range(first, last) => is_between(address, *first, *last),
            Self::Domain(domain) => name == Some(domain),
            Self::Tree(domain) => name.is_some_and(|name| is_in_tree(name, domain)),
            Self::Class { class, .. } => hosts.is_member(*class, address, name),
        }
    }

    fn by_address(&self, address: IpAddr, hosts: &Hosts) -> Holds {
        match self {
            Self::Domain(_) | Self::Tree(_) => Holds::Varies,
            Self::Class { class, .. } if hosts.is_member(*class, address, None) => Holds::Always,
            Self::Class { has_names, .. } => {
                if *has_names {
                    Holds::Varies
                } else {
                    Holds::Never
                }
            }
            _ if self.holds(address, None, hosts) => Holds::Always,
            _ => Holds::Never,
        }
    }

    fn has_names(&self) -> bool {
        matches!(self, Self::Domain(_) | Self::Tree(_) | Self::Class { has_names: true, .. })
    }
}

impl ProgramPattern {
    /// Whether it has no condition but the path.
    fn has_path_alone(&self) -> bool {
        self.path.is_some()
            && self.sha256.is_none()
            && self.publisher.is_none()
            && self.package.is_none()
            && self.service.is_none()
    }
}

fn is_between(address: IpAddr, first: IpAddr, last: IpAddr) -> bool {
    match (address, first, last) {
        (IpAddr::V4(address), IpAddr::V4(first), IpAddr::V4(last)) => (first..=last).contains(&address),
        (IpAddr::V6(address), IpAddr::V6(first), IpAddr::V6(last)) => (first..=last).contains(&address),
        _ => false,
    }
}

fn is_in_tree(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Of alternatives: one that holds settles it; else what any of them needs is needed.
fn any(alternatives: impl Iterator<Item = Standing>) -> Standing {
    let mut all = None;
    for needs in alternatives.flatten() {
        if needs.is_empty() {
            return Some(needs);
        }
        all = Some(all.unwrap_or_default() | needs);
    }
    all
}

/// Of a fact that is not known.
fn unknown(takes: Needs, pending: Needs) -> Standing {
    let needs = takes & pending;
    (!needs.is_empty()).then_some(needs)
}

/// Of a text that any of some patterns may match.
fn text(globs: &[Glob], text: Option<&str>, takes: Needs, pending: Needs) -> Standing {
    match text {
        Some(text) => globs.iter().any(|glob| wildcard::matches(&glob.0, text)).then(Needs::empty),
        None => unknown(takes, pending),
    }
}

/// Of a program and a pattern: all that the pattern gives must hold.
fn program(
    pattern: &ProgramPattern,
    test: &Option<PathTest>,
    (program, path): (&Program, Option<&Path>),
    path_takes: Needs,
    pending: Needs,
) -> Standing {
    let mut needs = Needs::empty();
    if let Some(test) = test {
        needs |= match path {
            Some(path) => path.is(test).then(Needs::empty)?,
            None => unknown(path_takes, pending)?,
        };
    }
    if let Some(wanted) = &pattern.sha256 {
        needs |= match &program.sha256 {
            Some(sha256) => (sha256 == wanted).then(Needs::empty)?,
            None => unknown(Needs::HASH, pending)?,
        };
    }
    for (pattern, known, takes) in [
        (&pattern.publisher, &program.publisher, Needs::PUBLISHER),
        (&pattern.package, &program.package, Needs::PROCESS),
        (&pattern.service, &program.service, Needs::PROCESS),
    ] {
        if let Some(glob) = pattern {
            needs |= text(std::slice::from_ref(glob), known.as_deref(), takes, pending)?;
        }
    }
    Some(needs)
}
