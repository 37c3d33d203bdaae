//! Making an indication out of a socket or a flow and an occasion.

use super::flow::{Direction, Flow, Peer};
use super::socket::{ICMP, ICMP_V6, Socket, TCP, UDP};
use crate::classify::layer::{ENDPOINT_CLOSURE, Step};
use crate::classify::{self, Facts, Indication, LayerData, Suspension, Verdict};
use crate::machine::Machine;
use nt_sys::fwp::{
    FWP_CONDITION_FLAG_IS_LOOPBACK, FWP_CONDITION_FLAG_IS_RAW_ENDPOINT, FWP_CONDITION_FLAG_IS_REAUTHORIZE,
};
use std::sync::Arc;

/// Why something is indicated.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Occasion {
    pub flags: u32,
    pub reason: u32,
    pub is_reauthorization: bool,
    pub is_wildcard: bool,
    pub packet: Option<Direction>,
    pub data: LayerData,
}

/// Indicates news of a socket.
pub(super) fn indicate_socket(
    machine: &Machine,
    step: Step,
    socket: &Arc<Socket>,
    peer: Option<&Peer>,
    occasion: &Occasion,
) -> Verdict {
    let (is_v6, facts) = socket_facts(socket, peer, occasion);
    indicate(machine, step, is_v6, facts, None, LayerData::default(), None)
}

/// Indicates that a socket closes, which callouts may pend.
pub(super) fn indicate_closure(
    machine: &Machine,
    socket: &Arc<Socket>,
    peer: Option<&Peer>,
    suspension: &Arc<Suspension>,
) {
    let (is_v6, facts) = socket_facts(socket, peer, &Occasion::default());
    indicate(machine, ENDPOINT_CLOSURE, is_v6, facts, None, LayerData::default(), Some(suspension));
}

fn socket_facts<'a>(socket: &'a Socket, peer: Option<&'a Peer>, occasion: &Occasion) -> (bool, Facts<'a>) {
    let local = peer.map_or(socket.local(), |peer| socket.local_towards(peer.addr));
    let facts = Facts {
        identity: &socket.owner.identity,
        protocol: socket.protocol,
        local,
        is_wildcard: occasion.is_wildcard,
        peer,
        direction: Direction::Outbound,
        endpoint: socket.endpoint,
        parent: socket.parent,
        flow_id: None,
        flags: occasion.flags,
        reason: 0,
        packet: None,
        empty_fields: 0,
        omit_metadata: 0,
    };
    let is_v6 = peer.map_or(socket.is_v6(), |peer| peer.addr.is_ipv6());
    (is_v6, facts)
}

/// Indicates a flow.
pub(super) fn indicate_flow(machine: &Machine, step: Step, flow: &Arc<Flow>, occasion: &Occasion) -> Verdict {
    let mut facts = flow.facts(&flow.socket.owner.identity);
    facts.flags = occasion.flags;
    if occasion.is_reauthorization {
        facts.flags |= FWP_CONDITION_FLAG_IS_REAUTHORIZE;
    }
    facts.reason = occasion.reason;
    facts.packet = occasion.packet;
    indicate(machine, step, flow.is_v6(), facts, Some(flow), occasion.data, None)
}

fn indicate(
    machine: &Machine,
    step: Step,
    is_v6: bool,
    mut facts: Facts<'_>,
    flow: Option<&Arc<Flow>>,
    data: LayerData,
    suspension: Option<&Arc<Suspension>>,
) -> Verdict {
    if facts.is_loopback() {
        facts.flags |= FWP_CONDITION_FLAG_IS_LOOPBACK;
    }
    if ![TCP, UDP, ICMP, ICMP_V6].contains(&facts.protocol) {
        facts.flags |= FWP_CONDITION_FLAG_IS_RAW_ENDPOINT;
    }
    let indication = Indication {
        layer: step.layer(is_v6),
        facts: &facts,
        flow,
        pendable: flow.filter(|flow| step == flow.step()),
        suspension,
        data,
        discard: None,
    };
    if step.enforces() { classify::enforce(machine, &indication) } else { classify::inform(machine, &indication) }
}
