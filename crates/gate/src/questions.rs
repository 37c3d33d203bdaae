//! Questions about live flows: of which nothing is known, or nothing that is valid any more.
//!
//! Nothing waits for the answer: the flow goes on as it did. A verdict that changes that makes the filter engine look at
//! all live flows again ([`Gate::poll_recheck`]), and then the flow finds it.
//!
//! Invariants: memory is fixed; a flow has one question at most, and it ends with the flow's next connection, and with the
//! epoch once it was delivered; their ids are never those of records; no path is kept after the delivery.
//!
//! Neighbours: `reauthorizing` asks; `delivery` takes them out after held requests; `service` takes the answers.

use crate::Gate;
use crate::facts::Facts;
use crate::flow::{Flow, Subject};
use crate::ids::{self, Ids};
use crate::index::Index;
use crate::list::{Chain, Links, List};
use crate::live::FLOWS;
use crate::memory::{Memory, OutOfMemory};
use crate::packets::Packets;
use crate::policy::Policy;
use crate::presence::Presence;
use crate::programs::PathRef;
use crate::slots::{Node, Slots};
use crate::time::Instant;
use wire::verdict::{Answer, RequestId, Verdict};

/// How many questions there are at most.
pub(crate) const QUESTIONS: usize = if cfg!(miri) { 64 } else { 1024 };

/// How often in one epoch the filter engine looks at all flows again only because there was no room to ask about some: as
/// often as it takes to ask about all that can be remembered, half a table at a time.
const ROUNDS: usize = FLOWS / (QUESTIONS / 2);

struct Question {
    id: RequestId,
    facts: Facts,
    flow_hash: u64,
    /// The cache's stamp of its delivery; before, of when it was asked.
    stamp: u32,
    delivered: Option<Instant>,
    work: Links,
    by_flow: Links,
}

impl Node for Question {
    fn links(&mut self, chain: Chain) -> Option<&mut Links> {
        match chain {
            Chain::Work => Some(&mut self.work),
            Chain::Flow => Some(&mut self.by_flow),
            Chain::Time | Chain::Socket | Chain::Parent => None,
        }
    }
}

pub(crate) struct Questions<M: Memory> {
    slots: Slots<Question, M>,
    flows: Index<M>,
    queue: List,
    /// In the order of their delivery.
    delivered: List,
    used: usize,
    queued: u32,
    /// Some found no room.
    refused: bool,
    rounds: usize,
}

impl<M: Memory> Questions<M> {
    pub(crate) fn new() -> Result<Self, OutOfMemory> {
        Ok(Self {
            slots: Slots::new(QUESTIONS)?,
            flows: Index::new(Chain::Flow, QUESTIONS)?,
            queue: List::EMPTY,
            delivered: List::EMPTY,
            used: 0,
            queued: 0,
            refused: false,
            rounds: ROUNDS,
        })
    }

    pub(crate) fn queued_count(&self) -> u32 {
        self.queued
    }

    /// Any question.
    fn first(&self) -> Option<u32> {
        self.queue.front().or_else(|| self.delivered.front())
    }

    fn find(&self, subject: &Subject) -> Option<u32> {
        if self.used == 0 {
            return None;
        }
        let mut cursor = self.flows.bucket(subject.flow_hash).and_then(List::front);
        while let Some((slot, question)) = cursor.and_then(|slot| Some((slot, self.slots.get(slot)?))) {
            if question.facts.key == subject.key {
                return Some(slot);
            }
            cursor = question.by_flow.next();
        }
        None
    }

    /// Makes room for one more: gives up one that was delivered `patience_ms` ago if there is none.
    fn make_room(&mut self, now: Instant, patience_ms: u32, presence: &Presence<M>) -> bool {
        if self.used < QUESTIONS {
            return true;
        }
        let stale = self.delivered.front().filter(|slot| {
            let delivered = self.slots.get(*slot).and_then(|question| question.delivered);
            delivered.is_some_and(|delivered| delivered.after_millis(patience_ms) <= now)
        });
        self.refused |= stale.is_none();
        let gone = stale.and_then(|slot| self.remove(slot));
        gone.inspect(|question| presence.remove(question.flow_hash)).is_some()
    }

    fn insert(&mut self, ids: &mut Ids, facts: Facts, flow_hash: u64, stamp: u32) -> Option<RequestId> {
        let slot = self.slots.take()?;
        let id = ids.next_question(slot);
        let (work, by_flow) = (Links::ALONE, Links::ALONE);
        self.slots.put(slot, Question { id, facts, flow_hash, stamp, delivered: None, work, by_flow });
        self.flows.push_front(&mut self.slots, flow_hash, slot);
        self.queue.push_back(&mut self.slots, Chain::Work, slot);
        self.used += 1;
        self.queued += 1;
        Some(id)
    }

