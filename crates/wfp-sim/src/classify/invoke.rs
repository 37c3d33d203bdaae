//! One call of a classify function: what it is lent, at which level it runs, what it answered.
//!
//! Invariant: the callout cannot be unregistered, and no lock of the engine is held, while its function runs.

#![expect(unsafe_code, reason = "calls a driver's function with raw records")]

use super::arbitration::{Action, Decision};
use super::arena::{Arena, POISON_U32, POISON_U64};
use super::callouts::Running;
use super::frames::{self, Frame, PendAttempt};
use super::metadata::Metadata;
use super::rules::{self, Exchange};
use super::{Indication, layer};
use crate::bfe::Filter;
use crate::config::ClassifyIrql;
use crate::counters::Count;
use crate::machine::Machine;
use nt_sys::fwps::*;
use nt_sys::types::{DISPATCH_LEVEL, PASSIVE_LEVEL};
use std::sync::Arc;

/// Values behind `valueCount` that hold poison: an index that is not checked reads a type that does not exist.
const GUARD_VALUES: usize = if cfg!(miri) { 0 } else { 16 };

/// Bits of the FLAGS value that no header names.
const UNKNOWN_FLAGS: u32 = 0xF000_0000;

/// What a classify function answered.
pub(super) struct Reply {
    pub action: FWP_ACTION_TYPE,
    pub keeps_right: bool,
    pub absorbs: bool,
    /// It could not act, and left the action as it was.
    pub is_silent: bool,
}

/// Calls `callout` for `filter`.
pub(super) fn call(
    machine: &Machine,
    indication: &Indication<'_>,
    filter: &Filter,
    callout: &Running,
    decision: &Decision,
) -> Reply {
    let mut arena = Arena::default();
    let completion = indication.pendable.map(|_| machine.new_handle());
    let values = values(machine, indication, &mut arena);
    let metadata =
        Metadata::new(&mut arena, indication.layer, indication.facts, completion, &indication.data, indication.discard);
    let entry = FWPS_CLASSIFY_OUT0 {
        actionType: match decision.action() {
            None => FWP_ACTION_NONE,
            Some(Action::Permit) => FWP_ACTION_PERMIT,
            Some(Action::Block) => FWP_ACTION_BLOCK,
        },
        outContext: POISON_U64,
        filterId: POISON_U64,
        rights: if decision.is_open { FWPS_RIGHT_ACTION_WRITE } else { 0 },
        flags: 0,
        reserved: POISON_U32,
    };
    let out = arena.one(entry);
    let context = machine.new_handle();
    let flow_context = indication.flow.map_or(0, |flow| flow.enter_context(indication.layer.id, callout.id));

    for counters in [&callout.counters, &filter.counters] {
        counters.add(Count::Called);
        if !decision.is_open {
            counters.add(Count::WithoutRight);
        }
    }
    let frame = frames::enter(Frame {
        callout: Arc::clone(callout),
        flow: indication.pendable.cloned(),
        completion: completion.unwrap_or(0),
        classify_context: context,
        filter_id: filter.id,
        out: out.addr(),
        suspension: indication.suspension.cloned(),
        is_classify_pended: false,
        is_reauthorization: indication.is_reauthorization(),
        may_act: decision.is_open,
        pends: PendAttempt::None,
    });
    let level = Level::raise(machine);
    // SAFETY: a classify function needs records that are valid for the call: values, metadata and `out` live in `arena`,
    // the filter in `filter`; the layer data is the caller's packet. `callout` cannot be unregistered meanwhile, so the
    // function is still there.
    unsafe {
        (callout.classify)(
            values,
            metadata.as_ptr(),
            indication.data.list,
            std::ptr::without_provenance(context as usize),
            filter.record(),
            flow_context,
            out,
        );
    }
    level.restore(machine, callout);
    let (pends, is_classify_pended) = frames::innermost(|frame| {
        frame.map_or((PendAttempt::None, false), |frame| (frame.pends, frame.is_classify_pended))
    });
    drop(frame);
    // SAFETY: `out` is a whole record in `arena`, and the callout may only have written integers into it.
    let reply = unsafe { out.read() };
    if let Some(flow) = indication.flow {
        flow.leave_context(machine, indication.layer.id, callout);
    }

    if let Err((rule, what)) = machine.lists.check_lent(indication.data.list) {
        machine.bugcheck(rule, format!("callout {} at layer {}: {what}", callout.id, indication.layer.id));
    }
    let exchange = Exchange { entry, reply, pends, is_classify_pended, metadata_is_untouched: metadata.is_untouched() };
    rules::check(machine, indication, filter, callout, &exchange);
    machine.quarantine.take(arena);
    for counters in [&callout.counters, &filter.counters] {
        if pends == PendAttempt::Pended || is_classify_pended {
            counters.add(Count::Pended);
        }
        if reply.flags & FWPS_CLASSIFY_OUT_FLAG_ABSORB != 0 {
            counters.add(Count::Absorbed);
        }
    }
    Reply {
        action: reply.actionType,
        keeps_right: reply.rights & FWPS_RIGHT_ACTION_WRITE != 0,
        absorbs: reply.flags & FWPS_CLASSIFY_OUT_FLAG_ABSORB != 0,
        is_silent: !decision.is_open && reply.actionType == entry.actionType,
    }
}

