//! Run-down protection with a count for each processor. Cites learn.microsoft.com "Run-Down Protection".
#![expect(unsafe_code, reason = "calls the kernel as a driver does")]

mod sample;

use std::thread;

use nt_sim::{bugcheck_of, on_dispatch, rules};
use nt_sys::ex::*;
use nt_sys::ke::{KeGetCurrentProcessorNumberEx, PROCESSOR_NUMBER};
use nt_sys::types::TRUE;
use sample::*;

/// A block that a test shares between its threads.
#[derive(Clone, Copy)]
struct Block(*mut EX_RUNDOWN_REF_CACHE_AWARE);

// SAFETY: the functions of the block are made for concurrent use.
unsafe impl Send for Block {}

impl Block {
    fn new() -> Self {
        // SAFETY: no precondition that the emulated kernel does not check.
        Self(unsafe { ExAllocateCacheAwareRundownProtection(NonPagedPoolNx, TAG) })
    }

    fn enter(self) -> bool {
        // SAFETY: tests free the block last.
        on_dispatch(|| unsafe { ExAcquireRundownProtectionCacheAware(self.0) }) == TRUE
    }

    fn leave(self) {
        // SAFETY: as above.
        on_dispatch(|| unsafe { ExReleaseRundownProtectionCacheAware(self.0) });
    }

    fn wait(self) {
        // SAFETY: as above.
        unsafe { ExWaitForRundownProtectionReleaseCacheAware(self.0) };
    }

    fn free(self) {
        // SAFETY: made by `new`, freed once.
        unsafe { ExFreeCacheAwareRundownProtection(self.0) };
    }
}

#[test]
fn users_come_in_on_one_processor_and_leave_on_another() {
    let kernel = boot();
    let block = Block::new();
    assert!(block.enter());
    assert!(thread::spawn(move || block.enter()).join().expect("no panic"));
    thread::spawn(move || block.leave()).join().expect("no panic");
    block.leave();
    block.wait();
    block.free();
    kernel.shutdown();
}

#[test]
fn after_run_down_nobody_comes_in_on_any_processor() {
    let kernel = boot();
    let block = Block::new();
    block.wait();
    assert!(!block.enter());
    assert!(!thread::spawn(move || block.enter()).join().expect("no panic"));
    block.free();
    kernel.shutdown();
}

#[test]
fn a_user_on_another_processor_is_waited_for() {
    let _kernel = boot();
    let block = Block::new();
    assert!(thread::spawn(move || block.enter()).join().expect("no panic"));
    assert!(bugcheck_of(|| block.wait()).is(rules::HANG));
}

#[test]
fn releasing_without_a_user_on_any_processor_is_reported() {
    let _kernel = boot();
    let block = Block::new();
    assert!(block.enter());
    block.leave();
    assert!(bugcheck_of(|| block.leave()).is(rules::RUNDOWN_UNBALANCED));
}

#[test]
fn freeing_what_somebody_uses_is_reported() {
    let _kernel = boot();
    let block = Block::new();
    assert!(block.enter());
    assert!(bugcheck_of(|| block.free()).is(rules::RUNDOWN_FREED_IN_USE));
}

#[test]
fn the_block_comes_from_pool_and_the_call_may_fail() {
    let kernel = boot();
    kernel.fail_nth_call(1);
    assert!(Block::new().0.is_null());
    let block = Block::new();
    assert!(kernel.all_pool_bytes() > 0);
    block.free();
    assert_eq!(kernel.all_pool_bytes(), 0);
    kernel.shutdown();
}

#[test]
fn pageable_memory_is_refused() {
    let _kernel = boot();
    // SAFETY: breaks the rule that this test is about.
    let violation = bugcheck_of(|| unsafe { ExAllocateCacheAwareRundownProtection(PagedPool, TAG) });
    assert!(violation.is(rules::POOL_BAD_FLAGS));
}

#[test]
fn a_thread_stays_on_its_processor_and_the_next_one_has_another() {
    let kernel = boot();
    let number = || {
        let mut place = PROCESSOR_NUMBER { Group: 1, Number: 0, Reserved: 1 };
        // SAFETY: the place is valid for writing.
        let number = unsafe { KeGetCurrentProcessorNumberEx(&raw mut place) };
        assert_eq!((place.Group, u32::from(place.Number), place.Reserved), (0, number, 0));
        number
    };
    assert_eq!(number(), number());
    let [one, other] = [(); 2].map(|()| thread::spawn(number).join().expect("no panic"));
    assert_ne!(one, other);
    kernel.shutdown();
}
