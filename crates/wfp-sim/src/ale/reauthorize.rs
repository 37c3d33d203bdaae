//! Authorizing: the first time, after a completed operation, and again while a flow lives (learn.microsoft.com "ALE
//! Reauthorization").
//!
//! Invariants: the first authorization of a TCP flow has no packet, a reauthorization of a live flow has one; what a
//! reauthorization blocks without absorbing ends the flow.

use super::connect::send_syn;
use super::flow::{Direction, Flow, Outcome, PacketFate, Phase};
use super::indicate::{Occasion, indicate_flow};
use super::listen::{complete_handshake, discard_child};
use super::socket::TCP;
use super::{WSAEACCES, WSAECONNABORTED};
use crate::classify::{LayerData, Verdict, frames, layer};
use crate::config::{CloseWhilePended, ReauthMode};
use crate::machine::Machine;
use crate::sync::Lock;
use nt_sys::fwp::*;
use std::sync::Arc;

/// The first authorization.
pub(super) fn authorize(machine: &Arc<Machine>, flow: &Arc<Flow>, data: LayerData) -> Verdict {
    machine.ale.flows.hold().insert(flow.id, Arc::clone(flow));
    if flow.socket.parent.is_none() {
        flow.socket.note_authorization();
    }
    let verdict = indicate_flow(machine, flow.step(), flow, &Occasion { data, ..Occasion::default() });
    let (was_pended, is_complete) = {
        let mut progress = flow.progress();
        progress.epoch = verdict.epoch;
        let was_pended = !progress.pended_by.is_empty();
        let is_complete = was_pended && progress.outstanding == 0;
        if was_pended {
            progress.phase = if is_complete { Phase::Scheduled } else { Phase::Held };
        }
        (was_pended, is_complete)
    };
    if is_complete {
        // The completion overtook the classify.
        let is_inline = machine.config.knobs.reauth_mode == ReauthMode::Inline;
        if is_inline { run(machine, flow) } else { defer(machine, flow) }
    } else if !was_pended {
        settle(machine, flow, verdict);
    }
    verdict
}

/// Has a completed operation authorized again, now or later.
pub(super) fn schedule(machine: &Arc<Machine>, flow: &Arc<Flow>) {
    match machine.config.knobs.reauth_mode {
        ReauthMode::Inline => run(machine, flow),
        ReauthMode::Deferred => defer(machine, flow),
        ReauthMode::DeferredInClassify if frames::is_in_classify() => defer(machine, flow),
        ReauthMode::DeferredInClassify => run(machine, flow),
    }
}

fn defer(machine: &Arc<Machine>, flow: &Arc<Flow>) {
    let (machine_then, flow) = (Arc::clone(machine), Arc::clone(flow));
    machine.host.defer(Box::new(move || run(&machine_then, &flow)));
}

/// What follows a completed operation: outbound the reauthorization, inbound nothing but the end of the record, because
/// the packet is gone (learn.microsoft.com "Processing Classify Callouts Asynchronously").
fn run(machine: &Arc<Machine>, flow: &Arc<Flow>) {
    if flow.direction == Direction::Inbound {
        let is_over = flow.progress().phase == Phase::Scheduled;
        if is_over {
            drop_inbound(machine, flow);
        }
        return;
    }
    let binds = {
        let mut progress = flow.progress();
        let binds = progress.phase == Phase::Scheduled;
        if binds {
            progress.start_again();
        }
        binds
    };
    if !binds && machine.config.knobs.close_while_pended != CloseWhilePended::ReauthAnyway {
        return;
    }
    machine.totals.reauthorized.add();
    let occasion = Occasion {
        is_reauthorization: true,
        reason: FWP_CONDITION_REAUTHORIZE_REASON_CLASSIFY_COMPLETION,
        packet: Some(Direction::Outbound),
        ..Occasion::default()
    };
    let verdict = indicate_flow(machine, flow.step(), flow, &occasion);
    if binds {
        flow.progress().epoch = verdict.epoch;
        settle(machine, flow, verdict);
    }
}

