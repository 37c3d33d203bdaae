//! Which processes of this machine belong to a prefix.
//!
//! Invariant: a process counts only if its own environment names exactly that prefix, so nothing else is ever ended.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::run;

const END_TIMEOUT: Duration = Duration::from_secs(5);

/// The ids of every process that was started for `prefix`.
pub fn of_prefix(prefix: &Path) -> Vec<u32> {
    let wanted = format!("WINEPREFIX={}", prefix.display());
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| *id != std::process::id() && environment_has(*id, wanted.as_bytes())).collect()
}

/// Ends the processes of a prefix that have a file of this name mapped, such as the host of a driver.
pub fn end_with_file(prefix: &Path, file: &str) -> Result<()> {
    let maps = |id: &u32| fs::read_to_string(format!("/proc/{id}/maps")).unwrap_or_default();
    let found: Vec<u32> = of_prefix(prefix).into_iter().filter(|id| maps(id).contains(file)).collect();
    if found.is_empty() {
        bail!("no process of {} has {file} mapped", prefix.display());
    }
    found.iter().try_for_each(|id| end(*id))?;
    if !run::poll(END_TIMEOUT, || Ok(!of_prefix(prefix).iter().any(|id| found.contains(id))))? {
        bail!("processes {found:?} cannot be ended");
    }
    Ok(())
}

/// Ends what is left of a prefix after its server was told to stop.
pub fn end_leftovers(prefix: &Path) -> Result<()> {
    for id in of_prefix(prefix) {
        end(id)?;
    }
    if !run::poll(END_TIMEOUT, || Ok(of_prefix(prefix).is_empty()))? {
        bail!("processes of {} cannot be ended: {:?}", prefix.display(), of_prefix(prefix));
    }
    Ok(())
}

/// Sends a signal, such as `KILL`; says whether there was a process to take it.
pub fn signal(id: u32, name: &str) -> Result<bool> {
    // The shell's own `kill`: the program of that name is in a package that small systems lack.
    let mut shell = Command::new("sh");
    let sent = shell.args(["-c", "kill -s \"$0\" \"$1\"", name, &id.to_string()]).stderr(Stdio::null()).status();
    Ok(sent.context("cannot start sh")?.success())
}

fn end(id: u32) -> Result<()> {
    // One that has ended by itself meanwhile is what is wanted.
    signal(id, "KILL").map(|_| ())
}

fn environment_has(id: u32, wanted: &[u8]) -> bool {
    // A process that has ended, or is another user's, has no readable environment.
    let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|entry| entry == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processes_of_the_prefix_are_ended() {
        let prefix = Path::new("/nonexistent/prefix-of-a-test");
        let start = |prefix: &str| Command::new("sleep").arg("600").env("WINEPREFIX", prefix).spawn().unwrap();
        let mut ours = start("/nonexistent/prefix-of-a-test");
        let mut other = start("/nonexistent/prefix-of-a-test-2");
        run::poll(END_TIMEOUT, || Ok(of_prefix(prefix) == [ours.id()])).unwrap();
        // Reaped from another thread, as an ended child stays in `/proc` until then.
        let reaper = std::thread::spawn(move || ours.wait());
        end_leftovers(prefix).unwrap();
        reaper.join().unwrap().unwrap();
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
