//! What can be seen from outside: events for Event Tracing for Windows.
//!
//! Every event is told from the counters, by comparing them with what they were: at each tick of the timer, and at once when a
//! service comes or goes. So the ways of connections have nothing to do with it, no event is written with a lock held, and
//! while nobody listens a tick costs a look at that. What happened before somebody listened is in the first events he hears.
//!
//! Neighbours: `wire::stats` says what the counters mean; `docs/operations.md` how to listen.

use crate::{Tollgate, names};
use core::ffi::CStr;
use nt::debug;
use nt::lock::SpinLock;
use nt::trace::{Level, Provider};
use wire::stats::{Doors, Stats};

nt::events! {
    /// The provider, whose id follows from this name.
    const PROVIDER = "Tollgate.Driver";

    /// A service attached.
    Information fn service_attached = "ServiceAttached" (process_id: u64 = "ProcessId");
    /// The service went away, or gave up; what it held left by the door "detach".
    Information fn service_detached = "ServiceDetached" (process_id: u64 = "ProcessId");
    /// Our filters are in the filter engine.
    Information fn filters_up = "FiltersUp" ();
    /// They are gone.
    Information fn filters_down = "FiltersDown" ();
    /// Connections were held: how many more, how many now.
    Verbose fn held = "ConnectionsHeld" (count: u64 = "Count", now: u32 = "HeldNow", oldest: u32 = "OldestMs");
    /// Held connections left by one of the doors.
    Verbose fn released = "ConnectionsReleased" (door: CStr = "Door", count: u64 = "Count");
    /// Connections were answered by the fallback because a limit was reached.
    Warning fn limited = "LimitHit" (count: u64 = "Count", now: u32 = "HeldNow");
    /// Further packets of held connections were not kept.
    Warning fn packets_refused = "PacketsRefused" (count: u64 = "Count", bytes: u32 = "KeptBytes");
    /// Kept packets could not be injected.
    Error fn injection_failed = "InjectionFailed" (count: u64 = "Count");
    /// Closing sockets had to wait.
    Information fn closures_held = "ClosuresHeld" (count: u64 = "Count");
}

/// Who tells events.
pub(crate) struct Events {
    provider: Option<Provider>,
    /// The counters when they were last looked at; taken out by whoever looks.
    seen: SpinLock<Option<Stats>>,
}

impl Events {
    /// A driver that cannot tell events runs all the same.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub(crate) fn new() -> Self {
        let provider = Provider::register(names::EVENTS, PROVIDER, names::STATE_TAG);
        if let Err(status) = &provider {
            debug::print(debug::Level::Warning, format_args!("Tollgate: no events: {status:?}"));
        }
        Self { provider: provider.ok(), seen: SpinLock::new(Some(Stats::default())) }
    }
}

impl Tollgate {
    /// Tells what has happened since this was last called.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`, with no lock held.
    #[inline]
    pub(crate) fn tell_events(&self) {
        if let Some(provider) = self.events.provider.as_ref().filter(|provider| provider.is_heard(Level::Error)) {
            self.tell_events_to(provider);
        }
    }

    #[cold]
    fn tell_events_to(&self, provider: &Provider) {
        // Somebody else who looks tells it.
        let Some(before) = self.events.seen.lock().take() else { return };
        let now = self.stats();
        tell(provider, &before, &now);
        *self.events.seen.lock() = Some(now);
    }
}

fn tell(provider: &Provider, before: &Stats, now: &Stats) {
    if before.attached_process_id != now.attached_process_id {
        if before.attached_process_id != 0 {
            service_detached(provider, &before.attached_process_id);
        }
        if now.attached_process_id != 0 {
            service_attached(provider, &now.attached_process_id);
        }
    }
    match (before.filtering, now.filtering) {
        (0, 1) => filters_up(provider),
        (1, 0) => filters_down(provider),
        _ => {}
    }
    more(before.held, now.held, |count| held(provider, &count, &now.pended, &now.oldest_ms));
    for (door, count) in DOORS {
        more(count(&before.doors), count(&now.doors), |count| released(provider, door, &count));
    }
    more(before.limited, now.limited, |count| limited(provider, &count, &now.pended));
    more(before.packets_refused, now.packets_refused, |count| packets_refused(provider, &count, &now.kept_bytes));
    more(before.inject_failed, now.inject_failed, |count| injection_failed(provider, &count));
    more(before.closures_held, now.closures_held, |count| closures_held(provider, &count));
}

type Count = fn(&Doors) -> u64;

/// The doors, by the names of their counters.
const DOORS: [(&CStr, Count); 6] = [
    (c"verdict", |doors| doors.verdict),
    (c"deadline", |doors| doors.deadline),
    (c"closure", |doors| doors.closure),
    (c"detach", |doors| doors.detach),
    (c"unload", |doors| doors.unload),
    (c"pend_failed", |doors| doors.pend_failed),
];

/// Tells of a counter that has grown.
fn more(before: u64, now: u64, tell: impl FnOnce(u64)) {
    let count = now.saturating_sub(before);
    if count != 0 {
        tell(count);
    }
}
