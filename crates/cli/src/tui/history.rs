//! Decisions over time, from the service's counters.
//!
//! The counters are the truth: entries that were not sent, or not logged, are in them. Invariants: bounded by
//! [`COLUMNS`]; a service that started anew counts from zero, and is not taken for a negative number. Neighbours: `update`
//! feeds it, `view::overview` draws it.

use control::status::Counters;
use jiff::Timestamp;
use std::collections::VecDeque;

/// How long one sample is, in seconds.
pub const SAMPLE_SECONDS: i64 = 2;

/// How many samples are kept: an hour.
pub const COLUMNS: usize = 1_800;

/// How many samples one column of the graph may sum up, by zoom.
pub const ZOOMS: [usize; 4] = [1, 5, 30, 150];

/// Decisions over time.
#[derive(Debug, Default)]
pub struct History {
    samples: VecDeque<Sample>,
    /// The number of the newest sample: its time by [`SAMPLE_SECONDS`].
    newest: i64,
    last: Option<Counters>,
    /// Which of [`ZOOMS`].
    pub zoom: usize,
}

/// What was decided in a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Permitted.
    pub permitted: u64,
    /// Blocked.
    pub blocked: u64,
}

impl Sample {
    fn add(&mut self, other: &Self) {
        self.permitted = self.permitted.saturating_add(other.permitted);
        self.blocked = self.blocked.saturating_add(other.blocked);
    }
}

impl History {
    /// Takes what the service counted until `now`.
    pub fn record(&mut self, now: Timestamp, counters: &Counters) {
        self.advance(now);
        let last = self.last.replace(*counters).unwrap_or(*counters);
        let sample = Sample {
            permitted: counters.permitted.saturating_sub(last.permitted),
            blocked: counters.blocked.saturating_sub(last.blocked),
        };
        if let Some(newest) = self.samples.back_mut() {
            newest.add(&sample);
        }
    }

    /// The service went away: what it counts next has no beginning that we know.
    pub fn lost(&mut self) {
        self.last = None;
    }

    /// The newest `columns` columns, oldest first, at the chosen zoom.
    pub fn columns(&self, columns: usize) -> Vec<Sample> {
        let step = ZOOMS[self.zoom];
        // Columns begin at whole multiples of their length, so that they do not change while they move.
        let first = self.newest + 1 - i64::try_from(self.samples.len()).unwrap_or(0);
        let mut summed: VecDeque<(i64, Sample)> = VecDeque::new();
        for (number, sample) in (first..).zip(&self.samples) {
            let column = number.div_euclid(i64::try_from(step).unwrap_or(1));
            match summed.back_mut().filter(|(last, _)| *last == column) {
                Some((_, sum)) => {
                    sum.add(sample);
                }
                None => summed.push_back((column, *sample)),
            }
        }
        summed.into_iter().map(|(_, sum)| sum).rev().take(columns).collect::<Vec<_>>().into_iter().rev().collect()
    }

    /// How many seconds one column is long.
    pub fn column_seconds(&self) -> u64 {
        ZOOMS[self.zoom] as u64 * SAMPLE_SECONDS.unsigned_abs()
    }

    /// Looks at a longer time, or a shorter one.
    pub fn zoom(&mut self, out: bool) {
        self.zoom = if out { (self.zoom + 1).min(ZOOMS.len() - 1) } else { self.zoom.saturating_sub(1) };
    }

    fn advance(&mut self, now: Timestamp) {
        let number = now.as_second().div_euclid(SAMPLE_SECONDS);
        let passed = number.saturating_sub(self.newest);
        // A clock that was set back does not take what was seen; one that jumped ahead leaves nothing to show.
        if self.samples.is_empty() || passed > COLUMNS as i64 {
            self.samples.clear();
            self.samples.push_back(Sample::default());
        } else {
            self.samples.extend((0..passed.max(0)).map(|_| Sample::default()));
        }
        self.newest = number;
        while self.samples.len() > COLUMNS {
            self.samples.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64, permitted: u64, blocked: u64, history: &mut History) {
        let counters = Counters { permitted, blocked, ..Counters::default() };
        history.record(Timestamp::from_second(1_000_000 + second).unwrap(), &counters);
    }

    fn permitted(history: &History, columns: usize) -> Vec<u64> {
        history.columns(columns).iter().map(|sample| sample.permitted).collect()
    }

    #[test]
    fn what_was_counted_before_we_looked_is_not_drawn() {
        let mut history = History::default();
        at(0, 500, 0, &mut history);
        at(2, 503, 0, &mut history);
        at(6, 510, 0, &mut history);
        assert_eq!(permitted(&history, 10), [0, 3, 0, 7], "a sample without news is empty");
        assert_eq!(permitted(&history, 2), [0, 7]);
    }

    #[test]
    fn a_service_that_starts_anew_counts_from_zero() {
        let mut history = History::default();
        at(0, 500, 0, &mut history);
        history.lost();
        at(2, 4, 0, &mut history);
        at(4, 6, 0, &mut history);
        assert_eq!(permitted(&history, 10), [0, 0, 2]);
    }

    #[test]
    fn a_wider_zoom_sums_up_what_belongs_together() {
        let mut history = History::default();
        for second in 0..40 {
            at(second, second as u64, 0, &mut history);
        }
        history.zoom(true);
        let wide = permitted(&history, 10);
        assert_eq!(wide.iter().sum::<u64>(), 39);
        assert_eq!(history.column_seconds(), 10);
        at(40, 40, 0, &mut history);
        assert_eq!(
            permitted(&history, 10)[1..wide.len() - 1],
            wide[1..wide.len() - 1],
            "columns move, and stay the same"
        );
    }

    #[test]
    fn clocks_that_jump_keep_it_bounded() {
        let mut history = History::default();
        for second in [0, 10_000_000, 5, 100, 9_999_999_999, 0] {
            at(second, 1, 1, &mut history);
            assert!(history.samples.len() <= COLUMNS);
        }
    }
}
