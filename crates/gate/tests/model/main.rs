//! Random operations on the gate and on a naive model of it, compared after every step.
//!
//! `GATE_SEED` repeats a run.
//!
//! Neighbours: `reference` and `known` are the model; `run` rolls the dice, `engine` plays the filter engine, `service` the service;
//! `stories` tell single behaviours.

#[path = "../common/mod.rs"]
mod common;
mod dice;
mod engine;
mod known;
mod reference;
mod run;
mod service;

use run::Run;

const STEPS: usize = if cfg!(miri) { 400 } else { 100_000 };
const SEEDS: u64 = if cfg!(miri) { 1 } else { 4 };

#[test]
fn the_gate_does_what_the_model_does() {
    let given = std::env::var("GATE_SEED").ok().map(|seed| seed.parse::<u64>().expect("GATE_SEED is a number"));
    for seed in given.map_or(1..1 + SEEDS, |seed| seed..seed + 1) {
        let on_failure = Announce(seed);
        let mut run = Run::new(seed);
        for _ in 0..STEPS {
            run.step();
        }
        run.finish();
        std::mem::forget(on_failure);
    }
}

/// Dropped by a failing run only.
struct Announce(u64);

impl Drop for Announce {
    fn drop(&mut self) {
        eprintln!("to repeat: GATE_SEED={}", self.0);
    }
}
