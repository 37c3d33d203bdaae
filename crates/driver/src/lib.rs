//! The Tollgate callout driver: where `gate`, which thinks, meets `nt`, which knows Windows.
//!
//! The way of a connection: `ale` (classify, keep its packet, pend) - `delivery` (the service hears of it) - `control` (the
//! service answers) - `letting_go` (complete) - `ale` again (reauthorize, verdict) - `letting_go` again (inject the packet).
//! `closures` has the sockets that must wait for that. `callouts` registers us with the filter engine; `filtering` follows
//! the base filtering engine up and down.
//!
//! Invariants: the gate's lock is never held across a call into the filter engine or a request completion (R7); every
//! allocation is made at `PASSIVE_LEVEL`, outside the lock; `stop` leaves nothing held and nothing registered.
//!
//! The same source is `tollgate.sys` and, linked with the emulators, a part of test programs on any host.

#![no_std]
#![forbid(unsafe_code)]

mod ale;
mod callouts;
mod closures;
mod control;
mod delivery;
mod events;
mod filtering;
mod kept;
mod letting_go;
mod memory;
mod names;

use crate::closures::Closures;
use crate::events::Events;
use crate::filtering::Filtering;
use crate::kept::Kept;
use crate::memory::Pool;
use gate::{Busy, Front, Gate, Instant, Owner, Room};
use nt::debug::{self, Level};
use nt::device::{Device, Link};
use nt::driver::Driver;
use nt::irp::{Answered, FileId, Irp};
use nt::lock::SpinLock;
use nt::queue::IrpQueue;
use nt::rundown::Slot;
use nt::shared::Shared;
use nt::status::{Result, Status};
use nt::string::NameRef;
use nt::time::{Clock, sleep_ms};
use nt::timer::PeriodicTimer;
use nt::wfp::inject::Injector;
use nt::wfp::pend::Pended;
use nt::work::Worker;
use wire::settings::Settings;
use wire::stats::Stats;

/// How often deadlines are looked at.
const TICK_MS: u32 = 50;
/// How long `stop` waits for the reauthorizations of what it released: they apply the fallback, and the filters go next.
const STOP_WAIT_MS: u32 = 1_000;

/// What is in force until a service says otherwise. Miri fills tables element by element, so it gets small ones.
const AT_START: Settings = if cfg!(miri) {
    Settings { max_pended: 8, max_pended_per_process: 8, max_cached: 16, ..Settings::INITIAL }
} else {
    Settings::INITIAL
};

/// The loaded driver.
pub struct Tollgate {
    clock: Clock,
    /// What is asked before the gate, because it takes no lock.
    front: Shared<Front<Pool>>,
    gate: SpinLock<Gate<Pended, Kept, Pool>>,
    /// The service's parked `NEXT_REQUESTS` calls.
    parked: IrpQueue,
    closures: Closures,
    /// After the gate, whose packets need it no more when it waits for those that are on their way.
    injector: Injector,
    worker: Worker<Self>,
    events: Events,
    filtering: Filtering,
    timer: SpinLock<Option<PeriodicTimer>>,
    link: SpinLock<Option<Link>>,
    /// Last, so that it is deleted after everything that belongs to it.
    device: Device,
}

static SLOT: Slot<Tollgate> = Slot::new(names::STATE_TAG);

impl Driver for Tollgate {
    const DEVICE: NameRef = names::DEVICE;

    fn slot() -> &'static Slot<Self> {
        &SLOT
    }

    // Inlined into DriverEntry, it would make a stack frame of more than a page, which does not link (`main`).
    #[inline(never)]
    fn new(device: Device) -> Result<Self> {
        let clock = Clock::start();
        let gate = Gate::new(seed(&clock), AT_START).map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        let worker = Worker::new(&device)?;
        Ok(Self {
            clock,
            front: gate.front(),
            gate: SpinLock::new(gate),
            parked: IrpQueue::new(),
            closures: Closures::new()?,
            injector: Injector::new()?,
            worker,
            events: Events::new(),
            filtering: Filtering::new(),
            timer: SpinLock::new(None),
            link: SpinLock::new(None),
            device,
        })
    }

    fn start(&self) -> Result<()> {
        self.filtering.start::<Self>(&self.device)?;
        *self.timer.lock() = Some(PeriodicTimer::start::<Self>(TICK_MS, names::STATE_TAG)?);
        // Last, because from here on user mode can come in.
        *self.link.lock() = Some(Device::link(names::LINK, names::DEVICE)?);
        debug::print(Level::Trace, format_args!("Tollgate: started, wire version {}", wire::VERSION));
        Ok(())
    }

    /// The order matters: first nothing new can begin, then what is held is released while our filters still stand, so
    /// that the fallback is what decides about it, then the filters go, then the callouts (R45, and 2.8 of the same
    /// rules: filters that outlive their callout block everything).
    fn stop(&self) {
        drop_taken(&self.link);
        self.filtering.unsubscribe();
        drop_taken(&self.timer);
        self.gate.lock().drain(self.now());
        self.complete_ready();
        self.worker.stop();
        self.wait_for_reauthorizations();
        self.filtering.stop();
        while let Some(irp) = self.parked.take() {
            let _ = irp.complete(Err(Status::CANCELLED));
        }
        self.tell_events();
        debug::print(Level::Trace, format_args!("Tollgate: stopped"));
    }

    fn create(&self, _irp: &Irp) -> Result<()> {
        // Everybody who passes the device's security may open it; `HELLO` decides who is the service.
        Ok(())
    }

    fn cleanup(&self, file: FileId) {
        control::cleanup(self, file);
    }

    fn device_control(&self, irp: Irp) -> Answered {
        control::device_control(self, irp)
    }

    fn worker(&self) -> &Worker<Self> {
        &self.worker
    }

    fn work(&self) {
        self.filtering.follow();
        self.gate.lock().handle_timeout(self.now());
        self.complete_ready();
        self.close_waiting();
        self.note_recheck();
        self.deliver();
        // Last, because it may have to wait for other products.
        self.filtering.recheck();
    }

    fn tick(&self) {
        self.tell_events();
        let is_due = [self.filtering.retry_is_due(), self.filtering.recheck_is_due(), self.has_work()];
        if is_due.contains(&true) {
            self.kick();
        }
    }

    fn filter_engine_changed(&self, running: bool) {
        self.filtering.changed(running);
        self.kick();
    }
}

