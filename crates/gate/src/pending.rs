//! The pend table: one record for each operation that is held, or decided and not yet reauthorized.
//!
//! A record goes through these stages:
//!
//! ```text
//! insert -> Pending -> Held -> Ready -> HandedOut -> remove
//!              \__________________/ decided meanwhile: Ready as soon as the operation is here
//! ```
//!
//! Invariants: memory is allocated by [`PendTable::new`] only; every operation (`P`) that comes in goes out exactly once;
//! an undecided record is in `undecided`, a `Ready` one in `ready`, a `HandedOut` one in `handed_out`; all these lists
//! are in order of time, so the first is always the next to act on; every step takes constant time, but for lookups by
//! flow, which walk the records of one endpoint.
//!
//! Neighbours: `crate::Gate` decides and counts; `list` links the slots; `ids` names the records.

use crate::facts::Facts;
use crate::flow::FlowKey;
use crate::ids::{self, Ids};
use crate::list::{Chain, Links, List, NONE};
use crate::memory::{Memory, OutOfMemory};
use crate::processes::{ProcessCounts, place};
use crate::siphash::SipKey;
use crate::time::Instant;
use wire::verdict::{RequestId, Verdict};

/// How far a record has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// The classify that pends it has not said yet how that went.
    Pending,
    /// The operation is here and waits for a decision.
    Held,
    /// Decided; the operation waits to be completed.
    Ready,
    /// The operation was handed out for completion; its reauthorize is to come.
    HandedOut,
}

pub(crate) struct Record<P> {
    pub(crate) id: RequestId,
    pub(crate) facts: Facts,
    /// When it was held; from `HandedOut` on, when it was handed out.
    pub(crate) since: Instant,
    /// The cache's stamp of what its verdict rests on: of the delivery, or of the decision by the fallback.
    pub(crate) stamp: u32,
    pub(crate) stage: Stage,
    pub(crate) verdict: Option<Verdict>,
    /// The request waits for delivery.
    queued: bool,
    /// A new connection has its flow key: its verdict must not be found any more.
    superseded: bool,
    operation: Option<P>,
    time: Links,
    work: Links,
    bucket: Links,
}

#[expect(clippy::large_enum_variant, reason = "a slot is memory for a record, made before it is needed")]
pub(crate) enum Slot<P> {
    Free { next: u32 },
    Used(Record<P>),
}

/// The slots, which lists link.
pub(crate) struct Slots<P, M: Memory> {
    slots: M::Slab<Slot<P>>,
    /// The first of the slots that were used before.
    free: u32,
    /// How many slots were ever used.
    fresh: usize,
}

impl<P, M: Memory> Slots<P, M> {
    pub(crate) fn links(&mut self, chain: Chain, slot: u32) -> Option<&mut Links> {
        let record = self.get_mut(slot)?;
        Some(match chain {
            Chain::Time => &mut record.time,
            Chain::Work => &mut record.work,
            Chain::Bucket => &mut record.bucket,
        })
    }

    fn get(&self, slot: u32) -> Option<&Record<P>> {
        match self.slots.get(slot as usize)? {
            Slot::Used(record) => Some(record),
            Slot::Free { .. } => None,
        }
    }

    fn get_mut(&mut self, slot: u32) -> Option<&mut Record<P>> {
        match self.slots.get_mut(slot as usize)? {
            Slot::Used(record) => Some(record),
            Slot::Free { .. } => None,
        }
    }

    /// A free slot: one used before, or the next new one.
    fn take(&mut self) -> Option<u32> {
        if let Some(Slot::Free { next }) = self.slots.get(self.free as usize) {
            return Some(core::mem::replace(&mut self.free, *next));
        }
        let fresh = u32::try_from(self.fresh).ok().filter(|_| self.fresh < self.slots.len())?;
        self.fresh += 1;
        Some(fresh)
    }

    fn put(&mut self, slot: u32, record: Record<P>) {
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Slot::Used(record);
        }
    }

    fn release(&mut self, slot: u32) -> Option<Record<P>> {
        let place = self.slots.get_mut(slot as usize)?;
        match core::mem::replace(place, Slot::Free { next: self.free }) {
            Slot::Used(record) => {
                self.free = slot;
                Some(record)
            }
            free @ Slot::Free { .. } => {
                *place = free;
                None
            }
        }
    }
}

