//! Classification: one indication through the sublayers of its layer.
//!
//! Invariants: an indication sees one committed policy; within a sublayer the heaviest filter that decides wins, between
//! sublayers [`arbitration`] does (learn.microsoft.com "Filter Arbitration").
//! Neighbours: `bfe` publishes the policy, `ale` says what to indicate and obeys the verdict.

mod access;
mod arbitration;
mod arena;
mod callouts;
mod data;
mod facts;
mod field;
pub(crate) mod frames;
mod handles;
mod invoke;
pub(crate) mod layer;
mod metadata;
mod rules;
mod suspend;
mod value;

pub(crate) use arbitration::Action;
pub(crate) use arena::{Arena, POISON_BYTE, POISON_U64, Quarantine};
pub(crate) use callouts::{Callouts, Registered};
pub(crate) use data::LayerData;
pub(crate) use facts::Facts;
pub(crate) use field::Field;
pub(crate) use handles::Handles;
pub(crate) use layer::Layer;
pub(crate) use suspend::Suspension;
pub(crate) use value::Operand;

use crate::ale::Flow;
use crate::bfe::{CalloutKind, Filter, FilterAction};
use crate::config::AfterHardBlock;
use crate::counters::{Count, Counters};
use crate::events::{NetEvent, NetEventKind};
use crate::machine::Machine;
use arbitration::{Answer, Decision};
use metadata::Discard;
use nt_sys::fwps::*;
use std::sync::Arc;

/// One delivery of data, or of news about a socket, to a layer.
pub(crate) struct Indication<'a> {
    pub layer: &'static Layer,
    pub facts: &'a Facts<'a>,
    pub flow: Option<&'a Arc<Flow>>,
    /// The flow whose authorization a callout may pend.
    pub pendable: Option<&'a Arc<Flow>>,
    /// How a callout may pend this classify itself.
    pub suspension: Option<&'a Arc<Suspension>>,
    pub data: LayerData,
    pub discard: Option<Discard>,
}

impl Indication<'_> {
    pub fn is_reauthorization(&self) -> bool {
        self.facts.flags & FWP_CONDITION_FLAG_IS_REAUTHORIZE != 0
    }

    /// Whether this is the reauthorization that follows a completed operation.
    pub fn is_completion(&self) -> bool {
        self.facts.reason & FWP_CONDITION_REAUTHORIZE_REASON_CLASSIFY_COMPLETION != 0
    }
}

/// The outcome of an indication.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    /// What was decided; nothing when no filter matched, which permits.
    pub action: Option<Action>,
    pub absorbs: bool,
    /// Which policy it was decided under, by the layer's count of changes.
    pub epoch: u64,
}

impl Verdict {
    pub fn blocks(&self) -> bool {
        self.action == Some(Action::Block)
    }
}

/// Classifies, and logs and indicates what a block discards.
pub(crate) fn enforce(machine: &Machine, indication: &Indication<'_>) -> Verdict {
    let (decision, epoch) = classify(machine, indication);
    let verdict =
        Verdict { action: decision.action(), absorbs: decision.answer.is_some_and(|answer| answer.absorbs), epoch };
    if verdict.blocks() && !verdict.absorbs {
        log(machine, indication, &decision, NetEventKind::ClassifyDrop);
        discard(machine, indication, &decision);
    } else if !verdict.blocks() {
        log(machine, indication, &decision, NetEventKind::ClassifyAllow);
    }
    verdict
}

/// Classifies where the result binds nobody.
pub(crate) fn inform(machine: &Machine, indication: &Indication<'_>) -> Verdict {
    let (_, epoch) = classify(machine, indication);
    Verdict { action: None, absorbs: false, epoch }
}

fn classify(machine: &Machine, indication: &Indication<'_>) -> (Decision, u64) {
    let policy = machine.policy();
    let layer = policy.layer(indication.layer.id);
    let mut decision = Decision::new();
    for sublayer in &layer.sublayers {
        if decision.is_final() && machine.config.knobs.after_hard_block == AfterHardBlock::Stop {
            break;
        }
        for filter in sublayer.filters.iter().filter(|filter| filter.matches(indication.facts)) {
            let Some(answer) = evaluate(machine, indication, filter, &decision) else { continue };
            if decision.merge(answer) {
                count(machine, filter, Count::Veto);
            }
            break;
        }
    }
    (decision, layer.epoch)
}

