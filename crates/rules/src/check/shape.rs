//! What a rule matches, in a form that can be compared.
//!
//! Invariants: nothing is guessed: [`Shape::covers`], [`Shape::overlaps`] and [`Shape::is_disjoint`] say yes only when it is so
//! for every connection there can be, and no when they do not know. Neighbours: `pattern` and `hosts` compare the parts.

use super::hosts::{Sets, host_covers};
use super::pattern::{self, Pattern};
use crate::model::{Glob, Host, Rule, has_ports};
use crate::ruleset::PathStyle;
use std::ops::RangeInclusive;

/// A rule that compares more alternatives than this with each other is not compared.
const MAX_PAIRS: usize = 4_000_000;

/// A set of IP protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols([u64; 4]);

impl Protocols {
    const ALL: Self = Self([u64::MAX; 4]);
    const NONE: Self = Self([0; 4]);

    fn one(number: u8) -> Self {
        let mut set = Self::NONE;
        set.insert(number);
        set
    }

    fn insert(&mut self, number: u8) {
        if let Some(word) = self.0.get_mut(usize::from(number / 64)) {
            *word |= 1 << (number % 64);
        }
    }

    fn with_ports() -> Self {
        let mut set = Self::NONE;
        (0..=u8::MAX).filter(|number| has_ports(*number)).for_each(|number| set.insert(number));
        set
    }

    fn and(self, other: Self) -> Self {
        let mut both = self;
        both.0.iter_mut().zip(other.0).for_each(|(a, b)| *a &= b);
        both
    }

    fn is_empty(self) -> bool {
        self == Self::NONE
    }
}

/// One remote end, together with the rule's protocols.
#[derive(Debug)]
pub struct Atom<'a> {
    /// Which hosts.
    pub host: &'a Host,
    ports: Option<&'a RangeInclusive<u16>>,
    protocols: Protocols,
}

/// What a rule matches.
#[derive(Debug)]
pub struct Shape<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// Its programs.
    pub program: Vec<Pattern<'a>>,
    parent: Vec<Pattern<'a>>,
    /// Its remote ends, without those that match nothing.
    pub atoms: Vec<Atom<'a>>,
    local_ports: Vec<RangeInclusive<u16>>,
}

impl<'a> Shape<'a> {
    /// Of a rule.
    pub fn new(rule: &'a Rule, style: PathStyle, sets: &Sets<'_>) -> Self {
        let of_rule = if rule.protocol.is_empty() {
            Protocols::ALL
        } else {
            rule.protocol.iter().fold(Protocols::NONE, |mut set, number| {
                set.insert(*number);
                set
            })
        };
        // A condition on a port does not hold for a protocol that has none.
        let limited = |has_port: bool, set: Protocols| if has_port { set.and(Protocols::with_ports()) } else { set };
        let of_rule = limited(!rule.local_port.is_empty(), of_rule);
        let mut atoms: Vec<Atom<'_>> = if rule.remote.is_empty() {
            vec![Atom { host: &Host::Any, ports: None, protocols: of_rule }]
        } else {
            let atom = |remote: &'a crate::model::Remote| Atom {
                host: &remote.host,
                ports: remote.ports.as_ref(),
                protocols: limited(
                    remote.ports.is_some(),
                    of_rule.and(remote.protocol.map_or(Protocols::ALL, Protocols::one)),
                ),
            };
            rule.remote.iter().map(atom).collect()
        };
        atoms.retain(|atom| !atom.protocols.is_empty() && !sets.is_empty(atom.host));
        Self {
            rule,
            program: rule.program.iter().map(|program| Pattern::new(program, style)).collect(),
            parent: rule.parent.iter().map(|program| Pattern::new(program, style)).collect(),
            atoms,
            local_ports: merged(&rule.local_port),
        }
    }

    /// Whether this surely matches whatever `other` matches.
    pub fn covers(&self, other: &Self, sets: &Sets<'_>) -> bool {
        let (a, b) = (self.rule, other.rule);
        let lasts = a.expires.is_none_or(|ends| b.expires.is_some_and(|other| other <= ends));
        lasts
            && (a.direction.is_none() || a.direction == b.direction)
            && (a.when.is_none() || a.when == b.when)
            && all(&self.program, &other.program, Pattern::covers)
            && self.covers_remotes(other, sets)
            && all(&self.parent, &other.parent, Pattern::covers)
            && all(&a.user, &b.user, pattern::glob_covers)
            && all(&a.command_line, &b.command_line, pattern::glob_covers)
            && all(&a.interface, &b.interface, pattern::glob_covers)
            && all(&self.local_ports, &other.local_ports, range_covers)
    }

    fn covers_remotes(&self, other: &Self, sets: &Sets<'_>) -> bool {
        self.atoms.len().saturating_mul(other.atoms.len()) <= MAX_PAIRS
            && other.atoms.iter().all(|b| self.atoms.iter().any(|a| a.covers(b, sets)))
    }

    /// Whether there surely is a connection that both match.
    pub fn overlaps(&self, other: &Self, sets: &Sets<'_>) -> bool {
        let (a, b) = (self.rule, other.rule);
        let globs = |a: &[Glob], b: &[Glob]| any(a, b, pattern::glob_covers);
        a.when.is_none()
            && b.when.is_none()
            && (a.direction.is_none() || b.direction.is_none() || a.direction == b.direction)
            && any(&self.program, &other.program, Pattern::covers)
            && any(&self.parent, &other.parent, Pattern::covers)
            && globs(&a.user, &b.user)
            && globs(&a.command_line, &b.command_line)
            && globs(&a.interface, &b.interface)
            && (self.local_ports.is_empty()
                || other.local_ports.is_empty()
                || self.local_ports.iter().any(|a| other.local_ports.iter().any(|b| ranges_meet(a, b))))
            && self.atoms.len().saturating_mul(other.atoms.len()) <= MAX_PAIRS
            && self.atoms.iter().any(|a| other.atoms.iter().any(|b| a.overlaps(b, sets)))
    }

    /// Whether there surely is no connection that both match.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        let (a, b) = (self.rule, other.rule);
        fn none<T>(a: &[T], b: &[T], apart: impl Fn(&T, &T) -> bool) -> bool {
            !a.is_empty() && !b.is_empty() && a.iter().all(|a| b.iter().all(|b| apart(a, b)))
        }
        a.direction.zip(b.direction).is_some_and(|(a, b)| a != b)
            || none(&self.program, &other.program, Pattern::is_disjoint)
            || none(&self.parent, &other.parent, Pattern::is_disjoint)
            || none(&a.command_line, &b.command_line, pattern::literals_differ)
            || none(&a.interface, &b.interface, pattern::literals_differ)
            || none(&self.local_ports, &other.local_ports, |a, b| !ranges_meet(a, b))
            || (self.atoms.len().saturating_mul(other.atoms.len()) <= MAX_PAIRS
                && self.atoms.iter().all(|a| other.atoms.iter().all(|b| a.is_disjoint(b))))
    }
}

