//! Our callouts and filters in the filter engine, and the base filtering engine's ups and downs.
//!
//! The callouts are registered while the driver is loaded. The session with the filters exists while the base filtering
//! engine runs: at boot that may be later than us, and it can be restarted (R40).

use crate::callouts;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use nt::debug::{self, Level};
use nt::device::Device;
use nt::driver::Driver;
use nt::lock::SpinLock;
use nt::status::Result;
use nt::wfp::bfe::{self, Subscription};
use nt::wfp::engine::Session;

/// How many ticks of the timer lie between two attempts to add the filters.
const RETRY_TICKS: u32 = 10;

/// What we have in the filter engine.
pub(crate) struct Filtering {
    callouts: SpinLock<Option<callouts::Registered>>,
    subscription: SpinLock<Option<Subscription>>,
    session: SpinLock<Option<Session>>,
    up: AtomicBool,
    /// `start` is through; before, the worker keeps out of its way.
    started: AtomicBool,
    /// The base filtering engine was seen not running: what the session added is gone.
    lost: AtomicBool,
    /// Ticks until the worker is to try again to add the filters; zero when it need not.
    retry_in: AtomicU32,
}

impl Filtering {
    pub(crate) const fn new() -> Self {
        Self {
            callouts: SpinLock::new(None),
            subscription: SpinLock::new(None),
            session: SpinLock::new(None),
            up: AtomicBool::new(false),
            started: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            retry_in: AtomicU32::new(0),
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
            self.put(callouts::add_filters()?);
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
        crate::take(&self.subscription);
    }

    /// Removes the filters, then the callouts.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub(crate) fn stop(&self) {
        self.up.store(false, Ordering::Relaxed);
        crate::take(&self.session);
        crate::take(&self.callouts);
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
            crate::take(&self.session);
            debug::print(Level::Warning, format_args!("Tollgate: the base filtering engine stopped"));
        }
        if self.is_up() || !bfe::is_running() {
            return;
        }
        match callouts::add_filters() {
            Ok(session) => self.put(session),
            Err(status) => {
                debug::print(Level::Error, format_args!("Tollgate: cannot add filters: {status:?}"));
                self.retry_in.store(RETRY_TICKS, Ordering::Relaxed);
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

    fn put(&self, session: Session) {
        *self.session.lock() = Some(session);
        self.up.store(true, Ordering::Relaxed);
        debug::print(Level::Trace, format_args!("Tollgate: filters are in place"));
    }
}
