//! A lab that is up: its prefix, the services in it, and what runs there.
//!
//! Invariants: a lab has a folder of its own and exists exactly while that folder does; whatever goes wrong after the
//! folder is made, taking the lab down removes its processes and the folder; two labs of different names do not meet.
//! Neighbours: `wine` calls Wine, `prefix` makes the folder's content, `scenarios` and the demo use this.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::images::{self, Images};
use super::programs::{self, Program};
use super::status::Status;
use super::wine::{Output, Running, TOOL_TIMEOUT, Wine, windows_path};
use super::{prefix, processes};
use crate::workspace;

/// The service of the lab's own driver.
const ENGINE_SERVICE: &str = "WfpLab";
const LAUNCH: &str = r"C:\lab\launch.exe";

/// A driver file and the name of its service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    /// The `.sys` file.
    pub file: PathBuf,
    /// Its service.
    pub service: String,
}

impl Driver {
    /// `FILE.sys` or `FILE.sys:ServiceName`; without a name the service is called as the file.
    pub fn parse(text: &str) -> Result<Self> {
        let (file, service) = match text.rsplit_once(':') {
            Some((file, service)) => (Path::new(file), Some(service.to_owned())),
            None => (Path::new(text), None),
        };
        let stem = file.file_stem().with_context(|| format!("{text:?} names no file"))?;
        let service = service.unwrap_or_else(|| stem.to_string_lossy().into_owned());
        Ok(Self { file: file.to_owned(), service })
    }
}

/// Does what is done once: builds the lab, makes the template of prefixes, fetches the programs.
pub fn prepare() -> Result<()> {
    images::built()?;
    prefix::template(&labs_dir())?;
    for program in [Program::Node, Program::Go] {
        programs::fetch(program, &labs_dir().join("programs"))?;
    }
    Ok(())
}

/// What other commands need to know of a lab.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    /// Services of the running drivers, in the order of their start.
    services: Vec<String>,
}

/// A lab that is up. Dropping it takes it down.
#[derive(Debug)]
pub struct Lab {
    dir: PathBuf,
    wine: Wine,
    state: State,
    runs: AtomicU32,
    keep: bool,
}

impl Lab {
    /// Makes a fresh prefix and starts the engine in it, then the drivers.
    pub fn up(name: &str, drivers: &[Driver]) -> Result<Self> {
        let dir = dir_of(name);
        if dir.is_dir() {
            let alive = !processes::of_prefix(&dir.join("prefix")).is_empty();
            if alive {
                bail!("the lab is already up; take it down first: `cargo xtask lab down`");
            }
            println!("  removing what an interrupted lab has left in {}", dir.display());
            fs::remove_dir_all(&dir)?;
        }
        let images = images::built()?;
        let template = prefix::template(&labs_dir())?;
        fs::create_dir_all(&dir)?;
        let mut lab = Self::in_dir(dir, State::default(), false);
        lab.save()?;
        prefix::copy(&template, &lab.prefix())?;
        lab.place_images(images)?;
        lab.wine.start(&lab.kernel_log())?;
        lab.start_service(ENGINE_SERVICE, "fwpkclnt.sys")?;
        for driver in drivers {
            lab.start_driver(&driver.file, &driver.service)?;
        }
        Ok(lab)
    }

    /// The lab that an earlier command brought up; it stays up.
    pub fn attach(name: &str) -> Result<Self> {
        let dir = dir_of(name);
        let Ok(state) = fs::read(dir.join("state.json")) else {
            bail!("no lab is up; start one: `cargo xtask lab up --driver FILE.sys`");
        };
        let state = serde_json::from_slice(&state).context("the lab's state is damaged; run `cargo xtask lab down`")?;
        Ok(Self::in_dir(dir, state, true))
    }

    /// Takes down whatever there is of a lab; says whether there was anything.
    pub fn clear(name: &str) -> Result<bool> {
        let dir = dir_of(name);
        if !dir.is_dir() {
            return Ok(false);
        }
        Self::in_dir(dir, State::default(), true).remove()?;
        Ok(true)
    }

