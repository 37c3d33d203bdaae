//! The verdict cache: what the service said about a program, and about a program and a remote.
//!
//! Every entry carries the *stamp* of the moment its request was delivered. Stamps count what makes entries worthless:
//! a new epoch and each `FORGET` raise a floor, and entries below their floor do not count. So neither costs time, however
//! many entries there are, and an answer that crosses a change of rules on its way is not remembered.
//!
//! Invariants: an unknown program is never cached; a forgotten verdict never returns, an expired or old one only when
//! asked for the *last known* verdict; memory is fixed by [`CacheRoom::new`].
//!
//! Neighbours: `crate::Gate` asks before it holds; `live` uses the same stamps.

use crate::flow::{FlowKey, Words};
use crate::memory::{OutOfMemory, filled};
use crate::sets::Sets;
use crate::siphash::SipKey;
use crate::time::Instant;
use alloc::vec::Vec;
use wire::request::{Address, Direction};
use wire::verdict::{Answer, Scope, Verdict};

/// Programs are forgotten in groups: those whose ids have the same low bits.
const GROUPS: usize = 4096;

/// What a verdict is about.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Subject {
    program: u64,
    remote: Address,
    remote_port: u16,
    protocol: u8,
    family: u8,
    direction: Direction,
    scope: Scope,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    subject: Subject,
    expires: Instant,
    stamp: u32,
    verdict: Verdict,
}

pub(crate) struct Cache {
    sip: SipKey,
    stamps: Stamps,
    entries: CacheRoom,
    /// Entries from after the last `FORGET` of all, valid or not.
    count: u32,
}

/// The memory of a cache.
pub(crate) struct CacheRoom(Sets<Entry>);

impl CacheRoom {
    /// Room for `capacity` verdicts, rounded up to whole sets; none at all for 0.
    pub(crate) fn new(capacity: usize) -> Result<Self, OutOfMemory> {
        Sets::new(capacity).map(Self)
    }
}

impl Cache {
    pub(crate) fn new(sip: SipKey, entries: CacheRoom) -> Result<Self, OutOfMemory> {
        Ok(Self { sip, stamps: Stamps::new()?, entries, count: 0 })
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The stamp for what is asked now.
    pub(crate) fn stamp(&self) -> u32 {
        self.stamps.now
    }

    /// Whether what was asked then about a program is still true.
    pub(crate) fn is_current(&self, stamp: u32, program: u64) -> bool {
        self.stamps.is_current(stamp, program)
    }

    /// The verdict in force: that for the program and this remote, else that for the program.
    #[inline]
    pub(crate) fn valid(&self, now: Instant, program: u64, key: &FlowKey) -> Option<Verdict> {
        self.lookup(program, key, |entry| now < entry.expires && self.stamps.is_current(entry.stamp, program))
    }

    /// The verdict that was in force last, even if it has expired or is of an old epoch.
    pub(crate) fn last_known(&self, program: u64, key: &FlowKey) -> Option<Verdict> {
        self.lookup(program, key, |entry| self.stamps.is_remembered(entry.stamp, program))
    }

    #[inline]
    fn lookup(&self, program: u64, key: &FlowKey, counts: impl Fn(&Entry) -> bool) -> Option<Verdict> {
        if program == 0 {
            return None;
        }
        [Scope::REMOTE, Scope::PROGRAM].into_iter().find_map(|scope| {
            let subject = Subject::of(program, key, scope);
            let entry = self.entries.0.find(subject.hash(self.sip), |entry| entry.subject == subject)?;
            counts(entry).then_some(entry.verdict)
        })
    }

    /// Remembers an answer to what was asked at `stamp`, as widely and as long as it says.
    pub(crate) fn remember(&mut self, now: Instant, program: u64, key: &FlowKey, stamp: u32, answer: &Answer) {
        let stamps = &self.stamps;
        if program == 0 || answer.scope == Scope::OPERATION || !stamps.is_current(stamp, program) {
            return;
        }
        let subject = Subject::of(program, key, answer.scope);
        let expires = if answer.lifetime_ms == 0 { Instant::NEVER } else { now.after_millis(answer.lifetime_ms) };
        let entry = Entry { subject, expires, stamp, verdict: answer.verdict };
        let hash = subject.hash(self.sip);
        let is_dead = |entry: &Entry| now >= entry.expires || !stamps.is_current(entry.stamp, entry.subject.program);
        let same = self.entries.0.remove(hash, |entry| entry.subject == subject);
        let Ok(evicted) = self.entries.0.insert(hash, entry, is_dead) else { return };
        let counted = |gone: &Entry| gone.stamp >= stamps.forgotten;
        let gone = same.iter().chain(&evicted).filter(|gone| counted(gone)).count() as u32;
        self.count = (self.count + 1).saturating_sub(gone);
    }

    pub(crate) fn new_epoch(&mut self) {
        self.stamps.epoch = self.stamps.advance();
    }

    pub(crate) fn forget_all(&mut self) {
        self.stamps.forgotten = self.stamps.advance();
        self.count = 0;
    }

    pub(crate) fn forget_program(&mut self, program: u64) {
        let now = self.stamps.advance();
        if let Some(floor) = self.stamps.groups.get_mut(group(program)) {
            *floor = now;
        }
    }

    /// Exchanges the memory. What was cached is gone.
    pub(crate) fn exchange(&mut self, entries: &mut CacheRoom) {
        core::mem::swap(&mut self.entries, entries);
        self.count = 0;
    }
}

impl Subject {
    #[inline]
    fn of(program: u64, key: &FlowKey, scope: Scope) -> Self {
        let whole = Self {
            program,
            remote: key.remote,
            remote_port: key.remote_port,
            protocol: key.protocol,
            family: key.family,
            direction: key.direction,
            scope,
        };
        if scope == Scope::REMOTE {
            whole
        } else {
            Self { program, direction: key.direction, scope, ..Self::default() }
        }
    }

    #[inline]
    fn hash(&self, sip: SipKey) -> u64 {
        let [high, low] = self.remote.words();
        let numbers = [self.direction.0, self.scope.0, self.family, self.protocol];
        let numbers = u64::from(u32::from_le_bytes(numbers)) << 16 | u64::from(self.remote_port);
        sip.words([self.program, high, low, numbers])
    }
}

/// When verdicts stopped counting.
struct Stamps {
    /// The next stamp.
    now: u32,
    /// Stamps from before the last new epoch are below.
    epoch: u32,
    /// Stamps from before the last `FORGET` of all are below.
    forgotten: u32,
    /// The same for each group of programs.
    groups: Vec<u32>,
}

impl Stamps {
    fn new() -> Result<Self, OutOfMemory> {
        Ok(Self { now: 1, epoch: 0, forgotten: 0, groups: filled(GROUPS, 0)? })
    }

    #[inline]
    fn is_current(&self, stamp: u32, program: u64) -> bool {
        stamp >= self.epoch && stamp < u32::MAX && self.is_remembered(stamp, program)
    }

    #[inline]
    fn is_remembered(&self, stamp: u32, program: u64) -> bool {
        stamp >= self.forgotten && self.groups.get(group(program)).is_none_or(|floor| stamp >= *floor)
    }

    /// Stops, not wraps, after four thousand million changes of rules: from then on nothing is current.
    fn advance(&mut self) -> u32 {
        self.now = self.now.saturating_add(1);
        self.now
    }
}

fn group(program: u64) -> usize {
    program as usize % GROUPS
}