    /// Takes the next one out for delivery.
    fn deliver(&mut self, now: Instant, stamp: u32) -> Option<(RequestId, Facts)> {
        let slot = self.queue.front()?;
        self.queue.remove(&mut self.slots, Chain::Work, slot);
        self.delivered.push_back(&mut self.slots, Chain::Work, slot);
        self.queued -= 1;
        let question = self.slots.get_mut(slot)?;
        (question.stamp, question.delivered) = (stamp, Some(now));
        let facts = question.facts;
        question.facts.path = PathRef::NONE;
        Some((question.id, facts))
    }

    fn take(&mut self, id: RequestId) -> Option<Question> {
        let slot = ids::question_slot(id)?;
        self.slots.get(slot).filter(|question| question.id == id)?;
        self.remove(slot)
    }

    fn remove(&mut self, slot: u32) -> Option<Question> {
        let question = self.slots.get(slot)?;
        let (flow_hash, waits) = (question.flow_hash, question.delivered.is_none());
        let list = if waits { &mut self.queue } else { &mut self.delivered };
        list.remove(&mut self.slots, Chain::Work, slot);
        self.flows.remove(&mut self.slots, flow_hash, slot);
        self.queued -= u32::from(waits);
        self.used -= 1;
        self.slots.release(slot)
    }

    /// Whether those that found no room would find some now.
    fn wants_another_round(&mut self) -> bool {
        if !self.refused || self.rounds == 0 || self.used > QUESTIONS / 2 {
            return false;
        }
        self.refused = false;
        self.rounds -= 1;
        true
    }
}

impl<P, K: Packets, M: Memory> Gate<P, K, M> {
    /// Whether the filter engine is to be made to ask again about every live flow; `true` once for all reasons so far:
    /// a service attached, the epoch changed, a live flow got another verdict, or some could not be asked about.
    pub fn poll_recheck(&mut self) -> bool {
        core::mem::take(&mut self.recheck)
    }

    /// Asks about a live flow, unless it is asked about already, or such flows are not asked about, or nobody is there.
    pub(crate) fn ask(&mut self, now: Instant, flow: &Flow<'_>, subject: &Subject) {
        let may_ask = self.owner.is_some() && !self.draining && subject.key.endpoint != 0;
        if !may_ask || self.policy(flow) != Policy::Hold || self.questions.find(subject).is_some() {
            return;
        }
        if !self.questions.make_room(now, self.settings.deadline_ms, &self.front.presence) {
            return;
        }
        let facts = self.keep(flow, subject);
        self.front.presence.add(subject.flow_hash);
        match self.questions.insert(&mut self.ids, facts, subject.flow_hash, self.cache.stamp()) {
            Some(_) => self.counters.live_asked += 1,
            None => self.let_go(facts.path, subject.flow_hash),
        }
    }

    /// The next question to be delivered.
    pub(crate) fn next_question(&mut self, now: Instant) -> Option<(RequestId, Facts)> {
        self.questions.deliver(now, self.cache.stamp())
    }

    /// Takes an answer; `false` when there is no such question, or not any more.
    pub(crate) fn answer_question(&mut self, now: Instant, answer: &Answer) -> bool {
        let Some(question) = self.questions.take(answer.request) else { return false };
        let subject = question.facts.subject(self.sip);
        if !self.cache.is_current(question.stamp, subject.program) {
            // What it was asked by has been forgotten: it is asked again.
            self.let_go(question.facts.path, question.flow_hash);
            self.recheck = true;
            return false;
        }
        let stands = self.live.find(&subject).map_or(Verdict::PERMIT, |live| live.verdict);
        self.live.insert(&subject, question.stamp, answer.verdict);
        self.cache.remember(now, &subject, question.stamp, answer);
        self.let_go(question.facts.path, question.flow_hash);
        self.recheck |= answer.verdict != stands || self.questions.wants_another_round();
        true
    }

    /// A new connection has this key: a question about an earlier one is about nothing.
    pub(crate) fn forget_question(&mut self, subject: &Subject) {
        if let Some(question) = self.questions.find(subject).and_then(|slot| self.questions.remove(slot)) {
            self.let_go(question.facts.path, question.flow_hash);
        }
    }

    /// What there is to ask about has changed: everything, once. Answers to what was asked before would come too late.
    pub(crate) fn ask_anew(&mut self) {
        while let Some(question) = self.questions.delivered.front().and_then(|slot| self.questions.remove(slot)) {
            self.let_go(question.facts.path, question.flow_hash);
        }
        self.recheck = self.owner.is_some() && !self.draining;
        (self.questions.refused, self.questions.rounds) = (false, ROUNDS);
    }

    /// Nobody will answer any more.
    pub(crate) fn drop_questions(&mut self) {
        while let Some(question) = self.questions.first().and_then(|slot| self.questions.remove(slot)) {
            self.let_go(question.facts.path, question.flow_hash);
        }
        self.recheck = false;
        self.questions.refused = false;
    }
}
