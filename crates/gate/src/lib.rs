//! The gate: holds connections until somebody decides.
//!
//! An operation is a connect, an accept, or the first packet between a socket and a remote. Its way through the gate:
//! [`Gate::classify`] answers from the exemption, the cache or the fallback, or opens a record and says [`Action::Pend`];
//! the caller copies the packet, pends the operation and hands both in ([`Gate::handle_pended`]); further packets join it
//! ([`Gate::handle_joined`]); the request goes out ([`Gate::next_request`]); the answer comes in ([`Gate::handle_answer`]),
//! or a deadline, a closure, a detach or a drain decides instead; the operation goes out to be completed
//! ([`Gate::poll_completion`]). An inbound one ends with that, and its packets go out with it. An outbound one ends when
//! the reauthorize that follows claims the verdict ([`Gate::reauthorize`]), and then its packets go out to be injected or
//! dropped ([`Gate::take_packets`]).
//!
//! A live flow of which nothing is known any more is asked about, too, while it goes on; when the rules change, or an
//! answer differs from what the flow has, [`Gate::poll_recheck`] wants the filter engine to look at all of them again.
//!
//! The gate does nothing by itself: flows, answers and the time come in, actions, requests and operations go out. It is
//! generic over the operation it keeps (`P`) and its packets (`K`): those of the filter engine, numbers in tests. It stands
//! behind its caller's lock; [`Front`] answers most classifies before it, without the lock.
//!
//! Invariants:
//! * Every operation handed in is handed out exactly once, never from inside `classify` or `handle_pended`; and so is every
//!   packet that was kept, to be injected if its operation was permitted and went on, else to be dropped.
//! * A verdict reaches only the operation it was given for; one that is not claimed in time is thrown away.
//! * Every record leaves by one counted door: [`wire::stats::Stats::balances`] always holds, for packets too.
//! * Memory is allocated by [`Gate::new`] and [`Room::new`] only, and nothing of the caller's is dropped, so no call made
//!   under a lock allocates or frees.
//! * Time never goes back: an earlier `now` (two processors racing for the lock) counts as the latest one seen.
//! * Nothing panics.
//!
//! Neighbours: `wire` is its vocabulary; the driver and the Linux enforcement point are its callers.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod atomic;
mod cache;
mod closing;
mod completing;
mod delivery;
mod facts;
mod flow;
mod front;
#[cfg(test)]
mod heap;
mod ids;
mod index;
mod lanes;
mod list;
mod live;
mod memory;
mod outgoing;
mod packets;
mod pathhash;
mod pending;
mod policy;
mod presence;
mod processes;
mod programs;
mod questions;
mod reauthorizing;
mod record;
mod reports;
mod seqlock;
mod service;
mod sets;
mod shared_sets;
mod siphash;
mod slots;
mod stamps;
mod tickets;
mod time;

pub use closing::{Closing, Closure};
pub use completing::{Completion, Then};
pub use flow::{Ability, Flow, FlowKey};
pub use front::Front;
pub use memory::{Memory, Once, OutOfMemory};
pub use outgoing::Outgoing;
pub use packets::{Packets, Released};
pub use reauthorizing::Reauthorized;
pub use service::{Busy, Owner, Room};
pub use tickets::Ticket;
pub use time::Instant;

use cache::{Cache, CacheRoom};
use facts::Facts;
use flow::Subject;
use ids::Ids;
use lanes::Count;
use live::LiveFlows;
use packets::Kept;
use pending::{New, PendTable, Stage};
use policy::{Policy, share};
use programs::Programs;
use questions::Questions;
use reports::Reports;
use siphash::SipKey;
use tickets::Tickets;
use wire::request::Because;
use wire::settings::Settings;
use wire::stats::Stats;
use wire::verdict::{RequestId, Verdict};

/// How long a decided operation's verdict waits for its reauthorize.
///
/// Windows reauthorizes "immediately following" the completion (learn.microsoft.com "ALE Reauthorization"). A verdict
/// that stays unclaimed longer most likely belongs to a connection that is gone: its record is given up.
pub const GRACE_MS: u32 = 2_000;

