//! A machine with the service on it, and `tollgate` told where that is.
//!
//! Invariants: whatever is waited for is polled, and the machine goes on meanwhile; what does not come about in
//! [`PATIENCE`] fails the test.

use e2e::{Connect, Desk, Outcome, Program, Setup};
use serde_json::Value;
use service::config::Config;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub const WEB: &str = "192.0.2.1:443";
pub const MAIL: &str = "198.51.100.25:25";

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// The text of a command that succeeded.
    pub fn text(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// The JSON of a command that succeeded.
    pub fn json(self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    /// Each line of a command that succeeded, as JSON.
    pub fn lines(self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What a command that failed with `code` said.
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.stderr
    }
}

/// A `tollgate` that goes on. Dropping it kills it.
pub struct Going {
    child: Child,
    folder: TempDir,
}

impl Going {
    pub fn start(args: &[&str], control: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name| File::create(folder.path().join(name)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(args)
            .env("TOLLGATE_CONTROL", control)
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    pub fn stdout(&self) -> String {
        self.said("stdout")
    }

    pub fn stderr(&self) -> String {
        self.said("stderr")
    }

    pub fn stdin(&mut self) -> &mut ChildStdin {
        self.child.stdin.as_mut().unwrap()
    }

    /// Sends a signal, by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// What it did, once it has ended.
    pub fn done(&mut self) -> Option<Done> {
        let status = self.child.try_wait().unwrap()?;
        Some(Done { code: status.code(), stdout: self.stdout(), stderr: self.stderr() })
    }

    fn said(&self, name: &str) -> String {
        let mut bytes = Vec::new();
        File::open(self.folder.path().join(name)).unwrap().read_to_end(&mut bytes).unwrap();
        // It may be in the middle of a letter.
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Polls `found` until there is something, and does `meanwhile`.
pub fn poll<T>(what: &str, meanwhile: impl Fn(), mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: in vain");
        meanwhile();
        thread::sleep(Duration::from_millis(2));
    }
}

/// Runs a command to its end.
pub fn tollgate(args: &[&str], control: &Path) -> Done {
    let mut going = Going::start(args, control);
    drop(going.child.stdin.take());
    poll(&args.join(" "), || (), || going.done())
}

/// A machine with the service on it. Fields drop in order: the service before its directory.
pub struct Scene {
    pub desk: Desk,
    directory: TempDir,
}

impl Scene {
    /// With these rules in the layer `user`, and this configuration.
    pub fn start(rules: &str, config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Desk::write_rules(directory.path(), "user", rules);
        let mut config = Config::parse("tollgate.toml", config).unwrap();
        // So that nothing is decided because a machine is slow.
        config.ask.timeout = Duration::from_secs(540);
        let control = directory.path().join("control.sock");
        let control = Some(control.to_str().unwrap().to_owned());
        let desk = Desk::start(directory.path(), Setup { config, control, ..Setup::default() }).unwrap();
        let scene = Self { desk, directory };
        scene.poll("attached", || (scene.status()["gate"]["state"] == "attached").then_some(()));
        scene
    }

    /// Polls, while the machine goes on.
    pub fn poll<T>(&self, what: &str, found: impl FnMut() -> Option<T>) -> T {
        poll(what, || self.desk.machine().settle(), found)
    }

    pub fn control(&self) -> std::path::PathBuf {
        self.directory.path().join("control.sock")
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    pub fn write_rules(&self, rules: &str) {
        Desk::write_rules(self.directory.path(), "user", rules);
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Done {
        let mut going = self.begin(args);
        drop(going.child.stdin.take());
        self.poll(&args.join(" "), || going.done())
    }

    /// Runs a command that goes on.
    pub fn begin(&self, args: &[&str]) -> Going {
        Going::start(args, &self.control())
    }

    /// What the service says about itself.
    pub fn status(&self) -> Value {
        self.run(&["status", "--json"]).json()["service"].take()
    }

    /// Has `program` connect, and waits for the verdict.
    pub fn outcome(&self, program: &Program, remote: &str) -> Outcome {
        let connect = self.desk.machine().connect(program, remote);
        self.verdict(&connect)
    }

    /// Waits for the verdict.
    pub fn verdict(&self, connect: &Connect) -> Outcome {
        self.poll("a verdict", || Some(connect.outcome()).filter(|outcome| *outcome != Outcome::Pending))
    }

    /// Has somebody there who answers prompts.
    pub fn sit_down(&self) -> Going {
        let asking = self.begin(&["ask", "--json"]);
        self.poll("somebody who answers", || {
            let core = self.desk.daemon().core();
            core.feed.audience().administrator.then_some(())
        });
        asking
    }

    /// Has `program` connect; the connection, and the prompt that it waits for.
    pub fn ask(&self, program: &Program, remote: &str) -> (Connect, Value) {
        let connect = self.desk.machine().connect(program, remote);
        let prompt = self.prompt();
        assert_eq!(connect.outcome(), Outcome::Pending);
        (connect, prompt)
    }

    /// The prompt that somebody waits for.
    pub fn prompt(&self) -> Value {
        self.poll("a prompt", || {
            let mut prompts = self.run(&["ask", "--list", "--json"]).lines();
            prompts.retain(|prompt| prompt["waiting"] != 0);
            prompts.pop()
        })
    }
}
