//! The wrappers of `nt` that need a driver around them: requests, pended operations, the worker.
//!
//! The driver here does one thing for each control code, so that a test says what happens to a request or an operation.

#![expect(unsafe_code, reason = "plays the I/O manager's part: it calls the driver's entry point")]

use e2e::{Machine, Options, Outcome, every_setting};
use nt::device::{Device, Link};
use nt::driver::Driver;
use nt::irp::{Answered, FileId, Irp};
use nt::lock::SpinLock;
use nt::pool::Tag;
use nt::queue::IrpQueue;
use nt::rundown::Slot;
use nt::status::{Result, Status};
use nt::string::NameRef;
use nt::wfp::Guid;
use nt::wfp::authorize::{Authorization, CONNECT_V4};
use nt::wfp::callout::{Callout, FilterChange, RegisteredCallout};
use nt::wfp::classify::Classify;
use nt::wfp::engine::{CalloutFilter, Session, SubLayer};
use nt::wfp::pend::Pended;
use nt::work::Worker;
use nt_sim::{File, ProcessSpec};
use nt_sys::io::DRIVER_OBJECT;
use nt_sys::se::{GENERIC_READ, GENERIC_WRITE};
use nt_sys::status::{STATUS_CANCELLED, STATUS_INVALID_DEVICE_REQUEST, STATUS_SUCCESS};
use nt_sys::types::{NTSTATUS, UNICODE_STRING};
use std::sync::atomic::{AtomicUsize, Ordering};

const PARK: u32 = 0x0012_E000;
const DROP_FIRST: u32 = PARK + 4;
const PUT_BACK_FIRST: u32 = PARK + 8;
const DROP_PENDED: u32 = PARK + 12;
const KICK_THRICE: u32 = PARK + 16;

const TAG: Tag = Tag(*b"Mini");
const NAME: NameRef = nt::name!("Mini");
const KEY: Guid = Guid::from_u128(0x3a1c_0001_0000_0000_0000_0000_0000_0001);

/// How often the worker ran.
static RUNS: AtomicUsize = AtomicUsize::new(0);
static SLOT: Slot<Mini> = Slot::new(TAG);

struct Mini {
    queue: IrpQueue,
    pended: SpinLock<Option<Pended>>,
    callout: SpinLock<Option<RegisteredCallout>>,
    session: SpinLock<Option<Session>>,
    link: SpinLock<Option<Link>>,
    worker: Worker<Self>,
    device: Device,
}

impl Driver for Mini {
    const DEVICE: NameRef = nt::name!("\\Device\\Mini");

    fn slot() -> &'static Slot<Self> {
        &SLOT
    }

    fn new(device: Device) -> Result<Self> {
        Ok(Self {
            queue: IrpQueue::new(),
            pended: SpinLock::new(None),
            callout: SpinLock::new(None),
            session: SpinLock::new(None),
            link: SpinLock::new(None),
            worker: Worker::new(&device)?,
            device,
        })
    }

    fn start(&self) -> Result<()> {
        *self.callout.lock() = Some(RegisteredCallout::register::<Holds>(&self.device, KEY)?);
        let mut session = Session::open(NAME, 0)?;
        let mut transaction = session.begin()?;
        transaction.add_provider(KEY, NAME)?;
        transaction.add_sublayer(SubLayer { key: KEY, name: NAME, provider: KEY, weight: 9 })?;
        transaction.add_callout_filter(CalloutFilter {
            callout: KEY,
            filter: KEY,
            layer: CONNECT_V4,
            sublayer: KEY,
            provider: KEY,
            name: NAME,
        })?;
        transaction.commit()?;
        *self.session.lock() = Some(session);
        *self.link.lock() = Some(Device::link(nt::name!("\\DosDevices\\Mini"), Self::DEVICE)?);
        Ok(())
    }

    fn stop(&self) {
        drop_taken(&self.link);
        drop_taken(&self.session);
        drop_taken(&self.callout);
        self.worker.stop();
    }

    fn create(&self, _irp: &Irp) -> Result<()> {
        Ok(())
    }

    fn cleanup(&self, file: FileId) {
        while let Some(irp) = self.queue.take_of(file) {
            drop(irp);
        }
    }

    fn device_control(&self, irp: Irp) -> Answered {
        match irp.control_code() {
            PARK => return self.queue.park(irp, 3),
            DROP_FIRST => drop(self.queue.take()),
            PUT_BACK_FIRST => self.queue.take().into_iter().for_each(|irp| self.queue.put_back(irp)),
            DROP_PENDED => drop_taken(&self.pended),
            KICK_THRICE => (0..3).for_each(|_| self.worker.kick()),
            _ => return irp.complete(Err(Status::INVALID_DEVICE_REQUEST)),
        }
        irp.complete(Ok(0))
    }

    fn worker(&self) -> &Worker<Self> {
        &self.worker
    }

    fn work(&self) {
        RUNS.fetch_add(1, Ordering::SeqCst);
    }

    fn tick(&self) {}

    fn filter_engine_changed(&self, _running: bool) {}
}

