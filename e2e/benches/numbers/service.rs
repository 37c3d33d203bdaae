//! The whole service against the driver in the emulators: rules, log and control socket on.
//!
//! *Throughput*: programs connect as fast as connections are decided, everything on one processor: programs, filter engine,
//! driver and service. Beside it the same connections answered by a loop that reads no rule and keeps no log. *Memory*:
//! what a process with driver, emulators and service has more than one with that loop, after a million decisions. *Storm*:
//! ten thousand connections a second that a rule decides, and every now and then one that a person is asked about, over the
//! control socket.

use crate::fill::{self, WIDEST, remote};
use crate::table::{Row, Table};
use control::client::Client;
use control::entry::Verdict;
use control::prompt::{Answer, Hold, Target};
use control::protocol::{Event, Reply, Request};
use control::status::{Gate, Unmatched};
use e2e::{Connect, ConnectSpec, Machine, Outcome, Program};
use platform::enforcer::{Enforcer, EnforcerError};
use rules::ruleset::{Environment, PathStyle};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use service::clock::SystemClock;
use service::config::Config;
use service::daemon::{Daemon, Options};
use service::identity::{Description, Key, Processes};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How many rules are in force, each about another program and remote end.
const RULES: u32 = 10_000;
/// How many connections may wait at a time: what a batch of the driver holds, and some.
const IN_FLIGHT: u32 = 256;
/// How many connections the throughput is measured over.
const CONNECTIONS: u32 = 200_000;
/// After how many the memory is looked at.
const MILLION: u32 = 1_000_000;
/// New connections a second, and for how long.
const STORM_RATE: u32 = 10_000;
const STORM: Duration = Duration::from_secs(30);
/// Every how many connections of the storm one is asked about.
const ASKED_EVERY: u32 = 2_000;

/// Measures.
pub fn measure(table: &mut Table) {
    let bare = on_one_processor(|| answer_barely(CONNECTIONS));
    let decided = on_one_processor(|| {
        let desk = Desk::open();
        let rate = desk.connect(CONNECTIONS);
        desk.close();
        rate
    });
    table.add(Row {
        what: "connections decided by the service a second, log on, one processor".into(),
        measured: format!("{decided:.0}"),
        baseline: format!("answered unread {bare:.0}"),
        goal: ">= 20000",
        is_met: decided >= 20_000.0,
    });
    memory(table);
    storm(table);
}

/// Asks this program to make a million decisions in a process of its own and to say how much memory it has then.
pub const RESIDENT: [(&str, fn()); 2] = [
    ("resident-answered-unread", || {
        answer_barely(MILLION);
        println!("{}", resident_bytes());
    }),
    ("resident-decided", || {
        let desk = Desk::open();
        desk.connect(MILLION);
        println!("{}", resident_bytes());
        desk.close();
    }),
];

fn memory(table: &mut Table) {
    let [emulators, all] = RESIDENT.map(|(name, _)| resident_of(name) / 1e6);
    table.add(Row {
        what: "memory of the service after a million decisions".into(),
        measured: format!("{:.0} MB", all - emulators),
        baseline: format!("driver and emulators {emulators:.0} MB"),
        goal: "<= 60 MB",
        is_met: all - emulators <= 60.0,
    });
}

