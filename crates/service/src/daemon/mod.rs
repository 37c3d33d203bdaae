//! The whole service: started, running, stopped.
//!
//! * [`core`]: what its threads share. `caretaker`: what is done now and then.
//! * `desk`: what clients ask for. `memory`: what outlives the service.
//! * [`system`]: this machine, as the service sees it.
//!
//! Threads: *gate* attaches, takes requests and decides; *timer* looks after deadlines; *lookup* (two) learn facts about
//! processes; *caretaker* looks for changed rules each second. The log, the server and metrics have their own. Invariants:
//! stopping rules about what waits, and then detaches; a worker that is stuck does not keep the service from ending; no
//! thread is missing while the others run: releases abort on a panic, the enforcement point then releases what is held by
//! its fallback, and the service manager starts the service again.
//! Neighbours: `cli` starts one; `server` serves clients from [`core::Core`].

mod caretaker;
pub mod core;
mod desk;
mod memory;
pub mod system;

use crate::ask::changes::Change;
use crate::ask::person::Person;
use crate::ask::{self, Asks};
use crate::clock::{Clock, Now};
use crate::config::Config;
use crate::export::{Exporter, Format, Origin};
use crate::gate::keep::{Keeper, Opener};
use crate::gate::lookups::{Lookups, WORKERS, Worker};
use crate::gate::{Gate, Parts, PromptWatcher};
use crate::identity::Processes;
use crate::interfaces::Namer;
use crate::journal::{Event, Journal};
use crate::log::{self, Log};
use crate::metrics::{self, Metrics};
use crate::names::NameSource;
use crate::outlet::Outlet;
use crate::policy::Policy;
use crate::server::{Feed, Listening, Server};
use crate::sink::Sink;
use caretaker::Caretaker;
use core::Core;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use memory::Memory;
use platform::dirs::{self, Readers};
use platform::ipc;
use platform::paths::Volumes;
use rules::facts::User;
use rules::ruleset::Environment;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often deadlines are looked at while something waits.
const TICK: Duration = Duration::from_millis(50);
/// How often they are when nothing does: prompts that linger close then.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// How long stopping waits for the log.
const LAST_WRITE: Duration = Duration::from_secs(3);

/// What a service is made of.
pub struct Options {
    /// The configuration.
    pub config: Config,
    /// The file it came from, to be read again when it changes; `None` when it came from nowhere.
    pub config_file: Option<PathBuf>,
    /// The directory of rules.
    pub rules: PathBuf,
    /// The directory of state.
    pub state: PathBuf,
    /// What rules must know about this machine.
    pub environment: Environment,
    /// The drive letters of this machine.
    pub volumes: Volumes,
    /// Opens the enforcement point.
    pub open: Opener,
    /// The system's processes.
    pub processes: Arc<dyn Processes>,
    /// Names network interfaces.
    pub interfaces: Namer,
    /// Where names come from; `None` when there is no such thing here.
    pub names: Option<Box<dyn NameSource>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Names this run of the system, where start keys come again in the next; else empty.
    pub boot: Arc<str>,
    /// Where clients connect; nowhere when `None`.
    pub control: Option<String>,
    /// Who is told what the service says about itself.
    pub journal: Journal,
    /// Who else wants to know what is decided.
    pub sinks: Vec<Arc<dyn Sink>>,
}

/// Why a service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The machine's: no more threads.
    #[error("no thread can be started")]
    Thread(#[from] io::Error),
    /// Clients could not connect: another service listens there, or the place is no good.
    #[error("clients cannot be served at {endpoint}")]
    Control {
        /// Where.
        endpoint: String,
        /// What the system said.
        source: io::Error,
    },
}

/// A running service. Clones are the same one; it ends when the last is dropped.
#[derive(Clone)]
pub struct Daemon(Arc<Running>);

struct Running {
    core: Arc<Core>,
    /// Dropped to stop.
    stop: Mutex<Option<Sender<()>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    serving: Mutex<Serving>,
}

