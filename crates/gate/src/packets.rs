//! Kept packets: copies of what an operation would have sent, or was sent, until it is decided.
//!
//! Invariants: a packet that was taken in goes out exactly once, to be injected or to be dropped, and never from under the
//! caller's lock: [`Gate::take_packets`] and [`crate::completing::Then`] are the only ways out. What is kept, and what room
//! is set aside for packets on their way in, stays within the limits of the settings.
//!
//! Neighbours: `record` holds the packets of an operation; `completing` gives those of inbound ones out with it.

use crate::Gate;
use crate::memory::{Memory, OutOfMemory};
use crate::policy::share;
use crate::record::Record;
use crate::time::Instant;
use wire::request::Direction;
use wire::settings::Settings;
use wire::stats::Stats;
use wire::verdict::{RequestId, Verdict};

/// Copies of packets, in order. The caller's: the gate moves them and counts.
pub trait Packets: Default {
    /// How many there are.
    fn count(&self) -> u32;

    /// What they cost, in bytes, all that is needed to keep them included.
    fn bytes(&self) -> u32;

    /// Puts more packets behind these, in constant time.
    fn append(&mut self, more: Self);
}

/// Packets that left the gate.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Released<K> {
    /// To be injected, each once: their operations were permitted and have been continued.
    pub inject: K,
    /// To be dropped: their operations were not.
    pub drop: K,
}

/// How many permitted operations that ended last are remembered.
const RECENT: usize = 64;

/// What is kept now, and what is on its way out.
pub(crate) struct Kept<K, M: Memory> {
    packets: u32,
    bytes: u32,
    /// Bytes set aside for first packets that are being copied.
    reserved: u32,
    out: Released<K>,
    /// The permitted operations that ended last: a packet that was being copied for one goes after the others.
    recent: M::Slab<RequestId>,
    next: usize,
}

impl<K: Packets, M: Memory> Kept<K, M> {
    pub(crate) fn new() -> Result<Self, OutOfMemory> {
        let out = Released { inject: K::default(), drop: K::default() };
        let recent = M::slab(RECENT, || RequestId(0))?;
        Ok(Self { packets: 0, bytes: 0, reserved: 0, out, recent, next: 0 })
    }

    /// Whether there is room for `bytes` more, of an operation that has `of_operation` already.
    fn has_room(&self, settings: &Settings, direction: Direction, of_operation: u32, bytes: u32) -> bool {
        let all = self.bytes.checked_add(self.reserved).and_then(|all| all.checked_add(bytes));
        let of_operation = of_operation.checked_add(bytes);
        all.is_some_and(|all| all <= share(direction, settings.max_packet_bytes))
            && of_operation.is_some_and(|all| all <= settings.max_packet_bytes_per_operation)
    }

    /// Sets room aside for a first packet.
    pub(crate) fn reserve(&mut self, settings: &Settings, direction: Direction, bytes: u32) -> bool {
        let fits = bytes == 0 || self.has_room(settings, direction, 0, bytes);
        if fits {
            self.reserved += bytes;
        }
        fits
    }

    /// Gives back what was set aside.
    pub(crate) fn unreserve(&mut self, bytes: u32) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    fn count(&mut self, counters: &mut Stats, packets: &K) {
        self.packets = self.packets.saturating_add(packets.count());
        self.bytes = self.bytes.saturating_add(packets.bytes());
        counters.packets_kept += u64::from(packets.count());
    }

    fn uncount(&mut self, packets: &K) -> u64 {
        self.packets = self.packets.saturating_sub(packets.count());
        self.bytes = self.bytes.saturating_sub(packets.bytes());
        packets.count().into()
    }

    /// The packets of an operation that has ended are to be injected, if it was permitted, or dropped.
    pub(crate) fn settle(&mut self, id: RequestId, verdict: Verdict, packets: K) {
        if verdict == Verdict::PERMIT {
            self.remember(id);
            self.out.inject.append(packets);
        } else {
            self.out.drop.append(packets);
        }
    }

