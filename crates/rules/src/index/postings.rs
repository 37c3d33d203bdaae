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
const MAX_LISTS: usize = 24;
/// The class of all hosts.
const ANY: Class = Class::MAX;
/// The port of those that do not name a single one; no rule names it.
const ALL_PORTS: u16 = 0;

/// Rules in order, and, when they are many, where each is found.
#[derive(Debug, Default)]
pub struct Postings {
    all: Vec<u32>,
    lists: Option<Lists>,
}

type Lists = HashMap<(Class, u16), Vec<u32>, RandomState>;

/// Rules in order, of several lists.
#[derive(Debug)]
pub struct Merge<'a> {
    lists: [&'a [u32]; MAX_LISTS],
    len: usize,
}

impl Postings {
    /// Of rules that are in order.
    pub fn new(all: Vec<u32>, conditions: &[Conditions]) -> Self {
        let lists = (all.len() > FEW).then(|| {
            let mut lists = Lists::default();
            for rule in &all {
                let ends = &conditions[*rule as usize].remote;
                let mut add = |key| {
                    let list: &mut Vec<u32> = lists.entry(key).or_default();
                    if list.last() != Some(rule) {
                        list.push(*rule);
                    }
                };
                for end in ends {
                    let single = end.ports.as_ref().filter(|ports| ports.start() == ports.end());
                    add((end.class.unwrap_or(ANY), single.map_or(ALL_PORTS, |ports| *ports.start())));
                }
                if ends.is_empty() {
                    add((ANY, ALL_PORTS));
                }
            }
            lists
        });
        Self { all, lists }
    }
}

impl<'a> Merge<'a> {
    /// Of the rules that a connection may match.
    pub fn new(of: [&'a Postings; 2], place: &Place<'_>, hosts: &Hosts) -> Self {
        let mut merge = Self { lists: [&[]; MAX_LISTS], len: 0 };
        if merge.fill(of, place, hosts).is_break() {
            merge.lists[..2].copy_from_slice(&of.map(|postings| &postings.all[..]));
            merge.len = 2;
        }
        merge
    }

    /// Breaks when there are too many lists.
    fn fill(&mut self, of: [&'a Postings; 2], place: &Place<'_>, hosts: &Hosts) -> ControlFlow<()> {
        for postings in of {
            match &postings.lists {
                None => self.add(&postings.all)?,
                Some(lists) => self.add_class(lists, ANY, place.port)?,
            }
        }
        if of.iter().all(|postings| postings.lists.is_none()) {
            return ControlFlow::Continue(());
        }
        hosts.find(place.address, place.flow.name, |class| {
            of.iter()
                .filter_map(|postings| postings.lists.as_ref())
                .try_for_each(|lists| self.add_class(lists, class, place.port))
        })
    }

    fn add_class(&mut self, lists: &'a Lists, class: Class, port: Option<u16>) -> ControlFlow<()> {
        if let Some(list) = lists.get(&(class, ALL_PORTS)) {
            self.add(list)?;
        }
        match port.filter(|port| *port != ALL_PORTS).and_then(|port| lists.get(&(class, port))) {
            Some(list) => self.add(list),
            None => ControlFlow::Continue(()),
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

impl Iterator for Merge<'_> {
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
