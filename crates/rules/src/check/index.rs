//! Which rules may cover a given one, without comparing it with all.
//!
//! A rule that names programs by their file names can cover only rules about such a file name; one that is about names or
//! prefixes, only rules about those or what is below them. Invariants: [`Index::candidates`] leaves out no rule that covers.

use super::hosts::parents;
use super::shape::Shape;
use crate::model::Host;
use ipnet::IpNet;
use std::collections::{BTreeSet, HashMap, HashSet};

/// What a covered rule must have, one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key<'a> {
    Program(&'a str),
    Domain(&'a str),
    Net(IpNet),
}

/// Rules by what they can cover; a rule is known by its place in the walk.
#[derive(Debug, Default)]
pub struct Index<'a> {
    by_key: HashMap<Key<'a>, Vec<usize>>,
    others: Vec<usize>,
    v4_lengths: BTreeSet<u8>,
    v6_lengths: BTreeSet<u8>,
}

impl<'a> Index<'a> {
    /// Adds a rule.
    pub fn insert(&mut self, place: usize, shape: &Shape<'a>) {
        let programs: Option<Vec<Key<'a>>> =
            shape.program.iter().map(|pattern| pattern.file_name().map(Key::Program)).collect();
        let hosts: Option<Vec<Key<'a>>> = shape.atoms.iter().map(|atom| key(atom.host)).collect();
        let keys = programs.filter(|keys| !keys.is_empty()).or(hosts.filter(|keys| !keys.is_empty()));
        let Some(keys) = keys else { return self.others.push(place) };
        for key in keys.into_iter().collect::<HashSet<_>>() {
            if let Key::Net(net) = key {
                let lengths = if matches!(net, IpNet::V4(_)) { &mut self.v4_lengths } else { &mut self.v6_lengths };
                lengths.insert(net.prefix_len());
            }
            self.by_key.entry(key).or_default().push(place);
        }
    }

    /// The places of rules that may cover this one, in no order.
    pub fn candidates(&self, shape: &Shape<'a>) -> Vec<usize> {
        let mut found = self.others.clone();
        let mut add = |key: Key<'a>| found.extend(self.by_key.get(&key).into_iter().flatten());
        if let Some(name) = shape.program.first().and_then(|pattern| pattern.file_name()) {
            add(Key::Program(name));
        }
        // A rule that is in the index by its hosts covers every remote end of this one, so the first is enough.
        match shape.atoms.first().map(|atom| atom.host) {
            Some(Host::Domain(name) | Host::DomainTree(name)) => parents(name).for_each(|name| add(Key::Domain(name))),
            Some(Host::Net(net)) => {
                let lengths = if matches!(net, IpNet::V4(_)) { &self.v4_lengths } else { &self.v6_lengths };
                for length in lengths.range(..=net.prefix_len()) {
                    if let Ok(wider) = IpNet::new(net.addr(), *length) {
                        add(Key::Net(wider.trunc()));
                    }
                }
            }
            // What covers a range or a set by its members would have to be looked for among all.
            Some(Host::Range(..) | Host::Set(_)) => {
                found.extend(
                    self.by_key
                        .iter()
                        .filter(|(key, _)| !matches!(key, Key::Program(_)))
                        .flat_map(|(_, places)| places),
                );
            }
            Some(Host::Any) | None => {}
        }
        found
    }
}

fn key(host: &Host) -> Option<Key<'_>> {
    match host {
        Host::Domain(name) | Host::DomainTree(name) => Some(Key::Domain(name)),
        Host::Net(net) => Some(Key::Net(net.trunc())),
        Host::Any | Host::Range(..) | Host::Set(_) => None,
    }
}
