//! The gate: holds connections until somebody decides.
//!
//! A connection's way through it: [`Gate::classify`] answers from the exemption, the cache or the fallback, or opens a
//! record and says [`Action::Pend`]; the caller pends the operation and hands it in ([`Gate::handle_pended`]); the
//! request goes out ([`Gate::next_request`]); the answer comes in ([`Gate::handle_answer`]), or a deadline, a closure, a
//! detach or a drain decides instead; the operation goes out to be completed ([`Gate::poll_completion`]); and the
//! reauthorize that follows claims the verdict ([`Gate::reauthorize`]), which ends the record.
//!
//! The gate does nothing by itself: flows, answers and the time come in, actions, requests and operations go out. It is
//! generic over the operation it keeps (`P`): a pended operation of the filter engine, a queued packet, a number in tests.
//!
//! Invariants:
//! * Every operation handed in is handed out exactly once, never from inside `classify` or `handle_pended`.
//! * A verdict reaches only the operation it was given for; one that is not claimed in time is thrown away.
//! * Every record leaves by one counted door: [`wire::stats::Stats::balances`] always holds.
//! * Memory is allocated by [`Gate::new`] and [`Room::new`] only, so no call made under a lock allocates or frees.
//! * Time never goes back: an earlier `now` (two processors racing for the lock) counts as the latest one seen.
//! * Nothing panics.
//!
//! Neighbours: `wire` is its vocabulary; the driver and the Linux enforcement point are its callers.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod cache;
mod delivery;
mod facts;
mod flow;
#[cfg(test)]
mod heap;
mod ids;
mod list;
mod live;
mod memory;
mod outgoing;
mod pathhash;
mod pending;
mod processes;
mod programs;
mod reports;
mod service;
mod sets;
mod siphash;
mod stamps;
mod time;

pub use flow::{Ability, Flow, FlowKey};
pub use memory::{Memory, OutOfMemory};
pub use outgoing::Outgoing;
pub use service::{Busy, Owner, Room};
pub use time::Instant;

use cache::{Cache, CacheRoom};
use facts::Facts;
use flow::Subject;
use ids::Ids;
use live::{Live, LiveFlows};
use pending::{PendTable, Stage};
use programs::Programs;
use reports::Reports;
use siphash::SipKey;
use wire::request::{Because, Direction};
use wire::settings::{Fallback, Settings};
use wire::stats::{Doors, Stats};
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
    /// Pend the operation, then say how that went: [`Gate::handle_pended`] or [`Gate::handle_pend_failed`].
    Pend(RequestId),
}

impl From<Verdict> for Action {
    fn from(verdict: Verdict) -> Self {
        if verdict == Verdict::PERMIT { Self::Permit } else { Self::Block }
    }
}

/// What to do with a reauthorize.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reauthorized {
    /// It follows a completion of ours: this is the verdict.
    Verdict(Verdict),
    /// Somebody else caused it while the connection is held: block and absorb it. The connection stays held.
    Waiting,
    /// A live flow, and this is what was said about it.
    Cached(Verdict),
    /// A live flow of which nothing is known: leave it alone.
    Leave,
}

/// What became of a pended operation that was handed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pended {
    /// It is held; its request waits for delivery.
    Held,
    /// It was decided meanwhile; [`Gate::poll_completion`] will give it back.
    Ready,
}

/// The state machine. `P` is what the caller keeps to complete an operation, `M` where its tables live.
pub struct Gate<P, M: Memory> {
    sip: SipKey,
    ids: Ids,
    settings: Settings,
    owner: Option<Owner>,
    draining: bool,
    latest: Instant,
    pending: PendTable<P, M>,
    cache: Cache<M>,
    live: LiveFlows<M>,
    programs: Programs<M>,
    reports: Reports<M>,
    /// Reports dropped since the service was last told.
    untold_drops: u32,
    /// The counters; what is true only now is filled in by [`Gate::stats`].
    counters: Stats,
}

