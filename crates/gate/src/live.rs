//! The verdicts of live flows, so that a later reauthorize of a flow gets the answer that its connection got.
//!
//! Windows reauthorizes live flows whenever anybody changes a filter, an interface comes or goes, and so on
//! (learn.microsoft.com "ALE Reauthorization"). Such a reauthorize can not be pended.
//! A live flow of which nothing is known is asked about, and the answer comes here.
//!
//! Invariants: memory is fixed, the oldest flow is forgotten first; a flow's entry never outlives the next connection
//! with the same key.
//!
//! Neighbours: `completing` adds a flow when its verdict is claimed, `questions` when it was asked about; `cache` explains
//! stamps.

use crate::flow::{FlowKey, Subject};
use crate::front::Front;
use crate::memory::{Memory, OutOfMemory};
use crate::sets::{NoRoom, Sets};
use wire::verdict::Verdict;

/// How many flows are remembered.
pub(crate) const FLOWS: usize = if cfg!(miri) { 256 } else { 16_384 };

/// What is known of a live flow.
#[derive(Clone, Copy, Default)]
pub(crate) struct Live {
    key: FlowKey,
    pub(crate) stamp: u32,
    pub(crate) verdict: Verdict,
}

pub(crate) struct LiveFlows<M: Memory> {
    flows: Sets<Live, M>,
    front: M::Shared<Front<M>>,
}

impl<M: Memory> LiveFlows<M> {
    pub(crate) fn new(front: M::Shared<Front<M>>) -> Result<Self, OutOfMemory> {
        Ok(Self { flows: Sets::new(FLOWS)?, front })
    }

    pub(crate) fn find(&self, subject: &Subject) -> Option<&Live> {
        self.flows.find(subject.flow_hash, |flow| flow.key == subject.key)
    }

    pub(crate) fn insert(&mut self, subject: &Subject, stamp: u32, verdict: Verdict) {
        self.front.presence.add(subject.flow_hash);
        self.forget(subject);
        let live = Live { key: subject.key, stamp, verdict };
        // What it displaces is forgotten.
        match self.flows.insert(subject.flow_hash, live, |_| false) {
            Ok(None) => {}
            Ok(Some(displaced)) => self.front.presence.remove(self.front.flow_hash(&displaced.key)),
            Err(NoRoom) => self.front.presence.remove(subject.flow_hash),
        }
    }

    #[inline]
    pub(crate) fn forget(&mut self, subject: &Subject) {
        if self.flows.remove(subject.flow_hash, |flow| flow.key == subject.key).is_some() {
            self.front.presence.remove(subject.flow_hash);
        }
    }
}