fn resident_of(name: &str) -> f64 {
    let this = std::env::current_exe().expect("this program");
    let output = Command::new(this).arg(name).output().expect("a process");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

fn storm(table: &mut Table) {
    let desk = Desk::open();
    let asked = desk.machine.program("asks.exe");
    let answers = desk.answer_prompts();
    let count = Arc::new(Outcomes::default());
    let start = Instant::now();
    let (mut made, mut of_person) = (0_u32, 0_u32);
    let (mut ruled, mut prompted) = (Open::default(), Open::default());
    while start.elapsed() < STORM {
        let due = (start.elapsed().as_secs_f64() * f64::from(STORM_RATE)) as u32;
        if made >= due {
            thread::sleep(Duration::from_micros(200));
            continue;
        }
        for n in made..due {
            ruled.keep(desk.program.connect_with(desk.machine.engine(), count.expecting(remote(n))));
            if n.is_multiple_of(ASKED_EVERY) {
                // A name of its own, so that each is a prompt of its own.
                let to = SocketAddr::new(remote(of_person << 8).ip(), 8443);
                prompted.keep(asked.connect_with(desk.machine.engine(), count.expecting(to)));
                of_person += 1;
            }
        }
        made = due;
    }
    count.wait_for(made + of_person);
    let client = desk.machine.client();
    let stats = client.stats();
    client.close();
    let status = desk.daemon.core().status();
    let lost = u64::from(made + of_person) - count.connected.load(Ordering::Relaxed);
    let answered = answers.stop();
    desk.close();
    table.add(Row {
        what: format!("storm of {STORM_RATE} connections a second for {} s: verdicts lost", STORM.as_secs()),
        measured: (lost + stats.doors.deadline + stats.limited).to_string(),
        baseline: format!("of {made}, {} entries shed", status.counters.shed),
        goal: "0",
        is_met: lost + stats.doors.deadline + stats.limited == 0,
    });
    table.add(Row {
        what: "  prompts answered meanwhile".into(),
        measured: answered.to_string(),
        baseline: format!("of {of_person} asked"),
        goal: "all",
        is_met: answered == u64::from(of_person),
    });
}

/// A service with rules in force, attached to a machine of its own, and one program that a rule permits.
struct Desk {
    daemon: Daemon,
    machine: Machine,
    program: Program,
    folder: TempDir,
}

impl Desk {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write_rules(folder.path());
        let machine = fill::machine();
        let program = machine.program("node.exe");
        let mut config = Config { unmatched: Unmatched::Ask, ..Config::default() };
        config.limits.held_per_process = config.limits.held;
        let device = Mutex::new(Some(machine.device()));
        let daemon = Daemon::start(Options {
            config,
            config_file: None,
            rules: folder.path().join("rules"),
            state: folder.path().join("state"),
            environment: Environment { paths: PathStyle::Windows, ..Environment::default() },
            volumes: platform::paths::Volumes::new([('C', r"\Device\HarddiskVolume3")]),
            open: Box::new(move || {
                let device = device.lock().expect("no panic").take().ok_or(EnforcerError::NotRunning)?;
                Ok(Box::new(device) as Box<dyn Enforcer>)
            }),
            processes: Arc::new(Strangers),
            interfaces: Arc::new(|_, _| None),
            names: None,
            clock: Arc::new(SystemClock::default()),
            boot: "".into(),
            control: Some(endpoint(folder.path())),
            journal: Arc::new(|_, _| ()),
            sinks: Vec::new(),
        })
        .expect("the service starts");
        while !matches!(daemon.core().status().gate, Gate::Attached { .. }) {
            thread::sleep(Duration::from_millis(1));
        }
        Self { daemon, machine, program, folder }
    }

    /// Makes that many connections, each as soon as there is room; gives how many were decided a second.
    fn connect(&self, connections: u32) -> f64 {
        connect(&self.machine, &self.program, connections)
    }

    /// A person who answers each prompt at once, for the connections that wait.
    fn answer_prompts(&self) -> Answers {
        let endpoint = endpoint(self.folder.path());
        let connect = || {
            let (reader, writer, closer) = platform::ipc::connect(&endpoint)?.split()?;
            Ok::<_, io::Error>((Client::connect(reader, writer).expect("welcome"), closer))
        };
        let (mut client, closer) = connect().expect("the socket");
        assert_eq!(client.call(Request::FollowPrompts).expect("a reply"), Reply::Done);
        let answered = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&answered);
        let thread = thread::spawn(move || {
            loop {
                let next = client.events().next();
                let Some(Ok(event)) = next else { break };
                let Event::Prompt(prompt) = event else { continue };
                if prompt.waiting == 0 {
                    continue;
                }
                let answer = Answer { verdict: Verdict::Permit, hold: Hold::Once, target: Target::Remote, note: None };
                if client.call(Request::Answer { prompt: prompt.id, answer }).is_ok() {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Answers { answered, thread, closer }
    }

    fn close(self) {
        self.daemon.stop();
        self.daemon.wait();
    }
}

/// The person who answers.
struct Answers {
    answered: Arc<AtomicU64>,
    thread: thread::JoinHandle<()>,
    closer: platform::ipc::Closer,
}

impl Answers {
    fn stop(self) -> u64 {
        self.closer.close();
        self.thread.join().expect("the person leaves");
        self.answered.load(Ordering::Relaxed)
    }
}

/// What became of connections.
#[derive(Default)]
struct Outcomes {
    ended: AtomicU32,
    connected: AtomicU64,
}

impl Outcomes {
    fn expecting(self: &Arc<Self>, remote: SocketAddr) -> ConnectSpec {
        let this = Arc::clone(self);
        ConnectSpec::to(remote).then(move |outcome| {
            if outcome == Outcome::Connected {
                this.connected.fetch_add(1, Ordering::Relaxed);
            }
            this.ended.fetch_add(1, Ordering::Release);
        })
    }

    fn wait_for(&self, ended: u32) {
        while self.ended.load(Ordering::Acquire) < ended {
            thread::sleep(Duration::from_micros(20));
        }
    }
}

/// A machine that tells nothing about its processes.
struct Strangers;

impl Processes for Strangers {
    fn describe(&self, _process: Key) -> Option<Description> {
        None
    }

    fn open(&self, _path: &str) -> io::Result<File> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn publisher(&self, _path: &str) -> Option<Arc<str>> {
        None
    }
}

fn endpoint(folder: &Path) -> String {
    folder.join("control.sock").display().to_string()
}

fn write_rules(folder: &Path) {
    let mut rules = String::new();
    for n in 1..RULES {
        let to = remote(n);
        let _ = write!(
            rules,
            "[rule.r{n}]\naction = \"block\"\nprogram = 'C:\\Program Files\\p{n}.exe'\nremote = \"{to}\"\n\n"
        );
    }
    rules.push_str("[rule.node]\naction = \"permit\"\nprogram = 'C:\\Program Files\\node.exe'\n");
    let layer = folder.join("rules/user");
    fs::create_dir_all(&layer).expect("a folder");
    fs::write(layer.join("rules.toml"), rules).expect("a file");
}

/// Connections a second when each is permitted unread.
fn answer_barely(connections: u32) -> f64 {
    let machine = fill::machine();
    let program = machine.program("node.exe");
    let device = machine.device();
    device.attach(&WIDEST).expect("attached");
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut batch = Vec::new();
            let mut left = connections as usize;
            while left > 0 {
                device.next(&mut batch, Duration::MAX).expect("requests");
                let (_, requests) = wire::batch::requests(&batch).expect("a batch");
                let answers: Vec<wire::verdict::Answer> = requests
                    .map(|view| {
                        wire::verdict::Answer::once(view.expect("a request").request.id, wire::verdict::Verdict::PERMIT)
                    })
                    .collect();
                left -= device.submit(&answers).expect("submitted").len();
            }
        });
        connect(&machine, &program, connections)
    })
}

