//! The wrappers of `nt` for packets: copied in a classify, kept, injected; and closures that wait.
//!
//! The driver here keeps the first packets of every flow until a test says what becomes of them.

#![expect(unsafe_code, reason = "plays the I/O manager's part: it calls the driver's entry point")]

use e2e::{Machine, Options, every_setting, every_system};
use nt::device::{Device, Link};
use nt::driver::Driver;
use nt::irp::{Answered, FileId, Irp};
use nt::lock::SpinLock;
use nt::pool::Tag;
use nt::rundown::Slot;
use nt::status::{Result, Status};
use nt::string::NameRef;
use nt::wfp::authorize::{ACCEPT_V4, ACCEPT_V6, Authorization, CONNECT_V4, CONNECT_V6};
use nt::wfp::callout::{Callout, FilterChange, RegisteredCallout};
use nt::wfp::classify::{Classify, Direction, Protection};
use nt::wfp::engine::{CalloutFilter, Session, SubLayer};
use nt::wfp::inject::Injector;
use nt::wfp::packet::Packets;
use nt::wfp::pend::Pended;
use nt::wfp::{Guid, closure};
use nt::work::Worker;
use nt_sim::{File, ProcessSpec};
use nt_sys::io::DRIVER_OBJECT;
use nt_sys::se::{GENERIC_READ, GENERIC_WRITE};
use nt_sys::status::STATUS_SUCCESS;
use nt_sys::types::{NTSTATUS, UNICODE_STRING};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use wfp_sim::{DatagramSocket, PacketFate, Protection as Ipsec, Sent};

const RELEASE: u32 = 0x0012_E000;
const DISCARD: u32 = RELEASE + 4;
const HOLD_CLOSURES: u32 = RELEASE + 8;
const CLOSE: u32 = RELEASE + 12;
const INJECT: u32 = RELEASE + 16;

const TAG: Tag = Tag(*b"Keep");
const NAME: NameRef = nt::name!("Keeper");
const fn key(number: u128) -> Guid {
    Guid::from_u128(0x3a1c_0002_0000_0000_0000_0000_0000_0000 + number)
}

/// Protections that were seen: a bit each, in the order of the type.
static SEEN: AtomicU32 = AtomicU32::new(0);
static FAILED: AtomicU32 = AtomicU32::new(0);
static SLOT: Slot<Keeper> = Slot::new(TAG);

struct Keeper {
    held: SpinLock<Option<(Direction, Pended, Packets)>>,
    released: SpinLock<Packets>,
    holds_closures: AtomicU32,
    closing: SpinLock<Option<closure::Held>>,
    callouts: SpinLock<[Option<RegisteredCallout>; 6]>,
    session: SpinLock<Option<Session>>,
    link: SpinLock<Option<Link>>,
    injector: Injector,
    worker: Worker<Self>,
    device: Device,
}

impl Keeper {
    fn release(&self) {
        let Some((direction, operation, mut packets)) = self.held.lock().take() else { return };
        match (direction, packets.pop_front()) {
            (Direction::Inbound, Some(first)) => self.injector.complete_and_receive(operation, first),
            (_, first) => {
                operation.complete();
                first.into_iter().for_each(|packet| self.released.lock().push_back(packet));
            }
        }
        self.released.lock().append(packets);
    }

    /// After the reauthorization, which may come later than the completion (R22).
    fn inject(&self) {
        let mut packets = core::mem::take(&mut *self.released.lock());
        while let Some(packet) = packets.pop_front() {
            self.injector.inject(packet);
        }
    }
}

impl Driver for Keeper {
    const DEVICE: NameRef = nt::name!("\\Device\\Keeper");

