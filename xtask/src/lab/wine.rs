//! Calling Wine.
//!
//! Invariants: every call has a timeout and writes to files, never to pipes, because a daemon that Wine starts keeps
//! what it inherits open; every call names its prefix and has no display; the first call of a lab has the debug output
//! of all drivers on its error stream, so that one file gets it.
//! Neighbours: `prefix` makes what is called here; `lab` decides when.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::processes;
use crate::run;

/// Wine itself.
pub const PROGRAM: &str = "/usr/lib/wine/wine64";
const SERVER: &str = "/usr/lib/wine/wineserver64";

/// Longer than any call of Wine's own tools takes on a busy machine.
pub const TOOL_TIMEOUT: Duration = Duration::from_secs(60);
const SERVER_TIMEOUT: Duration = Duration::from_secs(20);

/// Wine with one prefix.
#[derive(Clone, Debug)]
pub struct Wine {
    prefix: PathBuf,
    /// Where output files go.
    logs: PathBuf,
}

/// How a Windows program ended.
#[derive(Debug)]
pub struct Output {
    /// The exit code as Linux hands it on: the low 8 bits; 137 after a kill.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A Windows program that is running.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Wine {
    /// Wine with the prefix in `prefix`, writing output files to `logs`.
    pub fn new(prefix: impl Into<PathBuf>, logs: impl Into<PathBuf>) -> Self {
        Self { prefix: prefix.into(), logs: logs.into() }
    }

    /// Whether Wine is installed, or what to do.
    pub fn check() -> Result<()> {
        if !Path::new(PROGRAM).exists() {
            bail!("{PROGRAM} is not there: run `cargo xtask setup`");
        }
        Ok(())
    }

    /// Starts a program; `name` names its output files.
    pub fn spawn(
        &self,
        name: &str,
        program: impl AsRef<OsStr>,
        arguments: &[OsString],
        env: &[(String, String)],
    ) -> Result<Running> {
        fs::create_dir_all(&self.logs)?;
        let stdout = self.logs.join(format!("{name}.out"));
        let stderr = self.logs.join(format!("{name}.err"));
        self.spawn_to(stdout, stderr, program.as_ref(), arguments, env)
    }

    /// Runs a program to its end.
    pub fn run(
        &self,
        name: &str,
        program: impl AsRef<OsStr>,
        arguments: &[OsString],
        timeout: Duration,
    ) -> Result<Output> {
        self.spawn(name, program, arguments, &[])?.wait(timeout)
    }

    /// Runs one of Wine's own tools, which must succeed.
    pub fn tool(&self, words: &[&str]) -> Result<Output> {
        let arguments: Vec<OsString> = words[1..].iter().map(OsString::from).collect();
        let output = self.run("tool", words[0], &arguments, TOOL_TIMEOUT)?;
        if output.code != 0 {
            bail!("`{}` under Wine ended with {}: {}{}", words.join(" "), output.code, output.stdout, output.stderr);
        }
        Ok(output)
    }

    /// The first call: starts Wine's services, whose debug output goes to `log` from now on.
    pub fn start(&self, log: &Path) -> Result<()> {
        // Without `-p` the server ends three seconds after the last program, and every service and driver with it.
        self.server(&["-p"])?;
        let stdout = self.logs.join("first.out");
        fs::create_dir_all(&self.logs)?;
        let arguments = ["/c", "exit 0"].map(OsString::from);
        let debug = [("WINEDEBUG".to_owned(), "-all,warn+debugstr".to_owned())];
        let output = self.spawn_to(stdout, log.to_owned(), "cmd".as_ref(), &arguments, &debug)?.wait(TOOL_TIMEOUT)?;
        if output.code != 0 {
            bail!("Wine's services did not start ({}): {}", output.code, output.stdout);
        }
        Ok(())
    }

    /// Makes a new prefix.
    pub fn initialize(&self) -> Result<()> {
        let overrides = [("WINEDLLOVERRIDES".to_owned(), "mscoree,mshtml=".to_owned())];
        let made = self.spawn("wineboot", "wineboot", &["-i".into()], &overrides)?.wait(3 * TOOL_TIMEOUT)?;
        if made.code != 0 {
            bail!("wineboot ended with {}: {}", made.code, made.stderr);
        }
        // A prefix says Windows 7 otherwise, and current programs refuse that.
        self.tool(&["reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f"])?;
        self.stop()
    }

