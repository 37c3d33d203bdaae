//! Spin locks: real ones, whose word holds all the bookkeeping.
//!
//! Invariant: a free lock is 0. A held one is magic, the owner's number, the saved IRQL and how it was taken, so that taking and
//! giving back cost one compare-and-swap and one store; the classify benchmark runs over them. The magic depends on the lock's
//! address: a copy of the word, such as the host's stack leaves in padding, is no held lock.

use std::hint;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nt_sys::ke::KSPIN_LOCK;
use nt_sys::types::{DISPATCH_LEVEL, KIRQL};

use crate::rules::{self, Rule};
use crate::thread::{self, Thread};
use crate::{point, verifier};

/// High 8 bits of a held lock's word; the next 16 are of its address.
const MAGIC: usize = 0x51 << 56;
const MAGIC_MASK: usize = 0xFF_FF_FF << 40;
/// Set when the acquire raised the IRQL.
const RAISED: usize = 1 << 7;
const IRQL_MASK: usize = 0x0F;
const OWNER_SHIFT: u32 = 8;
/// Real time after which spinning counts as a hang.
const HANG: Duration = Duration::from_secs(10);

/// Raises to `DISPATCH_LEVEL` and takes the lock.
///
/// # Safety
/// `lock` points to a lock that stays valid while it is held.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn KeAcquireSpinLockRaiseToDpc(lock: *mut KSPIN_LOCK) -> KIRQL {
    point::point();
    Thread::with(|thread| {
        let old = thread.irql.get();
        if old > DISPATCH_LEVEL {
            verifier::report(rules::LOCK_ACQUIRED_TOO_HIGH, format!("spin lock {lock:p} acquired at IRQL {old}"));
        }
        thread.irql.set(DISPATCH_LEVEL);
        // SAFETY: the caller's promise.
        take(unsafe { word(lock) }, RAISED | usize::from(old), thread);
        old
    })
}

/// Gives the lock back and restores the level.
///
/// # Safety
/// As for [`KeAcquireSpinLockRaiseToDpc`].
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn KeReleaseSpinLock(lock: *mut KSPIN_LOCK, new: KIRQL) {
    Thread::with(|thread| {
        if thread.irql.get() != DISPATCH_LEVEL {
            violation(rules::LOCK_RELEASED_AT_WRONG_IRQL, lock, thread);
        }
        // SAFETY: the caller's promise.
        give_back(unsafe { word(lock) }, RAISED | usize::from(new), thread);
        thread.irql.set(new);
    });
    point::point();
}

/// Takes the lock at `DISPATCH_LEVEL`.
///
/// # Safety
/// As for [`KeAcquireSpinLockRaiseToDpc`].
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn KeAcquireSpinLockAtDpcLevel(lock: *mut KSPIN_LOCK) {
    point::point();
    Thread::with(|thread| {
        if thread.irql.get() < DISPATCH_LEVEL {
            violation(rules::LOCK_ACQUIRED_TOO_LOW, lock, thread);
        }
        // SAFETY: the caller's promise.
        take(unsafe { word(lock) }, 0, thread);
    });
}

/// Gives back a lock taken at `DISPATCH_LEVEL`.
///
/// # Safety
/// As for [`KeAcquireSpinLockRaiseToDpc`].
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn KeReleaseSpinLockFromDpcLevel(lock: *mut KSPIN_LOCK) {
    Thread::with(|thread| {
        if thread.irql.get() < DISPATCH_LEVEL {
            violation(rules::LOCK_RELEASED_TOO_LOW, lock, thread);
        }
        // SAFETY: the caller's promise.
        give_back(unsafe { word(lock) }, 0, thread);
    });
    point::point();
}

/// Whether the word at an address is a held lock. Everything in it has to be right: a driver's tables are millions of words
/// that may look like anything.
pub(crate) fn is_held(address: usize, word: usize) -> bool {
    let how = word & 0xFF & !RAISED;
    word & MAGIC_MASK == magic(address) && how <= usize::from(DISPATCH_LEVEL) && thread::exists(owner(word))
}

#[inline]
fn magic(address: usize) -> usize {
    MAGIC | (address >> 3 & 0xFF_FF) << 40
}

/// # Safety
/// `lock` points to a lock that is valid for `'a`.
unsafe fn word<'a>(lock: *mut KSPIN_LOCK) -> &'a AtomicUsize {
    // SAFETY: a lock is an aligned word that everybody accesses through this module.
    unsafe { AtomicUsize::from_ptr(lock) }
}

#[inline]
fn held(lock: &AtomicUsize, how: usize, thread: &Thread) -> usize {
    magic(lock.as_ptr().addr()) | (thread.id() as usize) << OWNER_SHIFT | how
}

#[inline]
fn take(lock: &AtomicUsize, how: usize, thread: &Thread) {
    let word = held(lock, how, thread);
    if lock.compare_exchange(0, word, Ordering::Acquire, Ordering::Relaxed).is_err() {
        contend(lock, word, thread);
    }
    thread.locks.set(thread.locks.get() + 1);
}

#[cold]
fn contend(lock: &AtomicUsize, word: usize, thread: &Thread) {
    let started = Instant::now();
    while let Err(seen) = lock.compare_exchange_weak(0, word, Ordering::Acquire, Ordering::Relaxed) {
        if seen != 0 && !is_held(lock.as_ptr().addr(), seen) {
            violation(rules::LOCK_UNINITIALIZED, lock.as_ptr(), thread);
        } else if seen != 0 && owner(seen) == thread.id() {
            violation(rules::LOCK_RECURSION, lock.as_ptr(), thread);
        } else if started.elapsed() > HANG {
            violation(rules::LOCK_HANG, lock.as_ptr(), thread);
        }
        if verifier::stopped() {
            lock.store(word, Ordering::Relaxed);
            return;
        }
        hint::spin_loop();
        point::give_way();
    }
}

#[inline]
fn give_back(lock: &AtomicUsize, how: usize, thread: &Thread) {
    let word = lock.load(Ordering::Relaxed);
    if word != held(lock, how, thread) {
        explain_release(word, how, lock, thread);
    }
    lock.store(0, Ordering::Release);
    thread.locks.set(thread.locks.get().saturating_sub(1));
}

/// Says what is wrong with a release of a lock whose word is not the expected one.
#[cold]
fn explain_release(word: usize, how: usize, lock: &AtomicUsize, thread: &Thread) {
    let rule = if word == 0 {
        rules::LOCK_NOT_OWNED
    } else if !is_held(lock.as_ptr().addr(), word) {
        rules::LOCK_UNINITIALIZED
    } else if owner(word) != thread.id() {
        rules::LOCK_RELEASED_BY_OTHER
    } else if (word ^ how) & RAISED != 0 {
        rules::LOCK_MISMATCHED_RELEASE
    } else {
        rules::LOCK_RESTORES_WRONG_IRQL
    };
    let message =
        format!("spin lock {:p} saved IRQL {}, released to {}", lock.as_ptr(), word & IRQL_MASK, how & IRQL_MASK);
    verifier::report(rule, message);
}

fn owner(word: usize) -> u32 {
    ((word & !MAGIC_MASK) >> OWNER_SHIFT) as u32
}

#[cold]
fn violation(rule: Rule, lock: *mut KSPIN_LOCK, thread: &Thread) {
    let (id, irql) = (thread.id(), thread.irql.get());
    verifier::report(rule, format!("spin lock {lock:p}, by thread {id} at IRQL {irql}"));
}