    fn slot() -> &'static Slot<Self> {
        &SLOT
    }

    fn new(device: Device) -> Result<Self> {
        Ok(Self {
            held: SpinLock::new(None),
            released: SpinLock::new(Packets::default()),
            holds_closures: AtomicU32::new(0),
            closing: SpinLock::new(None),
            callouts: SpinLock::new([const { None }; 6]),
            session: SpinLock::new(None),
            link: SpinLock::new(None),
            injector: Injector::new()?,
            worker: Worker::new(&device)?,
            device,
        })
    }

    fn start(&self) -> Result<()> {
        let layers = [CONNECT_V4, CONNECT_V6, ACCEPT_V4, ACCEPT_V6, closure::LAYER_V4, closure::LAYER_V6];
        let mut callouts = [const { None }; 6];
        for (at, callout) in callouts.iter_mut().enumerate() {
            *callout = Some(match at {
                0..4 => RegisteredCallout::register::<Keeps>(&self.device, key(at as u128))?,
                _ => RegisteredCallout::register::<Closes>(&self.device, key(at as u128))?,
            });
        }
        *self.callouts.lock() = callouts;
        let mut session = Session::open(NAME, 0)?;
        let mut transaction = session.begin()?;
        transaction.add_provider(key(0), NAME)?;
        transaction.add_sublayer(SubLayer { key: key(0), name: NAME, provider: key(0), weight: 9 })?;
        for (at, layer) in layers.into_iter().enumerate() {
            transaction.add_callout_filter(CalloutFilter {
                callout: key(at as u128),
                filter: key(at as u128),
                layer,
                sublayer: key(0),
                provider: key(0),
                name: NAME,
            })?;
        }
        transaction.commit()?;
        *self.session.lock() = Some(session);
        *self.link.lock() = Some(Device::link(nt::name!("\\DosDevices\\Keeper"), Self::DEVICE)?);
        Ok(())
    }

    fn stop(&self) {
        drop_taken(&self.link);
        drop_taken(&self.held);
        drop_taken(&self.closing);
        drop_taken(&self.session);
        let callouts = core::mem::replace(&mut *self.callouts.lock(), [const { None }; 6]);
        drop(callouts);
        self.worker.stop();
        FAILED.store(self.injector.failed() as u32, Ordering::SeqCst);
    }

    fn create(&self, _irp: &Irp) -> Result<()> {
        Ok(())
    }

    fn cleanup(&self, _file: FileId) {}

    fn device_control(&self, irp: Irp) -> Answered {
        match irp.control_code() {
            RELEASE => self.release(),
            INJECT => self.inject(),
            DISCARD => drop_taken(&self.held),
            HOLD_CLOSURES => self.holds_closures.store(1, Ordering::SeqCst),
            CLOSE => drop_taken(&self.closing),
            _ => return irp.complete(Err(Status::INVALID_DEVICE_REQUEST)),
        }
        irp.complete(Ok(0))
    }

    fn worker(&self) -> &Worker<Self> {
        &self.worker
    }

    fn work(&self) {}

    fn tick(&self) {}

    fn filter_engine_changed(&self, _running: bool) {}
}

/// Drops what is in the lock, outside it.
fn drop_taken<T>(lock: &SpinLock<Option<T>>) {
    let taken = lock.lock().take();
    drop(taken);
}

/// Keeps the packets of the first authorization it sees, and permits what it sees again.
enum Keeps {}

impl Callout for Keeps {
    fn classify(classify: &mut Classify<'_>) {
        let driver = SLOT.enter().expect("the driver is loaded");
        if classify.is_injected_by(&driver.injector) {
            return classify.permit();
        }
        SEEN.fetch_or(1 << classify.protection() as u32, Ordering::SeqCst);
        let values = Authorization::read(classify);
        if values.is_reauthorize() || !classify.has_packet() || driver.held.lock().is_some() {
            return classify.permit();
        }
        let kept = classify.copy_packets(TAG).and_then(|packets| {
            assert_eq!(packets.bytes(), classify.packet_bytes(), "what was announced");
            Ok((values.direction, classify.pend()?, packets))
        });
        match kept {
            Ok(kept) => *driver.held.lock() = Some(kept),
            Err(_) => classify.block(),
        }
    }

    fn filter_changed(_change: FilterChange, _filter_id: u64) {}

    fn flow_deleted(_layer: u16, _context: u64) {}
}

/// Holds the closing of a socket, when asked.
enum Closes {}

