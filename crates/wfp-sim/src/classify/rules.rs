//! The rules that a classify function has to keep (learn.microsoft.com "FWPS_CLASSIFY_OUT0", "Types of Callouts").
//!
//! Fatal rules stop the machine; the others are recorded, because Windows lets them pass.

use super::Indication;
use super::callouts::Running;
use super::frames::PendAttempt;
use super::layer::FLOW_ESTABLISHED;
use crate::bfe::{CalloutKind, Filter};
use crate::machine::Machine;
use nt_sys::fwps::*;

/// What a classify function was given and what it left.
pub(super) struct Exchange {
    pub entry: FWPS_CLASSIFY_OUT0,
    pub reply: FWPS_CLASSIFY_OUT0,
    pub pends: PendAttempt,
    pub is_classify_pended: bool,
    pub metadata_is_untouched: bool,
}

impl Exchange {
    fn had_right(&self) -> bool {
        self.entry.rights & FWPS_RIGHT_ACTION_WRITE != 0
    }

    fn keeps_right(&self) -> bool {
        self.reply.rights & FWPS_RIGHT_ACTION_WRITE != 0
    }

    fn blocks(&self) -> bool {
        self.reply.actionType == FWP_ACTION_BLOCK
    }

    fn absorbs(&self) -> bool {
        self.reply.flags & FWPS_CLASSIFY_OUT_FLAG_ABSORB != 0
    }

    fn changes_action(&self) -> bool {
        self.reply.actionType != self.entry.actionType
    }

    fn decides(&self) -> bool {
        matches!(self.reply.actionType, FWP_ACTION_BLOCK | FWP_ACTION_PERMIT)
    }
}

/// Checks one call.
pub(super) fn check(
    machine: &Machine,
    indication: &Indication<'_>,
    filter: &Filter,
    callout: &Running,
    exchange: &Exchange,
) {
    let broken = fatal(indication, exchange).or_else(|| pended(indication, callout, exchange));
    if let Some((rule, what)) = broken {
        machine.bugcheck(rule, format!("callout {} at layer {}: {what}", callout.id, indication.layer.id));
    }
    for (rule, what) in tolerated(indication, filter, exchange) {
        machine.warn(rule, format!("callout {} at layer {}: {what}", callout.id, indication.layer.id));
    }
}

type Broken = (&'static str, &'static str);

fn fatal(indication: &Indication<'_>, exchange: &Exchange) -> Option<Broken> {
    let (entry, reply) = (&exchange.entry, &exchange.reply);
    let vetoes = exchange.blocks() && entry.actionType == FWP_ACTION_PERMIT;
    if exchange.changes_action() && !exchange.had_right() && !vetoes {
        return Some(("V-CLS-01", "set the action without the right to"));
    }
    if reply.rights & !entry.rights != 0 {
        return Some(("V-CLS-04", "set a right"));
    }
    if exchange.absorbs() && (!exchange.blocks() || indication.layer.is_discard) {
        return Some(("V-CLS-05", "absorbed without blocking, or what is already discarded"));
    }
    let engine_members = |out: &FWPS_CLASSIFY_OUT0| (out.outContext, out.filterId, out.reserved);
    if engine_members(entry) != engine_members(reply) || !exchange.metadata_is_untouched {
        return Some(("V-CLS-12", "wrote to what belongs to the engine"));
    }
    None
}

fn pended(indication: &Indication<'_>, callout: &Running, exchange: &Exchange) -> Option<Broken> {
    if exchange.pends == PendAttempt::Pended {
        if !exchange.blocks() || !exchange.absorbs() {
            return Some(("V-PEND-03", "pended, and did not block and absorb"));
        }
        if exchange.keeps_right() {
            return Some(("V-CLS-06", "pended, and left the action open"));
        }
    }
    if exchange.is_classify_pended {
        if !exchange.blocks() {
            return Some(("V-PEND-03", "pended the classify, and did not block"));
        }
        if exchange.keeps_right() {
            return Some(("V-CLS-06", "pended the classify, and left the action open"));
        }
    }
    let answers_own_completion = indication.is_completion()
        && exchange.had_right()
        && indication.flow.is_some_and(|flow| flow.was_pended_by(callout.id));
    if answers_own_completion && !exchange.decides() {
        return Some(("V-PEND-07", "did not decide about an operation that it had completed"));
    }
    None
}

fn tolerated(indication: &Indication<'_>, filter: &Filter, exchange: &Exchange) -> Vec<Broken> {
    let mut broken = Vec::new();
    let acts = exchange.had_right() && exchange.decides();
    let is_block = acts && exchange.blocks();
    let is_permit = acts && !exchange.blocks();
    if is_block && exchange.keeps_right() {
        broken.push(("V-CLS-02", "blocked and left the action open"));
    }
    if is_permit && exchange.keeps_right() && filter.clears_right() {
        broken.push(("V-CLS-03", "permitted for a filter that closes the action, and left it open"));
    }
    if FLOW_ESTABLISHED.includes(indication.layer) && is_block {
        broken.push(("V-CLS-07", "blocked an established flow"));
    }
    let leaves_unset =
        exchange.had_right() && !exchange.decides() && filter.callout_kind() == Some(CalloutKind::Terminating);
    let inspection_acts = exchange.changes_action()
        && exchange.reply.actionType != FWP_ACTION_CONTINUE
        && filter.callout_kind() == Some(CalloutKind::Inspection);
    if leaves_unset || inspection_acts {
        broken.push(("V-CLS-08", "answered what its filter's action does not allow"));
    }
    if exchange.pends == PendAttempt::Failed && exchange.blocks() && exchange.absorbs() {
        broken.push(("V-PEND-04", "could not pend, and absorbed as if it had"));
    }
    broken
}
