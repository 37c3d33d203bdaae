//! The driver stops and starts: with something held, and while programs connect.

use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use platform::driver_service;
use wire::settings::Holds;

use super::{Stage, held_out, listener};
use crate::gate::{Gate, settings};
use crate::program::Program;
use crate::programs::ms;
use crate::report::{Facts, Hypothesis, Story};

pub const STORIES: [Story; 2] = [
    Story {
        name: "stop-while-held",
        question: "what becomes of a held connect when the driver stops?",
        needs_peer: false,
        hypotheses: &[
            Hypothesis::fine(
                "released",
                "it connects when the driver stops, which takes less than ten seconds",
                "Nothing to change.",
            ),
            Hypothesis::contradicts(
                "stuck",
                "it does not connect, or the driver does not stop",
                "crates/driver/src/letting_go.rs (R45).",
            ),
        ],
        run: stop_while_held,
        judge: |facts| {
            let quick = facts.number("stop_ms") < 10_000;
            if facts.is("connected") && facts.is("started_again") && quick { "released" } else { "stuck" }
        },
    },
    Story {
        name: "stop-under-load",
        question: "does unregistering wait for classifies that run: does the driver unload ten times while programs \
            connect?",
        needs_peer: false,
        hypotheses: &[
            Hypothesis::fine("unloads", "ten stops and starts, and connects go on succeeding", "Nothing to change."),
            Hypothesis::contradicts(
                "stuck",
                "a stop or start fails",
                "crates/driver/src/letting_go.rs and callouts.rs (R45).",
            ),
        ],
        run: stop_under_load,
        judge: |facts| {
            if facts.number("cycles") == CYCLES && facts.number("connects") > 0 { "unloads" } else { "stuck" }
        },
    },
];

const CYCLES: i64 = 10;

fn stop_while_held(_: &Stage, facts: &mut Facts) -> Result<()> {
    let gate = Gate::attach(settings(Holds::CONNECT_TCP))?;
    let (_listener, address) = listener()?;
    let program = Program::start(&["connect", &address])?;
    gate.next(held_out)?;
    let began = Instant::now();
    // The driver is unloaded when the last handle to its device is closed: by then it was asked to stop.
    let stopped = thread::scope(|scope| {
        let stopping = scope.spawn(driver_service::stop);
        thread::sleep(std::time::Duration::from_millis(500));
        drop(gate);
        stopping.join()
    });
    facts.note("stop_ms", ms(began));
    facts.note("stopped", matches!(stopped, Ok(Ok(_))));
    let said = program.says_within(std::time::Duration::from_secs(10)).unwrap_or_default();
    facts.note("connected", said["ok"] == true);
    facts.note("code", said["code"].clone());
    facts.note("connect_ms", said["ms"].clone());
    driver_service::start().context("the driver does not start again")?;
    facts.note("started_again", true);
    Ok(())
}

fn stop_under_load(_: &Stage, facts: &mut Facts) -> Result<()> {
    let (listener, address) = listener()?;
    thread::spawn(move || listener.incoming().for_each(drop));
    let programs = [Program::start(&["connect-again", &address])?, Program::start(&["connect-again", &address])?];
    facts.note("cycles", 0);
    for cycle in 1..=CYCLES {
        driver_service::stop().context("the driver does not stop")?;
        driver_service::start().context("the driver does not start")?;
        facts.note("cycles", cycle);
    }
    let (mut connects, mut failures) = (0, 0);
    for program in &programs {
        while let Some(word) = program.says_within(std::time::Duration::ZERO) {
            connects += i64::from(word["ok"] == true);
            failures += i64::from(word["ok"] != true);
        }
    }
    facts.note("connects", connects);
    facts.note("failures", failures);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_that_stops_late_or_does_not_come_back_is_stuck() {
        let judge = |stop_ms: i64, again: bool| {
            let mut facts = Facts::default();
            facts.note("connected", true);
            facts.note("stop_ms", stop_ms);
            facts.note("started_again", again);
            (STORIES[0].judge)(&facts)
        };
        assert_eq!((judge(800, true), judge(20_000, true), judge(800, false)), ("released", "stuck", "stuck"));
    }
}