/// What one matching filter concludes; nothing when it leaves the decision to the next.
fn evaluate(machine: &Machine, indication: &Indication<'_>, filter: &Filter, decision: &Decision) -> Option<Answer> {
    count(machine, filter, Count::Matched);
    let answer = |action, is_hard| Answer {
        action,
        is_hard,
        is_from_callout: false,
        absorbs: false,
        filter_id: filter.id,
        is_silent: filter.is_silent(),
    };
    let answer = match filter.action {
        FilterAction::Permit => Some(answer(Action::Permit, filter.clears_right())),
        FilterAction::Block => Some(answer(Action::Block, true)),
        FilterAction::Continue => None,
        FilterAction::Callout { kind, id } => {
            let callout = machine.callouts.get(id).and_then(|callout| callout.run());
            match callout {
                Some(callout) => {
                    if callout.flags & FWP_CALLOUT_FLAG_CONDITIONAL_ON_FLOW != 0 && !has_context(indication, id) {
                        return None;
                    }
                    let reply = invoke::call(machine, indication, filter, &callout, decision);
                    conclusion(kind, &reply).map(|action| Answer {
                        is_from_callout: true,
                        absorbs: reply.absorbs,
                        ..answer(action, !reply.keeps_right)
                    })
                }
                None if kind == CalloutKind::Inspection => None,
                None if filter.permits_unregistered() => Some(answer(Action::Permit, false)),
                None => Some(answer(Action::Block, true)),
            }
        }
    };
    match answer?.action {
        Action::Permit => count(machine, filter, Count::Permit),
        Action::Block => count(machine, filter, Count::Block),
    }
    answer
}

/// What a callout's answer counts for (learn.microsoft.com "FWPS_ACTION0"). One that had no right and left the action as it
/// was has said nothing.
fn conclusion(kind: CalloutKind, reply: &invoke::Reply) -> Option<Action> {
    if reply.is_silent {
        return None;
    }
    match (kind, reply.action) {
        (CalloutKind::Inspection, _) => None,
        (_, FWP_ACTION_PERMIT) => Some(Action::Permit),
        (_, FWP_ACTION_BLOCK) | (CalloutKind::Terminating, _) => Some(Action::Block),
        (CalloutKind::Unknown, _) => None,
    }
}

fn has_context(indication: &Indication<'_>, callout: u32) -> bool {
    indication.flow.is_some_and(|flow| flow.has_context(indication.layer.id, callout))
}

/// Counts for a filter and for the callout it names.
fn count(machine: &Machine, filter: &Filter, what: Count) {
    let add = |counters: &Counters| counters.add(what);
    add(&filter.counters);
    if let FilterAction::Callout { id, .. } = filter.action
        && let Some(callout) = machine.callouts.get(id)
    {
        add(&callout.counters);
    }
}

fn discard(machine: &Machine, indication: &Indication<'_>, decision: &Decision) {
    let Some(layer) = indication.layer.discard() else { return };
    let filter_id = decision.answer.map_or(0, |answer| answer.filter_id);
    inform(
        machine,
        &Indication { layer, pendable: None, suspension: None, discard: Some(Discard { filter_id }), ..*indication },
    );
}

fn log(machine: &Machine, indication: &Indication<'_>, decision: &Decision, kind: NetEventKind) {
    if decision.answer.is_some_and(|answer| answer.is_silent) {
        return;
    }
    let facts = indication.facts;
    machine.events.push(NetEvent {
        kind,
        layer: indication.layer.id,
        filter_id: decision.answer.map_or(0, |answer| answer.filter_id),
        veto: decision.is_veto,
        loopback: facts.is_loopback(),
        reauth_reason: facts.reason,
        protocol: facts.protocol,
        local: facts.local,
        remote: facts.peer.map(|peer| peer.addr),
        pid: facts.identity.pid,
    });
}
