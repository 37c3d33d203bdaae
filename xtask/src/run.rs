//! Starts other programs: each has a timeout, a log file, and an error that shows the command.
//!
//! Invariants: output goes to files, never to pipes, so that a daemon which inherits it (a
//! `wineserver`) cannot keep a task waiting; a program that outlives its timeout is killed.
//! Neighbours: `workspace` says where the logs are.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Long enough for a cold build on two slow cores.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(25 * 60);

/// How much of a log is shown when a command fails.
const SHOWN_LINES: usize = 40;

/// One command to run.
#[must_use = "a command does nothing until it is run"]
pub struct Run {
    command: Command,
    timeout: Duration,
    log: String,
}

/// How a command ended.
pub struct Output {
    /// Whether its exit code was 0.
    pub success: bool,
    /// Both its output streams, in order.
    pub text: String,
}

impl Run {
    /// A command that starts in the repository's root.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let log = Path::new(program).file_stem().unwrap_or(program).to_string_lossy().into_owned();
        let mut command = Command::new(program);
        command.current_dir(workspace::root());
        Run { command, timeout: DEFAULT_TIMEOUT, log }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Names the log file, `target/xtask/NAME.log`; a later run of the same name replaces it.
    pub fn log(mut self, name: impl Into<String>) -> Self {
        self.log = name.into();
        self
    }

    /// Runs the command, which must succeed.
    pub fn run(self) -> Result<()> {
        let shown = self.shown();
        let log = self.log_file("log")?;
        let status = self.status(&log, &log).with_context(|| shown.clone())?;
        must_succeed(status, &shown, &log)
    }

    /// Runs the command, which may fail, and gives what it printed.
    pub fn output(self) -> Result<Output> {
        let shown = self.shown();
        let log = self.log_file("log")?;
        let status = self.status(&log, &log).with_context(|| shown.clone())?;
        Ok(Output { success: status.success(), text: read(&log)? })
    }

    /// Runs the command, which must succeed, and gives its standard output alone.
    pub fn stdout(self) -> Result<String> {
        let shown = self.shown();
        let (out, log) = (self.log_file("out")?, self.log_file("log")?);
        let status = self.status(&out, &log).with_context(|| shown.clone())?;
        must_succeed(status, &shown, &log)?;
        read(&out)
    }

    fn log_file(&self, extension: &str) -> Result<PathBuf> {
        let dir = workspace::work_dir();
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir.join(format!("{}.{extension}", self.log)))
    }

    fn status(mut self, out: &Path, err: &Path) -> Result<ExitStatus> {
        let file = File::create(out).with_context(|| format!("cannot write {}", out.display()))?;
        let err = if err == out { file.try_clone()? } else { File::create(err)? };
        self.command.stdin(Stdio::null()).stdout(file).stderr(err);
        let child = self.command.spawn().context("cannot start it")?;
        wait(child, self.timeout)
    }

    /// The command as a person would type it.
    fn shown(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        let words: Vec<String> = words.map(quoted).collect();
        format!("`{}`", words.join(" "))
    }
}

/// Whether a program of this name is in the `PATH`.
pub fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Waits for a child's end; one that outlives its timeout is killed, which is an error.
pub fn wait(mut child: Child, timeout: Duration) -> Result<ExitStatus> {
    if let Some(status) = wait_for(&mut child, timeout)? {
        return Ok(status);
    }
    child.kill()?;
    child.wait()?;
    bail!("killed after {} s", timeout.as_secs())
}

/// Waits for a child's end; `None` when it outlives the timeout.
pub fn wait_for(child: &mut Child, timeout: Duration) -> Result<Option<ExitStatus>> {
    let mut status = None;
    poll(timeout, || {
        status = child.try_wait()?;
        Ok(status.is_some())
    })?;
    Ok(status)
}

/// Waits until `condition` holds, and says whether it did before the timeout.
pub fn poll(timeout: Duration, mut condition: impl FnMut() -> Result<bool>) -> Result<bool> {
    let deadline = Instant::now() + timeout;
    // Nothing tells us of another program's doings; the poll backs off so that a short wait
    // costs little and a long one costs nothing.
    let mut pause = Duration::from_millis(1);
    while !condition()? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    Ok(true)
}

fn must_succeed(status: ExitStatus, shown: &str, log: &Path) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let text = read(log)?;
    let skipped = text.lines().count().saturating_sub(SHOWN_LINES);
    let tail: Vec<&str> = text.lines().skip(skipped).collect();
    bail!("{shown} failed ({status}); the end of {}:\n{}", log.display(), tail.join("\n"))
}

fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.contains([' ', '$', '"', '\\']) { format!("'{word}'") } else { word.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_a_failing_command_is_kept() {
        let run = Run::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]).log("t-output");
        let output = run.output().unwrap();
        assert!(!output.success);
        assert_eq!(output.text, "out\nerr\n");
    }

    #[test]
    fn stdout_holds_no_diagnostics() {
        let run = Run::new("sh").args(["-c", "echo out; echo err >&2"]).log("t-stdout");
        assert_eq!(run.stdout().unwrap(), "out\n");
    }

    #[test]
    fn failure_shows_the_command_and_the_end_of_its_output() {
        let run = Run::new("sh").args(["-c", "echo because; exit 1"]).log("t-failure");
        let error = format!("{:#}", run.run().unwrap_err());
        assert!(error.contains("`sh -c 'echo because; exit 1'`"), "{error}");
        assert!(error.ends_with("because"), "{error}");
    }

    #[test]
    fn a_command_that_outlives_its_timeout_is_killed() {
        let run = Run::new("sleep").arg("600").timeout(Duration::from_millis(20)).log("t-timeout");
        let error = format!("{:#}", run.run().unwrap_err());
        assert!(error.contains("`sleep 600`: killed after"), "{error}");
    }

    #[test]
    fn a_daemon_that_keeps_the_output_open_does_not_hold_us() {
        let run = Run::new("sh").args(["-c", "sleep 600 & echo started $!"]).log("t-daemon");
        let started = run.timeout(Duration::from_secs(60)).stdout().unwrap();
        let pid = started.trim().strip_prefix("started ").unwrap();
        Run::new("kill").arg(pid).log("t-kill").run().unwrap();
    }
}
