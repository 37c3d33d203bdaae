//! A record: one operation that is held, or decided and not yet continued.
//!
//! Neighbours: `pending` keeps records and moves them from stage to stage.

use crate::facts::Facts;
use crate::flow::{Flow, Subject};
use crate::list::{Chain, Links};
use crate::policy;
use crate::slots::Node;
use crate::time::Instant;
use wire::request::Direction;
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

pub(crate) struct Record<P, K> {
    pub(crate) id: RequestId,
    pub(crate) facts: Facts,
    /// The socket's own handle. That in the flow's key may be its parent's.
    pub(crate) socket: u64,
    /// What it is found by: [`Subject::flow_hash`].
    pub(crate) flow_hash: u64,
    /// When it was held; from `HandedOut` on, when it was handed out.
    pub(crate) since: Instant,
    /// The cache's stamp of what its verdict rests on: of the delivery, or of the decision by the fallback.
    pub(crate) stamp: u32,
    pub(crate) stage: Stage,
    pub(crate) verdict: Option<Verdict>,
    /// The request waits for delivery.
    pub(crate) queued: bool,
    /// A new connection has its flow key: its verdict must not be found any more.
    pub(crate) superseded: bool,
    /// Bytes set aside for the first packet, until it comes.
    pub(crate) reserved: u32,
    pub(crate) operation: Option<P>,
    pub(crate) packets: K,
    pub(crate) time: Links,
    pub(crate) work: Links,
    pub(crate) by_flow: Links,
    pub(crate) by_socket: Links,
    pub(crate) by_parent: Links,
}

impl<P, K> Node for Record<P, K> {
    fn links(&mut self, chain: Chain) -> Option<&mut Links> {
        Some(match chain {
            Chain::Time => &mut self.time,
            Chain::Work => &mut self.work,
            Chain::Flow => &mut self.by_flow,
            Chain::Socket => &mut self.by_socket,
            Chain::Parent => &mut self.by_parent,
        })
    }
}

impl<P, K> Record<P, K> {
    /// Whether its completion is the last that is heard of it. An inbound operation is not reauthorized: the packet that
    /// is injected is how it goes on (learn.microsoft.com "FwpsCompleteOperation0").
    pub(crate) fn ends_with_completion(&self) -> bool {
        self.facts.key.direction == Direction::INBOUND
    }

    /// Whether a packet of this flow is one more of this operation: the same program in the same process sends to, or
    /// hears from, the same remote end through the same socket; ICMP messages only of the same type.
    pub(crate) fn is_of(&self, flow: &Flow<'_>, subject: &Subject) -> bool {
        self.facts.key == subject.key
            && self.facts.process_id == flow.process_id
            && self.facts.program == subject.program
            && (!policy::is_icmp(subject.key.protocol) || self.facts.local_port == flow.local_port)
    }

    /// Whether it belongs to this socket or, in the index of parents, to one that this socket accepts for.
    pub(crate) fn is_of_socket(&self, chain: Chain, endpoint: u64) -> bool {
        if matches!(chain, Chain::Parent) { self.facts.key.endpoint == endpoint } else { self.socket == endpoint }
    }
}
