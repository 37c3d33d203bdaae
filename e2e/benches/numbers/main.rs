//! The numbers to hold, each beside its baseline, from one run: `cargo xtask bench`.
//!
//! Everything is measured on the driver's own code in the emulators, or on the state machine alone where the table says
//! so. Times are medians of many short batches on this machine, so only ratios within one run mean something.
//!
//! Neighbours: `table` prints; every other module measures one thing.

#![expect(unsafe_code, reason = "calls a classify function as the filter engine does, and counts allocations")]

mod classify;
mod fill;
mod handoff;
mod heap;
mod indication;
mod matching;
mod memory;
mod release;
mod table;
mod timing;

use table::Table;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

fn main() {
    let mut table = Table::default();
    classify::measure(&mut table);
    matching::measure(&mut table);
    handoff::measure(&mut table);
    memory::measure(&mut table);
    release::measure(&mut table);
    table.print();
}