impl Callout for Closes {
    fn classify(classify: &mut Classify<'_>) {
        let driver = SLOT.enter().expect("the driver is loaded");
        if driver.holds_closures.load(Ordering::SeqCst) == 1
            && let Ok(held) = classify.hold_closure()
        {
            assert!(!classify.may_set_action());
            *driver.closing.lock() = Some(held);
        }
    }

    fn filter_changed(_change: FilterChange, _filter_id: u64) {}

    fn flow_deleted(_layer: u16, _context: u64) {}
}

unsafe extern "system-unwind" fn entry(driver: *mut DRIVER_OBJECT, _registry_path: *const UNICODE_STRING) -> NTSTATUS {
    // SAFETY: the emulated I/O manager calls this as a driver's entry point.
    unsafe { nt::driver::entry::<Keeper>(driver) }
}

/// A machine with the driver here, a handle to it, and a socket.
struct Scene<'a> {
    machine: &'a Machine,
    file: &'a File,
    socket: DatagramSocket,
    remote: SocketAddr,
}

impl Scene<'_> {
    fn call(&self, code: u32) {
        assert_eq!(self.file.ioctl(code, &[], 0).result(), Some((STATUS_SUCCESS, vec![])));
        self.machine.settle();
    }

    fn release(&self) {
        self.call(RELEASE);
        self.call(INJECT);
    }

    /// Payloads that left the machine.
    fn sent(&self) -> Vec<Vec<u8>> {
        self.machine.engine().wire().into_iter().map(|wired| wired.payload).collect()
    }

    fn kept_bytes(&self) -> usize {
        // The state of the driver has the same tag.
        self.machine.kernel().pool_bytes(TAG.0) - size_of::<Keeper>()
    }
}

