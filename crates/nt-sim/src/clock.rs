//! Virtual time, in units of 100 ns since boot.
//!
//! Invariant: time never goes back, and moves only in [`move_to`]. The performance counter reads it too, unless a benchmark asks
//! for the real one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
        return START + real::since_first_use();
    }
    now()
}

/// The host's clock, read as Windows reads it, because every classify does: from the processor's counter, by one
/// multiplication (learn.microsoft.com "Acquiring high-resolution time stamps").
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod real {
    use super::SECOND;
    use std::sync::OnceLock;
    use std::time::{Duration, Instant};

    const CALIBRATION: Duration = Duration::from_millis(20);
    const SHIFT: u32 = 40;

    struct Counter {
        origin: u64,
        /// Units for one count, shifted.
        factor: u64,
    }

    static COUNTER: OnceLock<Counter> = OnceLock::new();

    pub(super) fn since_first_use() -> u64 {
        let Counter { origin, factor } = COUNTER.get_or_init(calibrate);
        ((u128::from(read().saturating_sub(*origin)) * u128::from(*factor)) >> SHIFT) as u64
    }

    fn calibrate() -> Counter {
        let (started, origin) = (Instant::now(), read());
        while started.elapsed() < CALIBRATION {
            std::hint::spin_loop();
        }
        let units = started.elapsed().as_nanos() * u128::from(SECOND) / 1_000_000_000;
        let counts = u128::from(read().saturating_sub(origin)).max(1);
        Counter { origin, factor: ((units << SHIFT) / counts) as u64 }
    }

    fn read() -> u64 {
        // SAFETY: every x86-64 processor has the instruction, and hosts let programs use it.
        unsafe { core::arch::x86_64::_rdtsc() }
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod real {
    use super::SECOND;
    use std::sync::OnceLock;
    use std::time::Instant;

    static ORIGIN: OnceLock<Instant> = OnceLock::new();

    pub(super) fn since_first_use() -> u64 {
        let elapsed = ORIGIN.get_or_init(Instant::now).elapsed();
        elapsed.as_secs() * SECOND + u64::from(elapsed.subsec_nanos() / 100)
    }
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
