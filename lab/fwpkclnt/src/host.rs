//! The kernel under the engine: Wine's, with the levels and locks that the shim keeps.

use std::thread;
use std::time::{Duration, Instant};

use lab_shim::{irql, violations};
use wfp_sim::{Host, Violation};

use crate::workers;

/// The exit code of the driver host after a bugcheck.
const BUGCHECK_EXIT: i32 = 0xBC;

/// The host of the one engine.
pub struct WineHost {
    booted: Instant,
}

impl WineHost {
    /// A host whose clock starts now.
    pub fn new() -> Self {
        Self { booted: Instant::now() }
    }
}

impl Host for WineHost {
    fn irql(&self) -> u8 {
        irql::current()
    }

    fn set_irql(&self, level: u8) {
        irql::set(level);
    }

    fn spin_locks_held(&self) -> usize {
        irql::spin_locks_held() as usize
    }

    fn now_ms(&self) -> u64 {
        self.booted.elapsed().as_millis() as u64
    }

    fn defer(&self, work: Box<dyn FnOnce() + Send>) {
        workers::run(work);
    }

    fn wait_ms(&self, ms: u32) {
        thread::sleep(Duration::from_millis(u64::from(ms)));
    }

    fn should_fail(&self, _what: &'static str) -> bool {
        false
    }

    fn bugcheck(&self, violation: Violation) -> ! {
        violations::record(format!("BUGCHECK {violation}: the driver host ends"));
        std::process::exit(BUGCHECK_EXIT)
    }
}