impl<P, M: Memory> Gate<P, M> {
    /// What one held connection costs at most, in bytes.
    pub const BYTES_PER_RECORD: usize = PendTable::<P, M>::BYTES_PER_RECORD;

    /// A gate with no service. `seed` keys its hashes and ids and must be random.
    pub fn new(seed: [u64; 2], settings: Settings) -> Result<Self, OutOfMemory> {
        let sip = SipKey::new(seed);
        Ok(Self {
            sip,
            ids: Ids::new(sip),
            settings,
            owner: None,
            draining: false,
            latest: Instant::default(),
            pending: PendTable::new(settings.max_pended as usize)?,
            cache: Cache::new(CacheRoom::new(settings.max_cached as usize)?)?,
            live: LiveFlows::new()?,
            programs: Programs::new(sip)?,
            reports: Reports::new()?,
            untold_drops: 0,
            counters: Stats { version: wire::VERSION, ..Stats::default() },
        })
    }

    /// Answers an initial authorization.
    pub fn classify(&mut self, now: Instant, flow: &Flow<'_>, ability: Ability) -> Action {
        let now = self.tick(now);
        self.counters.classified += 1;
        let subject = self.subject(flow);
        self.forget_predecessors(&subject);
        if self.is_own(flow) {
            self.counters.exempted += 1;
            return Action::Permit;
        }
        if let Some(verdict) = self.cache.valid(now, &subject) {
            self.count_cached(verdict);
            if ability == Ability::ReportOnly {
                self.report(flow, &subject, verdict, Because::CACHED);
            }
            return verdict.into();
        }
        if ability == Ability::Hold && self.owner.is_some() && !self.draining {
            if let Some(id) = self.hold(now, flow, &subject) {
                return Action::Pend(id);
            }
            self.counters.limited += 1;
            return self.fall_back(flow, &subject, Because::LIMIT);
        }
        self.counters.fell_back += 1;
        self.fall_back(flow, &subject, Because::FALLBACK)
    }

    /// Answers an initial authorization that somebody else has decided for good, or holds himself. All that is left to say
    /// is `true`: a block is in force, and vetoes it.
    pub fn classify_without_right(&mut self, now: Instant, flow: &Flow<'_>) -> bool {
        let now = self.tick(now);
        self.counters.without_right += 1;
        let subject = self.subject(flow);
        self.forget_predecessors(&subject);
        self.cache.valid(now, &subject) == Some(Verdict::BLOCK) && !self.is_own(flow)
    }

    /// Answers a reauthorize. `completion` says that it is known to follow a completion, ours or somebody else's: then a
    /// connection of which nothing is known is a new one that could not be held, and the fallback decides.
    ///
    /// The verdict is given even when the caller may not set the action: the record ends here in any case.
    pub fn reauthorize(&mut self, now: Instant, flow: &Flow<'_>, completion: bool) -> Reauthorized {
        let now = self.tick(now);
        match self.pending.find(self.sip, &flow.key).map(|record| (record.id, record.stage)) {
            Some((id, Stage::HandedOut)) => {
                if let Some(verdict) = self.claim(id) {
                    return Reauthorized::Verdict(verdict);
                }
            }
            Some(_) => {
                self.counters.foreign_reauthorized += 1;
                return Reauthorized::Waiting;
            }
            None => {}
        }
        if self.is_own(flow) {
            self.counters.foreign_reauthorized += 1;
            return Reauthorized::Leave;
        }
        let subject = self.subject(flow);
        let live = self.live.find(&subject);
        // A blocked flow is not live. Who asks about one has not been told yet: a foreign reauthorize came between its
        // completion and its own, and claimed the record.
        let counts = |live: &Live| live.verdict == Verdict::BLOCK || self.cache.is_current(live.stamp, subject.program);
        let said = live.copied().filter(counts).map(|live| live.verdict);
        let known = said.or_else(|| self.cache.valid(now, &subject));
        if completion && known.is_none() && live.is_none() {
            self.counters.orphaned += 1;
            return Reauthorized::Verdict(self.fallback(&subject));
        }
        self.counters.foreign_reauthorized += 1;
        known.map_or(Reauthorized::Leave, Reauthorized::Cached)
    }

