//! What a run of tests came to.
//!
//! Neighbours: `test` adds the tallies of its stages; `lab` gives one.

use std::fmt;
use std::ops::AddAssign;

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Tally {
    /// One test that ended like this.
    pub fn of(passed: bool) -> Tally {
        Tally { passed: usize::from(passed), failed: usize::from(!passed), skipped: 0 }
    }

    /// Adds up the `test result:` lines that Rust's test programs print.
    pub fn of_cargo_test(output: &str) -> Tally {
        let mut tally = Tally::default();
        for line in output.lines().filter_map(|line| line.trim().strip_prefix("test result: ")) {
            for part in line.split(['.', ';']) {
                match part.trim().split_once(' ') {
                    Some((count, "passed")) => tally.passed += count.parse().unwrap_or(0),
                    Some((count, "failed")) => tally.failed += count.parse().unwrap_or(0),
                    Some((count, "ignored")) => tally.skipped += count.parse().unwrap_or(0),
                    _ => {}
                }
            }
        }
        tally
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(formatter, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_test_programs_are_added() {
        let output = "\
running 2 tests
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: FAILED. 5 passed; 1 failed; 3 ignored; 0 measured; 0 filtered out; finished in 1.0s
";
        let tally = Tally::of_cargo_test(output);
        assert_eq!(tally, Tally { passed: 7, failed: 1, skipped: 3 });
    }

    #[test]
    fn the_closing_line_mentions_skipped_tests_only_if_there_are_any() {
        let mut tally = Tally::of(true);
        assert_eq!(tally.to_string(), "1 passed, 0 failed");
        tally += Tally { passed: 0, failed: 2, skipped: 1 };
        assert_eq!(tally.to_string(), "1 passed, 2 failed, 1 skipped");
    }
}