/// What to do with a classify.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Permit it.
    Permit,
    /// Block it.
    Block,
    /// Copy its packet, if it has one, and pend it, then say how that went: [`Gate::handle_pended`] or
    /// [`Gate::handle_pend_failed`].
    Pend(RequestId),
    /// A further packet of an operation that is held: copy it, hand it in ([`Gate::handle_joined`]), block and absorb it.
    Join(RequestId),
    /// The same, but there is no room or no use for a copy: block and absorb it.
    Absorb,
}

impl From<Verdict> for Action {
    fn from(verdict: Verdict) -> Self {
        if verdict == Verdict::PERMIT { Self::Permit } else { Self::Block }
    }
}

/// What became of a pended operation that was handed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pended {
    /// It is held; its request waits for delivery.
    Held,
    /// It was decided meanwhile; [`Gate::poll_completion`] will give it back.
    Ready,
}

/// The state machine. `P` is what the caller keeps to complete an operation, `K` its packets, `M` where its tables live.
pub struct Gate<P, K, M: Memory> {
    sip: SipKey,
    ids: Ids,
    settings: Settings,
    owner: Option<Owner>,
    draining: bool,
    latest: Instant,
    pending: PendTable<P, K, M>,
    kept: Kept<K, M>,
    tickets: Tickets<M>,
    front: M::Shared<Front<M>>,
    cache: Cache<M>,
    live: LiveFlows<M>,
    programs: Programs<M>,
    questions: Questions<M>,
    reports: Reports<M>,
    /// Reports dropped since the service was last told.
    untold_drops: u32,
    /// Live flows are to be asked about again.
    recheck: bool,
    /// The counters; what is true only now is filled in by [`Gate::stats`].
    counters: Stats,
}

impl<P, K: Packets, M: Memory> Gate<P, K, M> {
    /// What one held operation costs at most, in bytes, its packets not counted.
    pub const BYTES_PER_RECORD: usize = PendTable::<P, K, M>::BYTES_PER_RECORD;

    /// A gate with no service. `seed` keys its hashes and ids and must be random.
    pub fn new(seed: [u64; 2], settings: Settings) -> Result<Self, OutOfMemory> {
        let sip = SipKey::new(seed);
        let front = M::shared(Front::new(sip, settings.holds())?)?;
        let mut cache = Cache::new(front.clone());
        cache.resize(&mut CacheRoom::new(0, settings.max_cached as usize)?);
        Ok(Self {
            sip,
            ids: Ids::new(sip),
            settings,
            owner: None,
            draining: false,
            latest: Instant::default(),
            pending: PendTable::new(settings.max_pended as usize)?,
            kept: Kept::new()?,
            tickets: Tickets::new()?,
            cache,
            live: LiveFlows::new(front.clone())?,
            programs: Programs::new()?,
            questions: Questions::new()?,
            reports: Reports::new()?,
            untold_drops: 0,
            recheck: false,
            counters: Stats { version: wire::VERSION, ..Stats::default() },
            front,
        })
    }

    /// What answers most classifies without the lock that this gate is behind: to be asked first.
    pub fn front(&self) -> M::Shared<Front<M>> {
        self.front.clone()
    }

    /// Answers an initial authorization.
    pub fn classify(&mut self, now: Instant, flow: &Flow<'_>, ability: Ability) -> Action {
        let now = self.tick(now);
        let subject = self.subject(flow);
        if let Some(action) = self.classify_further(flow, &subject, ability) {
            return action;
        }
        self.counters.classified += 1;
        self.forget_predecessors(&subject);
        if self.is_own(flow) {
            self.counters.exempted += 1;
            return Action::Permit;
        }
        let policy = self.policy(flow);
        let held_packet = match ability {
            Ability::Hold { packet_bytes } if policy == Policy::Hold => Some(packet_bytes),
            _ => None,
        };
        if let Some(verdict) = self.cache.valid(now, &subject) {
            self.count_cached(verdict);
            if held_packet.is_none() {
                self.report(flow, &subject, verdict, Because::CACHED);
            }
            return verdict.into();
        }
        if policy == Policy::Loopback {
            self.counters.fell_back += 1;
            self.report(flow, &subject, Verdict::PERMIT, Because::LOOPBACK);
            return Action::Permit;
        }
        if let Some(packet_bytes) = held_packet.filter(|_| self.owner.is_some() && !self.draining) {
            if let Some(id) = self.hold(now, flow, &subject, packet_bytes) {
                return Action::Pend(id);
            }
            self.counters.limited += 1;
            return self.fall_back(flow, &subject, Because::LIMIT);
        }
        self.counters.fell_back += 1;
        self.fall_back(flow, &subject, Because::FALLBACK)
    }

