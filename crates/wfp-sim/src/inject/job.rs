//! One injected list on its way through the stack.
//!
//! Invariant: a job runs once, outside every classify; then its list is the driver's again, and the completion function hears.

#![expect(unsafe_code, reason = "calls a driver's function")]

use crate::ale::{self, Injectable};
use crate::classify::frames;
use crate::config::{ClassifyIrql, InjectionTime};
use crate::machine::Machine;
use crate::ndis::ListPtr;
use nt_sys::fwps::FWPS_INJECT_COMPLETE0;
use nt_sys::status::*;
use nt_sys::types::{BOOLEAN, DISPATCH_LEVEL};
use std::cell::Cell;
use std::ffi::c_void;
use std::sync::Arc;

thread_local! {
    static COMPLETIONS: Cell<usize> = const { Cell::new(0) };
}

/// Whether this thread is inside a completion function.
pub(super) fn is_in_completion() -> bool {
    COMPLETIONS.get() > 0
}

/// An accepted injection.
pub(super) struct Job {
    pub handle: u64,
    pub list: ListPtr,
    pub what: Injectable,
    pub complete: FWPS_INJECT_COMPLETE0,
    pub context: Context,
}

/// What a driver gets back with its list.
pub(super) struct Context(pub *mut c_void);

// SAFETY: never looked into here.
unsafe impl Send for Context {}

/// Takes a job now or has it taken later.
pub(super) fn start(machine: &Arc<Machine>, job: Job) {
    let is_now = machine.config.knobs.injection_time == InjectionTime::Inline
        && !frames::is_in_classify()
        && !job.what.is_busy();
    if is_now {
        return run(machine, job);
    }
    machine.injection.queue(job);
    let machine_then = Arc::clone(machine);
    machine.host.defer(Box::new(move || {
        // Whoever destroys a handle takes its jobs first.
        if let Some(job) = machine_then.injection.next() {
            run(&machine_then, job);
        }
    }));
}

pub(super) fn run(machine: &Arc<Machine>, job: Job) {
    while job.what.is_busy() && !machine.has_crashed() {
        machine.host.wait_ms(1);
    }
    let status = if machine.host.should_fail("the way of an injected packet") {
        STATUS_INSUFFICIENT_RESOURCES
    } else {
        ale::inject(machine, job.what)
    };
    machine.lists.end_injection(job.list, status);
    let before = machine.host.irql();
    let during = match machine.config.classify_irql {
        ClassifyIrql::Passive => before,
        ClassifyIrql::Dispatch => DISPATCH_LEVEL,
        ClassifyIrql::Seeded if machine.draw() & 1 == 0 => before,
        ClassifyIrql::Seeded => DISPATCH_LEVEL,
    };
    if during != before {
        machine.host.set_irql(during);
    }
    COMPLETIONS.set(COMPLETIONS.get() + 1);
    // SAFETY: a completion function needs its context and its list, once; the driver may not destroy the handle before this
    // returns, nor unload before the handle is destroyed.
    unsafe { (job.complete)(job.context.0, job.list.0, BOOLEAN::from(during == DISPATCH_LEVEL)) };
    COMPLETIONS.set(COMPLETIONS.get() - 1);
    if machine.host.irql() != during {
        machine.bugcheck("IRQL", "the completion function of an injection changed the level".into());
    }
    if during != before {
        machine.host.set_irql(before);
    }
    machine.injection.end(job.handle);
}