pub(crate) struct PendTable<P, M: Memory> {
    slots: Slots<P, M>,
    /// Records by endpoint, each bucket with the last handed out first.
    buckets: M::Slab<List>,
    processes: ProcessCounts<M>,
    undecided: List,
    deliveries: List,
    ready: List,
    handed_out: List,
    used: usize,
    undecided_count: u32,
    queued_count: u32,
}

impl<P, M: Memory> PendTable<P, M> {
    /// What one record costs, its share of every index included.
    pub(crate) const BYTES_PER_RECORD: usize =
        size_of::<Slot<P>>() + size_of::<List>() + ProcessCounts::<M>::BYTES_PER_RECORD;

    pub(crate) fn new(capacity: usize) -> Result<Self, OutOfMemory> {
        Ok(Self {
            slots: Slots { slots: M::slab(capacity, || Slot::Free { next: NONE })?, free: NONE, fresh: 0 },
            buckets: M::slab(capacity, || List::EMPTY)?,
            processes: ProcessCounts::new(capacity)?,
            undecided: List::EMPTY,
            deliveries: List::EMPTY,
            ready: List::EMPTY,
            handed_out: List::EMPTY,
            used: 0,
            undecided_count: 0,
            queued_count: 0,
        })
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.slots.len()
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn undecided_count(&self) -> u32 {
        self.undecided_count
    }

    pub(crate) fn queued_count(&self) -> u32 {
        self.queued_count
    }

    pub(crate) fn count_of_process(&self, sip: SipKey, process_id: u64) -> u32 {
        self.processes.count(sip, process_id)
    }

    /// Takes over all records of `old`, at the same slots. `self` is new and at least as large.
    pub(crate) fn adopt(&mut self, sip: SipKey, old: &mut Self) {
        if self.capacity() < old.slots.fresh {
            return;
        }
        // The others are free in both.
        for (slot, old_slot) in self.slots.slots.iter_mut().zip(old.slots.slots.iter_mut()).take(old.slots.fresh) {
            core::mem::swap(slot, old_slot);
        }
        core::mem::swap(&mut self.slots.free, &mut old.slots.free);
        core::mem::swap(&mut self.slots.fresh, &mut old.slots.fresh);
        for (list, old_list) in [
            (&mut self.undecided, &mut old.undecided),
            (&mut self.deliveries, &mut old.deliveries),
            (&mut self.ready, &mut old.ready),
            (&mut self.handed_out, &mut old.handed_out),
        ] {
            core::mem::swap(list, old_list);
        }
        core::mem::swap(&mut self.used, &mut old.used);
        core::mem::swap(&mut self.undecided_count, &mut old.undecided_count);
        core::mem::swap(&mut self.queued_count, &mut old.queued_count);
        for bucket in old.buckets.iter() {
            // Backwards, because each goes to the front: the order within a bucket is meaning.
            let mut cursor = bucket.back();
            while let Some((slot, record)) = cursor.and_then(|slot| Some((slot, self.slots.get(slot)?))) {
                let (before, endpoint, process_id) =
                    (record.bucket.prev(), record.facts.key.endpoint, record.facts.process_id);
                self.processes.add(sip, process_id);
                self.link(sip, endpoint, slot);
                cursor = before;
            }
        }
    }

    /// Adds an undecided record; `None` when there is no room.
    pub(crate) fn insert(
        &mut self,
        sip: SipKey,
        ids: &mut Ids,
        facts: Facts,
        now: Instant,
        stamp: u32,
    ) -> Option<RequestId> {
        let slot = self.slots.take()?;
        let id = ids.next(slot);
        self.slots.put(
            slot,
            Record {
                id,
                facts,
                since: now,
                stamp,
                stage: Stage::Pending,
                verdict: None,
                queued: false,
                superseded: false,
                operation: None,
                time: Links::ALONE,
                work: Links::ALONE,
                bucket: Links::ALONE,
            },
        );
        self.used += 1;
        self.undecided_count += 1;
        self.processes.add(sip, facts.process_id);
        self.undecided.push_back(&mut self.slots, Chain::Time, slot);
        self.link(sip, facts.key.endpoint, slot);
        Some(id)
    }

    /// The record with this very id.
    pub(crate) fn get(&self, id: RequestId) -> Option<&Record<P>> {
        self.slots.get(ids::slot(id)).filter(|record| record.id == id)
    }

    /// The undecided record held for the longest time.
    pub(crate) fn oldest_undecided(&self) -> Option<&Record<P>> {
        self.slots.get(self.undecided.front()?)
    }

    /// The record handed out for the longest time.
    pub(crate) fn oldest_handed_out(&self) -> Option<&Record<P>> {
        self.slots.get(self.handed_out.front()?)
    }

    /// The record a reauthorize of this flow is about: the one handed out last, else an undecided or ready one.
    pub(crate) fn find(&self, sip: SipKey, key: &FlowKey) -> Option<&Record<P>> {
        let mut waiting = None;
        for record in self.with_key(sip, key) {
            if record.stage == Stage::HandedOut {
                return Some(record);
            }
            waiting = waiting.or(Some(record));
        }
        waiting
    }

    /// Any undecided record of this endpoint.
    pub(crate) fn find_undecided(&self, sip: SipKey, endpoint: u64) -> Option<RequestId> {
        let mut records = self.of_endpoint(sip, endpoint);
        records.find(|record| record.verdict.is_none()).map(|record| record.id)
    }

    /// Makes the decided records of this flow unfindable: a new connection has its key. Gives one that is to be removed
    /// at once, until there is none; the others leave when they are handed out.
    pub(crate) fn supersede(&mut self, sip: SipKey, key: &FlowKey) -> Option<RequestId> {
        if self.used == self.undecided_count as usize {
            return None;
        }
        loop {
            let record = self.with_key(sip, key).find(|record| record.verdict.is_some())?;
            let id = record.id;
            if record.stage == Stage::HandedOut {
                return Some(id);
            }
            self.slots.get_mut(ids::slot(id))?.superseded = true;
        }
    }

    /// The operation has been pended. Gives it back when `id` does not wait for one.
    pub(crate) fn arrive(&mut self, id: RequestId, operation: P) -> Result<Stage, P> {
        let slot = ids::slot(id);
        let Some(record) = self.slots.get_mut(slot).filter(|record| record.id == id && record.stage == Stage::Pending)
        else {
            return Err(operation);
        };
        record.operation = Some(operation);
        if record.verdict.is_some() {
            record.stage = Stage::Ready;
            self.ready.push_back(&mut self.slots, Chain::Work, slot);
            return Ok(Stage::Ready);
        }
        record.stage = Stage::Held;
        record.queued = true;
        self.queued_count += 1;
        self.deliveries.push_back(&mut self.slots, Chain::Work, slot);
        Ok(Stage::Held)
    }

    /// Decides an undecided record; its request is not delivered any more.
    pub(crate) fn decide(&mut self, id: RequestId, verdict: Verdict, stamp: u32) {
        let slot = ids::slot(id);
        self.unqueue(slot);
        let Some(record) = self.slots.get_mut(slot).filter(|record| record.verdict.is_none()) else { return };
        record.verdict = Some(verdict);
        record.stamp = stamp;
        let held = record.stage == Stage::Held;
        if held {
            record.stage = Stage::Ready;
        }
        self.undecided_count -= 1;
        self.undecided.remove(&mut self.slots, Chain::Time, slot);
        if held {
            self.ready.push_back(&mut self.slots, Chain::Work, slot);
        }
    }

    /// The operation that has been ready to be completed for the longest time.
    pub(crate) fn first_ready(&self) -> Option<u32> {
        self.ready.front()
    }

    /// Any ready operation of this endpoint.
    pub(crate) fn find_ready(&self, sip: SipKey, endpoint: u64) -> Option<u32> {
        let mut records = self.of_endpoint(sip, endpoint);
        records.find(|record| record.stage == Stage::Ready).map(|record| ids::slot(record.id))
    }

    /// Hands out a ready operation. Its record is now the first that a reauthorize of its flow finds. The flag says that it
    /// must be removed instead.
    pub(crate) fn hand_out(&mut self, sip: SipKey, now: Instant, slot: u32) -> Option<(RequestId, P, bool)> {
        self.ready.remove(&mut self.slots, Chain::Work, slot);
        let record = self.slots.get_mut(slot)?;
        record.stage = Stage::HandedOut;
        record.since = now;
        let (id, endpoint, superseded) = (record.id, record.facts.key.endpoint, record.superseded);
        let operation = record.operation.take()?;
        self.handed_out.push_back(&mut self.slots, Chain::Time, slot);
        self.unlink(sip, endpoint, slot);
        self.link(sip, endpoint, slot);
        Some((id, operation, superseded))
    }

    /// Takes the next request out for delivery.
    pub(crate) fn deliver(&mut self, stamp: u32) -> Option<&Record<P>> {
        let slot = self.deliveries.front()?;
        self.unqueue(slot);
        let record = self.slots.get_mut(slot)?;
        record.stamp = stamp;
        Some(record)
    }

    /// Ends a record that holds no operation: decided ones that were handed out, and those never pended.
    pub(crate) fn remove(&mut self, sip: SipKey, id: RequestId) -> Option<Record<P>> {
        let record = self.get(id).filter(|record| record.operation.is_none())?;
        let (slot, endpoint, undecided) = (ids::slot(id), record.facts.key.endpoint, record.verdict.is_none());
        match record.stage {
            Stage::HandedOut => self.handed_out.remove(&mut self.slots, Chain::Time, slot),
            _ if undecided => {
                self.undecided_count -= 1;
                self.undecided.remove(&mut self.slots, Chain::Time, slot);
            }
            _ => {}
        }
        self.unlink(sip, endpoint, slot);
        let record = self.slots.release(slot)?;
        self.processes.remove(sip, record.facts.process_id);
        self.used -= 1;
        Some(record)
    }

    /// Ends a record whose operation has not come and will not.
    pub(crate) fn remove_unpended(&mut self, sip: SipKey, id: RequestId) -> Option<Record<P>> {
        self.get(id).filter(|record| record.stage == Stage::Pending)?;
        self.remove(sip, id)
    }

    fn unqueue(&mut self, slot: u32) {
        if let Some(record) = self.slots.get_mut(slot).filter(|record| record.queued) {
            record.queued = false;
            self.queued_count -= 1;
            self.deliveries.remove(&mut self.slots, Chain::Work, slot);
        }
    }

    /// The findable records of a flow, the last handed out first.
    fn with_key(&self, sip: SipKey, key: &FlowKey) -> impl Iterator<Item = &Record<P>> {
        self.of_endpoint(sip, key.endpoint).filter(move |record| record.facts.key == *key && !record.superseded)
    }

    fn of_endpoint(&self, sip: SipKey, endpoint: u64) -> impl Iterator<Item = &Record<P>> {
        let mut cursor = self.buckets.get(self.bucket(sip, endpoint)).and_then(List::front);
        core::iter::from_fn(move || {
            let record = self.slots.get(cursor?)?;
            cursor = record.bucket.next();
            Some(record)
        })
        .filter(move |record| record.facts.key.endpoint == endpoint)
    }

    fn link(&mut self, sip: SipKey, endpoint: u64, slot: u32) {
        let bucket = self.bucket(sip, endpoint);
        if let Some(list) = self.buckets.get_mut(bucket) {
            list.push_front(&mut self.slots, Chain::Bucket, slot);
        }
    }

    fn unlink(&mut self, sip: SipKey, endpoint: u64, slot: u32) {
        let bucket = self.bucket(sip, endpoint);
        if let Some(list) = self.buckets.get_mut(bucket) {
            list.remove(&mut self.slots, Chain::Bucket, slot);
        }
    }

    fn bucket(&self, sip: SipKey, endpoint: u64) -> usize {
        place(sip.words([endpoint]), self.buckets.len())
    }
}
