//! The numbers to hold, each beside its baseline, from one run: `cargo xtask bench`.
//!
//! Everything is measured on the driver's own code in the emulators, or on the state machine alone where the table says
//! so. Times are medians of many short batches on this machine, so only ratios within one run mean something.
//!
//! Neighbours: `table` prints; every other module measures one thing.

#![expect(unsafe_code, reason = "calls a classify function as the filter engine does, and counts allocations")]

mod classify;
mod contention;
mod fill;
mod handoff;
mod heap;
mod indication;
mod matching;
mod memory;
mod packets;
mod paths;
mod release;
mod rules;
mod service;
mod table;
mod timing;

use table::Table;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

/// What measures one thing.
type Measure = fn(&mut Table);

/// What is measured, by name.
const MEASURES: &[(&str, Measure)] = &[
    ("classify", classify::measure),
    ("contention", contention::measure),
    ("matching", matching::measure),
    ("handoff", handoff::measure),
    ("memory", memory::measure),
    ("packets", packets::measure),
    ("paths", paths::measure),
    ("release", release::measure),
    ("rules", rules::measure),
    ("service", service::measure),
];

/// Measures what the arguments name, or everything.
fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if let Some((_, print)) = service::RESIDENT.iter().find(|(name, _)| wanted.iter().any(|wanted| wanted == name)) {
        return print();
    }
    let mut table = Table::default();
    for (name, measure) in MEASURES {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            measure(&mut table);
        }
    }
    table.print();
}
