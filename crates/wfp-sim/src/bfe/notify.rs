//! What callouts hear of the filters that name them (learn.microsoft.com "FWPS_CALLOUT_NOTIFY_FN3").
//!
//! Invariants: an addition is announced before it is made, and the callout may refuse it; a deletion when it has been made.
//! A callout that was registered later hears of deletions only.

#![expect(unsafe_code, reason = "calls a driver's function with raw records")]

use super::object::Filter;
use super::transaction::Txn;
use super::{Bfe, Result};
use crate::machine::Machine;
use nt_sys::fwps::*;
use nt_sys::status::{STATUS_FWP_CALLOUT_NOTIFICATION_FAILED, STATUS_SUCCESS};
use nt_sys::types::DISPATCH_LEVEL;
use std::ptr;
use std::sync::Arc;

/// News for a callout.
pub(super) enum Notice {
    Deleted(Arc<Filter>),
    Committed(Arc<Filter>),
}

impl Notice {
    /// What a commit tells.
    pub fn committed(added: Vec<Arc<Filter>>, removed: Vec<Arc<Filter>>) -> Vec<Self> {
        let is_gone = |filter: &Arc<Filter>| removed.iter().any(|gone| gone.id == filter.id);
        let stayed: Vec<Self> = added.iter().filter(|filter| !is_gone(filter)).cloned().map(Self::Committed).collect();
        removed.into_iter().map(Self::Deleted).chain(stayed).collect()
    }

    /// What an abort tells: every announced addition is taken back.
    pub fn undo(txn: Txn) -> Vec<Self> {
        txn.added.into_iter().map(Self::Deleted).collect()
    }
}

impl Bfe {
    pub(super) fn deliver(&self, machine: &Machine, notices: Vec<Notice>) {
        for notice in notices {
            match notice {
                Notice::Deleted(filter) => deleted(machine, &filter),
                Notice::Committed(filter) => committed(machine, &filter),
            }
        }
    }
}

/// Announces an addition; hands back the context that the callout chose for the filter.
pub(super) fn added(machine: &Machine, filter: &Filter) -> Result<u64> {
    let mut record = filter.record_copy();
    let status = notify(machine, filter, FWPS_CALLOUT_NOTIFY_ADD_FILTER, &mut record);
    if status < STATUS_SUCCESS { Err(STATUS_FWP_CALLOUT_NOTIFICATION_FAILED) } else { Ok(record.context) }
}

pub(super) fn deleted(machine: &Machine, filter: &Filter) {
    let at_dispatch = machine.config.notify_delete_at_dispatch && filter.callout().is_some();
    let before = machine.host.irql();
    if at_dispatch {
        machine.host.set_irql(DISPATCH_LEVEL);
    }
    // The answer to a deletion is ignored.
    notify(machine, filter, FWPS_CALLOUT_NOTIFY_DELETE_FILTER, &mut filter.record_copy());
    if at_dispatch {
        machine.host.set_irql(before);
    }
}

fn committed(machine: &Machine, filter: &Filter) {
    let callout = filter.callout().and_then(|id| machine.callouts.get(id));
    if callout.is_some_and(|callout| callout.flags & FWP_CALLOUT_FLAG_ENABLE_COMMIT_ADD_NOTIFY != 0) {
        notify(machine, filter, FWPS_CALLOUT_NOTIFY_ADD_FILTER_POST_COMMIT, &mut filter.record_copy());
    }
}

fn notify(machine: &Machine, filter: &Filter, what: FWPS_CALLOUT_NOTIFY_TYPE, record: &mut FWPS_FILTER3) -> i32 {
    let callout = filter.callout().and_then(|id| machine.callouts.get(id));
    let Some(callout) = callout.and_then(|callout| callout.run()) else { return STATUS_SUCCESS };
    let key = if what == FWPS_CALLOUT_NOTIFY_DELETE_FILTER { ptr::null() } else { &raw const filter.common.key };
    let irql = machine.host.irql();
    // SAFETY: a notify function needs a key that is readable, or null on deletion, and a filter record that is its own to
    // write for the call. `callout` cannot be unregistered meanwhile.
    let status = unsafe { (callout.notify)(what, key, record) };
    if machine.host.irql() != irql {
        machine.bugcheck("IRQL", format!("the notify function of callout {} changed the level", callout.id));
    }
    status
}
