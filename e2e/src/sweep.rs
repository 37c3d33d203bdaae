//! Every setting of the emulators, for scenarios that must hold under all of them.
//!
//! Invariant: [`every_setting`] has every combination of the knobs at each level, and every value of a knob at each level
//! with each number of values; which combinations meet which number depends on the place of the test in the source.
//!
//! Neighbours: `machine::Options` is one setting; wfp-sim's `Knobs` says what each knob is about.

use crate::machine::Options;
use std::panic::Location;
use wfp_sim::{ClassifyIrql, Knobs};

/// How many values a classify at ALE_AUTH_CONNECT has: Windows 7, 10, 10 version 1703, 10 version 1809 and later.
const VALUE_COUNTS: [u32; 4] = [32, 36, 37, 41];
const LEVELS: [ClassifyIrql; 2] = [ClassifyIrql::Passive, ClassifyIrql::Dispatch];

/// Runs `scenario` once for every combination of the knobs at each level, with numbers of values and seeds in turn.
#[track_caller]
pub fn every_setting(scenario: impl Fn(Options)) {
    for options in sweep(Location::caller().line() as usize) {
        let _failed = Announce(options);
        scenario(options);
    }
}

/// Runs `scenario` once for every combination of knobs, level and number of values: four times as often.
pub fn every_combination(scenario: impl Fn(Options)) {
    for turn in 0..VALUE_COUNTS.len() {
        for options in sweep(turn) {
            let _failed = Announce(options);
            scenario(options);
        }
    }
}

/// Runs `scenario` under the default knobs, at each level with each number of values.
pub fn every_system(scenario: impl Fn(Options)) {
    for irql in LEVELS {
        for value_count in VALUE_COUNTS {
            let options = Options { irql, value_count, ..Options::default() };
            let _failed = Announce(options);
            scenario(options);
        }
    }
}

fn sweep(turn: usize) -> impl Iterator<Item = Options> {
    Knobs::all().into_iter().enumerate().flat_map(move |(at, knobs)| {
        LEVELS.into_iter().enumerate().map(move |(level, irql)| {
            // One step more after each round, so that no knob moves in step with the number of values.
            let value_count = VALUE_COUNTS[(at + at / 4 + level + turn) % VALUE_COUNTS.len()];
            Options { knobs, irql, value_count, seed: (turn * 128 + 2 * at + level) as u64, ..Options::default() }
        })
    })
}

/// Says under which setting a scenario failed.
struct Announce(Options);

impl Drop for Announce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was under {:?}", self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn four_sweeps_have_every_combination() {
        let all: HashSet<_> = (0..4).flat_map(sweep).map(|one| (one.knobs, one.irql, one.value_count)).collect();
        assert_eq!(all.len(), 36 * 2 * 4);
    }

    #[test]
    fn every_value_of_a_knob_meets_every_level_and_every_number_of_values() {
        for turn in 0..16 {
            let mut met = HashSet::new();
            for Options { knobs, irql, value_count, .. } in sweep(turn) {
                met.insert((Some(knobs.reauth_mode), None, None, None, irql, value_count));
                met.insert((None, Some(knobs.close_while_pended), None, None, irql, value_count));
                met.insert((None, None, Some(knobs.second_packet), None, irql, value_count));
                met.insert((None, None, None, Some(knobs.after_hard_block), irql, value_count));
            }
            assert_eq!(met.len(), (3 + 3 + 2 + 2) * 2 * 4, "turn {turn}");
        }
    }
}
