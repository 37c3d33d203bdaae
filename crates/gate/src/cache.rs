//! The verdict cache: what the service said about a program, and about a program and a remote.
//!
//! Every entry carries the stamp of the moment its request was delivered, so an answer that crosses a change of rules on
//! its way is not remembered.
//!
//! Two halves: [`Verdicts`] is read by anybody, without a lock; [`Cache`] is the gate's way to write into it.
//!
//! Invariants: an unknown program is never cached; a forgotten verdict never returns, an expired or old one only when
//! asked for the *last known* verdict; whoever reads while something changes sees what was before or what is after. Memory
//! grows by [`CacheRoom::new`] only, to less than twice the largest size that was ever wanted.
//!
//! Neighbours: `front` and `crate::Gate` ask before anything is held; `stamps` says what still counts.

use crate::flow::{FlowKey, Subject};
use crate::front::Front;
use crate::memory::{Memory, OutOfMemory};
use crate::shared_sets::{Fields, Look, Room, SharedSets};
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

#[derive(Clone, Copy)]
struct Entry {
    key: Key,
    expires: Instant,
    stamp: u32,
    verdict: Verdict,
}

/// The verdicts, for whoever looks.
pub(crate) struct Verdicts<M: Memory> {
    stamps: Stamps<M>,
    entries: SharedSets<M>,
}

impl<M: Memory> Verdicts<M> {
    /// Room for none yet.
    pub(crate) fn new() -> Result<Self, OutOfMemory> {
        Ok(Self { stamps: Stamps::new()?, entries: SharedSets::new()? })
    }

    /// The verdict in force: that for the program and this remote, else that for the program. None, too, when it is just
    /// being changed.
    #[inline]
    pub(crate) fn valid(&self, now: Instant, subject: &Subject) -> Option<Verdict> {
        self.lookup(subject, |entry| now < entry.expires && self.stamps.is_current(entry.stamp, subject.program))
    }

    #[inline]
    fn lookup(&self, subject: &Subject, counts: impl Fn(&Entry) -> bool) -> Option<Verdict> {
        if subject.program == 0 {
            return None;
        }
        let verdict = |look: &Look<'_>| {
            let entry = Entry::from_fields(&look.entry?);
            counts(&entry).then_some(entry.verdict)
        };
        let narrow = self.look(subject, Scope::REMOTE)?;
        verdict(&narrow).or_else(|| {
            let wide = self.look(subject, Scope::PROGRAM)?;
            // The narrow one comes first: that there was none must be true of the moment when this one was seen.
            verdict(&wide).filter(|_| narrow.is_still())
        })
    }

    #[inline]
    fn look(&self, subject: &Subject, scope: Scope) -> Option<Look<'_>> {
        let (key, hash) = Key::of(subject, scope);
        let key = key.to_fields();
        self.entries.find(hash, |fields| is_same_key(fields, &key))
    }
}

/// The verdicts, for the gate, which alone changes them.
pub(crate) struct Cache<M: Memory> {
    front: M::Shared<Front<M>>,
    /// Entries from after the last `FORGET` of all, valid or not.
    count: u32,
}

/// What a cache needs for another size.
pub(crate) struct CacheRoom<M: Memory>(Room<M>);

impl<M: Memory> CacheRoom<M> {
    /// For `wanted` verdicts, rounded up to whole sets, in a cache made for `current` of them.
    pub(crate) fn new(current: usize, wanted: usize) -> Result<Self, OutOfMemory> {
        Room::new(current, wanted).map(Self)
    }
}

impl<M: Memory> Cache<M> {
    /// The only one for this `front`.
    pub(crate) fn new(front: M::Shared<Front<M>>) -> Self {
        Self { front, count: 0 }
    }