impl Tollgate {
    fn now(&self) -> Instant {
        Instant::from_millis(self.clock.now_ms())
    }

    /// Whether a deadline has passed; or an operation, a packet or a closing socket waits that nobody let go, because too many
    /// completions ran or the last of them was for one socket only; or a report that nobody delivered: those of connections
    /// beyond a limit, of which there may be very many, are not worth a delivery each.
    fn has_work(&self) -> bool {
        let now = self.now();
        let gate = self.gate.lock();
        gate.poll_timeout().is_some_and(|at| at <= now)
            || gate.has_completions()
            || gate.has_packets()
            || self.closures.count() != 0
            || gate.has_requests() && !self.parked.is_empty()
    }

    fn kick(&self) {
        self.worker.kick();
    }

    fn wait_for_reauthorizations(&self) {
        let until = self.now().after_millis(STOP_WAIT_MS);
        loop {
            // A classify that was pending its operation during the drain hands it in late, and the worker has stopped.
            // And one that could not pend it has nothing to complete, but may have kept its socket from closing.
            self.complete_ready();
            self.close_waiting();
            let is_over = {
                let gate = self.gate.lock();
                !gate.has_records() && !gate.has_packets()
            } && self.closures.count() == 0;
            if is_over || self.now() >= until {
                return;
            }
            sleep_ms(1);
        }
    }

    /// Makes `process_id` with its handle the service.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    fn attach(&self, handle: u64, process_id: u64, settings: Settings) -> Result<core::result::Result<(), Busy>> {
        let mut room = self.room(&settings)?;
        let attached = self.gate.lock().attach(self.now(), Owner { process_id, handle }, settings, &mut room);
        self.look_at_live_flows();
        self.tell_events();
        Ok(attached)
    }

    /// Replaces the settings, if the service still is the one with this handle.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    fn configure(&self, handle: u64, settings: Settings) -> Result<()> {
        // Dropped after the lock is released.
        let mut room = self.room(&settings)?;
        {
            let mut gate = self.gate.lock();
            if !gate.is_attached(handle) {
                return Err(Status::INVALID_DEVICE_STATE);
            }
            gate.configure(self.now(), settings, &mut room);
        }
        self.look_at_live_flows();
        Ok(())
    }

    /// When the gate knows something new about live flows, the worker has the filter engine look at all of them again.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`, with no lock held.
    fn look_at_live_flows(&self) {
        if self.note_recheck() {
            self.kick();
        }
    }

    /// Takes over the gate's wish; whether it had one.
    fn note_recheck(&self) -> bool {
        let is_wanted = self.gate.lock().poll_recheck();
        if is_wanted {
            self.filtering.want_recheck();
        }
        is_wanted
    }

    /// The memory for new settings, allocated outside the lock; what they replace is freed with it.
    fn room(&self, settings: &Settings) -> Result<Room<Pended, Kept, Pool>> {
        let current = *self.gate.lock().settings();
        Room::new(&current, settings).map_err(|_| Status::INSUFFICIENT_RESOURCES)
    }

    fn stats(&self) -> Stats {
        Stats {
            filtering: self.filtering.is_up().into(),
            rechecked: self.filtering.rechecked(),
            inject_failed: self.injector.failed(),
            closures_held: self.closures.total(),
            ..self.gate.lock().stats(self.now())
        }
    }
}

/// Drops what is in the lock after the lock is released: these things wait, or call the kernel, when they go.
fn drop_taken<T>(lock: &SpinLock<Option<T>>) {
    let taken = lock.lock().take();
    drop(taken);
}

/// Keys of the hashes and of the request ids. The counter and two addresses that the kernel randomizes; nobody but the
/// service, which is trusted, ever sees an id, and a hash key only has to differ from machine to machine.
fn seed(clock: &Clock) -> [u64; 2] {
    let state = (&raw const SLOT).addr() as u64;
    let stack = (&raw const *clock).addr() as u64;
    [clock.raw() ^ state.rotate_left(32), stack.rotate_left(17) ^ clock.raw().wrapping_mul(0x9E37_79B9_7F4A_7C15)]
}
