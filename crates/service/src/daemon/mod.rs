//! The whole service: started, running, stopped.
//!
//! * [`core`]: what its threads share. [`caretaker`]: what is done now and then.
//! * [`system`]: this machine, as the service sees it.
//!
//! Threads: *gate* attaches, takes requests and decides; *timer* looks after deadlines; *lookup* (two) learn facts about
//! processes; *caretaker* looks for changed rules each second. The log, the server and metrics have their own. Invariants:
//! stopping rules about what waits, and then detaches; a worker that is stuck does not keep the service from ending.
//! Neighbours: `cli` starts one; `server` serves clients from [`core::Core`].

mod caretaker;
pub mod core;
pub mod system;

use crate::ask::answers::Answers;
use crate::ask::learn::Learned;
use crate::ask::{self, Asks};
use crate::clock::Clock;
use crate::config::Config;
use crate::gate::keep::{Keeper, Opener};
use crate::gate::lookups::{Lookups, WORKERS, Worker};
use crate::gate::{Gate, Parts};
use crate::identity::Processes;
use crate::journal::Journal;
use crate::names::NameSource;
use crate::outlet::Outlet;
use crate::policy::Policy;
use crate::sink::Sink;
use caretaker::Caretaker;
use core::Core;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use platform::paths::Volumes;
use rules::ruleset::Environment;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often deadlines are looked at while something waits.
const TICK: Duration = Duration::from_millis(50);
/// How often they are when nothing does: prompts that linger close then.
const IDLE_TICK: Duration = Duration::from_secs(1);

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
    /// Where names come from; `None` when there is no such thing here.
    pub names: Option<Box<dyn NameSource>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
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
}

/// A running service. Clones are the same one; it ends when the last is dropped.
#[derive(Clone)]
pub struct Daemon(Arc<Running>);

struct Running {
    core: Arc<Core>,
    /// Dropped to stop.
    stop: Mutex<Option<Sender<()>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Daemon {
    /// Starts a service. It attaches when it can; [`Core::status`] says whether it did.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let Options { config, config_file, rules, state, environment, volumes, open, .. } = options;
        let Options { processes, names, clock, journal, sinks, .. } = options;
        let now = clock.now();
        let policy = Arc::new(Policy::start(&rules, &state, environment.clone(), now));
        let settings = ask::Settings { unmatched: config.unmatched, default: config.ask.default };
        let asks = Asks::new(settings, Answers::new("".into()), Learned::new(environment.paths));
        let (lookups, worker) = Lookups::new(processes);
        let (timer, wakes) = bounded(1);
        let first_id = u64::try_from(now.wall.as_microsecond()).unwrap_or(1);
        let is_listening = config.names;
        let gate = Arc::new(Gate::new(Parts {
            clock,
            policy,
            config,
            outlet: Outlet::new(sinks, first_id),
            volumes,
            lookups,
            watcher: Box::new(|_| ()),
            asks,
            timer,
        }));
        let keeper = Arc::new(Keeper::new(gate.clone(), open, journal.clone()));
        let names = names.filter(|_| is_listening);
        let core = Arc::new(Core::new(gate.clone(), keeper.clone(), config_file, journal, now));
        let (stop, stopped) = bounded(0);
        let running = Running { core: core.clone(), stop: Mutex::new(Some(stop)), threads: Mutex::default() };
        core.tell_start();
        running.spawn_workers(&gate, &worker, &stopped)?;
        let stop = stopped.clone();
        running.spawn("timer", move || tick(&gate, &wakes, &stop))?;
        let stop = stopped.clone();
        running.spawn("caretaker", move || Caretaker::new(core, names).run(&stop))?;
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