    /// Takes down the labs of runs that have ended without doing so.
    pub fn clear_abandoned() -> Result<()> {
        let entries = fs::read_dir(labs_dir()).into_iter().flatten().flatten();
        for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
            if run_of_name(&name).is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
                Self::clear(&name)?;
            }
        }
        Ok(())
    }

    /// Leaves the lab up when this value goes.
    pub fn keep(mut self) {
        self.keep = true;
    }

    /// Installs the driver if its service is new, and starts it.
    pub fn start_driver(&mut self, file: &Path, service: &str) -> Result<()> {
        let name = file.file_name().with_context(|| format!("{} is no file", file.display()))?.to_string_lossy();
        prefix::place(file, &self.system32().join("drivers").join(&*name))?;
        if !self.state.services.iter().any(|known| known == service) {
            self.state.services.push(service.to_owned());
            self.save()?;
        }
        self.start_service(service, &name)
    }

    /// Stops a driver, which unloads it.
    pub fn stop_driver(&mut self, service: &str) -> Result<()> {
        self.launch(&["stop", service])?;
        self.state.services.retain(|known| known != service);
        self.save()
    }

    /// A Windows program to start: a path of this machine, or what Wine's own search finds, such as `cmd`.
    pub fn exec(&self, program: impl Into<OsString>) -> Exec<'_> {
        Exec { lab: self, program: program.into(), arguments: Vec::new(), env: Vec::new(), hooked: true }
    }

    /// Runs a program with its connections going through the engine.
    pub fn run_hooked(&self, program: &Path, arguments: &[&str], timeout: Duration) -> Result<Output> {
        self.exec(windows_path(program)).args(arguments).run(timeout)
    }

    /// Starts a program without the hook, such as the service of a driver.
    pub fn spawn(&self, program: &Path, arguments: &[&str]) -> Result<Running> {
        self.exec(windows_path(program)).args(arguments).without_hook().spawn()
    }

    /// The state of engine, kernel and hooks.
    pub fn status(&self) -> Result<Status> {
        let report = self.launch(&["status"]).context("the engine does not answer; its driver host may have ended")?;
        Status::new(&report, &self.journal())
    }

    /// Has the engine do what the word says: `stop-engine`, `start-engine` or `reauthorize`.
    pub fn control(&self, word: &str) -> Result<()> {
        self.launch(&["control", word]).map(|_| ())
    }

    /// What the hooks wrote down: processes hooked and not hooked, calls that went through without an answer.
    pub fn journal(&self) -> String {
        // Until the first program is started there is none.
        let bytes = fs::read(self.prefix().join("drive_c/wfplab-hook.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A fetched program.
    pub fn program(&self, program: Program) -> Result<PathBuf> {
        programs::fetch(program, &labs_dir().join("programs"))
    }

    /// The debug output of all drivers.
    pub fn log(&self) -> Result<String> {
        let path = self.kernel_log();
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).lines().map(|line| format!("{}\n", drivers_text(line))).collect())
    }

    /// Ends the process that hosts the engine and the drivers, as a crash does.
    pub fn crash(&self) -> Result<()> {
        processes::end_with_file(&self.prefix(), "fwpkclnt.sys")
    }

    /// The prefix's folder.
    pub fn prefix(&self) -> PathBuf {
        self.dir.join("prefix")
    }

    /// Stops the drivers, latest first, and takes the lab down; the report tells what they left behind.
    pub fn down(mut self) -> Result<Status> {
        let last = self.stop_drivers().and_then(|()| self.status());
        self.keep = true;
        self.remove()?;
        last
    }

    fn stop_drivers(&mut self) -> Result<()> {
        while let Some(service) = self.state.services.last().cloned() {
            self.stop_driver(&service)?;
        }
        Ok(())
    }

    fn in_dir(dir: PathBuf, state: State, keep: bool) -> Self {
        let wine = Wine::new(dir.join("prefix"), dir.join("logs"));
        Self { dir, wine, state, runs: AtomicU32::new(1), keep }
    }

    fn place_images(&self, images: &Images) -> Result<()> {
        let system32 = self.system32();
        let tools = self.prefix().join("drive_c/lab");
        prefix::place(&images.engine, &system32.join("drivers/fwpkclnt.sys"))?;
        prefix::place(&images.launch, &tools.join("launch.exe"))?;
        prefix::place(&images.hook, &tools.join("wfphook.dll"))?;
        if !system32.join("bcryptprimitives.dll").exists() {
            prefix::place(&images.prng, &system32.join("bcryptprimitives.dll"))?;
        }
        Ok(())
    }

    fn start_service(&self, service: &str, file: &str) -> Result<()> {
        self.launch(&["start", service, &format!(r"C:\windows\system32\drivers\{file}")]).map(|_| ())
    }

    /// Has the lab's program inside Wine do something, and returns what it prints.
    fn launch(&self, words: &[&str]) -> Result<String> {
        let arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
        let output = self.wine.run("launch", LAUNCH, &arguments, TOOL_TIMEOUT)?;
        if output.code != 0 {
            bail!("{}\nthe end of the drivers' debug output:\n{}", output.stderr.trim_end(), self.log_end()?);
        }
        Ok(output.stdout)
    }

    fn log_end(&self) -> Result<String> {
        let log = self.log()?;
        let lines: Vec<&str> = log.lines().collect();
        Ok(lines[lines.len().saturating_sub(20)..].join("\n"))
    }

    fn save(&self) -> Result<()> {
        Ok(fs::write(self.dir.join("state.json"), serde_json::to_vec(&self.state)?)?)
    }

    fn remove(&self) -> Result<()> {
        // A server that does not stop is ended with everything else of the prefix.
        self.wine.stop().ok();
        processes::end_leftovers(&self.prefix())?;
        fs::remove_dir_all(&self.dir).with_context(|| format!("cannot remove {}", self.dir.display()))
    }

    fn system32(&self) -> PathBuf {
        self.prefix().join("drive_c/windows/system32")
    }

    fn kernel_log(&self) -> PathBuf {
        self.dir.join("kernel.log")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = self.remove() {
            eprintln!("the lab could not be taken down: {error:#}");
        }
    }
}

