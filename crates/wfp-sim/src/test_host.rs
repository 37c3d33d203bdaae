//! A host for tests of the engine itself: a virtual clock, a queue of deferred work, levels per thread.
//!
//! Invariant: nothing moves by itself; time moves when a test advances it or the engine waits.

use crate::host::{Host, Violation};
use crate::sync::Lock;
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::panic_any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

type Work = Box<dyn FnOnce() + Send>;

thread_local! {
    static IRQL: Cell<u8> = const { Cell::new(0) };
    static SPIN_LOCKS: Cell<usize> = const { Cell::new(0) };
}

/// A host whose time and deferred work the test drives.
#[derive(Default)]
pub struct TestHost {
    clock_ms: AtomicU64,
    work: Mutex<VecDeque<Work>>,
    /// Calls that can fail so far, and the one that has to.
    fallible_calls: AtomicU64,
    failing_call: AtomicU64,
}

impl TestHost {
    /// A host at time zero.
    pub fn new() -> Arc<Self> {
        let host = Self::default();
        host.failing_call.store(u64::MAX, Ordering::SeqCst);
        Arc::new(host)
    }

    /// Moves the clock.
    pub fn advance_ms(&self, ms: u64) {
        self.clock_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Runs deferred work until there is none; says how much there was.
    pub fn run_deferred(&self) -> usize {
        let mut count = 0;
        loop {
            let next = self.work.hold().pop_front();
            let Some(work) = next else { return count };
            work();
            count += 1;
        }
    }

    /// Makes the `n`-th call that can fail, counted from now and from zero, fail.
    pub fn fail_nth(&self, n: u64) {
        self.fallible_calls.store(0, Ordering::SeqCst);
        self.failing_call.store(n, Ordering::SeqCst);
    }

    /// Runs `body` at `irql`.
    pub fn at_irql<R>(&self, irql: u8, body: impl FnOnce() -> R) -> R {
        let _restore = Restore(IRQL.replace(irql), &IRQL);
        body()
    }

    /// Runs `body` with one more spin lock held, at `DISPATCH_LEVEL`.
    pub fn with_spin_lock<R>(&self, body: impl FnOnce() -> R) -> R {
        let _restore = Restore(SPIN_LOCKS.replace(SPIN_LOCKS.get() + 1), &SPIN_LOCKS);
        self.at_irql(2, body)
    }
}

/// Puts a thread's value back, also when the body unwinds.
struct Restore<T: 'static>(T, &'static std::thread::LocalKey<Cell<T>>)
where
    T: Copy;

impl<T: Copy> Drop for Restore<T> {
    fn drop(&mut self) {
        self.1.set(self.0);
    }
}

impl Host for TestHost {
    fn irql(&self) -> u8 {
        IRQL.get()
    }

    fn set_irql(&self, irql: u8) {
        IRQL.set(irql);
    }

    fn spin_locks_held(&self) -> usize {
        SPIN_LOCKS.get()
    }

    fn now_ms(&self) -> u64 {
        self.clock_ms.load(Ordering::SeqCst)
    }

    fn defer(&self, work: Work) {
        self.work.hold().push_back(work);
    }

    fn wait_ms(&self, ms: u32) {
        self.advance_ms(u64::from(ms));
        std::thread::yield_now();
    }

    fn should_fail(&self, _what: &'static str) -> bool {
        let call = self.fallible_calls.fetch_add(1, Ordering::SeqCst);
        call == self.failing_call.load(Ordering::SeqCst)
    }

    fn bugcheck(&self, violation: Violation) -> ! {
        eprintln!("bugcheck: {violation}");
        panic_any(violation)
    }
}