/// Makes that many connections, each as soon as there is room; gives how many were decided a second.
fn connect(machine: &Machine, program: &Program, connections: u32) -> f64 {
    let outcomes = Arc::new(Outcomes::default());
    let mut open = Open::default();
    let start = Instant::now();
    for n in 0..connections {
        outcomes.wait_for(n.saturating_sub(IN_FLIGHT));
        open.keep(program.connect_with(machine.engine(), outcomes.expecting(remote(n))));
    }
    outcomes.wait_for(connections);
    let rate = f64::from(connections) / start.elapsed().as_secs_f64();
    assert_eq!(outcomes.connected.load(Ordering::Relaxed), u64::from(connections));
    rate
}

/// Sockets that wait. Those that have their outcome are closed, oldest first.
#[derive(Default)]
struct Open(VecDeque<Connect>);

impl Open {
    fn keep(&mut self, connect: Connect) {
        self.0.push_back(connect);
        while self.0.front().is_some_and(|connect| connect.outcome() != Outcome::Pending) {
            self.0.pop_front();
        }
    }
}

/// Runs `body` with this thread, and all that it starts, on one processor.
fn on_one_processor<R>(body: impl FnOnce() -> R) -> R {
    let all = sched_getaffinity(None).expect("the processors");
    let mut one = CpuSet::new();
    let first = (0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).expect("a processor");
    one.set(first);
    sched_setaffinity(None, &one).expect("one processor");
    let result = body();
    sched_setaffinity(None, &all).expect("all processors");
    result
}

/// What of this process is in memory.
fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}
