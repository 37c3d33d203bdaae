//! Comparing hosts, and sets of them.
//!
//! Invariants: yes means surely. Names and addresses are different things: a name says nothing about an address.

use crate::language::set::Set;
use crate::model::Host;
use ipnet::IpNet;
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

/// In a set with more addresses, prefixes and ranges than this, none is looked for; in a larger set not each entry is compared.
const MAX_LOOKED_AT: usize = 4_096;

/// The sets, ready to be looked into.
#[derive(Debug)]
pub struct Sets<'a> {
    by_name: BTreeMap<&'a str, Members<'a>>,
}

#[derive(Debug)]
struct Members<'a> {
    domains: HashSet<&'a str>,
    trees: HashSet<&'a str>,
    addresses: Vec<&'a Host>,
    all: &'a [Host],
}

impl<'a> Sets<'a> {
    /// Of the sets of a ruleset.
    pub fn new(sets: &'a BTreeMap<Arc<str>, Set>) -> Self {
        Self { by_name: sets.iter().map(|(name, set)| (&**name, Members::new(&set.hosts))).collect() }
    }

    /// Whether it is a set without entries.
    pub fn is_empty(&self, host: &Host) -> bool {
        matches!(host, Host::Set(name) if self.by_name.get(&**name).is_some_and(|members| members.all.is_empty()))
    }
}

impl<'a> Members<'a> {
    fn new(all: &'a [Host]) -> Self {
        let mut members = Self { domains: HashSet::new(), trees: HashSet::new(), addresses: Vec::new(), all };
        for host in all {
            match host {
                Host::Domain(name) => _ = members.domains.insert(&**name),
                Host::DomainTree(name) => _ = members.trees.insert(&**name),
                Host::Any | Host::Set(_) | Host::Net(_) | Host::Range(..) => members.addresses.push(host),
            }
        }
        members
    }

    fn covers(&self, host: &Host) -> bool {
        let in_tree = |name: &str| parents(name).any(|parent| self.trees.contains(parent));
        match host {
            Host::Domain(name) => self.domains.contains(&**name) || in_tree(name),
            Host::DomainTree(name) => in_tree(name),
            Host::Net(_) | Host::Range(..) => {
                self.addresses.len() <= MAX_LOOKED_AT && self.addresses.iter().any(|member| plain_covers(member, host))
            }
            Host::Any | Host::Set(_) => false,
        }
    }
}

/// A name and every name above it.
pub fn parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, parent)| parent))
}

/// Whether `a` surely has every host of `b` in it.
pub fn host_covers(a: &Host, b: &Host, sets: &Sets<'_>) -> bool {
    match (a, b) {
        (Host::Any, _) => true,
        (Host::Set(a), Host::Set(b)) if a == b => true,
        (Host::Set(a), Host::Set(b)) => {
            let (a, b) = (sets.by_name.get(&**a), sets.by_name.get(&**b));
            a.zip(b).is_some_and(|(a, b)| b.all.len() <= MAX_LOOKED_AT && b.all.iter().all(|host| a.covers(host)))
        }
        (Host::Set(a), b) => sets.by_name.get(&**a).is_some_and(|members| members.covers(b)),
        (a, Host::Set(b)) => sets.by_name.get(&**b).is_some_and(|members| {
            members.all.len() <= MAX_LOOKED_AT && members.all.iter().all(|b| plain_covers(a, b))
        }),
        (a, b) => plain_covers(a, b),
    }
}

fn plain_covers(a: &Host, b: &Host) -> bool {
    match (a, b) {
        (Host::Domain(a), Host::Domain(b)) => a == b,
        (Host::DomainTree(a), Host::Domain(b) | Host::DomainTree(b)) => is_below(b, a),
        _ => ends(a).zip(ends(b)).is_some_and(|((a, z), (b, y))| a.is_ipv4() == b.is_ipv4() && a <= b && y <= z),
    }
}

/// Whether a name is `tree` or below it.
fn is_below(name: &str, tree: &str) -> bool {
    name.strip_suffix(tree).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The first and the last address.
fn ends(host: &Host) -> Option<(IpAddr, IpAddr)> {
    match host {
        Host::Net(IpNet::V4(net)) => Some((net.network().into(), net.broadcast().into())),
        Host::Net(IpNet::V6(net)) => Some((net.network().into(), net.broadcast().into())),
        Host::Range(first, last) => Some((*first, *last)),
        _ => None,
    }
}

/// Whether no remote end is surely in both.
pub fn hosts_are_disjoint(a: &Host, b: &Host) -> bool {
    match (a, b) {
        (Host::Domain(a), Host::Domain(b)) => a != b,
        (Host::DomainTree(tree), Host::Domain(name)) | (Host::Domain(name), Host::DomainTree(tree)) => {
            !is_below(name, tree)
        }
        (Host::DomainTree(a), Host::DomainTree(b)) => !is_below(a, b) && !is_below(b, a),
        _ => ends(a).zip(ends(b)).is_some_and(|((a, z), (b, y))| a.is_ipv4() != b.is_ipv4() || y < a || z < b),
    }
}
