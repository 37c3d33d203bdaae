//! The one engine of the process: all its state, and how the C symbols find it.
//!
//! Invariant: at most one machine is installed at a time; a second boot waits for the first to shut down.

use crate::ale::{Ale, Network};
use crate::api::Memory;
use crate::bfe::{Bfe, Policy};
use crate::classify::{Callouts, Handles, Quarantine};
use crate::config::Config;
use crate::events::Events;
use crate::host::{Host, Violation};
use crate::inject::Injection;
use crate::ndis::{Broken, Lists};
use crate::status::TotalCounters;
use crate::sync::{Lock, SharedLock};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};

/// The state of the platform.
pub(crate) struct Machine {
    pub config: Config,
    pub host: Arc<dyn Host>,
    pub bfe: Bfe,
    pub policy: RwLock<Arc<Policy>>,
    pub callouts: Callouts,
    pub handles: Handles,
    pub ale: Ale,
    pub network: Network,
    pub lists: Lists,
    pub injection: Injection,
    pub events: Events,
    pub totals: TotalCounters,
    pub memory: Memory,
    pub quarantine: Quarantine,
    warnings: Mutex<Vec<Violation>>,
    crashed: AtomicBool,
    next_id: AtomicU64,
    draws: AtomicU64,
}

static INSTALLED: RwLock<Option<Arc<Machine>>> = RwLock::new(None);
static BOOTED: Mutex<bool> = Mutex::new(false);
static SHUT_DOWN: Condvar = Condvar::new();

impl Machine {
    pub fn boot(config: Config, host: Arc<dyn Host>) -> Arc<Self> {
        let mut booted = BOOTED.hold();
        while *booted {
            booted = SHUT_DOWN.wait(booted).unwrap_or_else(PoisonError::into_inner);
        }
        let machine = Arc::new(Self {
            bfe: Bfe::new(&config),
            policy: RwLock::new(Arc::new(Policy::empty())),
            callouts: Callouts::default(),
            handles: Handles::default(),
            ale: Ale::default(),
            network: Network::default(),
            lists: Lists::default(),
            injection: Injection::default(),
            events: Events::default(),
            totals: TotalCounters::default(),
            memory: Memory::default(),
            quarantine: Quarantine::default(),
            warnings: Mutex::default(),
            crashed: AtomicBool::new(false),
            next_id: AtomicU64::new(1),
            draws: AtomicU64::new(config.seed),
            config,
            host,
        });
        *INSTALLED.exclusive() = Some(Arc::clone(&machine));
        *booted = true;
        machine
    }

    /// Takes the machine out of service; the C symbols find nothing any more.
    pub fn uninstall(&self) {
        *INSTALLED.exclusive() = None;
        *BOOTED.hold() = false;
        SHUT_DOWN.notify_one();
    }

    /// The machine that the C symbols act on.
    pub fn current() -> Arc<Self> {
        let installed = INSTALLED.shared().clone();
        installed.expect("a filtering function was called and no engine is booted")
    }

    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.shared())
    }

    /// A number that was never given out before.
    pub fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// A handle that looks like one: never null, never an index, never given out before.
    pub fn new_handle(&self) -> u64 {
        0xFFFF_A000_0000_0000 | (self.new_id() << 4)
    }

    /// The next number of the seeded sequence (SplitMix64).
    pub fn draw(&self) -> u64 {
        mix(self.draws.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed))
    }

    /// Reports a rule that Windows would enforce by corruption, a hang or a stop.
    pub fn bugcheck(&self, rule: &'static str, detail: String) -> ! {
        self.crashed.store(true, Ordering::SeqCst);
        self.host.bugcheck(Violation { rule, detail })
    }

    /// The same, when a rule was broken on the way.
    pub fn obey<T>(&self, done: Result<T, Broken>) -> T {
        match done {
            Ok(value) => value,
            Err((rule, what)) => self.bugcheck(rule, what),
        }
    }

    /// Records a rule that Windows does not enforce.
    pub fn warn(&self, rule: &'static str, detail: String) {
        self.warnings.hold().push(Violation { rule, detail });
    }

    pub fn warnings(&self) -> Vec<Violation> {
        self.warnings.hold().clone()
    }

    /// Whether a violation was reported; what is left over then proves nothing.
    pub fn has_crashed(&self) -> bool {
        self.crashed.load(Ordering::SeqCst)
    }
}

fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
