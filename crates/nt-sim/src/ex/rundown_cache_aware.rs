//! Run-down protection with a count for each processor.
//!
//! Invariants: each processor's word is as in `rundown`: bit 0 says that run-down began, the rest counts users; no two words
//! share a cache line; a word is never negative, because a release on a processor without users takes from another.

use std::sync::atomic::{AtomicUsize, Ordering};

use nt_sys::ex::{EX_RUNDOWN_REF_CACHE_AWARE, NonPagedPool, NonPagedPoolNx};
use nt_sys::types::{APC_LEVEL, BOOLEAN, DISPATCH_LEVEL, FALSE, TRUE};

use super::pool;
use crate::ke::processor::{self, PROCESSORS};
use crate::{rules, thread, verifier, wait};

const ENDING: usize = 1;
const USER: usize = 2;

/// The users who came in on one processor; two lines, because processors fetch lines in pairs.
#[repr(C, align(128))]
struct Processor {
    count: AtomicUsize,
}

type Processors = [Processor; PROCESSORS];

/// Makes run-down protection.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn ExAllocateCacheAwareRundownProtection(
    kind: i32,
    tag: u32,
) -> *mut EX_RUNDOWN_REF_CACHE_AWARE {
    const FUNCTION: &str = "ExAllocateCacheAwareRundownProtection";
    thread::require_irql(FUNCTION, APC_LEVEL);
    if ![NonPagedPool, NonPagedPoolNx].contains(&kind) {
        verifier::report(
            rules::POOL_BAD_FLAGS,
            format!("{FUNCTION} of type {kind}, which users at DISPATCH_LEVEL touch"),
        );
    }
    // Pool of a page or more begins with a page, and zero is a word that nobody uses.
    pool::allocate(FUNCTION, false, 0, size_of::<Processors>(), tag).cast()
}

/// Frees it.
///
/// # Safety
/// `reference` came from [`ExAllocateCacheAwareRundownProtection`].
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn ExFreeCacheAwareRundownProtection(reference: *mut EX_RUNDOWN_REF_CACHE_AWARE) {
    thread::require_irql("ExFreeCacheAwareRundownProtection", APC_LEVEL);
    // SAFETY: the caller's promise.
    let users: usize = unsafe { all(reference) }.iter().map(|processor| users(&processor.count)).sum();
    if users > 0 {
        verifier::report(rules::RUNDOWN_FREED_IN_USE, format!("{reference:p} freed with {users} users"));
    }
    pool::ExFreePoolWithTag(reference.cast(), 0);
}

/// Becomes a user unless run-down began.
///
/// # Safety
/// `reference` is valid.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn ExAcquireRundownProtectionCacheAware(
    reference: *mut EX_RUNDOWN_REF_CACHE_AWARE,
) -> BOOLEAN {
    thread::require_irql("ExAcquireRundownProtectionCacheAware", DISPATCH_LEVEL);
    // SAFETY: the caller's promise.
    let count = unsafe { mine(reference) };
    let entered = count.fetch_update(Ordering::Acquire, Ordering::Relaxed, |old| {
        (old & ENDING == 0).then_some(old.wrapping_add(USER))
    });
    if entered.is_ok() { TRUE } else { FALSE }
}

/// Ends one use.
///
/// # Safety
/// As for [`ExAcquireRundownProtectionCacheAware`].
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn ExReleaseRundownProtectionCacheAware(reference: *mut EX_RUNDOWN_REF_CACHE_AWARE) {
    thread::require_irql("ExReleaseRundownProtectionCacheAware", DISPATCH_LEVEL);
    // SAFETY: the caller's promise.
    let left = leave(unsafe { mine(reference) });
    // SAFETY: the caller's promise.
    let left = left.or_else(|| unsafe { all(reference) }.iter().find_map(|processor| leave(&processor.count)));
    match left {
        None => verifier::report(rules::RUNDOWN_UNBALANCED, format!("{reference:p} released without a user")),
        Some(old) if old & ENDING != 0 => wait::notify(),
        Some(_) => {}
    }
}

/// Refuses new users and waits for the present ones.
///
/// # Safety
/// As for [`ExAcquireRundownProtectionCacheAware`].
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn ExWaitForRundownProtectionReleaseCacheAware(
    reference: *mut EX_RUNDOWN_REF_CACHE_AWARE,
) {
    const FUNCTION: &str = "ExWaitForRundownProtectionReleaseCacheAware";
    thread::require_irql(FUNCTION, APC_LEVEL);
    // SAFETY: the caller's promise.
    let all = unsafe { all(reference) };
    for processor in all {
        processor.count.fetch_or(ENDING, Ordering::AcqRel);
    }
    wait::until(None, FUNCTION, || all.iter().all(|processor| processor.count.load(Ordering::Acquire) == ENDING));
}

/// Takes out one user; gives what the word was, or nothing when there was none.
fn leave(count: &AtomicUsize) -> Option<usize> {
    count.fetch_update(Ordering::Release, Ordering::Relaxed, |old| old.checked_sub(USER)).ok()
}

fn users(count: &AtomicUsize) -> usize {
    count.load(Ordering::Acquire) / USER
}

/// # Safety
/// `reference` is valid for `'a`.
unsafe fn mine<'a>(reference: *mut EX_RUNDOWN_REF_CACHE_AWARE) -> &'a AtomicUsize {
    let place = reference.cast::<Processor>().wrapping_add(processor::current());
    // SAFETY: the caller's promise; the block has a place for every processor, all of it atomic words.
    unsafe { &(*place).count }
}

/// # Safety
/// `reference` is valid for `'a`.
unsafe fn all<'a>(reference: *mut EX_RUNDOWN_REF_CACHE_AWARE) -> &'a Processors {
    // SAFETY: the caller's promise; the block has this size, and is all atomic words and padding.
    unsafe { &*reference.cast::<Processors>() }
}