    /// A permitted operation has ended: further packets of it need not wait.
    fn remember(&mut self, id: RequestId) {
        if let Some(place) = self.recent.get_mut(self.next) {
            *place = id;
        }
        self.next = (self.next + 1) % RECENT;
    }

    /// The packets of an inbound operation go out together with it.
    pub(crate) fn give_out(&mut self, counters: &mut Stats, id: RequestId, verdict: Verdict, packets: &K) {
        let count = self.uncount(packets);
        if verdict == Verdict::PERMIT {
            self.remember(id);
            counters.packets_released += count;
        } else {
            counters.packets_dropped += count;
        }
    }

    /// Fills in what is true only now.
    pub(crate) fn fill(&self, stats: &mut Stats) {
        (stats.kept_packets, stats.kept_bytes) = (self.packets, self.bytes);
    }
}

impl<P, K: Packets, M: Memory> Gate<P, K, M> {
    /// Takes in further packets of an operation: those that [`crate::Action::Join`] or [`crate::Reauthorized::Waiting`]
    /// asked for. Gives them back, to be dropped, when there is no room or no use for them.
    ///
    /// Should the operation have been permitted and continued meanwhile, they go straight to [`Gate::take_packets`].
    pub fn handle_joined(&mut self, now: Instant, id: RequestId, packets: K) -> Result<(), K> {
        self.tick(now);
        let fits = match self.pending.get(id) {
            Some(record) => self.has_room_for(record, packets.bytes()),
            None => {
                id != RequestId(0)
                    && self.kept.recent.contains(&id)
                    && self.kept.has_room(&self.settings, Direction::OUTBOUND, 0, packets.bytes())
            }
        };
        if !fits {
            self.counters.packets_refused += u64::from(packets.count());
            return Err(packets);
        }
        self.kept.count(&mut self.counters, &packets);
        match self.pending.get_mut(id) {
            Some(record) => record.packets.append(packets),
            None => self.kept.out.inject.append(packets),
        }
        Ok(())
    }

    /// Takes all packets that are to be injected or dropped, with no lock held and outside of classify.
    ///
    /// Some are there after a reauthorize, a completion, a failed pend, a timeout, or a classify of a key that was known.
    pub fn take_packets(&mut self) -> Released<K> {
        let out = Released {
            inject: core::mem::take(&mut self.kept.out.inject),
            drop: core::mem::take(&mut self.kept.out.drop),
        };
        self.counters.packets_released += self.kept.uncount(&out.inject);
        self.counters.packets_dropped += self.kept.uncount(&out.drop);
        out
    }

    /// Whether [`Gate::take_packets`] has something to give.
    pub fn has_packets(&self) -> bool {
        self.kept.out.inject.count() > 0 || self.kept.out.drop.count() > 0
    }

    /// Whether one more packet of this operation is worth a copy.
    pub(crate) fn has_room_for(&self, record: &Record<P, K>, bytes: u32) -> bool {
        let direction = record.facts.key.direction;
        record.wants_more() && self.kept.has_room(&self.settings, direction, record.bytes(), bytes)
    }

    /// Puts the first packets of an operation before those that joined it while they were copied.
    pub(crate) fn keep_first(&mut self, id: RequestId, packets: K) {
        let Some(record) = self.pending.get_mut(id) else { return };
        self.kept.unreserve(core::mem::take(&mut record.reserved));
        self.kept.count(&mut self.counters, &packets);
        let joined = core::mem::replace(&mut record.packets, packets);
        record.packets.append(joined);
    }
}

impl<P, K: Packets> Record<P, K> {
    /// What its packets cost.
    fn bytes(&self) -> u32 {
        self.packets.bytes().saturating_add(self.reserved)
    }

    /// Whether further packets of it are kept: not after a block, and never TCP, whose connect has no packet, and whose SYN
    /// the remote repeats.
    fn wants_more(&self) -> bool {
        self.facts.key.protocol != crate::policy::TCP && self.verdict != Some(Verdict::BLOCK) && !self.superseded
    }
}
