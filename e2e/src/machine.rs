//! The whole machine as a test holds it.

#[cfg(feature = "service")]
use crate::enforcer::Device;
use crate::host::KernelHost;
use crate::program::Program;
use crate::service::{Request, Service};
use nt_sim::{Kernel, ProcessSpec, User};
use nt_sys::io::DRIVER_OBJECT;
use nt_sys::types::{NTSTATUS, UNICODE_STRING};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wfp_sim::{ClassifyIrql, Config, Connect, Engine, Knobs, Outcome};
use wire::settings::Settings;

/// Above the ids that Linux gives, of which [`Device`] takes its own.
const FIRST_PID: u32 = 0x80_0000;

/// How the machine is set up.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What the documentation leaves open.
    pub knobs: Knobs,
    /// The level at which callouts are called.
    pub irql: ClassifyIrql,
    /// How many values a classify has: 32, 36, 37 or 41.
    pub value_count: u32,
    /// Whether the base filtering engine runs when the driver is loaded.
    pub bfe_running: bool,
    /// The performance counter is the host's; for benchmarks.
    pub real_counter: bool,
    /// Decides what Windows leaves to chance.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            knobs: Knobs::default(),
            irql: ClassifyIrql::Seeded,
            value_count: 41,
            bfe_running: true,
            real_counter: false,
            seed: 1,
        }
    }
}

/// A booted machine, which threads may share. Fields drop in order: the driver must be gone before the engine, the engine
/// before the kernel.
pub struct Machine {
    driver: Mutex<Option<nt_sim::Driver>>,
    engine: Option<Engine>,
    kernel: Option<Kernel>,
    next_pid: AtomicU32,
}

impl Machine {
    /// Boots, without the driver.
    pub fn boot(options: Options) -> Self {
        let kernel = Kernel::boot(nt_sim::Config { real_counter: options.real_counter });
        let config = Config {
            knobs: options.knobs,
            seed: options.seed,
            value_count: options.value_count,
            classify_irql: options.irql,
            unknown_flag_bits: true,
            notify_delete_at_dispatch: options.seed.is_multiple_of(2),
            bfe_running: options.bfe_running,
            ..Config::default()
        };
        let engine = Engine::boot(config, Arc::new(KernelHost));
        Self {
            driver: Mutex::default(),
            engine: Some(engine),
            kernel: Some(kernel),
            next_pid: AtomicU32::new(FIRST_PID),
        }
    }

    /// Boots with the driver loaded.
    ///
    /// # Panics
    /// When the driver does not load.
    pub fn with_driver(options: Options) -> Self {
        let machine = Self::boot(options);
        assert_eq!(machine.load(), Ok(()), "the driver loads");
        machine
    }

    /// Loads the driver, as `sc start` does.
    pub fn load(&self) -> Result<(), NTSTATUS> {
        let driver = self.kernel().load_driver("Tollgate", r"\Registry\Machine\System\Tollgate", entry)?;
        *self.driver.lock().unwrap_or_else(PoisonError::into_inner) = Some(driver);
        Ok(())
    }

    /// Unloads the driver, as `sc stop` does. Gives `false`, and has the kernel do it later, while handles are open.
    pub fn unload(&self) -> bool {
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner).take();
        driver.is_none_or(|driver| driver.unload())
    }

    /// The kernel.
    pub fn kernel(&self) -> &Kernel {
        self.kernel.as_ref().expect("the machine is not shut down")
    }

    /// The filter engine.
    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("the machine is not shut down")
    }

    /// Moves time on, running what becomes due.
    pub fn advance(&self, ms: u64) {
        self.kernel().advance(ms);
    }

    /// Runs everything that is due now.
    pub fn settle(&self) {
        self.kernel().settle();
    }

    /// Has `program` connect to `remote`, and runs what is due.
    pub fn connect(&self, program: &Program, remote: &str) -> Connect {
        let connect = program.connect(self.engine(), remote);
        self.settle();
        connect
    }

    /// The same, for a connection that must be held: gives its request too, as the only one that waits for `service`.
    ///
    /// # Panics
    /// When it is not held, or other requests or reports wait.
    pub fn hold(&self, program: &Program, service: &Service, remote: &str) -> (Connect, Request) {
        let connect = self.connect(program, remote);
        assert_eq!(connect.outcome(), Outcome::Pending, "{remote} is held");
        let request = service.take_one();
        assert!(request.is_held(), "{request:?}");
        (connect, request)
    }

    /// Starts a program of a standard user, known to kernel and filter engine by one id.
    pub fn program(&self, name: &str) -> Program {
        let pid = self.new_pid();
        let path = format!(r"\device\harddiskvolume3\program files\{name}");
        let process = self.kernel().process(ProcessSpec::new(&path).pid(pid).user(User::Standard));
        let mut spec = wfp_sim::ProcessSpec::new(pid, &path);
        spec.sids = vec![process.sid_bytes().to_vec()];
        Program::new(process, self.engine().process(spec), path)
    }

    /// Starts an administrator's process and attaches it as the service, with the given settings.
    ///
    /// # Panics
    /// When it cannot attach.
    pub fn service(&self, settings: Settings) -> Service {
        let service = self.client();
        service.attach(settings);
        service
    }

    /// Starts an administrator's process and opens the device, without attaching.
    ///
    /// # Panics
    /// When the device cannot be opened.
    pub fn client(&self) -> Service {
        let pid = self.new_pid();
        let path = r"\device\harddiskvolume3\program files\tollgate\tollgate.exe";
        let process = self.kernel().process(ProcessSpec::new(path).pid(pid));
        let own = self.engine().process(wfp_sim::ProcessSpec::new(pid, path));
        Service::open(self.kernel(), process, own)
    }

    /// Opens the device for a session of the real service.
    ///
    /// # Panics
    /// When the device cannot be opened.
    #[cfg(feature = "service")]
    pub fn device(&self) -> Device {
        Device::open(self.kernel())
    }

    fn new_pid(&self) -> u32 {
        self.next_pid.fetch_add(4, Ordering::Relaxed)
    }

    /// Unloads the driver and shuts down; both emulators verify that nothing is left. The same as dropping it, said aloud.
    ///
    /// # Panics
    /// With the violation, when something is.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // After a failure the emulators only look after themselves.
        if !std::thread::panicking() {
            assert!(self.unload(), "no handle is open at shutdown");
        }
        drop(self.engine.take());
        drop(self.kernel.take());
    }
}

/// The driver's entry point, as the image `tollgate.sys` has it.
unsafe extern "system-unwind" fn entry(driver: *mut DRIVER_OBJECT, _registry_path: *const UNICODE_STRING) -> NTSTATUS {
    // SAFETY: the emulated I/O manager calls this as a driver's entry point.
    unsafe { nt::driver::entry::<driver::Tollgate>(driver) }
}
