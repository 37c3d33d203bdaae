//! Progress lines on the terminal: what is being done, and how long it took.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use anyhow::Result;

/// Does `work` with a line that says so.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    print!("  {what:<46}");
    // A progress line that cannot be shown must not stop the work.
    io::stdout().flush().ok();
    let start = Instant::now();
    let result = work();
    let end = if result.is_ok() { "" } else { "  FAILED" };
    println!(" {:>7}{end}", seconds(start.elapsed()));
    result
}

/// A duration as people read it.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
