//! Rules compiled for deciding.
//!
//! * [`conditions`]: one rule, compiled, and how its conditions are tested; [`process`], [`hosts`]: what it is tested with.
//! * [`candidates`]: rules by program; [`postings`]: rules by remote end.
//! * [`scope`]: how widely a decision may be remembered.
//!
//! A process is prepared once: [`Standings`] are the rules whose conditions on the process hold or may yet hold. A
//! connection is then tested against those, and against the rules that have no condition on the process, in order.
//! Neighbours: `ruleset` is the door, `explain` walks the same conditions one by one.

mod candidates;
pub mod conditions;
pub mod hosts;
mod postings;
pub mod process;
mod scope;

use crate::decision::{Decision, Judgement};
use crate::facts::{Flow, Identity, Needs};
use crate::language::set::Set;
use crate::model::{Action, Host, Lifetime, Remote, Rule};
use crate::ruleset::{Environment, PathStyle};
use crate::when::Facts;
use candidates::Candidates;
use conditions::{Condition, Conditions, End, Holds, HostTest, Place};
use hashbrown::HashMap;
use hosts::{Class, Hosts};
use jiff::tz::TimeZone;
use postings::{Merge, Postings};
use process::Process;
use scope::Uncertain;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use wire::verdict::Scope;

/// The rules that take part, by their place in the order.
#[derive(Debug)]
pub struct Index {
    style: PathStyle,
    time_zone: Option<TimeZone>,
    pub(crate) conditions: Vec<Conditions>,
    pub(crate) hosts: Hosts,
    /// The rules without conditions on the process.
    everyone: Postings,
    /// Those of them that weigh on how widely a decision may be remembered.
    uncertain: Uncertain,
    /// The rules with conditions on the process.
    particular: Candidates,
}

/// How a process stands to the rules with conditions on the process.
#[derive(Debug)]
pub struct Standings {
    process: Process,
    /// The rules whose conditions hold, or turn on what is needed.
    rules: Postings,
    /// Of those, the ones that need something, and what; in order.
    needs: Vec<(u32, Needs)>,
    /// Of those, the ones whose conditions on the process the program alone settles; in order.
    for_program: Vec<u32>,
    /// Those that hold, or may hold for another process of the same program, and weigh on how widely a decision may be
    /// remembered.
    uncertain: Uncertain,
}

/// From how many hosts on, a remote condition is looked up among all hosts instead of walked.
const MANY_HOSTS: usize = 4;

impl Index {
    /// Compiles rules, which are in order.
    pub fn new(rules: &[Arc<Rule>], sets: &BTreeMap<Arc<str>, Set>, environment: &Environment) -> Self {
        let mut classes =
            Classes { hosts: Hosts::default(), next: 0, sets: HashMap::new(), ones: HashMap::new(), all: sets };
        let style = environment.paths;
        let enabled = rules.iter().filter(|rule| rule.enabled);
        let conditions: Vec<Conditions> =
            enabled.map(|rule| Conditions::new(rule.clone(), classes.ends(&rule.remote), style)).collect();
        let places = 0..u32::try_from(conditions.len()).expect("the number of rules is bounded");
        let (particular, everyone): (Vec<u32>, Vec<u32>) =
            places.partition(|rule| conditions[*rule as usize].is_about_processes());
        let mut uncertain = Uncertain::default();
        for rule in &everyone {
            uncertain.add(*rule, &conditions[*rule as usize], true);
        }
        let mut candidates = Candidates::default();
        for rule in particular {
            candidates.add(rule, &conditions[rule as usize].rule, style);
        }
        let everyone = Postings::new(everyone, &conditions);
        let time_zone = environment.time_zone.clone();
        Self { style, time_zone, conditions, hosts: classes.hosts, everyone, uncertain, particular: candidates }
    }

    /// Prepares a process.
    pub fn standings(&self, identity: Arc<Identity>) -> Standings {
        let process = Process::new(identity, self.style);
        let (mut rules, mut needed, mut for_program) = (Vec::new(), Vec::new(), Vec::new());
        let mut uncertain = Uncertain::default();
        for rule in self.particular.of(process.program.as_ref()) {
            let conditions = &self.conditions[rule as usize];
            let by_path = process.program.as_ref().map_or(Holds::Never, |path| conditions.by_path(path));
            if let Ok(needs) = conditions.on_process(&process) {
                rules.push(rule);
                if !needs.is_empty() {
                    needed.push((rule, needs));
                } else if by_path == Holds::Always {
                    for_program.push(rule);
                }
            }
            if by_path != Holds::Never {
                uncertain.add(rule, conditions, by_path == Holds::Always);
            }
        }
        Standings { process, rules: Postings::new(rules, &self.conditions), needs: needed, for_program, uncertain }
    }

