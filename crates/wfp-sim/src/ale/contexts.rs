//! Contexts that callouts attach to flows (learn.microsoft.com "FwpsFlowAssociateContext0", "FwpsFlowRemoveContext0").
//!
//! Invariants: at most one per flow, layer and callout; the flow-delete function runs exactly once for each, never while a
//! classify uses it.

#![expect(unsafe_code, reason = "calls a driver's function")]

use super::flow::{Flow, Phase};
use crate::classify::Registered;
use crate::machine::Machine;
use crate::sync::Lock;
use nt_sys::status::*;
use nt_sys::types::NTSTATUS;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

#[derive(Default)]
pub(super) struct Contexts(Mutex<Vec<Context>>);

struct Context {
    layer: u16,
    callout: Arc<Registered>,
    value: u64,
    /// Classifies that have it in hand.
    users: usize,
    is_removed: bool,
}

impl Context {
    fn is(&self, layer: u16, callout: u32) -> bool {
        self.layer == layer && self.callout.id == callout
    }
}

impl Flow {
    pub fn associate(&self, layer: u16, callout: &Arc<Registered>, value: u64) -> NTSTATUS {
        if value == 0 || callout.flow_delete.is_none() || self.progress().phase == Phase::Ended {
            return STATUS_INVALID_PARAMETER;
        }
        let mut contexts = self.contexts.0.hold();
        if contexts.iter().any(|context| context.is(layer, callout.id)) {
            return STATUS_OBJECT_NAME_EXISTS;
        }
        callout.contexts.fetch_add(1, Ordering::SeqCst);
        contexts.push(Context { layer, callout: Arc::clone(callout), value, users: 0, is_removed: false });
        STATUS_SUCCESS
    }

    pub fn dissociate(&self, machine: &Machine, layer: u16, callout: u32) -> NTSTATUS {
        let removed = {
            let mut contexts = self.contexts.0.hold();
            let found = contexts.iter().position(|context| context.is(layer, callout) && !context.is_removed);
            let Some(at) = found else { return STATUS_UNSUCCESSFUL };
            if contexts[at].users > 0 {
                contexts[at].is_removed = true;
                return STATUS_PENDING;
            }
            contexts.swap_remove(at)
        };
        give_back(machine, &removed);
        STATUS_SUCCESS
    }

    pub fn has_context(&self, layer: u16, callout: u32) -> bool {
        self.contexts.0.hold().iter().any(|context| context.is(layer, callout) && !context.is_removed)
    }

    /// Takes the context in hand for a classify; zero when there is none.
    pub fn enter_context(&self, layer: u16, callout: u32) -> u64 {
        let mut contexts = self.contexts.0.hold();
        let Some(context) = contexts.iter_mut().find(|context| context.is(layer, callout) && !context.is_removed)
        else {
            return 0;
        };
        context.users += 1;
        context.value
    }

    /// Puts it back; whoever removed it meanwhile is told now.
    pub fn leave_context(&self, machine: &Machine, layer: u16, callout: &Arc<Registered>) {
        let removed = {
            let mut contexts = self.contexts.0.hold();
            let found = contexts.iter().position(|context| context.is(layer, callout.id) && context.users > 0);
            let Some(at) = found else { return };
            contexts[at].users -= 1;
            let is_over = contexts[at].is_removed && contexts[at].users == 0;
            if !is_over {
                return;
            }
            contexts.swap_remove(at)
        };
        give_back(machine, &removed);
    }

    /// Gives every context back, because the flow is over.
    pub(super) fn end_contexts(&self, machine: &Machine) {
        let over: Vec<Context> = {
            let mut contexts = self.contexts.0.hold();
            for context in contexts.iter_mut() {
                context.is_removed = true;
            }
            contexts.extract_if(.., |context| context.users == 0).collect()
        };
        for context in &over {
            give_back(machine, context);
        }
    }
}

fn give_back(machine: &Machine, context: &Context) {
    let callout = context.callout.run_closing();
    if let Some(flow_delete) = callout.flow_delete {
        let irql = machine.host.irql();
        // SAFETY: a flow-delete function needs the context that was associated, once, and to be there: unregistering waits
        // for contexts to be given back.
        unsafe { flow_delete(context.layer, callout.id, context.value) };
        if machine.host.irql() != irql {
            machine.bugcheck("IRQL", format!("the flow-delete function of callout {} changed the level", callout.id));
        }
    }
    context.callout.contexts.fetch_sub(1, Ordering::SeqCst);
}
