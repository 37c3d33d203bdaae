//! Tollgate in a lab: the shipped driver started, the shipped program called, its counters read.
//!
//! Invariants: the files are those of `dist/`, signed; a gate is returned once it has attached, and a wait for the
//! driver is a wait for its counters.
//! Neighbours: `scenarios::tollgate` and the demo stand on this.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::session::{Driver, Lab};
use super::wine::{Output, Running};
use crate::run::poll;
use crate::workspace;

/// The service of the driver.
pub const SERVICE: &str = "Tollgate";
/// Longer than anything that is not stuck takes on a busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(60);
/// The same for a line about a connection that has ended.
const LINE_TIMEOUT: Duration = Duration::from_secs(20);

/// A lab with the shipped files.
#[derive(Debug)]
pub struct Stand {
    /// The lab.
    pub lab: Lab,
}

/// A `tollgate permit` or `tollgate block` that is attached.
#[derive(Debug)]
pub struct Gate {
    running: Running,
}

/// The driver's counters, as `tollgate status --json` prints them.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Counters {
    pub attached: bool,
    pub filtering: bool,
    pub pended: u64,
    pub classified: u64,
    pub cache_permitted: u64,
    pub cache_blocked: u64,
    pub fell_back: u64,
    pub limited: u64,
    pub held: u64,
    pub doors: Doors,
    pub claimed: u64,
    pub unclaimed: u64,
    pub orphaned: u64,
    pub foreign_reauthorized: u64,
    pub without_right: u64,
    pub stale_answers: u64,
    pub packets_kept: u64,
    pub packets_released: u64,
    pub packets_dropped: u64,
    pub packets_refused: u64,
    pub inject_failed: u64,
    pub live_asked: u64,
}

/// Why held connections stopped being held.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Doors {
    pub verdict: u64,
    pub deadline: u64,
    pub closure: u64,
    pub detach: u64,
    pub unload: u64,
    pub pend_failed: u64,
}

impl Doors {
    fn total(&self) -> u64 {
        self.verdict + self.deadline + self.closure + self.detach + self.unload + self.pend_failed
    }
}

impl Stand {
    /// A fresh lab with the driver running.
    pub fn up(name: &str) -> Result<Self> {
        let driver = Driver { file: shipped("tollgate.sys")?, service: SERVICE.to_owned() };
        Ok(Self { lab: Lab::up(name, &[driver])? })
    }

    /// Starts `tollgate` with these words, which make it attach, and waits until it has.
    pub fn gate(&self, words: &[&str]) -> Result<Gate> {
        self.attached(words, "attached to the driver")
    }

    /// The same with `--json`.
    pub fn gate_json(&self, words: &[&str]) -> Result<Gate> {
        self.attached(&[words, &["--json"]].concat(), r#""event":"attached""#)
    }

    fn attached(&self, words: &[&str], first_line: &str) -> Result<Gate> {
        let mut running = self.lab.spawn(&shipped("tollgate.exe")?, words)?;
        running.wait_for_output(first_line, TIMEOUT)?;
        Ok(Gate { running })
    }

    /// Runs `tollgate` with these words to its end.
    pub fn tollgate(&self, words: &[&str]) -> Result<Output> {
        run(&self.lab, words)
    }

    /// The driver's counters now.
    pub fn counters(&self) -> Result<Counters> {
        let output = self.tollgate(&["status", "--json"])?;
        if output.code != 0 {
            bail!("tollgate status failed: {output:?}");
        }
        /// What the service says stands beside it.
        #[derive(Deserialize)]
        struct Status {
            driver: Counters,
        }
        let status: Status = serde_json::from_str(&output.stdout)
            .with_context(|| format!("`tollgate status --json`: {}", output.stdout))?;
        Ok(status.driver)
    }

    /// Waits until the counters are like this.
    pub fn wait_for(&self, what: &str, is_so: impl Fn(&Counters) -> bool) -> Result<Counters> {
        let mut counters = self.counters()?;
        let came = poll(TIMEOUT, || {
            counters = self.counters()?;
            Ok(is_so(&counters))
        })?;
        if !came {
            bail!("waited in vain until {what}: {counters:?}");
        }
        Ok(counters)
    }
}

/// Runs the shipped `tollgate` in any lab.
pub fn run(lab: &Lab, words: &[&str]) -> Result<Output> {
    lab.spawn(&shipped("tollgate.exe")?, words)?.wait(TIMEOUT)
}

/// A file of the package.
pub fn shipped(file: &str) -> Result<PathBuf> {
    let path = workspace::dist_dir().join(file);
    if !path.is_file() {
        bail!("{} is not there: run `cargo xtask package`", path.display());
    }
    Ok(path)
}

impl Counters {
    /// Whether every connection ever held is held now or left by one door.
    pub fn balance(&self) -> bool {
        self.held == self.pended + self.doors.total()
    }
}

impl Gate {
    /// What it has printed so far.
    pub fn printed(&self) -> Result<String> {
        self.running.stdout()
    }

    /// Waits until a line has all of these texts, and gives it.
    pub fn wait_for_line(&self, texts: &[&str]) -> Result<String> {
        let mut found = None;
        poll(LINE_TIMEOUT, || {
            let printed = self.printed()?;
            found = printed.lines().find(|line| texts.iter().all(|text| line.contains(text))).map(str::to_owned);
            Ok(found.is_some())
        })?;
        found.with_context(|| format!("no line with {texts:?}:\n{}", self.printed().unwrap_or_default()))
    }

    /// Makes it hang: it stays attached and answers nothing.
    pub fn freeze(&self) -> Result<()> {
        self.running.signal("STOP")
    }

    /// Lets it go on.
    pub fn thaw(&self) -> Result<()> {
        self.running.signal("CONT")
    }

    /// Ends it as a crash does.
    pub fn kill(mut self) -> Result<()> {
        self.running.kill()
    }

    /// Ctrl-C; gives what it printed, all in all.
    pub fn stop(self) -> Result<String> {
        self.running.interrupt()?;
        let output = self.running.wait(TIMEOUT)?;
        if output.code != 0 || !output.stderr.is_empty() {
            bail!("tollgate ended badly: {output:?}");
        }
        Ok(output.stdout)
    }

    /// Waits for its end.
    pub fn wait(self) -> Result<Output> {
        self.running.wait(TIMEOUT)
    }
}
