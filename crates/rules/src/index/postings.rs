//! Which of many rules a connection may match, by its remote end.
//!
//! Rules are listed by class of hosts and port. Lists that are asked for are merged into one in order as they are walked.
//! Invariants: no allocation when asked; every rule whose `remote` may hold is among those given.

use super::conditions::{Conditions, Place};
use super::hosts::{Class, Hosts};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::ops::ControlFlow;

/// Up to how many rules are walked one by one.
const FEW: usize = 12;
/// How many lists are merged; when there are more, all rules are walked.
const MAX_LISTS: usize = 16;
/// The port of those that do not name a single one; no rule names it.
const ALL_PORTS: u16 = 0;

/// Rules in order, and, when they are many, where each is found.
#[derive(Debug, Default)]
pub struct Postings {
    all: Vec<u32>,
    lists: Option<Lists>,
}

/// Where each of many rules is found.
#[derive(Debug, Default)]
struct Lists {
    /// Those for all hosts.
    any: Ports,
    by_class: HashMap<Class, Ports, RandomState>,
}

/// Rules for the same hosts.
#[derive(Debug)]
enum Ports {
    /// Not so many that their ports would be looked at before they are tested.
    Few(Vec<u32>),
    /// By port; those that do not name a single one are at [`ALL_PORTS`].
    Many(HashMap<u16, Vec<u32>, RandomState>),
}

/// Rules in order, of up to `N` lists.
#[derive(Debug)]
pub struct Merge<'a, const N: usize> {
    lists: [&'a [u32]; N],
    len: usize,
}

impl Postings {
    /// Of rules that are in order.
    pub fn new(all: Vec<u32>, conditions: &[Conditions]) -> Self {
        let lists = (all.len() > FEW).then(|| {
            let mut any = Vec::new();
            let mut by_class: HashMap<Class, Vec<(u16, u32)>, RandomState> = HashMap::default();
            for rule in &all {
                let ends = &conditions[*rule as usize].remote;
                for end in ends {
                    let single = end.ports.as_ref().filter(|ports| ports.start() == ports.end());
                    let one = (single.map_or(ALL_PORTS, |ports| *ports.start()), *rule);
                    match end.class {
                        Some(class) => by_class.entry(class).or_default().push(one),
                        None => any.push(one),
                    }
                }
                if ends.is_empty() {
                    any.push((ALL_PORTS, *rule));
                }
            }
            let by_class = by_class.into_iter().map(|(class, rules)| (class, Ports::new(rules))).collect();
            Lists { any: Ports::new(any), by_class }
        });
        Self { all, lists }
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Ports {
    /// Of ports and rules, which are in order.
    fn new(rules: Vec<(u16, u32)>) -> Self {
        if rules.len() <= FEW {
            let mut rules: Vec<u32> = rules.into_iter().map(|(_, rule)| rule).collect();
            rules.dedup();
            return Self::Few(rules);
        }
        let mut by_port: HashMap<u16, Vec<u32>, RandomState> = HashMap::default();
        for (port, rule) in rules {
            let list = by_port.entry(port).or_default();
            if list.last() != Some(&rule) {
                list.push(rule);
            }
        }
        Self::Many(by_port)
    }
}

impl<'a> Merge<'a, 2> {
    /// Of rules that are few; `None` when they are many.
    pub fn of_few(of: [&'a Postings; 2]) -> Option<Self> {
        let [a, b] = of;
        (a.lists.is_none() && b.lists.is_none()).then_some(Self { lists: [&a.all, &b.all], len: 2 })
    }
}

impl<'a> Merge<'a, MAX_LISTS> {
    /// Of no rules.
    pub const fn empty() -> Self {
        Self { lists: [&[]; MAX_LISTS], len: 0 }
    }

    /// Makes this the merge of the rules that a connection may match. It is large, so it is filled where it stays.
    pub fn fill_for(&mut self, of: [&'a Postings; 2], place: &Place<'_>, hosts: &Hosts) {
        if self.fill(of, place, hosts).is_break() {
            self.lists[..2].copy_from_slice(&of.map(|postings| &postings.all[..]));
            self.len = 2;
        }
    }

    /// Breaks when there are too many lists.
    fn fill(&mut self, of: [&'a Postings; 2], place: &Place<'_>, hosts: &Hosts) -> ControlFlow<()> {
        for postings in of {
            match &postings.lists {
                None => self.add(&postings.all)?,
                Some(lists) => self.add_ports(&lists.any, place.port)?,
            }
        }
        hosts.find(place.address, place.flow.name, |class| {
            let lists = of.iter().filter_map(|postings| postings.lists.as_ref()?.by_class.get(&class));
            lists.into_iter().try_for_each(|ports| self.add_ports(ports, place.port))
        })
    }

    fn add_ports(&mut self, ports: &'a Ports, port: Option<u16>) -> ControlFlow<()> {
        match ports {
            Ports::Few(rules) => self.add(rules),
            Ports::Many(by_port) => {
                let named = port.filter(|port| *port != ALL_PORTS);
                [Some(ALL_PORTS), named].into_iter().flatten().try_for_each(|port| match by_port.get(&port) {
                    Some(rules) => self.add(rules),
                    None => ControlFlow::Continue(()),
                })
            }
        }
    }

    fn add(&mut self, list: &'a [u32]) -> ControlFlow<()> {
        if list.is_empty() {
            return ControlFlow::Continue(());
        }
        let Some(free) = self.lists.get_mut(self.len) else { return ControlFlow::Break(()) };
        *free = list;
        self.len += 1;
        ControlFlow::Continue(())
    }
}

impl<const N: usize> Iterator for Merge<'_, N> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let lists = &mut self.lists[..self.len];
        let first = lists.iter().filter_map(|list| list.first()).min().copied()?;
        for list in lists {
            if let [head, rest @ ..] = list
                && *head == first
            {
                *list = rest;
            }
        }
        Some(first)
    }
}