/// Obeys the verdict of an authorization.
fn settle(machine: &Arc<Machine>, flow: &Arc<Flow>, verdict: Verdict) {
    if verdict.blocks() {
        machine.totals.blocked.add();
        return match flow.direction {
            Direction::Outbound => flow.end(machine, Outcome::Refused(WSAEACCES)),
            Direction::Inbound => drop_inbound(machine, flow),
        };
    }
    machine.totals.permitted.add();
    match (flow.socket.protocol, flow.direction) {
        (TCP, Direction::Inbound) => complete_handshake(machine, flow),
        (TCP, Direction::Outbound) => send_syn(machine, flow),
        _ => {
            establish(machine, flow);
        }
    }
}

/// Indicates that the flow is established; says whether it is.
pub(super) fn establish(machine: &Machine, flow: &Arc<Flow>) -> bool {
    if indicate_flow(machine, layer::FLOW_ESTABLISHED, flow, &Occasion::default()).blocks() {
        flow.end(machine, Outcome::Refused(WSAECONNABORTED));
        return false;
    }
    {
        let mut progress = flow.progress();
        progress.phase = Phase::Live;
        progress.last_used_ms = machine.host.now_ms();
    }
    flow.conclude(Outcome::Connected);
    true
}

/// Ends a flow whose first packet was dropped; nobody hears of it.
fn drop_inbound(machine: &Arc<Machine>, flow: &Arc<Flow>) {
    flow.end(machine, Outcome::Refused(WSAEACCES));
    if flow.socket.parent.is_some() {
        discard_child(machine, flow);
    }
}

/// A packet of a live flow passes by: after a change of policy it is authorized on the way.
pub(super) fn packet(machine: &Machine, flow: &Arc<Flow>, direction: Direction, data: LayerData) -> PacketFate {
    let layer = flow.step().layer(flow.is_v6());
    let epoch = {
        let mut progress = flow.progress();
        if progress.phase != Phase::Live {
            return PacketFate::Dropped;
        }
        progress.last_used_ms = machine.host.now_ms();
        progress.epoch
    };
    if epoch == machine.policy().layer(layer.id).epoch {
        return PacketFate::Passed;
    }
    recheck(machine, flow, FWP_CONDITION_REAUTHORIZE_REASON_POLICY_CHANGE, direction, data)
}

/// Authorizes a flow again for `reason`. A held flow stays held whatever the answer.
pub(super) fn recheck(
    machine: &Machine,
    flow: &Arc<Flow>,
    reason: u32,
    direction: Direction,
    data: LayerData,
) -> PacketFate {
    machine.totals.reauthorized.add();
    let occasion = Occasion { is_reauthorization: true, reason, packet: Some(direction), data, ..Occasion::default() };
    flow.progress().rechecks += 1;
    let verdict = indicate_flow(machine, flow.step(), flow, &occasion);
    {
        let mut progress = flow.progress();
        progress.rechecks -= 1;
        if progress.phase != Phase::Live {
            return PacketFate::Dropped;
        }
        if !verdict.blocks() {
            progress.epoch = verdict.epoch;
            return PacketFate::Passed;
        }
        if verdict.absorbs {
            return PacketFate::Dropped;
        }
        progress.outcome = Outcome::Reset;
    }
    flow.end(machine, Outcome::Reset);
    PacketFate::Dropped
}

impl Flow {
    /// Ends the flow.
    pub(super) fn end(&self, machine: &Machine, outcome: Outcome) {
        self.progress().phase = Phase::Ended;
        machine.ale.flows.hold().remove(&self.id);
        self.end_contexts(machine);
        self.conclude(outcome);
    }

    /// Ends the flow because its socket is closed; whoever pended it still has to complete.
    pub(super) fn end_closed(&self, machine: &Machine) {
        {
            let mut progress = self.progress();
            progress.phase = if progress.outstanding > 0 { Phase::Orphaned } else { Phase::Ended };
        }
        machine.ale.flows.hold().remove(&self.id);
        self.end_contexts(machine);
        self.conclude(Outcome::Closed);
    }
}
