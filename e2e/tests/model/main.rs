//! Random operations on the driver in both emulators, and on a naive reference, compared after every step.
//!
//! A million steps of every kind that the documents know: connections and packets out and in, answers right and wrong, time,
//! closing, services that come and go, other products, rules that change, the filter engine's ups and downs, unloading. Each
//! run has a seed, which decides the emulators' settings, too. `MODEL_SEED=n MODEL_STEPS=n cargo test -p e2e --test model`
//! repeats one; a failure prints both and the last steps.
//!
//! Neighbours: `races` and `orderings` have threads, `faults` has calls that fail; `reference` is what must come of it all.

mod dice;
mod others;
mod programs;
mod reference;
mod services;
mod world;

use std::collections::BTreeMap;
use world::World;

const STEPS: usize = 1_000_000;
const STEPS_OF_A_RUN: usize = 4_000;

impl World {
    fn step(&mut self) {
        if self.service.is_none() && self.dice.chance(5) {
            self.attach();
        }
        match self.dice.below(1_000) {
            0..160 => self.connect(),
            160..200 => self.reset(),
            200..240 => self.open(),
            240..440 => self.datagram(),
            440..500 => self.syn(),
            500..640 => self.packet(),
            640..760 => self.answer(),
            760..790 => self.answer_question(),
            790..820 => self.answer_wrongly(),
            820..840 => self.take(),
            840..855 => self.park(),
            855..860 => self.cancel(),
            860..890 => self.reauthorize(),
            890..900 => self.reauthorize_all(),
            900..923 => self.advance(),
            923..940 => self.close_any(),
            940..943 => self.kill_program(),
            943..962 => self.accept(),
            962..966 => self.own_connect(),
            966..970 => self.attach(),
            970..973 if self.service.is_some() => self.detach(),
            973..979 => self.configure(),
            979..982 => self.forget(),
            982..988 => self.rival(),
            988..992 => self.filter_engine(),
            992..995 if self.dice.chance(50) => self.unload(),
            _ => self.cancel(),
        }
        self.compare();
        self.expire();
    }
}

fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Tells how to repeat a run that fails.
struct Run {
    seed: u64,
    world: Option<World>,
}

impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Some(world) = &self.world else { return };
            world.log.iter().for_each(|line| eprintln!("{line}"));
            let (seed, step) = (self.seed, world.steps);
            eprintln!("{:?}", world.knobs);
            eprintln!("to repeat: MODEL_SEED={seed} MODEL_STEPS={step} cargo test -p e2e --test model");
        }
    }
}

#[test]
fn the_driver_does_what_the_documents_say() {
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    let steps = given("MODEL_STEPS").map_or(STEPS, |steps| steps as usize);
    let of_a_run = if given("MODEL_SEED").is_some() { steps } else { STEPS_OF_A_RUN };
    let mut done = 0;
    for seed in given("MODEL_SEED").unwrap_or(1).. {
        let mut run = Run { seed, world: Some(World::new(seed)) };
        let world = run.world.as_mut().expect("a world");
        // Steps that find nothing to do do not count.
        while world.steps < of_a_run && done + world.steps < steps {
            world.step();
        }
        world.end();
        done += world.steps;
        world.kinds.iter().for_each(|(kind, count)| *kinds.entry(kind).or_default() += count);
        drop(run);
        if done >= steps {
            break;
        }
    }
    println!("{done} steps");
    kinds.iter().for_each(|(kind, count)| println!("{count:>9} {kind}"));
}
