//! Virtual time, in units of 100 ns since boot.
//!
//! Invariant: time never goes back, and moves only in [`move_to`]. The performance counter reads it too, unless a benchmark asks
//! for the real one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::{ke, wait};

/// Units in a millisecond.
pub(crate) const MILLISECOND: u64 = 10_000;
/// Units in a second; also the frequency of the performance counter.
pub(crate) const SECOND: u64 = 10_000_000;
/// System time at boot, 2026-01-01, in units since 1601.
pub(crate) const SYSTEM_TIME_AT_BOOT: u64 = 134_116_992_000_000_000;
/// Time at boot is not zero, so that a driver that takes zero for "never" is right only by rule.
const START: u64 = 100 * SECOND;

static NOW: AtomicU64 = AtomicU64::new(START);
static REAL: AtomicBool = AtomicBool::new(false);
static ORIGIN: OnceLock<Instant> = OnceLock::new();

pub(crate) fn reset(real_counter: bool) {
    NOW.store(START, Ordering::SeqCst);
    REAL.store(real_counter, Ordering::Relaxed);
}

pub(crate) fn now() -> u64 {
    NOW.load(Ordering::SeqCst)
}

/// Time since boot.
pub(crate) fn since_boot() -> u64 {
    now() - START
}

/// Value of the performance counter, with [`SECOND`] counts per second.
pub(crate) fn counter() -> u64 {
    if REAL.load(Ordering::Relaxed) {
        let elapsed = ORIGIN.get_or_init(Instant::now).elapsed();
        return START + elapsed.as_secs() * SECOND + u64::from(elapsed.subsec_nanos() / 100);
    }
    now()
}

/// The moment a `DueTime` or `Timeout` argument names: negative is relative, positive is system time.
pub(crate) fn due(time: i64) -> u64 {
    if time <= 0 {
        return now().saturating_add(time.unsigned_abs());
    }
    START + time.unsigned_abs().saturating_sub(SYSTEM_TIME_AT_BOOT)
}

/// Next moment at which something happens by itself.
pub(crate) fn next_event() -> Option<u64> {
    [ke::timer::next_due(), wait::next_deadline()].into_iter().flatten().min()
}

/// Moves time forward, fires what became due, and wakes who sleeps.
pub(crate) fn move_to(time: u64) {
    NOW.fetch_max(time, Ordering::SeqCst);
    ke::timer::fire_due();
    wait::notify();
}