/// The values of the indication, with poison behind the last one.
fn values(machine: &Machine, indication: &Indication<'_>, arena: &mut Arena) -> *const FWPS_INCOMING_VALUES0 {
    let fields = indication.layer.fields.unwrap_or_default();
    let mut count = fields.len();
    if layer::AUTH_CONNECT.includes(indication.layer) {
        count = count.min(machine.config.value_count as usize);
    } else if layer::AUTH_RECV_ACCEPT.includes(indication.layer) {
        count = count.min(accept_count(machine.config.value_count));
    }
    let mut values: Vec<FWPS_INCOMING_VALUE0> = fields[..count]
        .iter()
        .enumerate()
        .map(|(index, &field)| FWPS_INCOMING_VALUE0 { value: arena.value(indication.facts.value(index, field)) })
        .collect();
    if machine.config.unknown_flag_bits
        && let Some(at) = fields.iter().position(|&field| field == super::field::Field::Flags)
        && let Some(flags) = values.get_mut(at)
        && flags.value.r#type == FWP_UINT32
    {
        flags.value.u.uint32 = indication.facts.flags | (machine.draw() as u32 & UNKNOWN_FLAGS);
    }
    let guard =
        FWPS_INCOMING_VALUE0 { value: FWP_VALUE0 { r#type: POISON_U32, u: arena.value(super::value::Value::Empty).u } };
    values.extend(std::iter::repeat_n(guard, GUARD_VALUES));
    let incoming = arena.slice(&values);
    arena.one(FWPS_INCOMING_VALUES0 {
        layerId: indication.layer.id,
        valueCount: u32::try_from(count).unwrap_or(0),
        incomingValue: incoming,
    })
}

/// How many values ALE_AUTH_RECV_ACCEPT has on a system that has so many at ALE_AUTH_CONNECT, from the NTDDI guards of the
/// header.
fn accept_count(connect_count: u32) -> usize {
    match connect_count {
        ..=32 => 32,
        33..=34 => 34,
        35..=37 => 35,
        _ => 39,
    }
}

/// The level that a classify function runs at.
struct Level {
    before: u8,
    during: u8,
    spin_locks: usize,
}

impl Level {
    fn raise(machine: &Machine) -> Self {
        let before = machine.host.irql();
        let chosen = match machine.config.classify_irql {
            ClassifyIrql::Passive => PASSIVE_LEVEL,
            ClassifyIrql::Dispatch => DISPATCH_LEVEL,
            ClassifyIrql::Seeded if machine.draw() & 1 == 0 => PASSIVE_LEVEL,
            ClassifyIrql::Seeded => DISPATCH_LEVEL,
        };
        let during = before.max(chosen);
        if during != before {
            machine.host.set_irql(during);
        }
        Self { before, during, spin_locks: machine.host.spin_locks_held() }
    }

    fn restore(self, machine: &Machine, callout: &Running) {
        let (now, locks) = (machine.host.irql(), machine.host.spin_locks_held());
        if now != self.during {
            machine.bugcheck(
                "IRQL",
                format!("callout {} was called at {} and returned at {now}", callout.id, self.during),
            );
        }
        if locks != self.spin_locks {
            machine.bugcheck("V-CLS-11", format!("callout {} returned with a spin lock held", callout.id));
        }
        if self.before != self.during {
            machine.host.set_irql(self.before);
        }
    }
}
