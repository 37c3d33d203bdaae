//! Reauthorizes: the filter engine asks again about a flow that it has asked about before.
//!
//! Invariant: a flow that lives is never cut by the fallback; only a verdict that somebody gave for it can.
//!
//! Neighbours: `completing` ends the record that a reauthorize claims; `live` remembers what was said; `questions` asks.

use crate::Gate;
use crate::flow::Flow;
use crate::memory::Memory;
use crate::packets::Packets;
use crate::pending::Stage;
use crate::time::Instant;
use wire::verdict::{RequestId, Verdict};

/// What to do with a reauthorize.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reauthorized {
    /// It follows a completion of ours: this is the verdict.
    Verdict(Verdict),
    /// Somebody else caused it while the operation is held: block and absorb it, and hand in its packet, if it has one
    /// ([`Gate::handle_joined`]). The operation stays held.
    Waiting(RequestId),
    /// A live flow, and this is what was said about it.
    Cached(Verdict),
    /// A live flow of which nothing is known: leave it alone. The service, if it is there, is asked about it.
    Leave,
}

impl<P, K: Packets, M: Memory> Gate<P, K, M> {
    /// Answers a reauthorize. `completion` says that it is known to follow a completion, ours or somebody else's: then a
    /// connection of which nothing is known is a new one that could not be held, and the fallback decides.
    ///
    /// The verdict is given even when the caller may not set the action: the record ends here in any case.
    pub fn reauthorize(&mut self, now: Instant, flow: &Flow<'_>, completion: bool) -> Reauthorized {
        let now = self.tick(now);
        let subject = self.subject(flow);
        match self.pending.find(&subject).map(|record| (record.id, record.stage)) {
            Some((id, Stage::HandedOut)) => {
                if let Some(verdict) = self.claim(id) {
                    return Reauthorized::Verdict(verdict);
                }
            }
            Some((id, _)) => {
                self.counters.foreign_reauthorized += 1;
                return Reauthorized::Waiting(id);
            }
            None => {}
        }
        if self.is_own(flow) {
            self.counters.foreign_reauthorized += 1;
            return Reauthorized::Leave;
        }
        let live = self.live.find(&subject).copied();
        let current = live.filter(|live| self.cache.is_current(live.stamp, subject.program)).map(|live| live.verdict);
        let known = current.or_else(|| self.cache.valid(now, &subject));
        if completion && known.is_none() && live.is_none() {
            self.counters.orphaned += 1;
            return Reauthorized::Verdict(self.fallback(&subject));
        }
        self.counters.foreign_reauthorized += 1;
        if let Some(verdict) = known {
            return Reauthorized::Cached(verdict);
        }
        // A blocked flow stays so until somebody permits it. And it may not have been told yet: a foreign reauthorize came
        // between its completion and its own, and claimed the record.
        let blocked = live.is_some_and(|live| live.verdict == Verdict::BLOCK);
        if !(blocked && completion) {
            self.ask(now, flow, &subject);
        }
        if blocked { Reauthorized::Cached(Verdict::BLOCK) } else { Reauthorized::Leave }
    }
}