    /// Decides one connection.
    pub fn decide(&self, standings: &Standings, flow: &Flow<'_>) -> Judgement {
        with_plain_name(flow, |flow| {
            let place = Place::new(flow);
            let postings = [&self.everyone, &standings.rules];
            if let Some(mut few) = Merge::of_few(postings) {
                return self.first(&mut few, standings, &place);
            }
            let mut many = Merge::empty();
            many.fill_for(postings, &place, &self.hosts);
            self.first(&mut many, standings, &place)
        })
    }

    /// What the first of some rules says that matches.
    fn first(&self, rules: &mut impl Iterator<Item = u32>, standings: &Standings, place: &Place<'_>) -> Judgement {
        for rule in rules {
            match self.test(rule, standings.needs_of(rule), &standings.process, place) {
                Err(_) => {}
                Ok(needs) if needs.is_empty() => return Judgement::Decided(self.decision(rule, standings, place)),
                Ok(needs) => return Judgement::Needs(needs),
            }
        }
        Judgement::Decided(nothing_matched())
    }

    /// Whether a rule whose conditions on the process hold, but for `needs`, matches; else what it needs, or the first
    /// condition that does not hold.
    fn test(&self, rule: u32, needs: Needs, process: &Process, place: &Place<'_>) -> Result<Needs, Condition> {
        let conditions = &self.conditions[rule as usize];
        conditions.on_connection(place, &self.hosts)?;
        let identity = &*process.identity;
        let Some(when) = &conditions.when else { return Ok(needs) };
        if conditions.asks_for_guess(when, &place.flow) {
            return Err(Condition::When);
        }
        let needs = needs | when.needs(identity);
        if !needs.is_empty() {
            return Ok(needs);
        }
        let facts = Facts { identity, flow: &place.flow, time_zone: self.time_zone.as_ref() };
        if when.evaluate(facts) == Ok(true) { Ok(needs) } else { Err(Condition::When) }
    }

    /// Tests a rule whole: as [`Self::decide`] does, but without what was prepared. Says why an expression failed.
    pub fn walk_one(
        &self,
        rule: u32,
        standings: &Standings,
        place: &Place<'_>,
    ) -> Result<Needs, (Condition, Option<String>)> {
        let process = &standings.process;
        let conditions = &self.conditions[rule as usize];
        let needs = conditions.on_process(process).map_err(|condition| (condition, None))?;
        self.test(rule, needs, process, place).map_err(|condition| {
            let facts = Facts { identity: &process.identity, flow: &place.flow, time_zone: self.time_zone.as_ref() };
            let when = conditions.when.as_ref().filter(|_| condition == Condition::When);
            (condition, when.and_then(|when| when.evaluate(facts).err()).map(|error| error.to_string()))
        })
    }

    /// What a rule that matches decides.
    pub fn decision(&self, rule: u32, standings: &Standings, place: &Place<'_>) -> Decision {
        let conditions = &self.conditions[rule as usize];
        let Rule { action, lifetime, log, ref name, .. } = *conditions.rule;
        let scope = self.scope(rule, standings, place);
        Decision { action, scope, lifetime, log, because: Some(name.clone()) }
    }

    fn scope(&self, winner: u32, standings: &Standings, place: &Place<'_>) -> Scope {
        let conditions = &self.conditions[winner as usize];
        let action = conditions.rule.action;
        let is_known = standings.process.program.is_some();
        if !is_known || action == Action::Ask || conditions.rule.lifetime == Lifetime::Once {
            return Scope::OPERATION;
        }
        let both = [&self.uncertain, &standings.uncertain];
        let is_for_program = !conditions.is_beyond_direction() && standings.is_for_program(winner, conditions);
        if is_for_program && both.iter().all(|uncertain| uncertain.allows_program(winner, action, place.flow.direction))
        {
            Scope::PROGRAM
        } else if both.iter().all(|uncertain| uncertain.allows_remote(winner, action, self, place)) {
            Scope::REMOTE
        } else {
            Scope::OPERATION
        }
    }
}