    /// Takes in an operation that was pended for `id`. Gives it back when `id` waits for none; then it must be completed
    /// by the caller.
    pub fn handle_pended(&mut self, now: Instant, id: RequestId, operation: P) -> Result<Pended, P> {
        self.tick(now);
        Ok(match self.pending.arrive(id, operation)? {
            Stage::Held => Pended::Held,
            _ => Pended::Ready,
        })
    }

    /// The filter engine refused to pend: ends the record and gives the answer for the classify.
    pub fn handle_pend_failed(&mut self, now: Instant, id: RequestId) -> Verdict {
        self.tick(now);
        let Some(record) = self.pending.remove_unpended(self.sip, id) else { return Verdict::BLOCK };
        self.programs.release(record.facts.path);
        match record.verdict {
            Some(verdict) => {
                self.counters.claimed += 1;
                verdict
            }
            None => {
                self.counters.doors.pend_failed += 1;
                self.fallback(&record.facts.subject(self.sip))
            }
        }
    }

    /// A socket has gone: what it holds is blocked. Nothing happens for an unknown endpoint (`0`).
    pub fn handle_closure(&mut self, now: Instant, endpoint: u64) {
        self.tick(now);
        while let Some(id) = self.pending.find_undecided(self.sip, endpoint).filter(|_| endpoint != 0) {
            self.pending.decide(id, Verdict::BLOCK, self.cache.stamp());
            self.counters.doors.closure += 1;
        }
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
        while let Some(record) = self.pending.oldest_handed_out()
            && record.since.after_millis(GRACE_MS) <= now
        {
            let id = record.id;
            self.expire(id);
        }
    }

