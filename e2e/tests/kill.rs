//! The service killed, without a word, at any moment: what it acknowledged is not asked again.
//!
//! Each life is a process of its own: this test program, executed again, runs a desk whose programs connect without end. A
//! client answers its prompts and kills it; the next life finds the same directory.

use control::client::{Client, ClientError};
use control::entry::{Entry, Verdict};
use control::prompt::{Answer, Hold, Prompt, Target};
use control::protocol::{Reply, Request};
use control::status::Status;
use e2e::{Connect, Desk, Outcome, Program, Setup};
use platform::ipc;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const DIRECTORY: &str = "TOLLGATE_KILLED_DIRECTORY";
const PROGRAMS: &str = "TOLLGATE_KILLED_PROGRAMS";
/// More than any life needs, on any machine.
const PATIENCE: Duration = Duration::from_secs(60);
const HOUR: Hold = Hold::Duration { seconds: 3_600 };

/// Not a test: what the others start.
#[test]
#[ignore = "started by the other tests, and killed"]
fn a_life() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let setup = Setup { control: Some(endpoint(directory)), ..Setup::default() };
    let desk = Desk::start(directory, setup).unwrap();
    let names = std::env::var(PROGRAMS).unwrap();
    let mut programs: Vec<(&str, Program, Option<Connect>)> =
        names.split(',').map(|name| (name, desk.program(name), None)).collect();
    desk.until(|| matches!(desk.daemon().core().status().gate, control::status::Gate::Attached { .. }));
    // Until killed; and not for ever, should nobody be left to do that.
    let born = Instant::now();
    while born.elapsed() < PATIENCE * 2 {
        for (name, program, connect) in &mut programs {
            match connect.as_ref().map(Connect::outcome) {
                Some(Outcome::Pending) => continue,
                Some(outcome) => {
                    let what = if outcome == Outcome::Connected { "permitted" } else { "blocked" };
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "\ndecided {name} {what}").and_then(|()| out.flush()).unwrap();
                }
                None => {}
            }
            *connect = Some(desk.machine().connect(program, "192.0.2.1:443"));
        }
        thread::sleep(Duration::from_millis(5));
        desk.machine().advance(5);
    }
}

fn endpoint(directory: &Path) -> String {
    if cfg!(windows) {
        let unique = directory.file_name().unwrap().to_str().unwrap();
        return format!(r"\\.\pipe\Tollgate.Killed.{unique}");
    }
    directory.join("control.sock").to_str().unwrap().to_owned()
}

/// The service, in a process of its own, and a client that follows prompts.
struct Life {
    process: Arc<Mutex<Child>>,
    decided: Receiver<(String, bool)>,
    client: Client,
}