/// What serves others. Dropping a part ends it.
struct Serving {
    control: Option<Listening>,
    metrics: Option<metrics::Server>,
}

impl Daemon {
    /// Starts a service. It attaches when it can; [`Core::status`] says whether it did.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let Options { config, config_file, rules, state, environment, volumes, open, processes, .. } = options;
        let Options { interfaces, names, clock, boot, control, journal, mut sinks, .. } = options;
        let now = clock.now();
        // Before anything is written, so that a second service stops here.
        let listener = control.map(|endpoint| listen(endpoint, &config.operators)).transpose()?;
        if let Err(error) = create_state(&state) {
            let why = format!("{} cannot be created: {error}", state.display());
            journal(now, &Event::Broken { part: "the directory of state", why });
        }
        let policy = Arc::new(Policy::start(&rules, &state, environment.clone(), now));
        let memory = Memory::new(rules, state.clone(), environment.clone());
        let (answers, damaged) = memory.read_answers(boot, now);
        if let Some(why) = damaged {
            journal(now, &Event::Broken { part: "the file of answers", why });
        }
        let settings = ask::Settings { unmatched: config.unmatched, default: config.ask.default };
        let asks = Asks::new(settings, answers, memory.read_learned(environment.paths));
        let log = config.log.enabled.then(|| start_log(&config, &state, &clock));
        // Without a log nobody remembers numbers that were given.
        let first_id = log.as_ref().map_or_else(|| unix_micros(now), Log::first_id);
        let feed = Feed::default();
        let metrics = Arc::new(Metrics::default());
        sinks.extend(log.as_ref().map(|log| Arc::new(log.sink()) as Arc<dyn Sink>));
        sinks.push(Arc::new(feed.clone()));
        sinks.push(metrics.clone());
        if let Some(target) = &config.syslog {
            let exporter = Arc::new(Exporter::start(target.into(), Format::Syslog, Origin::here()));
            metrics.watch(exporter.clone());
            sinks.push(exporter);
        }
        let (lookups, worker) = Lookups::new(processes.clone());
        let (timer, wakes) = bounded(1);
        let names = names.filter(|_| config.names);
        let scraped = config.metrics;
        let gate = Arc::new(Gate::new(Parts {
            clock,
            policy,
            config,
            outlet: Outlet::new(sinks, first_id),
            volumes,
            lookups,
            interfaces,
            watcher: watcher(feed.clone()),
            asks,
            timer,
        }));
        let keeper = Arc::new(Keeper::new(gate.clone(), open, journal.clone()));
        let parts = core::Parts {
            gate: gate.clone(),
            keeper: keeper.clone(),
            log,
            feed,
            metrics,
            memory,
            journal,
            config_file,
            now,
        };
        let core = Arc::new(Core::new(parts));
        let (stop, stopped) = bounded(0);
        let serving = Mutex::new(Serving { control: None, metrics: None });
        let running = Running { core: core.clone(), stop: Mutex::new(Some(stop)), threads: Mutex::default(), serving };
        core.tell_start();
        running.serve(listener, scraped)?;
        running.spawn_workers(&gate, &worker, &stopped)?;
        let stop = stopped.clone();
        running.spawn("timer", move || tick(&gate, &wakes, &stop))?;
        let stop = stopped.clone();
        running.spawn("caretaker", move || Caretaker::new(core, processes, names).run(&stop))?;
        running.spawn("gate", move || keeper.run(&stopped))?;
        Ok(Self(Arc::new(running)))
    }

    /// What clients are served from.
    pub fn core(&self) -> &Arc<Core> {
        &self.0.core
    }

    /// Begins to stop. Any number of times, from any thread.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Waits until it is stopped and detached.
    pub fn wait(&self) {
        self.0.wait();
    }
}

