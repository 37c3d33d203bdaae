//! The level each thread would run at on Windows, and the spin locks it holds.
//!
//! Wine has threads where Windows has processors: a thread's own record is exact, because a thread that holds a spin
//! lock here is never scheduled away from it on Windows.

use core::cell::Cell;

use nt_sys::types::{APC_LEVEL, DISPATCH_LEVEL, KIRQL, PASSIVE_LEVEL};

use crate::violations;

std::thread_local! {
    static LEVEL: Cell<KIRQL> = const { Cell::new(PASSIVE_LEVEL) };
    static LOCKS: Cell<u32> = const { Cell::new(0) };
}

/// The level of the calling thread.
#[must_use]
pub fn current() -> KIRQL {
    LEVEL.get()
}

/// Sets the level of the calling thread and returns what it was.
pub fn set(level: KIRQL) -> KIRQL {
    LEVEL.replace(level)
}

/// How many spin locks the calling thread holds.
#[must_use]
pub fn spin_locks_held() -> u32 {
    LOCKS.get()
}

/// Runs `body` at a level and restores the level.
pub fn at<T>(level: KIRQL, body: impl FnOnce() -> T) -> T {
    let old = set(level);
    let result = body();
    set(old);
    result
}

pub(crate) fn lock_acquired() {
    LOCKS.set(LOCKS.get() + 1);
}

pub(crate) fn lock_released(function: &str) {
    match LOCKS.get().checked_sub(1) {
        Some(left) => LOCKS.set(left),
        None => violations::record(format!("{function}: this thread holds no spin lock")),
    }
}

/// Reports `function` when the level is above what its documentation page allows.
pub(crate) fn require_at_most(limit: KIRQL, function: &str) {
    let level = current();
    if level > limit {
        violations::record(format!("{function} at {}; it is documented for {} and below", name(level), name(limit)));
    }
}

/// The level as driver writers say it.
pub(crate) fn name(level: KIRQL) -> String {
    match level {
        PASSIVE_LEVEL => "PASSIVE_LEVEL".to_owned(),
        APC_LEVEL => "APC_LEVEL".to_owned(),
        DISPATCH_LEVEL => "DISPATCH_LEVEL".to_owned(),
        other => format!("IRQL {other}"),
    }
}
