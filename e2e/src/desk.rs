//! A desk to sit at: the emulated machine with the driver, programs that connect, and the whole service in a directory.
//!
//! Invariants: the service is the real one; only the machine under it is not. The device is opened on the machine's own
//! thread and handed to the service, which finds no driver while none waits for it. Neighbours: `tests/daemon.rs` and
//! `examples/desk.rs`.

use crate::{Connect, Device, Machine, Options, Outcome, Plug, Program};
use platform::enforcer::EnforcerError;
use platform::paths::Volumes;
use rules::ruleset::{Environment, PathStyle};
use service::clock::{Clock, SystemClock};
use service::config::Config;
use service::daemon::{self, Daemon, StartError};
use service::identity::{Description, Key, Processes};
use service::journal::Journal;
use service::sink::Sink;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A machine with the service on it. Fields drop in order: the service must be gone before the machine.
pub struct Desk {
    daemon: Daemon,
    devices: Arc<Mutex<Vec<Device>>>,
    plug: Plug,
    residents: Arc<Residents>,
    machine: Machine,
}

/// How the service is set up.
pub struct Setup {
    /// The machine.
    pub machine: Options,
    /// The configuration.
    pub config: Config,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The machine's processes, when not those that the machine itself knows.
    pub processes: Option<Arc<dyn Processes>>,
    /// Who hears what the service says.
    pub journal: Journal,
    /// Who hears of decisions.
    pub sinks: Vec<Arc<dyn Sink>>,
    /// Where clients connect.
    pub control: Option<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            machine: Options::default(),
            config: Config::default(),
            clock: Arc::new(SystemClock::default()),
            processes: None,
            journal: Arc::new(|_, _| ()),
            sinks: Vec::new(),
            control: None,
        }
    }
}

/// The programs that the machine runs, as its system describes them.
#[derive(Default)]
pub struct Residents(Mutex<HashMap<u64, Description>>);

impl Residents {
    fn known(&self) -> MutexGuard<'_, HashMap<u64, Description>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Processes for Residents {
    fn describe(&self, process: Key) -> Option<Description> {
        self.known().get(&process.pid).cloned()
    }

    fn open(&self, path: &str) -> io::Result<File> {
        Err(io::Error::new(io::ErrorKind::NotFound, format!("{path} is on an emulated disk")))
    }

    /// Nothing is signed but what the system brings.
    fn publisher(&self, path: &str) -> Option<Arc<str>> {
        path.ends_with("svchost.exe").then(|| "Microsoft Windows".into())
    }
}

impl Desk {
    /// Boots a machine, and starts the service with `rules` and `state` in `directory`.
    pub fn start(directory: &Path, setup: Setup) -> Result<Self, StartError> {
        let machine = Machine::with_driver(setup.machine);
        let device = machine.device();
        let plug = device.plug();
        let devices = Arc::new(Mutex::new(vec![device]));
        let waiting = devices.clone();
        let open = move || {
            let device = lock(&waiting).pop().ok_or(EnforcerError::NotRunning)?;
            Ok(Box::new(device) as Box<_>)
        };
        let residents = Arc::new(Residents::default());
        let processes = setup.processes.unwrap_or_else(|| residents.clone());
        let daemon = Daemon::start(daemon::Options {
            config: setup.config,
            config_file: Some(directory.join("tollgate.toml")),
            rules: directory.join("rules"),
            state: directory.join("state"),
            environment: environment(),
            volumes: Volumes::new([('C', r"\Device\HarddiskVolume3")]),
            open: Box::new(open),
            processes,
            interfaces: Arc::new(interface),
            names: None,
            clock: setup.clock,
            boot: "emulated".into(),
            control: setup.control,
            journal: setup.journal,
            sinks: setup.sinks,
        })?;
        Ok(Self { daemon, devices, plug, residents, machine })
    }

    /// The service.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Starts a program of a standard user.
    pub fn program(&self, name: &str) -> Program {
        let program = self.machine.program(name);
        let path = format!(r"C:\Program Files\{name}");
        let description = Description {
            command_line: Some(format!("\"{path}\" --run").into()),
            path: Some(path.into()),
            parent: Some(r"C:\Windows\explorer.exe".into()),
            user_name: Some(r"DESK\me".into()),
            ..Description::default()
        };
        self.residents.known().insert(program.pid(), description);
        program
    }

    /// Has `program` connect, and waits until `is_enough` of what became of that.
    pub fn connect_until(&self, program: &Program, remote: &str, is_enough: impl Fn(Outcome) -> bool) -> Connect {
        let connect = self.machine.connect(program, remote);
        self.until(|| is_enough(connect.outcome()));
        connect
    }

    /// Has `program` connect, and waits for the verdict.
    pub fn outcome(&self, program: &Program, remote: &str) -> Outcome {
        self.connect_until(program, remote, |outcome| outcome != Outcome::Pending).outcome()
    }

    /// Waits until `condition` holds, while the machine goes on.
    pub fn until(&self, condition: impl Fn() -> bool) {
        while !condition() {
            self.machine.settle();
            thread::yield_now();
        }
    }

    /// Stops the driver, as a service manager does. It is gone when the service has let go of it.
    pub fn stop_driver(&self) {
        // First, so that no call is being cancelled while the driver unloads.
        self.plug.pull();
        let _deferred = self.machine.unload();
    }

    /// Starts the driver again.
    ///
    /// # Panics
    /// When it does not load.
    pub fn start_driver(&mut self) {
        self.until(|| self.machine.engine().snapshot().callouts.is_empty());
        assert_eq!(self.machine.load(), Ok(()), "the driver loads");
        let device = self.machine.device();
        self.plug = device.plug();
        lock(&self.devices).push(device);
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.daemon.stop();
        self.daemon.wait();
        lock(&self.devices).clear();
    }
}

/// What rules must know about an emulated machine.
fn environment() -> Environment {
    Environment {
        paths: PathStyle::Windows,
        resolver: Some(r"C:\Program Files\svchost.exe".to_owned()),
        ..Environment::default()
    }
}

/// The interfaces of an emulated machine: one that leads out, and the loopback.
fn interface(luid: u64, _index: u32) -> Option<String> {
    // The upper 16 bits are the type: 6 is Ethernet, 24 loopback (the registry of interface types, www.iana.org).
    match luid >> 48 {
        6 => Some("Ethernet".to_owned()),
        24 => Some("Loopback".to_owned()),
        _ => None,
    }
}

/// The usual directories of a desk.
impl Desk {
    /// The file of rules of a layer.
    pub fn layer(directory: &Path, layer: &str) -> PathBuf {
        directory.join("rules").join(layer).join("rules.toml")
    }

    /// Writes the rules of a layer.
    ///
    /// # Panics
    /// When the disk does not let us.
    pub fn write_rules(directory: &Path, layer: &str, text: &str) {
        let file = Self::layer(directory, layer);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("the folder is made");
        std::fs::write(file, text).expect("the rules are written");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
