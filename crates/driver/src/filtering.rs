//! Our callouts and filters in the filter engine, and the base filtering engine's ups and downs.
//!
//! The callouts are registered while the driver is loaded. The session with the filters exists while the base filtering
//! engine runs: at boot that may be later than us, and it can be restarted (R40).
//!
//! Only the worker changes the session once `start` is through, and `stop` after the worker's end; so whoever has taken it
//! out of its lock to work with it misses nothing.

use crate::callouts::{self, Objects};
use crate::drop_taken;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use nt::debug::{self, Level};
use nt::device::Device;
use nt::driver::Driver;
use nt::lock::SpinLock;
use nt::status::{Result, Status};
use nt::wfp::bfe::{self, Subscription};

/// How many ticks of the timer lie between two attempts to add the filters, or to have live flows looked at.
const RETRY_TICKS: u32 = 10;

/// How many looks at live flows may follow each other at once; then it is one a tick. Each is a transaction, and a classify of
/// every flow there is.
const RECHECKS: u32 = 8;

/// What we have in the filter engine.
pub(crate) struct Filtering {
    callouts: SpinLock<Option<callouts::Registered>>,
    subscription: SpinLock<Option<Subscription>>,
    objects: SpinLock<Option<Objects>>,
    up: AtomicBool,
    /// `start` is through; before, the worker keeps out of its way.
    started: AtomicBool,
    /// The base filtering engine was seen not running: what the session added is gone.
    lost: AtomicBool,
    /// Ticks until the worker is to try again to add the filters; zero when it need not.
    retry_in: AtomicU32,
    /// The filter engine shall look at all live flows again.
    recheck_wanted: AtomicBool,
    /// Ticks until that may be tried again; zero when it has not failed.
    recheck_in: AtomicU32,
    /// How many looks may follow now.
    rechecks_left: AtomicU32,
    /// How often it was made to.
    rechecked: AtomicU64,
}

impl Filtering {
    pub(crate) const fn new() -> Self {
        Self {
            callouts: SpinLock::new(None),
            subscription: SpinLock::new(None),
            objects: SpinLock::new(None),
            up: AtomicBool::new(false),
            started: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            retry_in: AtomicU32::new(0),
            recheck_wanted: AtomicBool::new(false),
            recheck_in: AtomicU32::new(0),
            rechecks_left: AtomicU32::new(RECHECKS),
            rechecked: AtomicU64::new(0),
        }
    }

    /// Registers the callouts and, when the base filtering engine runs, adds the filters. When it does not, they are
    /// added as soon as it does.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub(crate) fn start<D: Driver>(&self, device: &Device) -> Result<()> {
        *self.callouts.lock() = Some(callouts::register(device)?);
        *self.subscription.lock() = Some(Subscription::new::<D>(device)?);
        if bfe::is_running() {
            match callouts::add_objects() {
                // Others are busy with it, as at boot. The worker tries again.
                Err(Status::FWP_TIMEOUT) => self.retry_in.store(RETRY_TICKS, Ordering::Relaxed),
                objects => self.put(objects?),
            }
        } else {
            debug::print(Level::Warning, format_args!("Tollgate: waiting for the base filtering engine"));
        }
        self.started.store(true, Ordering::Release);
        Ok(())
    }

    /// Ends the state notifications; none is running afterwards.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`, and not from a notification.
    pub(crate) fn unsubscribe(&self) {
        drop_taken(&self.subscription);
    }

    /// Removes the filters, then the callouts.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub(crate) fn stop(&self) {
        self.up.store(false, Ordering::Relaxed);
        drop_taken(&self.objects);
        drop_taken(&self.callouts);
    }

    /// Notes a change of the base filtering engine; [`Filtering::follow`] acts on it.
    pub(crate) fn changed(&self, running: bool) {
        if !running {
            self.lost.store(true, Ordering::Release);
        }
    }

    /// Brings the session in line with the base filtering engine. Runs in the worker only.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub(crate) fn follow(&self) {
        if !self.started.load(Ordering::Acquire) {
            // The engine came up between the subscription and the look at its state, and `start` adds the filters.
            return self.retry_in.store(1, Ordering::Relaxed);
        }
        self.retry_in.store(0, Ordering::Relaxed);
        if self.lost.swap(false, Ordering::AcqRel) {
            self.up.store(false, Ordering::Relaxed);
            drop_taken(&self.objects);
            debug::print(Level::Warning, format_args!("Tollgate: the base filtering engine stopped"));
        }
        if self.is_up() || !bfe::is_running() {
            return;
        }
        // New filters at a layer have the engine look at its live flows (R16).
        let is_recheck = self.recheck_wanted.swap(false, Ordering::AcqRel);
        match callouts::add_objects() {
            Ok(objects) => {
                self.put(objects);
                self.rechecked.fetch_add(is_recheck.into(), Ordering::Relaxed);
            }
            Err(status) => {
                debug::print(Level::Error, format_args!("Tollgate: cannot add filters: {status:?}"));
                self.retry_in.store(RETRY_TICKS, Ordering::Relaxed);
                self.recheck_wanted.fetch_or(is_recheck, Ordering::AcqRel);
            }
        }
    }

    /// Whether our filters are in the filter engine.
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Counts a tick of the timer; whether it should kick the worker to try again.
    pub(crate) fn retry_is_due(&self) -> bool {
        self.retry_in.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |ticks| ticks.checked_sub(1)) == Ok(1)
    }

    /// The filter engine shall look at all live flows again, as soon as it can be told.
    pub(crate) fn want_recheck(&self) {
        self.recheck_wanted.store(true, Ordering::Release);
    }

    /// Tells it, if that is wanted. Runs in the worker only, and may wait for other products; what fails is tried again a
    /// little later.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub(crate) fn recheck(&self) {
        let is_too_early =
            self.recheck_in.load(Ordering::Relaxed) != 0 || self.rechecks_left.load(Ordering::Relaxed) == 0;
        if !self.is_up() || is_too_early || !self.recheck_wanted.swap(false, Ordering::AcqRel) {
            return;
        }
        // The engine is called with no lock held.
        let Some(mut objects) = self.objects.lock().take() else { return self.want_recheck() };
        match objects.recheck() {
            Ok(()) => {
                self.rechecked.fetch_add(1, Ordering::Relaxed);
                // Only the worker takes, and the timer only adds.
                self.rechecks_left.fetch_sub(1, Ordering::Relaxed);
            }
            Err(status) => {
                debug::print(Level::Warning, format_args!("Tollgate: cannot have live flows looked at: {status:?}"));
                self.recheck_in.store(RETRY_TICKS, Ordering::Relaxed);
                self.want_recheck();
            }
        }
        *self.objects.lock() = Some(objects);
    }

    /// How often the filter engine was told.
    pub(crate) fn rechecked(&self) -> u64 {
        self.rechecked.load(Ordering::Relaxed)
    }

    /// Counts a tick of the timer; whether it should kick the worker to tell the filter engine.
    pub(crate) fn recheck_is_due(&self) -> bool {
        let more = |left| (left < RECHECKS).then_some(left + 1);
        let _ = self.rechecks_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        let left = self.recheck_in.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |ticks| ticks.checked_sub(1));
        left.is_ok_and(|left| left == 1) || left.is_err() && self.is_up() && self.recheck_wanted.load(Ordering::Acquire)
    }

    fn put(&self, objects: Objects) {
        *self.objects.lock() = Some(objects);
        self.up.store(true, Ordering::Relaxed);
        debug::print(Level::Trace, format_args!("Tollgate: filters are in place"));
    }
}
