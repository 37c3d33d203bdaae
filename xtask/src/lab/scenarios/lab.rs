//! The lab itself: up, down, arguments, exit codes, and being honest about what it could not filter.

use std::time::Duration;

use anyhow::Result;

use super::{Bench, Scenario};
use crate::lab::{Program, processes};

pub const SCENARIOS: [Scenario; 5] = [
    Scenario { name: "up and down leave no process and no folder behind", run: leaves_nothing },
    Scenario { name: "a second up is refused and says what to do", run: second_up },
    Scenario { name: "arguments and exit code pass through unchanged", run: passes_through },
    Scenario { name: "a program in the background hears Ctrl-C and can be killed", run: background },
    Scenario { name: "a call the engine cannot answer goes through and is counted", run: fails_open_visibly },
];

const TIMEOUT: Duration = Duration::from_secs(60);

fn leaves_nothing(bench: &Bench) -> Result<()> {
    let lab = bench.up(&[])?;
    let prefix = lab.prefix();
    require!(!processes::of_prefix(&prefix).is_empty(), "nothing runs in {}", prefix.display());
    bench.finish(lab)?;
    require!(processes::of_prefix(&prefix).is_empty(), "{:?}", processes::of_prefix(&prefix));
    require!(!prefix.exists(), "{} is still there", prefix.display());
    Ok(())
}

fn second_up(bench: &Bench) -> Result<()> {
    let lab = bench.up(&[])?;
    let error = match bench.up(&[]) {
        Ok(_) => anyhow::bail!("a second lab of the same name came up"),
        Err(error) => format!("{error:#}"),
    };
    require!(error.contains("cargo xtask lab down"), "{error}");
    // The first one is unharmed.
    lab.status()?;
    bench.finish(lab).map(|_| ())
}

fn passes_through(bench: &Bench) -> Result<()> {
    let lab = bench.up(&[])?;
    let node = lab.program(Program::Node)?;
    let script = "console.log(JSON.stringify(process.argv.slice(1))); console.error('err'); process.exitCode = 42";
    let arguments = ["a b", r#"quote " and \ and \""#, "", r"ends with \", "ümlaut", "%PATH%"];
    let output = lab.run_hooked(&node, &[&["-e", script], &arguments[..]].concat(), TIMEOUT)?;
    require!(output.code == 42, "{output:?}");
    require!(output.stdout.trim() == serde_json::to_string(&arguments)?, "{output:?}");
    require!(output.stderr == "err\n", "{output:?}");
    bench.finish(lab).map(|_| ())
}

fn fails_open_visibly(bench: &Bench) -> Result<()> {
    let lab = bench.up(&[])?;
    lab.crash()?;
    let node = lab.program(Program::Node)?;
    let script = "require('net').connect(9, '127.0.0.1').on('error', error => console.log(error.code))";
    let output = lab.run_hooked(&node, &["-e", script], TIMEOUT)?;
    require!(output.stdout == "ECONNREFUSED\n", "{output:?}");
    require!(lab.journal().lines().any(|line| line.starts_with("unanswered ")), "{}", lab.journal());
    Ok(())
}

fn background(bench: &Bench) -> Result<()> {
    let lab = bench.up(&[])?;
    let node = lab.program(Program::Node)?;
    let script = "process.on('SIGINT', () => { console.log('interrupted'); process.exit(3) });
setInterval(() => {}, 1000);
console.log('ready');";
    let mut polite = lab.spawn(&node, &["-e", script])?;
    polite.wait_for_output("ready", TIMEOUT)?;
    polite.interrupt()?;
    let output = polite.wait(TIMEOUT)?;
    require!(output.code == 3 && output.stdout == "ready\ninterrupted\n", "{output:?}");
    let mut killed = lab.spawn(&node, &["-e", script])?;
    killed.wait_for_output("ready", TIMEOUT)?;
    killed.kill()?;
    require!(killed.stdout()? == "ready\n", "{:?}", killed.stdout());
    bench.finish(lab).map(|_| ())
}
