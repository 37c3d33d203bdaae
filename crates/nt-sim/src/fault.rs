//! Failing the n-th fallible call.
//!
//! Every kernel function that may fail for lack of resources asks [`should_fail`] first. The filter engine's emulator asks the
//! same counter, so one number enumerates every failure a driver can meet.
//!
//! Neighbours: Driver Verifier's "Systematic low resources simulation" is the model; here the order is exact.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::global::Global;

static CALLS: AtomicU64 = AtomicU64::new(0);
/// Number of the call that fails; 0 is none.
static CHOSEN: AtomicU64 = AtomicU64::new(0);
static HIT: Global<Option<&'static str>> = Global::new(None);

/// Counts one fallible call named `call` and says whether it must fail.
pub fn should_fail(call: &'static str) -> bool {
    let number = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    if number != CHOSEN.load(Ordering::Relaxed) {
        return false;
    }
    *HIT.lock() = Some(call);
    true
}

/// Lets the `n`-th fallible call from now on fail; the first is 1, and 0 lets none fail.
pub fn fail_nth_call(n: u64) {
    CALLS.store(0, Ordering::Relaxed);
    CHOSEN.store(n, Ordering::Relaxed);
    HIT.take();
}

/// The call that was made to fail, if it was reached.
pub fn hit() -> Option<&'static str> {
    *HIT.lock()
}

/// Fallible calls since boot or since [`fail_nth_call`].
pub fn calls() -> u64 {
    CALLS.load(Ordering::Relaxed)
}
