//! Spin locks. Cites learn.microsoft.com "KeAcquireSpinLock", "KeReleaseSpinLock" and "Bug Check 0xC4".
#![expect(unsafe_code, reason = "calls the kernel as a driver does")]

mod sample;

use std::cell::UnsafeCell;

use nt_sim::{Violation, bugcheck_of, held_spin_locks, irql, rules};
use nt_sys::ex::{ExAllocatePool2, ExFreePoolWithTag, POOL_FLAG_NON_PAGED};
use nt_sys::ke::*;
use nt_sys::types::*;
use sample::{TAG, boot};

/// A lock and what it guards.
struct Guarded {
    lock: UnsafeCell<KSPIN_LOCK>,
    value: UnsafeCell<u64>,
}

// SAFETY: `value` is only touched with `lock` held.
unsafe impl Sync for Guarded {}

impl Guarded {
    const fn new() -> Self {
        Self { lock: UnsafeCell::new(0), value: UnsafeCell::new(0) }
    }

    fn acquire(&self) -> KIRQL {
        // SAFETY: the lock lives as long as `self`.
        unsafe { KeAcquireSpinLockRaiseToDpc(self.lock.get()) }
    }

    fn release(&self, irql: KIRQL) {
        // SAFETY: as above.
        unsafe { KeReleaseSpinLock(self.lock.get(), irql) };
    }

    fn acquire_at_dpc(&self) {
        // SAFETY: as above.
        unsafe { KeAcquireSpinLockAtDpcLevel(self.lock.get()) };
    }

    fn release_from_dpc(&self) {
        // SAFETY: as above.
        unsafe { KeReleaseSpinLockFromDpcLevel(self.lock.get()) };
    }
}

fn code(violation: &Violation) -> (u32, usize) {
    (violation.code, violation.parameter)
}

#[test]
fn acquire_raises_release_restores_and_held_locks_are_counted() {
    let kernel = boot();
    let (outer, inner) = (Guarded::new(), Guarded::new());
    let saved = outer.acquire();
    assert_eq!((saved, irql(), held_spin_locks()), (PASSIVE_LEVEL, DISPATCH_LEVEL, 1));
    inner.acquire_at_dpc();
    assert_eq!(held_spin_locks(), 2);
    inner.release_from_dpc();
    outer.release(saved);
    assert_eq!((irql(), held_spin_locks()), (PASSIVE_LEVEL, 0));
    kernel.shutdown();
}

#[test]
fn lock_excludes_other_threads() {
    let kernel = boot();
    let guarded = Guarded::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let saved = guarded.acquire();
                    // SAFETY: the lock is held.
                    unsafe { *guarded.value.get() += 1 };
                    guarded.release(saved);
                }
            });
        }
    });
    // SAFETY: the other threads have ended.
    assert_eq!(unsafe { *guarded.value.get() }, 8_000);
    kernel.shutdown();
}

#[test]
fn recursion_is_reported() {
    let _kernel = boot();
    let guarded = Guarded::new();
    guarded.acquire();
    assert_eq!(code(&bugcheck_of(|| guarded.acquire())), (0xC4, 0x1000));
}

#[test]
fn release_of_a_free_lock_is_reported() {
    let _kernel = boot();
    let guarded = Guarded::new();
    nt_sim::raise_irql(DISPATCH_LEVEL);
    assert_eq!(code(&bugcheck_of(|| guarded.release(PASSIVE_LEVEL))), (0xC4, 0x1007));
}

#[test]
fn release_by_another_thread_is_reported() {
    let kernel = boot();
    let guarded = Guarded::new();
    guarded.acquire();
    let violation = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            nt_sim::raise_irql(DISPATCH_LEVEL);
            bugcheck_of(|| guarded.release(PASSIVE_LEVEL))
        });
        other.join().expect("the thread reports")
    });
    assert_eq!(code(&violation), (0xC4, 0x1004));
    drop(kernel);
}

#[test]
fn release_to_another_level_than_saved_is_reported() {
    // "KeReleaseSpinLock": NewIrql is the value that KeAcquireSpinLock returned.
    let _kernel = boot();
    let guarded = Guarded::new();
    guarded.acquire();
    assert!(bugcheck_of(|| guarded.release(APC_LEVEL)).is(rules::LOCK_RESTORES_WRONG_IRQL));
}

#[test]
fn release_below_dispatch_is_reported() {
    let _kernel = boot();
    let guarded = Guarded::new();
    guarded.acquire();
    nt_sim::set_irql(PASSIVE_LEVEL);
    assert_eq!(code(&bugcheck_of(|| guarded.release(PASSIVE_LEVEL))), (0xC4, 0x32));
}

#[test]
fn acquire_above_dispatch_is_reported() {
    let _kernel = boot();
    let guarded = Guarded::new();
    nt_sim::raise_irql(DISPATCH_LEVEL + 1);
    assert_eq!(code(&bugcheck_of(|| guarded.acquire())), (0xC4, 0x42));
}

#[test]
fn acquire_for_dpc_below_dispatch_is_reported() {
    let _kernel = boot();
    let guarded = Guarded::new();
    assert_eq!(code(&bugcheck_of(|| guarded.acquire_at_dpc())), (0xC4, 0x40));
}

#[test]
fn the_two_families_do_not_mix() {
    let _kernel = boot();
    let guarded = Guarded::new();
    guarded.acquire();
    assert_eq!(code(&bugcheck_of(|| guarded.release_from_dpc())), (0xC4, 0x1009));
}

#[test]
fn lock_that_was_never_zeroed_is_reported() {
    let _kernel = boot();
    let guarded = Guarded { lock: UnsafeCell::new(0xFAFA_FAFA), value: UnsafeCell::new(0) };
    assert_eq!(code(&bugcheck_of(|| guarded.acquire())), (0xC4, 0x1002));
}

#[test]
fn lowering_with_a_lock_held_is_reported() {
    let _kernel = boot();
    let guarded = Guarded::new();
    guarded.acquire();
    assert!(bugcheck_of(|| nt_sim::lower_irql(PASSIVE_LEVEL)).is(rules::IRQL));
}

#[test]
fn freeing_a_held_lock_is_reported() {
    let _kernel = boot();
    // SAFETY: no precondition.
    let memory = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG) };
    let lock = memory.cast::<KSPIN_LOCK>().wrapping_add(3);
    // SAFETY: the memory is zeroed and large enough.
    unsafe { KeAcquireSpinLockRaiseToDpc(lock) };
    // SAFETY: breaks the rule that this test is about.
    let violation = bugcheck_of(|| unsafe { ExFreePoolWithTag(memory, TAG) });
    assert_eq!(code(&violation), (0xC4, 0x100B));
}

/// What a host's stack leaves in the padding of a record may be a copy of a lock's word.
#[test]
fn freeing_a_copy_of_a_held_locks_word_is_no_violation() {
    let kernel = boot();
    let guarded = Guarded::new();
    let irql = guarded.acquire();
    // SAFETY: the word is only written under the lock, by this thread.
    let copy = unsafe { guarded.lock.get().read() };
    // SAFETY: no precondition.
    let memory = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG) };
    // SAFETY: the memory is large enough.
    unsafe { memory.cast::<KSPIN_LOCK>().write(copy) };
    // SAFETY: allocated above, freed once.
    unsafe { ExFreePoolWithTag(memory, TAG) };
    guarded.release(irql);
    kernel.shutdown();
}
