//! What the lab supplies to drivers and what it reports of them, tried by the driver in `lab/shim/tests`.

use std::time::Duration;

use anyhow::Result;

use super::{Bench, Scenario};
use crate::lab::{Driver, Lab};

pub const SCENARIOS: [Scenario; 3] = [
    Scenario { name: "a driver gets the kernel functions and the levels that wine lacks", run: supplies },
    Scenario { name: "cleanup comes before close, for a closed handle and for a killed process", run: cleanup },
    Scenario { name: "what a driver does wrong is reported and does not end the lab", run: reports },
];

const TIMEOUT: Duration = Duration::from_secs(60);

fn up(bench: &Bench) -> Result<Lab> {
    bench.up(&[Driver { file: bench.probe.clone(), service: "Probe".into() }])
}

/// Opens the probe's device, writes each word to it and closes it.
fn write(bench: &Bench, lab: &Lab, words: &[&str]) -> Result<()> {
    let output = lab.run_hooked(&bench.client, words, TIMEOUT)?;
    require!(output.stdout == "done\n", "{output:?}");
    Ok(())
}

fn supplies(bench: &Bench) -> Result<()> {
    let lab = up(bench)?;
    let log = lab.log()?;
    require!(log.matches("probe: ok").count() == 12, "{log}");
    require!(!log.contains("probe: BAD"), "{log}");
    bench.finish(lab).map(|_| ())
}

fn cleanup(bench: &Bench) -> Result<()> {
    let lab = up(bench)?;
    // A word that breaks no rule.
    let refused = lab.run_hooked(&bench.client, &["nothing"], TIMEOUT)?;
    require!(refused.stdout == "cannot write nothing: 87\n", "{refused:?}");
    let mut holder = lab.spawn(&bench.client, &[])?;
    holder.wait_for_output("open", TIMEOUT)?;
    holder.kill()?;
    let closed = || Ok(lab.log()?.matches("probe: ok cleanups == 1").count() == 2);
    require!(crate::run::poll(TIMEOUT, closed)?, "{}", lab.log()?);
    bench.finish(lab).map(|_| ())
}

fn reports(bench: &Bench) -> Result<()> {
    let lab = up(bench)?;
    write(bench, &lab, &["wait", "complete", "twice", "free", "leak"])?;
    let violations = lab.down()?.violations();
    let expected = [
        "KeWaitForSingleObject at DISPATCH_LEVEL",
        "IofCompleteRequest with a spin lock held",
        "completed twice",
        "a block with tag 'Prob' was freed with tag 'Flse'",
        "tag 'Prob', 1 blocks, 48 bytes",
    ];
    require!(violations.len() == expected.len(), "{violations:#?}");
    for (violation, text) in violations.iter().zip(expected) {
        require!(violation.contains(text), "{text:?} in {violations:#?}");
    }
    Ok(())
}
