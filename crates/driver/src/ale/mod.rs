//! The gate's place in the filter engine: the callouts.
//!
//! Read `authorize` to follow a connection, and `closure` for the socket that goes away while it is held; `flow` is what
//! the gate hears of a classify.
//!
//! Invariant: a callout that comes when the driver is going finds the slot empty and answers nothing, which leaves the
//! decision to others. Neighbours: `callouts` registers these with the filter engine.

mod authorize;
mod closure;
mod flow;
mod packets;

use crate::Tollgate;
use nt::debug::{self, Level};
use nt::driver::Driver;
use nt::wfp::callout::{Callout, FilterChange};
use nt::wfp::classify::Classify;

/// The callout at the authorization layers, V4 and V6.
pub(crate) enum Authorize {}

impl Callout for Authorize {
    fn classify(classify: &mut Classify<'_>) {
        if let Some(driver) = Tollgate::slot().enter() {
            authorize::authorize(&driver, classify);
        }
    }

    fn filter_changed(change: FilterChange, filter_id: u64) {
        log_filter(change, filter_id);
    }

    fn flow_deleted(layer: u16, _context: u64) {
        log_flow_deleted(layer);
    }
}

/// The callout at ALE_ENDPOINT_CLOSURE, V4 and V6.
pub(crate) enum Closure {}

impl Callout for Closure {
    fn classify(classify: &mut Classify<'_>) {
        if let Some(driver) = Tollgate::slot().enter() {
            closure::closure(&driver, classify);
        }
    }

    fn filter_changed(change: FilterChange, filter_id: u64) {
        log_filter(change, filter_id);
    }

    fn flow_deleted(layer: u16, _context: u64) {
        log_flow_deleted(layer);
    }
}

fn log_filter(change: FilterChange, filter_id: u64) {
    debug::print(Level::Info, format_args!("Tollgate: filter {filter_id} {change:?}"));
}

/// We associate no contexts, so this is never called; the engine wants the function all the same.
fn log_flow_deleted(layer: u16) {
    debug::print(Level::Warning, format_args!("Tollgate: unexpected flow delete at layer {layer}"));
}
