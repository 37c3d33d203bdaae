//! Open prompts: who waits in which, and until when.
//!
//! Connections of one asker to one place (the local port, when others begin them) wait in one prompt. A program that asks for more than
//! [`MAX_OWN_PROMPTS`] places gets one more prompt for all the others ([`Place::Many`]): a storm becomes a handful of
//! questions, nobody is refused unasked, and "everything" answers them all. The alternative, the default for the rest at
//! once, would break connections that a person is just about to permit.
//!
//! A prompt whose connections all got the default, or are gone, stays for [`LINGER`] so that an answer still holds for the
//! next attempt. What a prompt shows never changes under its number: when the connection that it shows is answered and
//! others are not, they move to a new prompt.
//!
//! Invariants: a connection waits in exactly one prompt; every count has its bound below; no clock. Neighbours: `ask` decides
//! what goes in and what comes out.

use super::place::{Asker, Place, domain};
use super::waiting::Waiting;
use crate::clock::Now;
use control::entry::Direction;
use foldhash::{HashMap, HashMapExt};
use jiff::Timestamp;
use rules::decision::RuleName;
use rules::facts::Identity;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use wire::verdict::RequestId;

/// Prompts in which something waits: in all, of one user, and of one program, those for many places included.
pub const MAX_PROMPTS: usize = 256;
/// Of one user.
pub const MAX_PROMPTS_PER_USER: usize = 128;
/// Of one program, one place each.
pub const MAX_OWN_PROMPTS: usize = 8;
/// Of one program: more than one is for many places only when different rules ask.
pub const MAX_PROMPTS_PER_PROGRAM: usize = 12;
/// Connections that wait: in all,
pub const MAX_WAITING: usize = 8192;
/// of one user,
pub const MAX_WAITING_PER_USER: usize = 4096;
/// and in one prompt.
pub const MAX_WAITING_PER_PROMPT: usize = 1024;
/// Prompts in which nothing waits any more.
pub const MAX_LINGERING: usize = 64;
/// How long such a one can be answered.
pub const LINGER: Duration = Duration::from_secs(5 * 60);

/// What connections are coalesced by. The rule that asks is part of it: it says what answers are allowed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Whose connections.
    pub asker: Asker,
    /// The rule that asks.
    pub asked_by: Option<RuleName>,
    /// Where to.
    pub place: Place,
}

/// An open prompt.
#[derive(Debug)]
pub struct Open<T> {
    /// What its connections have in common.
    pub key: Key,
    /// The connection that it shows: the first one. It may be gone.
    pub shown: Waiting<()>,
    /// Those that wait, oldest first.
    pub waiting: Vec<Waiting<T>>,
    /// When it was opened.
    pub opened: Timestamp,
    /// When it closes, while nothing waits: by the monotonic clock.
    closes: Option<Duration>,
}

impl<T> Open<T> {
    /// To whom it belongs.
    pub fn owner(&self) -> Option<&Arc<str>> {
        self.key.asker.user.as_ref()
    }

    /// Whether it is for every place that has no prompt of its own.
    pub fn is_for_many(&self) -> bool {
        self.key.place == Place::Many
    }

    /// The registrable domain that it is for.
    pub fn domain(&self) -> Option<Arc<str>> {
        match &self.key.place {
            Place::Domain(domain) => Some(domain.clone()),
            Place::Host(_) | Place::Local { .. } => None,
            Place::Many if self.key.asker.direction == Direction::In => None,
            Place::Many => domain(self.shown.name.as_ref()),
        }
    }

    /// When the first one that waits gives up.
    pub fn deadline(&self) -> Option<Duration> {
        self.waiting.iter().map(|waiting| waiting.deadline).min()
    }
}

/// What became of a connection that was to wait.
#[derive(Debug)]
pub enum Added<T> {
    /// It waits in this prompt.
    Waits(u64),
    /// Too much waits already.
    TooMany(Waiting<T>),
}

/// The open prompts.
#[derive(Debug)]
pub struct Prompts<T> {
    open: BTreeMap<u64, Open<T>>,
    keys: HashMap<Key, u64>,
    requests: HashMap<RequestId, u64>,
    /// With [`RequestId`]s as numbers, which have an order.
    deadlines: BTreeSet<(Duration, u64)>,
    last: u64,
}

impl<T> Prompts<T> {
    /// None; numbers begin after `last`.
    pub fn new(last: u64) -> Self {
        let (keys, requests) = (HashMap::new(), HashMap::new());
        Self { open: BTreeMap::new(), keys, requests, deadlines: BTreeSet::new(), last }
    }