/// A Windows program about to be started.
#[derive(Debug)]
#[must_use = "a program does nothing until it is run"]
pub struct Exec<'a> {
    lab: &'a Lab,
    program: OsString,
    arguments: Vec<OsString>,
    env: Vec<(String, String)>,
    hooked: bool,
}

impl Exec<'_> {
    /// Arguments, passed on exactly.
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// An environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves its connections alone.
    pub fn without_hook(mut self) -> Self {
        self.hooked = false;
        self
    }

    /// Runs it to its end.
    pub fn run(self, timeout: Duration) -> Result<Output> {
        self.spawn()?.wait(timeout)
    }

    /// Starts it.
    pub fn spawn(self) -> Result<Running> {
        let number = self.lab.runs.fetch_add(1, Ordering::Relaxed);
        let name = format!("run-{}-{number}", std::process::id());
        let mut words = vec![self.program];
        words.extend(self.arguments);
        if self.hooked {
            words.splice(0..0, [LAUNCH.into(), "run".into()]);
        }
        let program = words.remove(0);
        self.lab.wine.spawn(&name, program, &words, &self.env)
    }
}

/// The name of a lab that belongs to this process and is nobody's once it has ended.
pub fn name_of_run(kind: &str) -> String {
    format!("{kind}-of-{}", std::process::id())
}

/// The process a lab belongs to, by its name.
fn run_of_name(name: &str) -> Option<u32> {
    name.rsplit_once("-of-")?.1.parse().ok()
}

/// A line of debug output without what Wine puts before it: thread, channel, function, component and level.
fn drivers_text(line: &str) -> &str {
    match line.split_once(":warn:debugstr:vDbgPrintExWithPrefix ") {
        Some((_, rest)) => rest.split_once(": ").map_or(rest, |(_, text)| text),
        None => line,
    }
}

pub fn labs_dir() -> PathBuf {
    workspace::root().join(".lab")
}

fn dir_of(name: &str) -> PathBuf {
    labs_dir().join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_of_a_run_tells_its_process() {
        assert_eq!(run_of_name(&name_of_run("test")), Some(std::process::id()));
        assert_eq!(run_of_name("default"), None);
    }

    #[test]
    fn a_drivers_text_is_shown_without_wines_prefix() {
        let line = "0128:warn:debugstr:vDbgPrintExWithPrefix 0000004d:00000008: callout: port: 4444";
        assert_eq!(drivers_text(line), "callout: port: 4444");
        assert_eq!(drivers_text("wine: something else"), "wine: something else");
    }

    #[test]
    fn a_driver_is_called_as_its_file_unless_it_is_given_a_name() {
        let driver = Driver::parse("a/callout.sys").unwrap();
        assert_eq!(driver, Driver { file: "a/callout.sys".into(), service: "callout".into() });
        let driver = Driver::parse("a/callout.sys:Gate").unwrap();
        assert_eq!(driver, Driver { file: "a/callout.sys".into(), service: "Gate".into() });
        assert!(Driver::parse("").is_err());
    }
}
