//! `experiments.exe`: asks a real Windows what no documentation says, and tells what in Tollgate depends on the answer.
//!
//! It attaches to the driver as its service, starts itself again as the programs that connect, and compares what it saw
//! with what each hypothesis expects. `docs/windows-checklist.md` says how to run it.
//!
//! Invariants: requests of other programs are permitted at once; whatever becomes of an experiment, its programs are
//! ended and the driver is detached before the next one begins. Neighbours: `stories` has the experiments, `report`
//! judges, `gate` attaches, `programs` connects, `peer` is the second machine.

#![forbid(unsafe_code)]

mod args;
mod gate;
mod peer;
mod program;
mod programs;
mod report;
mod stories;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::Task;
use crate::report::Report;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match args::read(&words) {
        Err(wrong) => {
            eprintln!("error: {wrong}\n\n{}", args::USAGE);
            ExitCode::from(2)
        }
        Ok(task) => carry_out(task).unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }),
    }
}

fn carry_out(task: Task) -> Result<ExitCode> {
    match task {
        Task::Help => println!("{}", args::USAGE),
        Task::List => stories::all().for_each(|story| println!("{:<20} {}", story.name, story.question)),
        Task::Serve => peer::serve()?,
        Task::Program(words) => programs::run(&words)?,
        Task::Run(run) => {
            let mut report = Report::new(run.json);
            for story in stories::chosen(&run.names)? {
                report.add(stories::run(story, run.peer));
            }
            return Ok(report.end());
        }
    }
    Ok(ExitCode::SUCCESS)
}
