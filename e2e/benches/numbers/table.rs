//! One table: what was measured, the baseline beside it, the goal, and whether it was met.

/// The rows so far.
#[derive(Default)]
pub struct Table(Vec<Row>);

/// One measured thing.
pub struct Row {
    /// What.
    pub what: String,
    /// The measured number, with its unit.
    pub measured: String,
    /// What it is compared with.
    pub baseline: String,
    /// The goal; empty for numbers that only explain others.
    pub goal: &'static str,
    /// Whether the goal was met.
    pub is_met: bool,
}

impl Table {
    /// Adds a row, and says on the way that there is one.
    pub fn add(&mut self, row: Row) {
        eprintln!("  {}: {}", row.what, row.measured);
        self.0.push(row);
    }

    /// Prints all rows.
    pub fn print(&self) {
        println!("{:<66} {:>12} {:>30} {:>12}", "what", "measured", "baseline", "goal");
        for Row { what, measured, baseline, goal, is_met } in &self.0 {
            let mark = match (goal.is_empty(), is_met) {
                (true, _) => "",
                (false, true) => "met",
                (false, false) => "MISSED",
            };
            println!("{what:<66} {measured:>12} {baseline:>30} {goal:>12}  {mark}");
        }
    }
}

/// Nanoseconds, readably.
pub fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e4 => format!("{ns:.0} ns"),
        ns if ns < 1e7 => format!("{:.1} us", ns / 1e3),
        ns => format!("{:.1} ms", ns / 1e6),
    }
}