impl Running {
    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run)?;
        self.threads().push(thread);
        Ok(())
    }

    /// Serves clients, and metrics. Metrics that cannot be served are no reason not to keep the gate.
    fn serve(&self, listener: Option<ipc::Listener>, scraped: Option<SocketAddr>) -> Result<(), StartError> {
        let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = listener {
            let server = Server::new(self.core.clone(), self.core.feed.clone());
            serving.control = Some(server.listen(listener)?);
        }
        if let Some(address) = scraped {
            let core = self.core.clone();
            match metrics::Server::start(address, self.core.metrics.clone(), Arc::new(move || core.status())) {
                Ok(server) => serving.metrics = Some(server),
                Err(error) => {
                    let why = format!("{address} cannot be listened at: {error}");
                    self.core.tell(&Event::Broken { part: "metrics", why });
                }
            }
        }
        Ok(())
    }

    /// These are not waited for: the system may never answer them.
    fn spawn_workers(&self, gate: &Arc<Gate>, worker: &Worker, stop: &Receiver<()>) -> io::Result<()> {
        for _ in 0..WORKERS {
            let (gate, worker, stop) = (gate.clone(), worker.clone(), stop.clone());
            thread::Builder::new().name("lookup".to_owned()).spawn(move || worker.run(&*gate, &stop))?;
        }
        Ok(())
    }

    fn stop(&self) {
        drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.core.keeper.stop();
    }

    fn wait(&self) {
        let threads = std::mem::take(&mut *self.threads());
        for thread in threads {
            // One that panicked has said so.
            let _panicked = thread.join();
        }
        // Clients saw the last decisions; now nobody serves them. What they hold of the service ends with them.
        let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = (serving.control.take(), serving.metrics.take());
        drop(serving);
        drop(ended);
        if let Some(log) = &self.core.log {
            // What the disk does not take in time is lost, and the log says so.
            let _in_time = log.flush(LAST_WRITE);
        }
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        self.wait();
    }
}

/// Looks after deadlines until `stop` is closed.
fn tick(gate: &Gate, wakes: &Receiver<()>, stop: &Receiver<()>) {
    loop {
        let pause = if gate.is_waited_for() { TICK } else { IDLE_TICK };
        crossbeam_channel::select! {
            recv(stop) -> _ => return,
            recv(wakes) -> _ => {
                // What waits was only just put there.
                if !matches!(stop.recv_timeout(TICK), Err(RecvTimeoutError::Timeout)) {
                    return;
                }
            }
            default(pause) => {}
        }
        gate.tick();
    }
}

/// The usual place has the access that it must have, whatever it had; another one that is there keeps its own.
fn create_state(state: &Path) -> io::Result<()> {
    if state == dirs::state() { dirs::create(state, Readers::Nobody) } else { dirs::create_own(state) }
}

fn listen(endpoint: String, operators: &str) -> Result<ipc::Listener, StartError> {
    ipc::listen(&endpoint, Some(operators)).map_err(|source| StartError::Control { endpoint, source })
}

fn start_log(config: &Config, state: &Path, clock: &Arc<dyn Clock>) -> Log {
    let path = config.log.path.clone().unwrap_or_else(|| state.join("log.db"));
    let limits = log::Limits { age: config.log.keep, bytes: config.log.bytes, ..log::Limits::default() };
    Log::start(path, limits, clock.clone())
}

fn unix_micros(now: Now) -> u64 {
    u64::try_from(now.wall.as_microsecond()).unwrap_or(1)
}

/// Tells clients what happens to prompts.
fn watcher(feed: Feed) -> PromptWatcher {
    let everybody = Person { id: "".into(), name: "".into(), administrator: true };
    Box::new(move |changes| {
        for change in changes {
            match change {
                Change::Shown(shown) => {
                    if let Some(prompt) = shown.to(&everybody) {
                        feed.prompt(&prompt);
                    }
                }
                Change::Closed(gone) => {
                    let owner = gone.owner.clone().map(|id| User { id, name: None });
                    feed.closed(gone.id, owner.as_ref(), &gone.closed);
                }
            }
        }
    })
}