/// Boots with the driver here, opens a socket, runs `story`, and unloads. `n` is the call that fails after loading; gives
/// whether it was reached, and how many packets were counted as lost.
fn with_keeper(options: Options, is_v6: bool, n: u64, story: impl FnOnce(&Scene<'_>)) -> (bool, u32) {
    let machine = Machine::boot(options);
    SEEN.store(0, Ordering::SeqCst);
    let driver = machine.kernel().load_driver("Keeper", r"\Registry\Machine\System\Keeper", entry).expect("it loads");
    let process = machine.kernel().process(ProcessSpec::new("any.exe"));
    let file = machine.kernel().open(&process, r"\\.\Keeper", GENERIC_READ | GENERIC_WRITE).expect("it opens");
    let program = machine.program("dig.exe");
    let socket = program.udp(machine.engine(), is_v6);
    let remote = if is_v6 { "[2001:db8::1]:53" } else { "192.0.2.1:53" }.parse().expect("an address");
    let scene = Scene { machine: &machine, file: &file, socket, remote };
    machine.kernel().fail_nth_call(n);
    story(&scene);
    let hit = machine.kernel().fault_hit().is_some();
    machine.kernel().fail_nth_call(0);
    drop(scene);
    file.close();
    machine.settle();
    assert!(driver.unload());
    assert_eq!(machine.engine().outstanding_packets(), 0);
    assert_eq!(machine.kernel().pool_bytes(TAG.0), 0);
    (hit, FAILED.load(Ordering::SeqCst))
}

/// Payload of a length that does not divide evenly into pieces.
fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

#[test]
fn an_outbound_packet_goes_on_once_with_all_its_bytes() {
    every_setting(|options| {
        for is_v6 in [false, true] {
            with_keeper(options, is_v6, 0, |scene| {
                scene.socket.send_bytes(scene.remote, &payload(777));
                assert!(scene.sent().is_empty(), "it is kept");
                scene.release();
                assert_eq!(scene.sent(), [payload(777)]);
                let wired = scene.machine.engine().wire();
                assert_eq!((wired[0].remote, wired[0].is_injected), (scene.remote, true));
            });
        }
    });
}

/// R20: several packets in one list; each is injected in a list of its own.
#[test]
fn packets_that_are_sent_together_are_kept_together() {
    every_system(|options| {
        with_keeper(options, false, 0, |scene| {
            let payloads = [payload(1), payload(1400), payload(60)];
            scene.socket.send_many(scene.remote, &[&payloads[0], &payloads[1], &payloads[2]]);
            scene.release();
            assert_eq!(scene.sent(), payloads);
        });
    });
}

/// R18: it is kept from its IP header on, whatever options that has.
#[test]
fn an_inbound_packet_arrives_once_with_all_its_bytes() {
    every_setting(|options| {
        for is_v6 in [false, true] {
            with_keeper(options, is_v6, 0, |scene| {
                assert!(scene.socket.bind());
                scene.socket.deliver(scene.remote, &payload(300));
                assert!(scene.socket.received().is_empty(), "it is kept");
                scene.release();
                assert_eq!(scene.socket.received(), [(scene.remote, payload(300))]);
            });
        }
    });
}

#[test]
fn a_kept_packet_costs_its_bytes_and_at_most_256() {
    with_keeper(Options::default(), false, 0, |scene| {
        let before = scene.kept_bytes();
        scene.socket.send_bytes(scene.remote, &payload(512));
        let (kept, packet) = (scene.kept_bytes() - before, 8 + 512);
        assert!((packet..=packet + 256).contains(&kept), "{kept} bytes for a packet of {packet}");
    });
}

#[test]
fn a_packet_that_is_discarded_goes_nowhere() {
    every_system(|options| {
        with_keeper(options, false, 0, |scene| {
            let before = scene.kept_bytes();
            scene.socket.send_bytes(scene.remote, &payload(64));
            assert_ne!(scene.kept_bytes(), before);
            scene.call(DISCARD);
            assert_eq!((scene.kept_bytes(), scene.sent().len()), (before, 0));
        });
    });
}

/// R24.
#[test]
fn what_ipsec_did_with_a_packet_is_known() {
    let cases = [
        (Ipsec::None, Protection::None),
        (Ipsec::Tunnel, Protection::Tunnel),
        (Ipsec::Transport, Protection::Secured),
        (Ipsec::DeTunneled, Protection::Secured),
    ];
    for (ipsec, protection) in cases {
        with_keeper(Options::default(), false, 0, |scene| {
            assert!(scene.socket.bind());
            scene.socket.deliver_protected(scene.remote, b"x", ipsec);
            assert_eq!(SEEN.load(Ordering::SeqCst), 1 << protection as u32, "{ipsec:?}");
            scene.call(DISCARD);
        });
    }
}

/// R21: whatever fails, the packet is freed once, and it is counted when it could not be injected.
#[test]
fn whatever_fails_nothing_is_left_and_nothing_goes_out_twice() {
    for inbound in [false, true] {
        for n in 1.. {
            let mut arrived = 0;
            let mut was_kept = false;
            let (hit, failed) = with_keeper(Options::default(), false, n, |scene| {
                let before = scene.kept_bytes();
                if inbound {
                    scene.socket.bind();
                    let _: PacketFate = scene.socket.deliver(scene.remote, &payload(2000));
                } else {
                    let _: Sent = scene.socket.send_bytes(scene.remote, &payload(2000));
                }
                was_kept = scene.kept_bytes() != before;
                scene.release();
                arrived = if inbound { scene.socket.received().len() } else { scene.sent().len() };
            });
            assert!(arrived <= 1, "call {n}");
            assert!(arrived == 1 || hit, "call {n}: what did not fail goes on");
            assert!(failed == 0 || was_kept && arrived == 0, "call {n}: only what was kept and lost is counted");
            if !hit {
                break;
            }
        }
    }
}

#[test]
fn a_closure_that_is_held_is_let_go() {
    every_system(|options| {
        with_keeper(options, false, 0, |scene| {
            scene.call(HOLD_CLOSURES);
            scene.socket.send_bytes(scene.remote, b"x");
            scene.release();
            scene.socket.close();
            let keeper = SLOT.enter().expect("the driver is loaded");
            assert!(keeper.closing.lock().is_some(), "it is held");
            drop(keeper);
            scene.call(CLOSE);
        });
    });
}
