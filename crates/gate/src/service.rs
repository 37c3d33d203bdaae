//! The service's side of the gate: attaching, detaching, settings, answers.
//!
//! Invariants: one service at a time; what it leaves behind is decided by the fallback at once; an id delivered to one
//! attachment is stale for every other.
//!
//! Neighbours: `delivery` is the other direction; `wire::command` has checked everything that arrives here.

use crate::Gate;
use crate::cache::CacheRoom;
use crate::memory::{Memory, OutOfMemory};
use crate::packets::Packets;
use crate::pending::PendTable;
use crate::time::Instant;
use wire::request::MAX_PATH_BYTES;
use wire::settings::Settings;
use wire::verdict::{Answer, Outcome};

/// The attached service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    /// Its process.
    pub process_id: u64,
    /// Names its open handle; no other open handle has the same name.
    pub handle: u64,
}

/// Another service is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Busy {
    /// Its process.
    pub process_id: u64,
}

/// Memory for the limits of new settings.
///
/// Made, and dropped, with no lock held: [`Gate::attach`] and [`Gate::configure`] take out what they need and leave what
/// it replaces.
pub struct Room<P, K, M: Memory> {
    pending: Option<PendTable<P, K, M>>,
    cache: Option<CacheRoom<M>>,
}

impl<P, K: Packets, M: Memory> Room<P, K, M> {
    /// Room for `wanted`, as far as `current` ([`Gate::settings`]) has not got it already.
    pub fn new(current: &Settings, wanted: &Settings) -> Result<Self, OutOfMemory> {
        let (pended, cached) = (wanted.max_pended, wanted.max_cached);
        Ok(Self {
            pending: if pended == current.max_pended { None } else { Some(PendTable::new(pended as usize)?) },
            cache: if cached == current.max_cached {
                None
            } else {
                Some(CacheRoom::new(current.max_cached as usize, cached as usize)?)
            },
        })
    }
}

impl<P, K: Packets, M: Memory> Gate<P, K, M> {
    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the service that holds this handle is attached.
    pub fn is_attached(&self, handle: u64) -> bool {
        self.owner.is_some_and(|owner| owner.handle == handle)
    }

    /// Attaches a service with its settings. From now on connections are held.
    pub fn attach(
        &mut self,
        now: Instant,
        owner: Owner,
        settings: Settings,
        room: &mut Room<P, K, M>,
    ) -> Result<(), Busy> {
        if let Some(Owner { process_id, .. }) = self.owner {
            return Err(Busy { process_id });
        }
        self.configure(now, settings, room);
        self.set_owner(Some(owner));
        self.untold_drops = 0;
        // Flows began while nobody was there to decide about them.
        self.ask_anew();
        Ok(())
    }

    /// Detaches the service that holds this handle, if it is the attached one: what is held is decided by the fallback,
    /// what is not delivered is dropped. The settings stay in force.
    pub fn detach(&mut self, now: Instant, handle: u64) {
        self.tick(now);
        if !self.is_attached(handle) {
            return;
        }
        self.set_owner(None);
        self.release_all(|doors| &mut doors.detach);
        self.drop_questions();
        while let Some(report) = self.reports.pop() {
            self.drop_report(&report);
        }
    }

    /// Replaces the settings.
    ///
    /// What is held stays held, under the new deadline, even beyond new limits. A new epoch makes cached verdicts invalid,
    /// a new cache size forgets them. When `room` was made for other settings than these, the old tables stay.
    pub fn configure(&mut self, now: Instant, settings: Settings, room: &mut Room<P, K, M>) {
        self.tick(now);
        if settings.epoch != self.settings.epoch {
            self.cache.new_epoch();
            self.ask_anew();
        }
        self.settings = settings;
        self.front.set_holds(settings.holds());
        if let Some(cache) = &mut room.cache {
            self.cache.resize(cache);
        }
        if let Some(pending) = &mut room.pending
            && (self.pending.used() == 0 || pending.capacity() > self.pending.capacity())
        {
            pending.adopt(self.sip, &mut self.pending);
            core::mem::swap(pending, &mut self.pending);
        }
    }

    /// Forgets all cached verdicts.
    pub fn forget_all(&mut self) {
        self.cache.forget_all();
    }

    /// Forgets the cached verdicts of the program with this path, and of a few others: those whose ids have the same low
    /// twelve bits. A path as long as requests carry at most may be a cut one: then all are forgotten.
    pub fn forget_program(&mut self, path: &[u8]) {
        if path.len() >= MAX_PATH_BYTES {
            self.cache.forget_all();
        } else {
            self.cache.forget_program(self.front.program(path));
        }
    }

    fn set_owner(&mut self, owner: Option<Owner>) {
        self.owner = owner;
        self.front.set_owner(owner.map(|owner| owner.process_id));
    }

    /// Takes an answer from the service that holds this handle.
    pub fn handle_answer(&mut self, now: Instant, handle: u64, answer: &Answer) -> Outcome {
        let now = self.tick(now);
        if !answer.is_valid() {
            return Outcome::MALFORMED;
        }
        if self.is_attached(handle) && self.answer_question(now, answer) {
            return Outcome::ACCEPTED;
        }
        let record = self.pending.get(answer.request).filter(|record| record.verdict.is_none());
        let Some(record) = record.filter(|_| self.is_attached(handle)) else {
            self.counters.stale_answers += 1;
            return Outcome::STALE;
        };
        let (subject, stamp) = (record.facts.subject(self.sip), record.stamp);
        self.cache.remember(now, &subject, stamp, answer);
        self.pending.decide(answer.request, answer.verdict, stamp);
        self.counters.doors.verdict += 1;
        Outcome::ACCEPTED
    }
}
