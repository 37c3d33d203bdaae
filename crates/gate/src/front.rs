//! What is answered without the gate's lock: connections whose verdict is cached, and the service's own.
//!
//! Most classifies are such. On a machine with many processors they must not wait for each other: [`Front::classify`] takes
//! no lock and writes nothing but a counter of its own processor. It answers only what `crate::Gate::classify` would, and
//! otherwise says nothing; then that is asked.
//!
//! What it reads is changed under the gate's lock at the same time. So it must hold that every answer is the right one for
//! some moment of the call: the verdict is read first, as one; then that nothing stands against answering with it; and what
//! could stand against it is in place before the verdict can be read.
//!
//! Neighbours: `cache` is read and written here; the gate's fields that are mirrored are `crate::Gate`'s; the driver keeps
//! one share of the front, the gate the other.

use crate::atomic::{AtomicU64, Ordering};
use crate::cache::Verdicts;
use crate::flow::{Ability, Flow, FlowKey, Subject};
use crate::lanes::{Count, Lanes};
use crate::memory::{Memory, OutOfMemory};
use crate::pathhash::PathHash;
use crate::policy::Policy;
use crate::presence::Presence;
use crate::siphash::SipKey;
use crate::time::Instant;
use wire::settings::Holds;
use wire::verdict::Verdict;

/// More processors than that share lanes.
const LANES: usize = 64;
/// No process has this id.
const NOBODY: u64 = u64::MAX;

/// The part of a gate that is shared, and works without its lock.
pub struct Front<M: Memory> {
    sip: SipKey,
    names: PathHash,
    pub(crate) verdicts: Verdicts<M>,
    pub(crate) presence: Presence<M>,
    /// The process of the attached service.
    owner: AtomicU64,
    /// [`Holds`] of the settings.
    holds: AtomicU64,
    /// The latest time that the gate has seen.
    latest: AtomicU64,
    lanes: Lanes<M>,
}

impl<M: Memory> Front<M> {
    pub(crate) fn new(sip: SipKey, holds: Holds) -> Result<Self, OutOfMemory> {
        Ok(Self {
            sip,
            names: PathHash::new(sip),
            verdicts: Verdicts::new()?,
            presence: Presence::new()?,
            owner: AtomicU64::new(NOBODY),
            holds: AtomicU64::new(holds.bits().into()),
            latest: AtomicU64::new(0),
            lanes: Lanes::new(LANES)?,
        })
    }

    /// Answers an initial authorization, if that can be done without the gate's lock; counted on the lane of `processor`.
    /// `None` says nothing: ask `crate::Gate::classify`.
    #[inline]
    pub fn classify(&self, now: Instant, flow: &Flow<'_>, ability: Ability, processor: u32) -> Option<Verdict> {
        let subject = self.subject(flow);
        let own = self.owner() == Some(flow.process_id);
        let verdict = if own { Verdict::PERMIT } else { self.verdicts.valid(self.at_least(now), &subject)? };
        // A report needs the lock.
        if !own && self.owner().is_some() && !self.is_silent(flow, ability) {
            return None;
        }
        // A new connection: what is known of an earlier one with its key must be forgotten, and that needs the lock.
        if self.presence.may_have(subject.flow_hash) {
            return None;
        }
        let what = match (own, verdict) {
            (true, _) => Count::Exempted,
            (false, Verdict::PERMIT) => Count::CachePermitted,
            (false, _) => Count::CacheBlocked,
        };
        self.lanes.count(processor, what);
        Some(verdict)
    }

    /// Whether an answer from the cache is not reported.
    fn is_silent(&self, flow: &Flow<'_>, ability: Ability) -> bool {
        let holds = Holds::from_bits_truncate(self.holds.load(Ordering::Relaxed) as u16);
        matches!(ability, Ability::Hold { .. }) && Policy::of(holds, flow) == Policy::Hold
    }

    #[inline]
    pub(crate) fn subject(&self, flow: &Flow<'_>) -> Subject {
        Subject::new(self.sip, &flow.key, self.names.id(flow.program))
    }

    /// What a flow with this key is found by.
    pub(crate) fn flow_hash(&self, key: &FlowKey) -> u64 {
        Subject::new(self.sip, key, 0).flow_hash
    }

    /// The id of the program with this path.
    pub(crate) fn program(&self, path: &[u8]) -> u64 {
        self.names.id(path)
    }

    fn owner(&self) -> Option<u64> {
        Some(self.owner.load(Ordering::Acquire)).filter(|owner| *owner != NOBODY)
    }

    fn at_least(&self, now: Instant) -> Instant {
        now.max(Instant::from_millis(self.latest.load(Ordering::Relaxed)))
    }

    /// How often was answered here.
    pub(crate) fn count(&self, what: Count) -> u64 {
        self.lanes.sum(what)
    }

    pub(crate) fn set_owner(&self, process_id: Option<u64>) {
        self.owner.store(process_id.unwrap_or(NOBODY), Ordering::Release);
    }

    pub(crate) fn set_holds(&self, holds: Holds) {
        self.holds.store(holds.bits().into(), Ordering::Relaxed);
    }

    /// Written only when it is another: everybody reads it.
    pub(crate) fn set_latest(&self, latest: Instant) {
        if self.latest.load(Ordering::Relaxed) != latest.as_millis() {
            self.latest.store(latest.as_millis(), Ordering::Relaxed);
        }
    }
}
