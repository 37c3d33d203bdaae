//! The pend table: one record for each operation that is held, or decided and not yet continued.
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
//! are in order of time, so the first is always the next to act on; every step takes constant time, but for what is done
//! to all records of one socket.
//!
//! Neighbours: `crate::Gate` decides and counts; `slots` is the memory, `index` finds; `ids` names the records.

use crate::facts::Facts;
use crate::flow::{Flow, Subject};
use crate::ids::{self, Ids};
use crate::index::Index;
use crate::list::{Chain, Links, List};
use crate::memory::{Memory, OutOfMemory};
use crate::processes::ProcessCounts;
pub(crate) use crate::record::{Record, Stage};
use crate::siphash::SipKey;
use crate::slots::{Slot, Slots};
use crate::time::Instant;
use wire::verdict::{RequestId, Verdict};

pub(crate) struct PendTable<P, K, M: Memory> {
    slots: Slots<Record<P, K>, M>,
    /// Records by flow, each bucket with the last handed out first.
    flows: Index<M>,
    /// Records by their own socket.
    sockets: Index<M>,
    /// Records whose key names another socket, by that.
    parents: Index<M>,
    processes: ProcessCounts<M>,
    undecided: List,
    deliveries: List,
    ready: List,
    handed_out: List,
    used: usize,
    undecided_count: u32,
    queued_count: u32,
}

/// What makes a new record.
pub(crate) struct New {
    pub(crate) facts: Facts,
    pub(crate) socket: u64,
    pub(crate) flow_hash: u64,
    pub(crate) since: Instant,
    pub(crate) stamp: u32,
    pub(crate) reserved: u32,
}

impl<P, K: Default, M: Memory> PendTable<P, K, M> {
    /// What one record costs, its share of every index included.
    pub(crate) const BYTES_PER_RECORD: usize =
        size_of::<Slot<Record<P, K>>>() + 3 * Index::<M>::BYTES_PER_SLOT + ProcessCounts::<M>::BYTES_PER_RECORD;