    /// All, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Open<T>)> {
        self.open.iter().map(|(id, open)| (*id, open))
    }

    /// That one.
    pub fn get(&self, id: u64) -> Option<&Open<T>> {
        self.open.get(&id)
    }

    /// How many were opened so far, about: the highest number.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// How many connections wait.
    pub fn waiting(&self) -> usize {
        self.requests.len()
    }

    /// When something is due: by the monotonic clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        let waiting = self.deadlines.first().map(|(deadline, _)| *deadline);
        self.open.values().filter_map(|open| open.closes).chain(waiting).min()
    }

    /// Lets a connection wait.
    pub fn add(&mut self, waiting: Waiting<T>, now: Now) -> Added<T> {
        let asker = Asker::of(&waiting);
        let of_user = |open: &&Open<T>| open.owner() == asker.user.as_ref();
        let waits: usize = self.open.values().filter(of_user).map(|open| open.waiting.len()).sum();
        if self.requests.len() >= MAX_WAITING
            || waits >= MAX_WAITING_PER_USER
            || self.requests.contains_key(&waiting.request)
        {
            return Added::TooMany(waiting);
        }
        let Some(key) = self.key_for(asker, &waiting) else { return Added::TooMany(waiting) };
        let id = match self.keys.get(&key) {
            Some(id) => *id,
            None => self.open(key, &waiting, now),
        };
        let Some(open) = self.open.get_mut(&id) else { return Added::TooMany(waiting) };
        if open.waiting.len() >= MAX_WAITING_PER_PROMPT {
            return Added::TooMany(waiting);
        }
        open.closes = None;
        self.requests.insert(waiting.request, id);
        self.deadlines.insert((waiting.deadline, waiting.request.0));
        open.waiting.push(waiting);
        Added::Waits(id)
    }

    /// Which prompt a connection belongs into, which may not be open yet. `None`: there are too many.
    fn key_for(&self, asker: Asker, waiting: &Waiting<T>) -> Option<Key> {
        let key = |place| Key { asker: asker.clone(), asked_by: waiting.asked_by.clone(), place };
        let waits =
            |key: &Key| self.keys.get(key).and_then(|id| self.open.get(id)).filter(|open| !open.waiting.is_empty());
        let (own, many) = (key(Place::of(waiting)), key(Place::Many));
        if waits(&own).is_some() {
            return Some(own);
        }
        if waits(&many).is_some_and(|open| Place::of(&open.shown) == own.place) {
            return Some(many);
        }
        let asking = || self.open.values().filter(|open| !open.waiting.is_empty());
        let room = asking().count() < MAX_PROMPTS
            && asking().filter(|open| open.owner() == asker.user.as_ref()).count() < MAX_PROMPTS_PER_USER;
        let of_program = || asking().filter(|open| open.key.asker == asker);
        if room && of_program().filter(|open| !open.is_for_many()).count() < MAX_OWN_PROMPTS {
            Some(own)
        } else if waits(&many).is_some() || room && of_program().count() < MAX_PROMPTS_PER_PROGRAM {
            Some(many)
        } else {
            None
        }
    }

    fn open(&mut self, key: Key, first: &Waiting<T>, now: Now) -> u64 {
        self.last += 1;
        let shown = first.without_token();
        let open = Open { key: key.clone(), shown, waiting: Vec::new(), opened: now.wall, closes: None };
        self.open.insert(self.last, open);
        self.keys.insert(key, self.last);
        self.last
    }

    /// A process is better known: the prompts that show it show that.
    pub fn identify(&mut self, start_key: u64, identity: &Arc<Identity>) {
        for open in self.open.values_mut().filter(|open| open.shown.start_key == start_key) {
            let better = Waiting { identity: identity.clone(), ..open.shown.clone() };
            if Asker::of(&better) == open.key.asker {
                open.shown = better;
            }
        }
    }

    /// In which prompt this waits.
    pub fn find(&self, request: RequestId) -> Option<u64> {
        self.requests.get(&request).copied()
    }

    /// Takes those out of a prompt that `which` says.
    pub fn take(&mut self, id: u64, mut which: impl FnMut(&Waiting<T>) -> bool) -> Vec<Waiting<T>> {
        let Some(open) = self.open.get_mut(&id) else { return Vec::new() };
        let taken: Vec<Waiting<T>> = open.waiting.extract_if(.., |waiting| which(waiting)).collect();
        for waiting in &taken {
            self.requests.remove(&waiting.request);
            self.deadlines.remove(&(waiting.deadline, waiting.request.0));
        }
        taken
    }

    /// Takes out all whose deadline has come, with their prompts.
    pub fn take_due(&mut self, now: Duration) -> Vec<(u64, Vec<Waiting<T>>)> {
        let mut due = Vec::new();
        while let Some((_, request)) = self.deadlines.first().filter(|(deadline, _)| *deadline <= now).copied() {
            let Some(id) = self.find(RequestId(request)) else { break };
            due.push((id, self.take(id, |waiting| waiting.deadline <= now)));
        }
        due
    }

    /// Nothing waits in this prompt any more: it lingers. Gives those that must close for it.
    pub fn linger(&mut self, id: u64, now: Now) -> Vec<(u64, Open<T>)> {
        let Some(open) = self.open.get_mut(&id).filter(|open| open.waiting.is_empty()) else { return Vec::new() };
        open.closes.get_or_insert(now.monotonic.saturating_add(LINGER));
        let mut lingering: Vec<(Duration, u64)> =
            self.open.iter().filter_map(|(id, open)| Some((open.closes?, *id))).collect();
        lingering.sort_unstable();
        let surplus = lingering.len().saturating_sub(MAX_LINGERING);
        lingering.into_iter().take(surplus).filter_map(|(_, id)| Some((id, self.close(id)?))).collect()
    }

    /// Closes those that lingered long enough.
    pub fn close_due(&mut self, now: Duration) -> Vec<(u64, Open<T>)> {
        let due = |open: &Open<T>| open.closes.is_some_and(|closes| closes <= now);
        let due: Vec<u64> = self.open.iter().filter(|(_, open)| due(open)).map(|(id, _)| *id).collect();
        due.into_iter().filter_map(|id| Some((id, self.close(id)?))).collect()
    }

    /// Closes a prompt. Those that wait in it come with it.
    pub fn close(&mut self, id: u64) -> Option<Open<T>> {
        let open = self.open.remove(&id)?;
        self.keys.remove(&open.key);
        for waiting in &open.waiting {
            self.requests.remove(&waiting.request);
            self.deadlines.remove(&(waiting.deadline, waiting.request.0));
        }
        Some(open)
    }
}
