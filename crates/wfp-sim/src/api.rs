//! The C symbols.
//!
//! Invariant: every function checks the level first, then its arguments; nothing of a caller's memory is used after the call,
//! but the functions and contexts that it registers.
//! Neighbours: `read` turns C records into the engine's own; `bfe` and `ale` do the work.

mod fwpm;
mod fwps;
mod handles;
mod memory;
mod read;

pub(crate) use memory::Memory;

use crate::classify::frames;
use crate::machine::Machine;
use nt_sys::types::{HANDLE, KIRQL, PASSIVE_LEVEL};
use std::sync::Arc;

/// Checks that `function` may be called here, and finds the machine.
pub(crate) fn enter(function: &'static str, max_irql: KIRQL) -> Arc<Machine> {
    let machine = Machine::current();
    let irql = machine.host.irql();
    if irql > max_irql {
        machine.bugcheck("IRQL", format!("{function} was called at {irql}, allowed is {max_irql}"));
    }
    machine
}

/// The same for a management function: it may wait, so not from a classify.
fn enter_management(function: &'static str) -> Arc<Machine> {
    let machine = enter(function, PASSIVE_LEVEL);
    if frames::is_in_classify() {
        machine.bugcheck("V-CLS-11", format!("{function} was called from a classify"));
    }
    if machine.host.spin_locks_held() > 0 {
        machine.bugcheck("V-CLS-11", format!("{function} was called with a spin lock held"));
    }
    machine
}

pub(crate) fn number(handle: HANDLE) -> u64 {
    handle.addr() as u64
}

pub(crate) fn handle(number: u64) -> HANDLE {
    std::ptr::without_provenance_mut(number as usize)
}