    pub(crate) fn new(capacity: usize) -> Result<Self, OutOfMemory> {
        Ok(Self {
            slots: Slots::new(capacity)?,
            flows: Index::new(Chain::Flow, capacity)?,
            sockets: Index::new(Chain::Socket, capacity)?,
            parents: Index::new(Chain::Parent, capacity)?,
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
        self.slots.capacity()
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
        if !self.slots.adopt(&mut old.slots) {
            return;
        }
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
        for bucket in old.flows.buckets() {
            // Backwards, because each goes to the front: the order within a bucket is meaning.
            let mut cursor = bucket.back();
            while let Some((slot, record)) = cursor.and_then(|slot| Some((slot, self.slots.get(slot)?))) {
                let (before, process_id, place) = (record.by_flow.prev(), record.facts.process_id, Place::of(record));
                self.processes.add(sip, process_id);
                self.link(sip, place, slot);
                cursor = before;
            }
        }
    }

    /// Adds an undecided record; `None` when there is no room.
    pub(crate) fn insert(&mut self, sip: SipKey, ids: &mut Ids, new: New) -> Option<RequestId> {
        let slot = self.slots.take()?;
        let id = ids.next(slot);
        let record = Record {
            id,
            facts: new.facts,
            socket: new.socket,
            flow_hash: new.flow_hash,
            since: new.since,
            stamp: new.stamp,
            stage: Stage::Pending,
            verdict: None,
            queued: false,
            superseded: false,
            reserved: new.reserved,
            operation: None,
            packets: K::default(),
            time: Links::ALONE,
            work: Links::ALONE,
            by_flow: Links::ALONE,
            by_socket: Links::ALONE,
            by_parent: Links::ALONE,
        };
        let place = Place::of(&record);
        self.slots.put(slot, record);
        self.used += 1;
        self.undecided_count += 1;
        self.processes.add(sip, new.facts.process_id);
        self.undecided.push_back(&mut self.slots, Chain::Time, slot);
        self.link(sip, place, slot);
        Some(id)
    }

    /// The record with this very id.
    pub(crate) fn get(&self, id: RequestId) -> Option<&Record<P, K>> {
        self.slots.get(ids::slot(id)).filter(|record| record.id == id)
    }

    /// The record with this very id.
    pub(crate) fn get_mut(&mut self, id: RequestId) -> Option<&mut Record<P, K>> {
        self.slots.get_mut(ids::slot(id)).filter(|record| record.id == id)
    }

    /// The undecided record held for the longest time.
    pub(crate) fn oldest_undecided(&self) -> Option<&Record<P, K>> {
        self.slots.get(self.undecided.front()?)
    }

    /// The record handed out for the longest time.
    pub(crate) fn oldest_handed_out(&self) -> Option<&Record<P, K>> {
        self.slots.get(self.handed_out.front()?)
    }

    /// The record a reauthorize of this flow is about: the one handed out last, else an undecided or ready one.
    pub(crate) fn find(&self, subject: &Subject) -> Option<&Record<P, K>> {
        first_by_stage(self.of_flow(subject))
    }

    /// The record that one more packet of this flow belongs to.
    pub(crate) fn find_same(&self, flow: &Flow<'_>, subject: &Subject) -> Option<&Record<P, K>> {
        first_by_stage(self.of_flow(subject).filter(|record| record.is_of(flow, subject)))
    }

    /// Makes the decided records of this flow unfindable: a new connection has its key. Gives one that is to be removed
    /// at once, until there is none; the others leave when they are handed out.
    pub(crate) fn supersede(&mut self, subject: &Subject) -> Option<RequestId> {
        if self.used == self.undecided_count as usize {
            return None;
        }
        loop {
            let record = self.of_flow(subject).find(|record| record.verdict.is_some())?;
            let id = record.id;
            if record.stage == Stage::HandedOut {
                return Some(id);
            }
            self.get_mut(id)?.superseded = true;
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

    /// Decides all undecided records of a socket, or, with `children`, also those of the sockets it accepts for. Gives how
    /// many there were.
    pub(crate) fn decide_socket(
        &mut self,
        sip: SipKey,
        endpoint: u64,
        children: bool,
        verdict: Verdict,
        stamp: u32,
    ) -> u64 {
        let mut decided = 0;
        for chain in [Chain::Socket, Chain::Parent] {
            if !children && matches!(chain, Chain::Parent) {
                break;
            }
            let mut cursor = self.first_of_socket(sip, chain, endpoint);
            while let Some(record) = cursor.and_then(|slot| self.slots.get(slot)) {
                let (id, undecided) = (record.id, record.verdict.is_none() && record.is_of_socket(chain, endpoint));
                cursor = next(record, chain);
                if undecided {
                    self.decide(id, verdict, stamp);
                    decided += 1;
                }
            }
        }
        decided
    }

    /// Whether an operation of this socket (with `children`, or of one that it accepts for) waits for its completion, or
    /// has not been handed in yet.
    pub(crate) fn is_on_its_way(&self, sip: SipKey, endpoint: u64, children: bool) -> bool {
        let waits = |record: &Record<P, K>| matches!(record.stage, Stage::Ready | Stage::Pending);
        self.of_socket(sip, Chain::Socket, endpoint).any(waits)
            || children && self.of_socket(sip, Chain::Parent, endpoint).any(waits)
    }

    /// The operation that has been ready to be completed for the longest time.
    pub(crate) fn first_ready(&self) -> Option<u32> {
        self.ready.front()
    }

    /// Any ready operation of this socket, or of one that it accepts for.
    pub(crate) fn find_ready(&self, sip: SipKey, endpoint: u64) -> Option<u32> {
        [Chain::Socket, Chain::Parent].into_iter().find_map(|chain| {
            let mut records = self.of_socket(sip, chain, endpoint);
            records.find(|record| record.stage == Stage::Ready).map(|record| ids::slot(record.id))
        })
    }

    /// The record in a slot.
    pub(crate) fn at(&self, slot: u32) -> Option<&Record<P, K>> {
        self.slots.get(slot)
    }

    /// Hands out a ready operation. Its record is now the first that a reauthorize of its flow finds.
    pub(crate) fn hand_out(&mut self, sip: SipKey, now: Instant, slot: u32) -> Option<P> {
        let record = self.slots.get_mut(slot).filter(|record| record.stage == Stage::Ready)?;
        let operation = record.operation.take()?;
        record.stage = Stage::HandedOut;
        record.since = now;
        let place = Place::of(record);
        self.ready.remove(&mut self.slots, Chain::Work, slot);
        self.handed_out.push_back(&mut self.slots, Chain::Time, slot);
        self.flows.remove(&mut self.slots, place.flow_hash, slot);
        self.flows.push_front(&mut self.slots, place.flow_hash, slot);
        // To the end, where it is in nobody's way who looks for ready ones.
        let hash = sip.words([place.socket]);
        self.sockets.remove(&mut self.slots, hash, slot);
        self.sockets.push_back(&mut self.slots, hash, slot);
        Some(operation)
    }

    /// Takes the next request out for delivery.
    pub(crate) fn deliver(&mut self, stamp: u32) -> Option<&Record<P, K>> {
        let slot = self.deliveries.front()?;
        self.unqueue(slot);
        let record = self.slots.get_mut(slot)?;
        record.stamp = stamp;
        Some(record)
    }

    /// Ends a record that holds no operation: decided ones that were handed out, and those never pended.
    pub(crate) fn remove(&mut self, sip: SipKey, id: RequestId) -> Option<Record<P, K>> {
        let record = self.get(id).filter(|record| record.operation.is_none())?;
        let (slot, place, undecided) = (ids::slot(id), Place::of(record), record.verdict.is_none());
        match record.stage {
            Stage::HandedOut => self.handed_out.remove(&mut self.slots, Chain::Time, slot),
            _ if undecided => {
                self.undecided_count -= 1;
                self.undecided.remove(&mut self.slots, Chain::Time, slot);
            }
            _ => {}
        }
        self.flows.remove(&mut self.slots, place.flow_hash, slot);
        self.sockets.remove(&mut self.slots, sip.words([place.socket]), slot);
        if let Some(parent) = place.parent {
            self.parents.remove(&mut self.slots, sip.words([parent]), slot);
        }
        let record = self.slots.release(slot)?;
        self.processes.remove(sip, record.facts.process_id);
        self.used -= 1;
        Some(record)
    }

    /// Ends a record whose operation has not come and will not.
    pub(crate) fn remove_unpended(&mut self, sip: SipKey, id: RequestId) -> Option<Record<P, K>> {
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
    fn of_flow(&self, subject: &Subject) -> impl Iterator<Item = &Record<P, K>> {
        let first = self.flows.bucket(subject.flow_hash).and_then(List::front);
        self.chain(Chain::Flow, first).filter(move |record| record.facts.key == subject.key && !record.superseded)
    }

    /// The records of a socket, by one of the two indexes of sockets.
    fn of_socket(&self, sip: SipKey, chain: Chain, endpoint: u64) -> impl Iterator<Item = &Record<P, K>> {
        let first = self.first_of_socket(sip, chain, endpoint);
        self.chain(chain, first).filter(move |record| record.is_of_socket(chain, endpoint))
    }

    fn first_of_socket(&self, sip: SipKey, chain: Chain, endpoint: u64) -> Option<u32> {
        let index = if matches!(chain, Chain::Parent) { &self.parents } else { &self.sockets };
        index.bucket(sip.words([endpoint])).and_then(List::front)
    }

    fn chain(&self, chain: Chain, first: Option<u32>) -> impl Iterator<Item = &Record<P, K>> {
        let mut cursor = first;
        core::iter::from_fn(move || {
            let record = self.slots.get(cursor?)?;
            cursor = next(record, chain);
            Some(record)
        })
    }

    fn link(&mut self, sip: SipKey, place: Place, slot: u32) {
        self.flows.push_front(&mut self.slots, place.flow_hash, slot);
        self.sockets.push_front(&mut self.slots, sip.words([place.socket]), slot);
        if let Some(parent) = place.parent {
            self.parents.push_front(&mut self.slots, sip.words([parent]), slot);
        }
    }
}

/// What a record is indexed by.
#[derive(Clone, Copy)]
struct Place {
    flow_hash: u64,
    socket: u64,
    parent: Option<u64>,
}

impl Place {
    fn of<P, K>(record: &Record<P, K>) -> Self {
        let (socket, endpoint) = (record.socket, record.facts.key.endpoint);
        Self { flow_hash: record.flow_hash, socket, parent: (endpoint != socket).then_some(endpoint) }
    }
}

fn next<P, K>(record: &Record<P, K>, chain: Chain) -> Option<u32> {
    match chain {
        Chain::Socket => record.by_socket.next(),
        Chain::Parent => record.by_parent.next(),
        _ => record.by_flow.next(),
    }
}

/// The first record that was handed out, else the first.
fn first_by_stage<'a, P: 'a, K: 'a>(records: impl Iterator<Item = &'a Record<P, K>>) -> Option<&'a Record<P, K>> {
    let mut waiting = None;
    for record in records {
        if record.stage == Stage::HandedOut {
            return Some(record);
        }
        waiting = waiting.or(Some(record));
    }
    waiting
}