/// Drops what is in the lock, outside it.
fn drop_taken<T>(lock: &SpinLock<Option<T>>) {
    let taken = lock.lock().take();
    drop(taken);
}

/// Holds the first connection, and permits it when it is reauthorized.
enum Holds {}

impl Callout for Holds {
    fn classify(classify: &mut Classify<'_>) {
        let driver = SLOT.enter().expect("the driver is loaded");
        if Authorization::read(classify).is_reauthorize() {
            return classify.permit();
        }
        let pended = classify.pend().expect("pended");
        assert_eq!(classify.pend().err(), Some(Status::INVALID_DEVICE_STATE), "an operation is pended once");
        assert!(!classify.may_set_action());
        *driver.pended.lock() = Some(pended);
    }

    fn filter_changed(_change: FilterChange, _filter_id: u64) {}

    fn flow_deleted(_layer: u16, _context: u64) {}
}

unsafe extern "system-unwind" fn entry(driver: *mut DRIVER_OBJECT, _registry_path: *const UNICODE_STRING) -> NTSTATUS {
    // SAFETY: the emulated I/O manager calls this as a driver's entry point.
    unsafe { nt::driver::entry::<Mini>(driver) }
}

/// Boots with the driver here, runs `story` with a handle, and unloads.
fn with_mini(options: Options, story: impl FnOnce(&Machine, &File)) {
    let machine = Machine::boot(options);
    let driver = machine.kernel().load_driver("Mini", r"\Registry\Machine\System\Mini", entry).expect("it loads");
    let process = machine.kernel().process(ProcessSpec::new("any.exe"));
    let file = machine.kernel().open(&process, r"\\.\Mini", GENERIC_READ | GENERIC_WRITE).expect("it opens");
    story(&machine, &file);
    file.close();
    machine.settle();
    assert!(driver.unload());
}

fn call(file: &File, code: u32) {
    assert_eq!(file.ioctl(code, &[], 0).result(), Some((STATUS_SUCCESS, vec![])));
}

#[test]
fn a_request_that_is_dropped_comes_back_cancelled() {
    with_mini(Options::default(), |_, file| {
        let parked = [file.ioctl(PARK, &[], 0), file.ioctl(PARK, &[], 0)];
        call(file, DROP_FIRST);
        assert_eq!(parked[0].result(), Some((STATUS_CANCELLED, vec![])));
        assert!(parked[1].is_pending());
    });
}

#[test]
fn a_request_that_is_put_back_keeps_its_place_and_stays_cancelable() {
    with_mini(Options::default(), |_, file| {
        let parked = [file.ioctl(PARK, &[], 0), file.ioctl(PARK, &[], 0), file.ioctl(PARK, &[], 0)];
        call(file, PUT_BACK_FIRST);
        assert!(parked[1].cancel(), "from the middle");
        call(file, DROP_FIRST);
        let pending: Vec<bool> = parked.iter().map(|call| call.is_pending()).collect();
        assert_eq!(pending, [false, false, true]);
        call(file, PUT_BACK_FIRST);
        assert!(parked[2].cancel(), "the only one");
        call(file, PUT_BACK_FIRST);
        call(file, DROP_FIRST);
        assert!(file.ioctl(PARK, &[], 0).is_pending(), "an emptied queue takes more");
    });
}

#[test]
fn closing_the_handle_takes_what_is_parked_out_of_the_queue() {
    with_mini(Options::default(), |_, file| {
        let parked = [file.ioctl(PARK, &[], 0), file.ioctl(PARK, &[], 0)];
        file.close();
        assert!(parked.iter().all(|call| call.result() == Some((STATUS_CANCELLED, vec![]))));
    });
}

#[test]
fn a_request_that_asks_for_nothing_known_is_refused() {
    with_mini(Options::default(), |_, file| {
        assert_eq!(file.ioctl(PARK + 64, &[], 0).result(), Some((STATUS_INVALID_DEVICE_REQUEST, vec![])));
    });
}

/// The safe exit of a pended operation is to complete it; the reauthorize then decides.
#[test]
fn a_pended_operation_that_is_dropped_is_completed() {
    every_setting(|options| {
        with_mini(options, |machine, file| {
            let program = machine.program("node.exe");
            let connect = machine.connect(&program, "192.0.2.1:443");
            assert_eq!((connect.outcome(), machine.engine().snapshot().pended), (Outcome::Pending, 1));
            call(file, DROP_PENDED);
            machine.settle();
            assert_eq!((connect.outcome(), machine.engine().snapshot().pended), (Outcome::Connected, 0));
        });
    });
}

#[test]
fn a_worker_that_is_kicked_while_it_is_queued_runs_once_more() {
    with_mini(Options::default(), |machine, file| {
        let before = RUNS.load(Ordering::SeqCst);
        call(file, KICK_THRICE);
        machine.settle();
        assert_eq!(RUNS.load(Ordering::SeqCst) - before, 2);
        call(file, KICK_THRICE);
        machine.settle();
        assert_eq!(RUNS.load(Ordering::SeqCst) - before, 4);
    });
}