impl Atom<'_> {
    fn covers(&self, other: &Self, sets: &Sets<'_>) -> bool {
        other.protocols.and(self.protocols) == other.protocols
            && match (self.ports, other.ports) {
                (None, _) => true,
                (Some(a), Some(b)) => range_covers(a, b),
                (Some(_), None) => false,
            }
            && host_covers(self.host, other.host, sets)
    }

    fn overlaps(&self, other: &Self, sets: &Sets<'_>) -> bool {
        let meet = self.ports.zip(other.ports).is_none_or(|(a, b)| ranges_meet(a, b));
        meet && !self.protocols.and(other.protocols).is_empty()
            && (host_covers(self.host, other.host, sets) || host_covers(other.host, self.host, sets))
    }

    fn is_disjoint(&self, other: &Self) -> bool {
        self.protocols.and(other.protocols).is_empty()
            || self.ports.zip(other.ports).is_some_and(|(a, b)| !ranges_meet(a, b))
            || super::hosts::hosts_are_disjoint(self.host, other.host)
    }
}

/// Whether alternatives `a` cover alternatives `b`; no alternatives are no condition.
fn all<T>(a: &[T], b: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    a.is_empty()
        || (!b.is_empty()
            && a.len().saturating_mul(b.len()) <= MAX_PAIRS
            && b.iter().all(|b| a.iter().any(|a| covers(a, b))))
}

/// Whether alternatives surely have something in common.
fn any<T>(a: &[T], b: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    a.is_empty()
        || b.is_empty()
        || (a.len().saturating_mul(b.len()) <= MAX_PAIRS
            && a.iter().any(|a| b.iter().any(|b| covers(a, b) || covers(b, a))))
}

fn range_covers(a: &RangeInclusive<u16>, b: &RangeInclusive<u16>) -> bool {
    a.start() <= b.start() && b.end() <= a.end()
}

fn ranges_meet(a: &RangeInclusive<u16>, b: &RangeInclusive<u16>) -> bool {
    a.start() <= b.end() && b.start() <= a.end()
}

/// Ranges in order, with those that touch as one.
fn merged(ranges: &[RangeInclusive<u16>]) -> Vec<RangeInclusive<u16>> {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|range| *range.start());
    let mut merged: Vec<RangeInclusive<u16>> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last) if u32::from(*range.start()) <= u32::from(*last.end()) + 1 => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            _ => merged.push(range),
        }
    }
    merged
}