impl Standings {
    fn needs_of(&self, rule: u32) -> Needs {
        if self.needs.is_empty() {
            return Needs::empty();
        }
        self.needs.binary_search_by_key(&rule, |(rule, _)| *rule).map_or(Needs::empty(), |at| self.needs[at].1)
    }

    /// Whether a rule whose conditions on the process hold, holds so for every process of the program.
    fn is_for_program(&self, rule: u32, conditions: &Conditions) -> bool {
        !conditions.is_about_processes() || self.for_program.binary_search(&rule).is_ok()
    }
}

/// What holds when no rule matched.
pub fn nothing_matched() -> Decision {
    Decision { action: Action::Ask, scope: Scope::OPERATION, lifetime: Lifetime::Process, log: true, because: None }
}

/// The longest name that is looked at: no name is longer, and a longer one is none.
const MAX_NAME: usize = crate::language::text::MAX_DOMAIN;

/// Calls with a flow whose name is in the form in which names are kept: lower case, no final dot.
pub fn with_plain_name<R>(flow: &Flow<'_>, call: impl FnOnce(&Flow<'_>) -> R) -> R {
    match flow.name {
        Some(name) if name.ends_with('.') || name.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            let mut buffer = [0; MAX_NAME];
            let plain = buffer.get_mut(..name.len()).and_then(|plain| {
                plain.copy_from_slice(name.as_bytes());
                plain.make_ascii_lowercase();
                std::str::from_utf8(plain).ok()
            });
            call(&Flow { name: plain, ..*flow })
        }
        _ => call(flow),
    }
}

/// Gives hosts their classes.
struct Classes<'s> {
    hosts: Hosts,
    next: Class,
    sets: HashMap<Arc<str>, (Class, bool)>,
    ones: HashMap<Host, Class>,
    all: &'s BTreeMap<Arc<str>, Set>,
}

impl Classes<'_> {
    /// Compiles remote ends: those with the same ports and protocol are one, when they have many hosts.
    fn ends(&mut self, remotes: &[Remote]) -> Vec<End> {
        type Group<'r> = (Option<RangeInclusive<u16>>, Option<u8>, Vec<&'r Host>);
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut group_of = HashMap::new();
        let mut ends = Vec::with_capacity(remotes.len().min(MANY_HOSTS));
        for Remote { host, ports, protocol } in remotes {
            let end = |hosts, class| End { hosts, class, ports: ports.clone(), protocol: *protocol };
            match host {
                Host::Any => ends.push(end(HostTest::Any, None)),
                Host::Set(name) => {
                    let (class, has_names) = self.set(name);
                    ends.push(end(HostTest::Class { class, has_names }, Some(class)));
                }
                host if remotes.len() <= MANY_HOSTS => {
                    let class = self.one(host);
                    ends.push(end(HostTest::new(host), Some(class)));
                }
                host => {
                    let group = *group_of.entry((ports, protocol)).or_insert_with(|| {
                        groups.push((ports.clone(), *protocol, Vec::new()));
                        groups.len() - 1
                    });
                    groups[group].2.push(host);
                }
            }
        }
        for (ports, protocol, hosts) in groups {
            let (class, has_names) = self.class(hosts);
            ends.push(End { hosts: HostTest::Class { class, has_names }, class: Some(class), ports, protocol });
        }
        ends
    }

    /// The class of one host.
    fn one(&mut self, host: &Host) -> Class {
        if let Some(known) = self.ones.get(host) {
            return *known;
        }
        let (class, _) = self.class([host]);
        self.ones.insert(host.clone(), class);
        class
    }

    fn set(&mut self, name: &Arc<str>) -> (Class, bool) {
        if let Some(known) = self.sets.get(name) {
            return *known;
        }
        let class = self.class(self.all.get(name).into_iter().flat_map(|set| &set.hosts));
        self.sets.insert(name.clone(), class);
        class
    }

    /// A new class, and whether there are names in it.
    fn class<'h>(&mut self, hosts: impl IntoIterator<Item = &'h Host>) -> (Class, bool) {
        let class = self.next;
        self.next += 1;
        let mut has_names = false;
        for host in hosts {
            has_names |= matches!(host, Host::Domain(_) | Host::DomainTree(_));
            self.hosts.add(host, class);
        }
        (class, has_names)
    }
}
