//! The machine as a test holds it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nt_sys::io::DRIVER_INITIALIZE;
use nt_sys::types::{ACCESS_MASK, GUID, NTSTATUS};

use crate::clock::{self, MILLISECOND};
use crate::io::{self, Driver, File, device, driver};
use crate::ps::{self, Process, ProcessSpec};
use crate::{DebugLine, TraceEvent, dbg, etw, ex, fault, host, ke, mdl, memory, ob, rules, thread, verifier, wait};

/// Held by the one machine there is.
static POWER: Mutex<()> = Mutex::new(());

/// How the machine is built.
#[derive(Clone, Copy, Default, Debug)]
pub struct Config {
    /// The performance counter reads the host's clock instead of the virtual one; for benchmarks.
    pub real_counter: bool,
}

/// A running machine. Dropping it shuts it down and verifies, as [`Kernel::shutdown`] does.
pub struct Kernel {
    system: Option<Process>,
    _power: MutexGuard<'static, ()>,
}

impl Kernel {
    /// Boots the machine, after the one before has shut down.
    pub fn boot(config: Config) -> Self {
        let power = thread::away(|| POWER.lock().unwrap_or_else(PoisonError::into_inner));
        reset(config);
        Self { system: Some(ps::boot()), _power: power }
    }

    /// Lets the `n`-th fallible call from now on fail; the first is 1.
    pub fn fail_nth_call(&self, n: u64) {
        fault::fail_nth_call(n);
    }

    /// The call that was made to fail, if it was reached.
    pub fn fault_hit(&self) -> Option<&'static str> {
        fault::hit()
    }

    /// Starts a process.
    ///
    /// # Panics
    /// When the id it asks for is in use.
    pub fn process(&self, spec: ProcessSpec) -> Process {
        Process::start(spec)
    }

    /// Loads a driver; the error is what its `DriverEntry` returned.
    pub fn load_driver(&self, name: &str, registry_path: &str, entry: DRIVER_INITIALIZE) -> Result<Driver, NTSTATUS> {
        Driver::load(name, registry_path, entry)
    }

    /// Opens a device by its user-mode name, such as `\\.\Name`, as a process would.
    pub fn open(&self, process: &Process, path: &str, access: ACCESS_MASK) -> Result<File, NTSTATUS> {
        File::open(process.object(), path, access)
    }

    /// Moves virtual time on, running what becomes due on the way.
    pub fn advance(&self, ms: u64) {
        let target = clock::now() + ms * MILLISECOND;
        wait::settle();
        while let Some(next) = clock::next_event().filter(|next| *next <= target) {
            clock::move_to(next);
            wait::settle();
            if verifier::stopped() {
                return;
            }
        }
        clock::move_to(target);
        wait::settle();
    }

    /// Runs everything that is due now.
    pub fn settle(&self) {
        wait::settle();
    }

    /// Virtual time since boot.
    pub fn now_ms(&self) -> u64 {
        host::now_ms()
    }

    /// Bytes of pool allocated with `tag` and not freed.
    pub fn pool_bytes(&self, tag: [u8; 4]) -> usize {
        ex::pool::bytes(Some(u32::from_le_bytes(tag)))
    }

    /// Bytes of pool allocated and not freed.
    pub fn all_pool_bytes(&self) -> usize {
        ex::pool::bytes(None)
    }

    /// Messages to the debugger since boot.
    pub fn debug_lines(&self) -> Vec<DebugLine> {
        dbg::lines()
    }

    /// Begins to listen to a provider of events, registered or not, up to `level` (4 is information); 0 is all.
    pub fn listen(&self, provider: GUID, level: u8) {
        etw::listen(provider, level);
    }

    /// Ends that.
    pub fn ignore(&self, provider: GUID) {
        etw::ignore(provider);
    }

    /// Events that somebody listened to, since boot.
    pub fn trace_events(&self) -> Vec<TraceEvent> {
        etw::events()
    }

    /// Access control list of a device (`\Device\Name`), in the security descriptor definition language.
    pub fn device_sddl(&self, device: &str) -> Option<String> {
        device::sddl(device)
    }

    /// Shuts the machine down.
    ///
    /// # Panics
    /// With a [`crate::Violation`] when something was leaked, or when one happened that no test has seen.
    pub fn shutdown(self) {
        drop(self);
    }

    fn verify(&mut self) {
        let loaded = driver::loaded();
        if !loaded.is_empty() {
            let (loaded, left) = (loaded.join(", "), io::leftovers().join("; "));
            verifier::report(rules::STILL_LOADED, format!("shutdown with {loaded} loaded; there are {left}"));
        }
        drop(self.system.take());
        wait::settle();
        driver::verify_nothing_left("shutdown");
        memory::empty_quarantine();
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // Also after a violation: the threads it left must not meet the next machine.
        let _reset = Reset;
        if std::thread::panicking() {
            return;
        }
        if let Some(violation) = verifier::take_recorded() {
            std::panic::resume_unwind(Box::new(violation));
        }
        if !verifier::stopped() {
            self.verify();
        }
    }
}

/// Resets the machine, whatever happens before.
struct Reset;

impl Drop for Reset {
    fn drop(&mut self) {
        verifier::halt();
        ps::join_all();
        reset(Config::default());
    }
}

fn reset(config: Config) {
    verifier::reset();
    thread::reset();
    clock::reset(config.real_counter);
    fault::fail_nth_call(0);
    ke::timer::reset();
    ke::dpc::reset();
    io::reset();
    ob::reset();
    ps::reset_processes();
    ex::pool::reset();
    mdl::reset();
    memory::reset();
    dbg::reset();
    etw::reset();
}