    /// A further packet of an operation shares its fate; `None` when it is not one. Not counted as a classify, because it
    /// is no new authorization.
    ///
    /// A TCP connect has no packet: two with one key are two connections. But a SYN that comes again is the same one.
    fn classify_further(&mut self, flow: &Flow<'_>, subject: &Subject, ability: Ability) -> Option<Action> {
        if self.pending.used() == 0 || self.is_own(flow) {
            return None;
        }
        let bytes = match ability {
            Ability::Hold { packet_bytes } => Some(packet_bytes),
            Ability::ReportOnly => None,
        };
        let record = self.pending.find_same(flow, subject).filter(|_| !flow.is_tcp_connect() && bytes != Some(0))?;
        let (id, stage) = (record.id, record.stage);
        if stage == Stage::HandedOut {
            return self.claim(id).map(Action::from);
        }
        if bytes.is_some_and(|bytes| self.has_room_for(record, bytes)) {
            return Some(Action::Join(id));
        }
        self.counters.packets_refused += 1;
        Some(Action::Absorb)
    }

    /// Answers an initial authorization that somebody else has decided for good, or holds himself. All that is left to say
    /// is `true`: a block is in force, and vetoes it.
    pub fn classify_without_right(&mut self, now: Instant, flow: &Flow<'_>) -> bool {
        let now = self.tick(now);
        self.counters.without_right += 1;
        let subject = self.subject(flow);
        let same = self.pending.find_same(flow, &subject).filter(|_| !flow.is_tcp_connect());
        let said = same.map(|record| record.verdict);
        if said.is_none() {
            self.forget_predecessors(&subject);
        }
        let verdict = said.flatten().or_else(|| self.cache.valid(now, &subject));
        verdict == Some(Verdict::BLOCK) && !self.is_own(flow)
    }

    /// Takes in an operation that was pended for `id`, with the copy of its packet. Gives both back when `id` waits for
    /// none; then the operation must be completed by the caller.
    pub fn handle_pended(&mut self, now: Instant, id: RequestId, operation: P, packets: K) -> Result<Pended, (P, K)> {
        self.tick(now);
        match self.pending.arrive(id, operation) {
            Ok(stage) => {
                self.keep_first(id, packets);
                Ok(if stage == Stage::Held { Pended::Held } else { Pended::Ready })
            }
            Err(operation) => {
                self.counters.packets_refused += u64::from(packets.count());
                Err((operation, packets))
            }
        }
    }

    /// The packet could not be copied, or the filter engine refused to pend: ends the record and gives the answer for the
    /// classify.
    pub fn handle_pend_failed(&mut self, now: Instant, id: RequestId) -> Verdict {
        self.tick(now);
        let Some(record) = self.pending.remove_unpended(self.sip, id) else { return Verdict::BLOCK };
        self.let_go(record.facts.path, record.flow_hash);
        self.kept.unreserve(record.reserved);
        let verdict = match record.verdict {
            Some(verdict) => {
                self.counters.claimed += 1;
                verdict
            }
            None => {
                self.counters.doors.pend_failed += 1;
                self.fallback(&record.facts.subject(self.sip))
            }
        };
        self.kept.settle(id, verdict, record.packets);
        verdict
    }