    /// Ends every program of the prefix.
    pub fn stop(&self) -> Result<()> {
        // Fails when no server runs, which is what is wanted.
        self.server(&["-k"]).ok();
        self.server(&["-w"])
    }

    fn server(&self, arguments: &[&str]) -> Result<()> {
        let mut command = self.command(SERVER.as_ref());
        let child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let status = run::wait(child.with_context(|| format!("cannot start {SERVER}"))?, SERVER_TIMEOUT)?;
        if !status.success() {
            bail!("{SERVER} {} ended with {status}", arguments.join(" "));
        }
        Ok(())
    }

    fn spawn_to(
        &self,
        stdout: PathBuf,
        stderr: PathBuf,
        program: &OsStr,
        arguments: &[OsString],
        env: &[(String, String)],
    ) -> Result<Running> {
        let mut command = self.command(PROGRAM.as_ref());
        command.arg(program).args(arguments).envs(env.iter().map(|(name, value)| (name, value)));
        command.stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
        let child = command.spawn().with_context(|| format!("cannot start {PROGRAM}"))?;
        Ok(Running { child, stdout, stderr })
    }

    fn command(&self, program: &OsStr) -> Command {
        let mut command = Command::new(program);
        command
            .env("WINEPREFIX", &self.prefix)
            .env("WINEARCH", "win64")
            .env("WINEDEBUG", "-all")
            .env_remove("DISPLAY")
            .stdin(Stdio::null());
        command
    }
}

impl Running {
    /// Waits for the end; a program that takes longer is killed, and that is an error that shows what it printed.
    pub fn wait(mut self, timeout: Duration) -> Result<Output> {
        match run::wait_for(&mut self.child, timeout)? {
            Some(status) => {
                use std::os::unix::process::ExitStatusExt as _;
                let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
                Ok(Output { code, stdout: self.stdout()?, stderr: self.stderr()? })
            }
            None => {
                self.kill()?;
                bail!(
                    "a Windows program did not end in {} s and was killed; it printed:\n{}{}",
                    timeout.as_secs(),
                    self.stdout()?,
                    self.stderr()?
                )
            }
        }
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> Result<String> {
        text(&self.stdout)
    }

    /// What it has printed to its error stream so far.
    pub fn stderr(&self) -> Result<String> {
        text(&self.stderr)
    }

    /// The file its standard output goes to.
    pub fn stdout_file(&self) -> &Path {
        &self.stdout
    }

    /// The file its error stream goes to.
    pub fn stderr_file(&self) -> &Path {
        &self.stderr
    }

    /// Waits until `text` is in its standard output.
    pub fn wait_for_output(&mut self, text: &str, timeout: Duration) -> Result<()> {
        let appeared = run::poll(timeout, || Ok(self.stdout()?.contains(text) || !self.is_running()?))?;
        if !appeared || !self.stdout()?.contains(text) {
            bail!("a Windows program did not print {text:?}; it printed:\n{}{}", self.stdout()?, self.stderr()?);
        }
        Ok(())
    }

    /// Ctrl-C, as Wine passes it on.
    pub fn interrupt(&self) -> Result<()> {
        self.signal("INT")
    }

    /// Sends a signal of this machine, such as `STOP`: a Windows program is one process here, too.
    pub fn signal(&self, name: &str) -> Result<()> {
        if !processes::signal(self.child.id(), name)? {
            bail!("the program has already ended");
        }
        Ok(())
    }

    /// Ends it as the task manager would: no handler runs.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

/// A path of this machine as Windows programs know it.
pub fn windows_path(path: &Path) -> String {
    format!("Z:{}", path.display()).replace('/', "\\")
}

fn text(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_on_drive_z() {
        assert_eq!(windows_path(Path::new("/tmp/a b/x.exe")), r"Z:\tmp\a b\x.exe");
    }
}
