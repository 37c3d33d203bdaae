//! The verdict cache: what the service said about a program, and about a program and a remote.
//!
//! Every entry carries the stamp of the moment its request was delivered, so an answer that crosses a change of rules on
//! its way is not remembered.
//!
//! Invariants: an unknown program is never cached; a forgotten verdict never returns, an expired or old one only when
//! asked for the *last known* verdict; memory is fixed by [`CacheRoom::new`].
//!
//! Neighbours: `crate::Gate` asks before it holds; `stamps` says what still counts.

use crate::flow::{FlowKey, Subject};
use crate::memory::{Memory, OutOfMemory};
use crate::sets::Sets;
use crate::stamps::Stamps;
use crate::time::Instant;
use wire::request::{Address, Direction, FAMILY_V6};
use wire::verdict::{Answer, Scope, Verdict};

/// What a verdict is about. Fields beyond its scope are zero.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Key {
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
    key: Key,
    expires: Instant,
    stamp: u32,
    verdict: Verdict,
}

pub(crate) struct Cache<M: Memory> {
    stamps: Stamps<M>,
    entries: CacheRoom<M>,
    /// Entries from after the last `FORGET` of all, valid or not.
    count: u32,
}

/// The memory of a cache.
pub(crate) struct CacheRoom<M: Memory>(Sets<Entry, M>);

impl<M: Memory> CacheRoom<M> {
    /// Room for `capacity` verdicts, rounded up to whole sets; none at all for 0.
    pub(crate) fn new(capacity: usize) -> Result<Self, OutOfMemory> {
        Sets::new(capacity).map(Self)
    }
}

impl<M: Memory> Cache<M> {
    pub(crate) fn new(entries: CacheRoom<M>) -> Result<Self, OutOfMemory> {
        Ok(Self { stamps: Stamps::new()?, entries, count: 0 })
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The stamp for what is asked now.
    pub(crate) fn stamp(&self) -> u32 {
        self.stamps.now()
    }

    /// Whether what was asked then about a program is still true.
    pub(crate) fn is_current(&self, stamp: u32, program: u64) -> bool {
        self.stamps.is_current(stamp, program)
    }

    /// The verdict in force: that for the program and this remote, else that for the program.
    #[inline]
    pub(crate) fn valid(&self, now: Instant, subject: &Subject) -> Option<Verdict> {
        self.lookup(subject, |entry| now < entry.expires && self.is_current(entry.stamp, subject.program))
    }

    /// The verdict that was in force last, even if it has expired or is of an old epoch.
    pub(crate) fn last_known(&self, subject: &Subject) -> Option<Verdict> {
        self.lookup(subject, |entry| self.stamps.is_remembered(entry.stamp, subject.program))
    }

    #[inline]
    fn lookup(&self, subject: &Subject, counts: impl Fn(&Entry) -> bool) -> Option<Verdict> {
        if subject.program == 0 {
            return None;
        }
        [Scope::REMOTE, Scope::PROGRAM].into_iter().find_map(|scope| {
            let (key, hash) = Key::of(subject, scope);
            let entry = self.entries.0.find(hash, |entry| entry.key == key)?;
            counts(entry).then_some(entry.verdict)
        })
    }

    /// Remembers an answer to what was asked at `stamp`, as widely and as long as it says.
    pub(crate) fn remember(&mut self, now: Instant, subject: &Subject, stamp: u32, answer: &Answer) {
        let stamps = &self.stamps;
        if subject.program == 0 || answer.scope == Scope::OPERATION || !stamps.is_current(stamp, subject.program) {
            return;
        }
        if answer.scope == Scope::REMOTE && is_link_local(&subject.key) {
            return;
        }
        let (key, hash) = Key::of(subject, answer.scope);
        let expires = if answer.lifetime_ms == 0 { Instant::NEVER } else { now.after_millis(answer.lifetime_ms) };
        let same = self.entries.0.remove(hash, |entry| entry.key == key);
        let is_dead = |entry: &Entry| now >= entry.expires || !stamps.is_current(entry.stamp, entry.key.program);
        let entry = Entry { key, expires, stamp, verdict: answer.verdict };
        let Ok(evicted) = self.entries.0.insert(hash, entry, is_dead) else { return };
        let gone = same.iter().chain(&evicted).filter(|gone| stamps.is_kept(gone.stamp)).count() as u32;
        self.count = (self.count + 1).saturating_sub(gone);
    }

    pub(crate) fn new_epoch(&mut self) {
        self.stamps.new_epoch();
    }

    pub(crate) fn forget_all(&mut self) {
        self.stamps.forget_all();
        self.count = 0;
    }

    pub(crate) fn forget_program(&mut self, program: u64) {
        self.stamps.forget_program(program);
    }

    /// Exchanges the memory. What was cached is gone.
    pub(crate) fn exchange(&mut self, entries: &mut CacheRoom<M>) {
        core::mem::swap(&mut self.entries, entries);
        self.count = 0;
    }
}

/// A link-local address is another host on another link, and a key does not say which link.
fn is_link_local(key: &FlowKey) -> bool {
    key.family == FAMILY_V6 && matches!(key.remote.0, [0xfe, 0x80..=0xbf, ..])
}

impl Key {
    /// The key for a scope, and its hash: program ids are hashes already.
    #[inline]
    fn of(subject: &Subject, scope: Scope) -> (Self, u64) {
        let Subject { key, program, remote_hash, .. } = *subject;
        let of_program = Self { program, direction: key.direction, scope, ..Self::default() };
        if scope == Scope::PROGRAM {
            return (of_program, program);
        }
        let (remote, remote_port, protocol, family) = (key.remote, key.remote_port, key.protocol, key.family);
        (Self { remote, remote_port, protocol, family, ..of_program }, program ^ remote_hash)
    }
}