    /// When [`Gate::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline =
            self.pending.oldest_undecided().map(|record| record.since.after_millis(self.settings.deadline_ms));
        let grace = self.pending.oldest_handed_out().map(|record| record.since.after_millis(GRACE_MS));
        deadline.into_iter().chain(grace).min()
    }

    /// A decided operation, to be completed with no lock held. Its verdict waits for the reauthorize from now on.
    pub fn poll_completion(&mut self, now: Instant) -> Option<P> {
        let first = self.pending.first_ready()?;
        self.hand_out(now, first)
    }

    /// The same, of one socket only: for a caller who may be inside another completion.
    pub fn poll_completion_of(&mut self, now: Instant, endpoint: u64) -> Option<P> {
        let ready = self.pending.find_ready(self.sip, endpoint)?;
        self.hand_out(now, ready)
    }

    /// Whether [`Gate::poll_completion`] has something to give.
    pub fn has_completions(&self) -> bool {
        self.pending.first_ready().is_some()
    }

    /// Whether anything is held, or decided and not yet reauthorized.
    pub fn has_records(&self) -> bool {
        self.pending.used() > 0
    }

    /// Decides everything held by the fallback, and holds nothing from now on: the caller is going.
    pub fn drain(&mut self, now: Instant) {
        self.tick(now);
        self.draining = true;
        self.release_all(|doors| &mut doors.unload);
    }

    /// The counters. `filtering` is the caller's to fill.
    pub fn stats(&self, now: Instant) -> Stats {
        let now = now.max(self.latest);
        Stats {
            attached: self.owner.is_some().into(),
            pended: self.pending.undecided_count(),
            oldest_ms: self.pending.oldest_undecided().map_or(0, |record| now.millis_since(record.since)),
            queued: self.pending.queued_count() + self.reports.len() as u32,
            cached: self.cache.count(),
            epoch: self.settings.epoch,
            attached_process_id: self.owner.map_or(0, |owner| owner.process_id),
            ..self.counters
        }
    }

    fn tick(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    fn subject(&self, flow: &Flow<'_>) -> Subject {
        Subject::new(self.sip, &flow.key, self.programs.id(flow.program))
    }

    /// A new connection has this key: nothing said about an earlier one may reach it.
    fn forget_predecessors(&mut self, subject: &Subject) {
        self.live.forget(subject);
        while let Some(id) = self.pending.supersede(self.sip, &subject.key) {
            self.discard(id);
        }
    }

    /// Whether it is the attached service itself that connects. It must never wait for its own answer.
    fn is_own(&self, flow: &Flow<'_>) -> bool {
        self.owner.is_some_and(|owner| owner.process_id == flow.process_id)
    }

    fn hold(&mut self, now: Instant, flow: &Flow<'_>, subject: &Subject) -> Option<RequestId> {
        let of_process = self.pending.count_of_process(self.sip, flow.process_id);
        if self.pending.used() >= self.settings.max_pended as usize
            || of_process >= self.settings.max_pended_per_process
        {
            return None;
        }
        let facts = self.keep(flow, subject);
        let id = self.pending.insert(self.sip, &mut self.ids, facts, now, self.cache.stamp());
        match id {
            Some(_) => self.counters.held += 1,
            None => self.programs.release(facts.path),
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

    fn fallback(&self, subject: &Subject) -> Verdict {
        let fallback = match subject.key.direction {
            Direction::OUTBOUND => self.settings.fallback_outbound,
            _ => self.settings.fallback_inbound,
        };
        match fallback {
            Fallback::PERMIT => Verdict::PERMIT,
            Fallback::LAST => self.cache.last_known(subject).unwrap_or(Verdict::BLOCK),
            _ => Verdict::BLOCK,
        }
    }

    fn count_cached(&mut self, verdict: Verdict) {
        if verdict == Verdict::PERMIT {
            self.counters.cache_permitted += 1;
        } else {
            self.counters.cache_blocked += 1;
        }
    }

    fn hand_out(&mut self, now: Instant, slot: u32) -> Option<P> {
        let now = self.tick(now);
        let (id, operation, superseded) = self.pending.hand_out(self.sip, now, slot)?;
        if superseded {
            self.discard(id);
        }
        Some(operation)
    }

    /// Ends a record whose reauthorize has come.
    fn claim(&mut self, id: RequestId) -> Option<Verdict> {
        let record = self.pending.remove(self.sip, id)?;
        let verdict = record.verdict?;
        self.counters.claimed += 1;
        self.programs.release(record.facts.path);
        self.live.insert(&record.facts.subject(self.sip), record.stamp, verdict);
        Some(verdict)
    }

    /// Ends a decided record whose reauthorize has not come in time. Should it come yet, it finds the verdict as that of a
    /// live flow; the next connection with this key forgets it.
    fn expire(&mut self, id: RequestId) {
        let Some(record) = self.pending.get(id) else { return };
        let (subject, stamp, verdict) = (record.facts.subject(self.sip), record.stamp, record.verdict);
        if let (Some(verdict), None) = (verdict, self.live.find(&subject)) {
            self.live.insert(&subject, stamp, verdict);
        }
        self.discard(id);
    }

    /// Ends a decided record whose reauthorize will not come any more.
    fn discard(&mut self, id: RequestId) {
        if let Some(record) = self.pending.remove(self.sip, id) {
            self.counters.unclaimed += 1;
            self.programs.release(record.facts.path);
        }
    }

    fn release_all(&mut self, door: fn(&mut Doors) -> &mut u64) {
        while let Some(record) = self.pending.oldest_undecided() {
            let (id, subject) = (record.id, record.facts.subject(self.sip));
            self.decide_by_fallback(id, &subject, door);
        }
    }

    fn decide_by_fallback(&mut self, id: RequestId, subject: &Subject, door: fn(&mut Doors) -> &mut u64) {
        self.pending.decide(id, self.fallback(subject), self.cache.stamp());
        *door(&mut self.counters.doors) += 1;
    }
}
