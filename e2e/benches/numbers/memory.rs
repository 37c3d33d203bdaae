//! Nonpaged pool for each connection that can be held: what the pool's own accounts say between two limits.

use crate::fill::{self, WIDEST};
use crate::table::{Row, Table};
use wire::settings::Settings;

const FEW: u32 = 10_000;
const MANY: u32 = 110_000;

/// Measures.
pub fn measure(table: &mut Table) {
    let each = (pool_with_limit(MANY) - pool_with_limit(FEW)) as f64 / f64::from(MANY - FEW);
    table.add(Row {
        what: "nonpaged pool for each connection that may be held".into(),
        measured: format!("{each:.1} bytes"),
        baseline: String::new(),
        goal: "<= 512",
        is_met: each <= 512.0,
    });
}

fn pool_with_limit(max_pended: u32) -> usize {
    let machine = fill::machine();
    let service = machine.service(Settings { max_pended, max_pended_per_process: max_pended, ..WIDEST });
    let bytes = machine.kernel().all_pool_bytes();
    service.close();
    bytes
}