    /// The time has come that [`Gate::poll_timeout`] gave, or later.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        while let Some(record) = self.pending.oldest_undecided()
            && record.since.after_millis(self.settings.deadline_ms) <= now
        {
            let (id, subject) = (record.id, record.facts.subject(self.sip));
            self.decide_by_fallback(id, &subject, |doors| &mut doors.deadline);
        }
        self.expire_handed_out(now);
    }

    /// When [`Gate::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline =
            self.pending.oldest_undecided().map(|record| record.since.after_millis(self.settings.deadline_ms));
        let grace = self.pending.oldest_handed_out().map(|record| record.since.after_millis(GRACE_MS));
        deadline.into_iter().chain(grace).min()
    }

    /// Whether anything is held, or decided and not yet continued, or being completed.
    pub fn has_records(&self) -> bool {
        self.pending.used() > 0 || self.tickets.are_out()
    }

    /// Decides everything held by the fallback, and holds nothing from now on: the caller is going.
    pub fn drain(&mut self, now: Instant) {
        self.tick(now);
        self.draining = true;
        self.release_all(|doors| &mut doors.unload);
        self.drop_questions();
    }

    /// The counters. `filtering`, `inject_failed`, `closures_held` and `rechecked` are the caller's to fill.
    pub fn stats(&self, now: Instant) -> Stats {
        let now = now.max(self.latest);
        let mut stats = Stats {
            attached: self.owner.is_some().into(),
            pended: self.pending.undecided_count(),
            oldest_ms: self.pending.oldest_undecided().map_or(0, |record| now.millis_since(record.since)),
            queued: self.pending.queued_count() + self.questions.queued_count() + self.reports.len() as u32,
            cached: self.cache.count(),
            epoch: self.settings.epoch,
            attached_process_id: self.owner.map_or(0, |owner| owner.process_id),
            ..self.counters
        };
        self.kept.fill(&mut stats);
        for (count, counter) in [
            (Count::CachePermitted, &mut stats.cache_permitted),
            (Count::CacheBlocked, &mut stats.cache_blocked),
            (Count::Exempted, &mut stats.exempted),
        ] {
            let counted = self.front.count(count);
            *counter += counted;
            stats.classified += counted;
        }
        stats
    }

    fn tick(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.front.set_latest(self.latest);
        self.latest
    }

    fn subject(&self, flow: &Flow<'_>) -> Subject {
        self.front.subject(flow)
    }

    /// A new connection has this key: nothing said about an earlier one may reach it.
    fn forget_predecessors(&mut self, subject: &Subject) {
        self.live.forget(subject);
        self.forget_question(subject);
        while let Some(id) = self.pending.supersede(subject) {
            self.discard(id);
        }
    }

    /// Whether it is the attached service itself that connects. It must never wait for its own answer.
    fn is_own(&self, flow: &Flow<'_>) -> bool {
        self.owner.is_some_and(|owner| owner.process_id == flow.process_id)
    }

    fn hold(&mut self, now: Instant, flow: &Flow<'_>, subject: &Subject, packet_bytes: u32) -> Option<RequestId> {
        let of_process = self.pending.count_of_process(self.sip, flow.process_id);
        let direction = flow.key.direction;
        if self.pending.used() >= share(direction, self.settings.max_pended) as usize
            || of_process >= share(direction, self.settings.max_pended_per_process)
            || !self.kept.reserve(&self.settings, direction, packet_bytes)
        {
            return None;
        }
        let facts = self.keep(flow, subject);
        let new = New {
            facts,
            socket: flow.own_endpoint,
            flow_hash: subject.flow_hash,
            since: now,
            stamp: self.cache.stamp(),
            reserved: packet_bytes,
        };
        self.front.presence.add(subject.flow_hash);
        let id = self.pending.insert(self.sip, &mut self.ids, new);
        match id {
            Some(_) => self.counters.held += 1,
            None => {
                self.front.presence.remove(subject.flow_hash);
                self.kept.unreserve(packet_bytes);
                self.programs.release(facts.path);
            }
        }
        id
    }

    fn keep(&mut self, flow: &Flow<'_>, subject: &Subject) -> Facts {
        Facts::of(flow, subject.program, self.programs.keep(subject.program, flow.program))
    }

    fn fall_back(&mut self, flow: &Flow<'_>, subject: &Subject, because: Because) -> Action {
        let verdict = self.fallback(subject);
        self.report(flow, subject, verdict, because);
        verdict.into()
    }

    fn count_cached(&mut self, verdict: Verdict) {
        if verdict == Verdict::PERMIT {
            self.counters.cache_permitted += 1;
        } else {
            self.counters.cache_blocked += 1;
        }
    }
}
