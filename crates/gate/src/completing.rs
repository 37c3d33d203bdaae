//! Decided operations on their way out, and what ends their records.
//!
//! Invariants: an operation is handed out with a ticket, which comes back when its completion has returned; an outbound
//! record ends with its reauthorize, an inbound one, which is not reauthorized, when it is handed out.
//!
//! Neighbours: `pending` keeps the records; `packets` what they would have sent.

use crate::flow::Subject;
use crate::memory::Memory;
use crate::packets::Packets;
use crate::programs::PathRef;
use crate::tickets::{Socket, Ticket};
use crate::time::Instant;
use crate::{GRACE_MS, Gate};
use wire::stats::Doors;
use wire::verdict::{RequestId, Verdict};

/// A decided operation, to be completed with no lock held.
#[derive(PartialEq, Eq, Debug)]
pub struct Completion<P, K> {
    /// The operation.
    pub operation: P,
    /// To be given to [`Gate::handle_completed`] when the completion has returned.
    pub ticket: Ticket,
    /// How it goes on.
    pub then: Then<K>,
}

/// How an operation goes on after its completion.
#[derive(PartialEq, Eq, Debug)]
pub enum Then<K> {
    /// Outbound: the filter engine asks again, and the gate answers ([`Gate::reauthorize`]).
    Reauthorizes,
    /// Inbound, and permitted: it is completed with the first of these packets, which are injected then, each once.
    Inject(K),
    /// Inbound, and blocked: it is completed without a packet, and these are dropped.
    Drop(K),
}

impl<P, K: Packets, M: Memory> Gate<P, K, M> {
    /// A decided operation. The verdict of an outbound one waits for the reauthorize from now on.
    ///
    /// Nothing comes out while 64 completions run. Who runs one polls again after it, so nothing is left behind, unless it
    /// polls for one socket only: then [`Gate::has_completions`] stays true.
    pub fn poll_completion(&mut self, now: Instant) -> Option<Completion<P, K>> {
        let first = self.pending.first_ready()?;
        self.hand_out(now, first)
    }

    /// The same, of one socket, and those it accepts for, only: for a caller who may be inside another completion.
    pub fn poll_completion_of(&mut self, now: Instant, endpoint: u64) -> Option<Completion<P, K>> {
        self.pending.first_ready()?;
        let ready = self.pending.find_ready(self.sip, endpoint)?;
        self.hand_out(now, ready)
    }

    /// A completion has returned.
    pub fn handle_completed(&mut self, ticket: Ticket) {
        self.tickets.give_back(&ticket);
    }

    /// Whether [`Gate::poll_completion`] has something to give, now or when a ticket has come back.
    pub fn has_completions(&self) -> bool {
        self.pending.first_ready().is_some()
    }

    fn hand_out(&mut self, now: Instant, slot: u32) -> Option<Completion<P, K>> {
        let now = self.tick(now);
        let record = self.pending.at(slot)?;
        let (id, ends, superseded) = (record.id, record.ends_with_completion(), record.superseded);
        let socket = Socket { own: record.socket, endpoint: record.facts.key.endpoint };
        let ticket = self.tickets.take(socket)?;
        let Some(operation) = self.pending.hand_out(self.sip, now, slot) else {
            self.tickets.give_back(&ticket);
            return None;
        };
        let then = if ends {
            self.end_inbound(id)
        } else {
            if superseded {
                self.discard(id);
            }
            Then::Reauthorizes
        };
        Some(Completion { operation, ticket, then })
    }

    /// Ends an inbound record: its completion is the last that is heard of it. What was overtaken is dropped.
    fn end_inbound(&mut self, id: RequestId) -> Then<K> {
        let Some(record) = self.pending.remove(self.sip, id) else { return Then::Drop(K::default()) };
        let (path, flow_hash) = (record.facts.path, record.flow_hash);
        let verdict = record.verdict.filter(|_| !record.superseded);
        match verdict {
            Some(_) => self.counters.claimed += 1,
            None => self.counters.unclaimed += 1,
        }
        let verdict = verdict.unwrap_or(Verdict::BLOCK);
        self.kept.give_out(&mut self.counters, id, verdict, &record.packets);
        if verdict == Verdict::PERMIT {
            self.live.insert(&record.facts.subject(self.sip), record.stamp, verdict);
        }
        self.let_go(path, flow_hash);
        if verdict == Verdict::PERMIT { Then::Inject(record.packets) } else { Then::Drop(record.packets) }
    }

    /// Ends a record whose reauthorize has come.
    pub(crate) fn claim(&mut self, id: RequestId) -> Option<Verdict> {
        let record = self.pending.remove(self.sip, id)?;
        let verdict = record.verdict.unwrap_or(Verdict::BLOCK);
        self.counters.claimed += 1;
        self.live.insert(&record.facts.subject(self.sip), record.stamp, verdict);
        self.let_go(record.facts.path, record.flow_hash);
        self.kept.settle(id, verdict, record.packets);
        Some(verdict)
    }

    /// Ends what has waited for its reauthorize for too long.
    pub(crate) fn expire_handed_out(&mut self, now: Instant) {
        while let Some(record) = self.pending.oldest_handed_out()
            && record.since.after_millis(GRACE_MS) <= now
        {
            let id = record.id;
            self.expire(id);
        }
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
    pub(crate) fn discard(&mut self, id: RequestId) {
        if let Some(record) = self.pending.remove(self.sip, id) {
            self.counters.unclaimed += 1;
            self.let_go(record.facts.path, record.flow_hash);
            self.kept.settle(id, Verdict::BLOCK, record.packets);
        }
    }

    /// Gives back what a record, or a question, had besides its operation and packets. Last: what the live table has taken over is there
    /// already, so that the front never sees nothing of this flow.
    pub(crate) fn let_go(&mut self, path: PathRef, flow_hash: u64) {
        self.programs.release(path);
        self.front.presence.remove(flow_hash);
    }

    pub(crate) fn release_all(&mut self, door: fn(&mut Doors) -> &mut u64) {
        while let Some(record) = self.pending.oldest_undecided() {
            let (id, subject) = (record.id, record.facts.subject(self.sip));
            self.decide_by_fallback(id, &subject, door);
        }
    }

    pub(crate) fn decide_by_fallback(&mut self, id: RequestId, subject: &Subject, door: fn(&mut Doors) -> &mut u64) {
        self.pending.decide(id, self.fallback(subject), self.cache.stamp());
        *door(&mut self.counters.doors) += 1;
    }
}
