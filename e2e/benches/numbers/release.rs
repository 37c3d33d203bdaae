//! The service dies with a thousand connections held: how long until the last of them has its outcome.

use crate::fill::{self, WIDEST};
use crate::table::{Row, Table, time};
use crate::timing::median;
use e2e::Outcome;
use std::time::Instant;

const HELD: u32 = 1_000;

/// Measures.
pub fn measure(table: &mut Table) {
    let took = median((0..5).map(|_| release()));
    table.add(Row {
        what: format!("service killed with {HELD} connections held: all released, by the fallback"),
        measured: time(took),
        baseline: String::new(),
        goal: "<= 1 s",
        is_met: took <= 1e9,
    });
}

fn release() -> f64 {
    let machine = fill::machine();
    let service = machine.service(WIDEST);
    let program = machine.program("node.exe");
    let connects = fill::hold(&machine, &program, 0..HELD);
    service.take();
    assert!(connects.iter().all(|connect| connect.outcome() == Outcome::Pending));
    let start = Instant::now();
    service.kill();
    let took = start.elapsed().as_nanos() as f64;
    assert!(connects.iter().all(|connect| connect.outcome() == Outcome::Connected));
    took
}