    fn verdicts(&self) -> &Verdicts<M> {
        &self.front.verdicts
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The stamp for what is asked now.
    pub(crate) fn stamp(&self) -> u32 {
        self.verdicts().stamps.now()
    }

    /// Whether what was asked then about a program is still true.
    pub(crate) fn is_current(&self, stamp: u32, program: u64) -> bool {
        self.verdicts().stamps.is_current(stamp, program)
    }

    /// The verdict in force.
    #[inline]
    pub(crate) fn valid(&self, now: Instant, subject: &Subject) -> Option<Verdict> {
        self.verdicts().valid(now, subject)
    }

    /// The verdict that was in force last, even if it has expired or is of an old epoch.
    pub(crate) fn last_known(&self, subject: &Subject) -> Option<Verdict> {
        let verdicts = self.verdicts();
        verdicts.lookup(subject, |entry| verdicts.stamps.is_remembered(entry.stamp, subject.program))
    }

    /// Remembers an answer to what was asked at `stamp`, as widely and as long as it says.
    pub(crate) fn remember(&mut self, now: Instant, subject: &Subject, stamp: u32, answer: &Answer) {
        let Verdicts { stamps, entries } = self.verdicts();
        if subject.program == 0 || answer.scope == Scope::OPERATION || !stamps.is_current(stamp, subject.program) {
            return;
        }
        if answer.scope == Scope::REMOTE && is_link_local(&subject.key) {
            return;
        }
        let (key, hash) = Key::of(subject, answer.scope);
        let expires = if answer.lifetime_ms == 0 { Instant::NEVER } else { now.after_millis(answer.lifetime_ms) };
        let entry = Entry { key, expires, stamp, verdict: answer.verdict }.to_fields();
        let is_dead = |fields: &Fields| {
            let entry = Entry::from_fields(fields);
            now >= entry.expires || !stamps.is_current(entry.stamp, entry.key.program)
        };
        let Some(replaced) = entries.put(hash, &entry, |fields| is_same_key(fields, &entry), is_dead) else { return };
        let gone = replaced.same.iter().chain(&replaced.evicted);
        let gone = gone.filter(|gone| stamps.is_kept(Entry::from_fields(gone).stamp)).count() as u32;
        self.count = (self.count + 1).saturating_sub(gone);
    }

    pub(crate) fn new_epoch(&mut self) {
        self.verdicts().stamps.new_epoch();
    }

    pub(crate) fn forget_all(&mut self) {
        self.verdicts().stamps.forget_all();
        self.count = 0;
    }

    pub(crate) fn forget_program(&mut self, program: u64) {
        self.verdicts().stamps.forget_program(program);
    }

    /// Gives the cache another size. What was cached is gone.
    pub(crate) fn resize(&mut self, room: &mut CacheRoom<M>) {
        self.verdicts().entries.resize(&mut room.0);
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

    /// The words of an entry with this key; those that are not the key's are zero.
    #[inline]
    fn to_fields(self) -> Fields {
        let [low, high] = halves(self.remote);
        let port = self.remote_port.to_le_bytes();
        let kind = [port[0], port[1], self.protocol, self.family, self.direction.0, self.scope.0, 0, 0];
        [self.program, low, high, u64::from_le_bytes(kind), 0, 0]
    }
}

/// Where in the words of an entry the verdict is: in the highest byte of what says which kind of flow.
const VERDICT_SHIFT: u32 = 56;

#[inline]
fn is_same_key(fields: &Fields, other: &Fields) -> bool {
    let [program, low, high, kind, ..] = *fields;
    let [other_program, other_low, other_high, other_kind, ..] = *other;
    let kinds = (kind ^ other_kind) & !(0xFF << VERDICT_SHIFT);
    program == other_program && low == other_low && high == other_high && kinds == 0
}

impl Entry {
    fn to_fields(self) -> Fields {
        let [program, low, high, kind, ..] = self.key.to_fields();
        let kind = kind | u64::from(self.verdict.0) << VERDICT_SHIFT;
        [program, low, high, kind, self.expires.as_millis(), u64::from(self.stamp)]
    }

    #[inline]
    fn from_fields(&[program, low, high, kind, expires, stamp]: &Fields) -> Self {
        let [port, port_high, protocol, family, direction, scope, _, verdict] = kind.to_le_bytes();
        let remote = Address((u128::from(low) | u128::from(high) << 64).to_ne_bytes());
        let remote_port = u16::from_le_bytes([port, port_high]);
        let (direction, scope) = (Direction(direction), Scope(scope));
        Self {
            key: Key { program, remote, remote_port, protocol, family, direction, scope },
            expires: Instant::from_millis(expires),
            stamp: stamp as u32,
            verdict: Verdict(verdict),
        }
    }
}

fn halves(address: Address) -> [u64; 2] {
    let address = u128::from_ne_bytes(address.0);
    [address as u64, (address >> 64) as u64]
}