impl Life {
    fn begin(directory: &Path, programs: &[&str]) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_life", "--ignored", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, directory)
            .env(PROGRAMS, programs.join(","))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (tell, decided) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((name, what)) = line.strip_prefix("decided ").and_then(|line| line.split_once(' ')) {
                    // Nobody may listen any more.
                    let _heard = tell.send((name.to_owned(), what == "blocked"));
                }
            }
        });
        let began = Instant::now();
        let client = loop {
            assert!(began.elapsed() < PATIENCE, "clients cannot connect");
            let stream = ipc::connect(&endpoint(directory)).and_then(ipc::Stream::split);
            if let Ok((reader, writer, _)) = stream
                && let Ok(client) = Client::connect(reader, writer)
            {
                break client;
            }
            thread::sleep(Duration::from_millis(5));
        };
        let mut life = Self { process: Arc::new(Mutex::new(process)), decided, client };
        life.client.call(Request::FollowPrompts).unwrap();
        life
    }

    fn prompts(&mut self) -> Result<Vec<Prompt>, ClientError> {
        match self.client.call(Request::Prompts)? {
            Reply::Prompts(prompts) => Ok(prompts),
            other => panic!("{other:?}"),
        }
    }

    /// The open prompt about this program, once there is one.
    fn prompt(&mut self, name: &str) -> Prompt {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "{name} is not asked about");
            if let Some(prompt) = self.prompts().unwrap().into_iter().find(|prompt| program(prompt) == name) {
                return prompt;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Answers: block. Comes back when the service says that this will last.
    fn answer(&mut self, prompt: &Prompt, hold: Hold) -> Result<(), ClientError> {
        let answer = Answer { verdict: Verdict::Block, hold, target: Target::Remote, note: None };
        let reply = self.client.call(Request::Answer { prompt: prompt.id, answer })?;
        assert_eq!(reply, Reply::Done);
        Ok(())
    }

    fn entries(&mut self, before: Option<u64>, limit: usize) -> Vec<Entry> {
        let limit = u32::try_from(limit).unwrap();
        match self.client.call(Request::Entries { filter: Default::default(), after: None, before, limit }).unwrap() {
            Reply::Entries(entries) => entries,
            other => panic!("{other:?}"),
        }
    }

    fn status(&mut self) -> Status {
        match self.client.call(Request::Status).unwrap() {
            Reply::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until each of these was decided in this life, and each time as answered; and nobody was asked.
    fn knows(&mut self, acknowledged: &BTreeSet<String>) {
        let mut unseen = acknowledged.clone();
        let began = Instant::now();
        while !unseen.is_empty() {
            assert!(began.elapsed() < PATIENCE, "undecided: {unseen:?}");
            let again: Vec<String> = self.prompts().unwrap().iter().map(program).collect();
            assert!(again.iter().all(|name| !acknowledged.contains(name)), "asked again: {again:?}");
            for (name, is_blocked) in self.decided.try_iter() {
                assert!(is_blocked || !acknowledged.contains(&name), "{name} was blocked before");
                unseen.remove(&name);
            }
            thread::sleep(Duration::from_millis(2));
        }
        let refused = self.status().rules.refused;
        assert!(refused.is_empty(), "{refused:?}");
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let mut process = self.process.lock().unwrap();
        // It may be dead already.
        let _dead = process.kill();
        let _reaped = process.wait();
    }
}

fn program(prompt: &Prompt) -> String {
    let path = prompt.identity.program.path.as_deref().unwrap_or_default();
    path.rsplit('\\').next().unwrap_or_default().to_owned()
}

fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    Desk::write_rules(directory.path(), "user", "");
    directory
}

#[test]
fn what_was_acknowledged_the_moment_before_is_not_asked_again() {
    let directory = directory();
    let programs = ["for-an-hour.exe", "for-ever.exe", "at-last.exe"];
    let mut acknowledged = BTreeSet::new();
    let mut kept: Vec<Entry> = Vec::new();
    for (name, hold) in programs.into_iter().zip([HOUR, Hold::Forever, HOUR]) {
        let mut life = Life::begin(directory.path(), &programs);
        if let Some(last) = kept.last() {
            assert_eq!(life.entries(Some(last.id + 1), kept.len()), kept, "what was in the log is there");
        }
        life.knows(&acknowledged);
        let prompt = life.prompt(name);
        kept = life.entries(None, 100);
        life.answer(&prompt, hold).unwrap();
        // Killed, that is.
        drop(life);
        acknowledged.insert(name.to_owned());
    }
    Life::begin(directory.path(), &programs).knows(&acknowledged);
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_acknowledged() {
    let directory = directory();
    let names: Vec<String> = (0..200).map(|number| format!("program-{number}.exe")).collect();
    let mut acknowledged = BTreeSet::new();
    // Milliseconds after the first answer, by which a few answers are under way.
    for after in [3, 29, 11, 47, 19, 1, 37, 7, 23, 13] {
        // A few that were answered, and some that were not.
        let fresh = names.iter().filter(|name| !acknowledged.contains(*name)).take(6);
        let programs: Vec<&str> = fresh.chain(acknowledged.iter().rev().take(6)).map(String::as_str).collect();
        let acknowledged_here = programs.iter().filter(|name| acknowledged.contains(**name));
        let known: BTreeSet<String> = acknowledged_here.map(|name| (*name).to_owned()).collect();
        let mut life = Life::begin(directory.path(), &programs);
        life.knows(&known);
        // Some answer that nobody was told of may have lasted: at most one a life, and there are more programs.
        let began = Instant::now();
        while life.prompts().unwrap().is_empty() {
            assert!(began.elapsed() < PATIENCE, "nothing is asked about");
            thread::sleep(Duration::from_millis(2));
        }
        // However slow the disk is, one answer is acknowledged.
        let first = life.prompts().unwrap().remove(0);
        life.answer(&first, HOUR).unwrap();
        acknowledged.insert(program(&first));
        let process = life.process.clone();
        let killer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(after));
            process.lock().unwrap().kill().unwrap();
        });
        let mut hold = HOUR;
        'alive: while let Ok(prompts) = life.prompts() {
            for prompt in prompts {
                hold = if hold == HOUR { Hold::Forever } else { HOUR };
                match life.answer(&prompt, hold) {
                    Ok(()) => acknowledged.insert(program(&prompt)),
                    // Another answer closed it meanwhile.
                    Err(ClientError::Refused(_)) => continue,
                    Err(_) => break 'alive,
                };
            }
        }
        killer.join().unwrap();
    }
    let all: Vec<&str> = acknowledged.iter().map(String::as_str).collect();
    Life::begin(directory.path(), &all).knows(&acknowledged);
}
