//! What the machine knows of a thread: its IRQL, the spin locks it holds, the process it runs in.
//!
//! Invariant: [`Thread`] has no destructor, so reading it costs one load; the classify path does so several times. A thread is
//! registered (and counted) the first time it needs an identity.

use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use nt_sys::ps::EPROCESS;
use nt_sys::types::{DISPATCH_LEVEL, HIGH_LEVEL, KIRQL, PASSIVE_LEVEL};

use crate::{point, rules, verifier};

pub(crate) struct Thread {
    pub(crate) irql: Cell<KIRQL>,
    pub(crate) locks: Cell<u32>,
    /// 0 until registered.
    id: Cell<u32>,
    /// Null is the system process.
    process: Cell<*mut EPROCESS>,
    system: Cell<bool>,
}

#[cfg(not(feature = "shuttle"))]
thread_local! {
    static THREAD: Thread = const { Thread::new() };
    static PRESENCE: Presence = Presence::enter();
}

#[cfg(feature = "shuttle")]
shuttle::thread_local! {
    static THREAD: Thread = Thread::new();
    static PRESENCE: Presence = Presence::enter();
}

static NEXT_ID: AtomicU32 = AtomicU32::new(1);
static PRESENT: AtomicUsize = AtomicUsize::new(0);

/// Counts a registered thread for as long as it lives.
struct Presence;

impl Presence {
    fn enter() -> Self {
        PRESENT.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        PRESENT.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Thread {
    const fn new() -> Self {
        Self {
            irql: Cell::new(PASSIVE_LEVEL),
            locks: Cell::new(0),
            id: Cell::new(0),
            process: Cell::new(null_mut()),
            system: Cell::new(false),
        }
    }

    #[inline]
    pub(crate) fn with<R>(f: impl FnOnce(&Self) -> R) -> R {
        THREAD.with(f)
    }

    /// Number of the thread, never reused.
    #[inline]
    pub(crate) fn id(&self) -> u32 {
        match self.id.get() {
            0 => self.register(),
            id => id,
        }
    }

    #[cold]
    fn register(&self) -> u32 {
        PRESENCE.with(|_| ());
        self.id.set(NEXT_ID.fetch_add(1, Ordering::Relaxed));
        self.id.get()
    }
}

/// Runs `f`, which waits for something outside the machine: meanwhile the calling thread is not one that may act.
pub(crate) fn away<R>(f: impl FnOnce() -> R) -> R {
    let counted = Thread::with(|thread| usize::from(thread.id.get() != 0));
    PRESENT.fetch_sub(counted, Ordering::Relaxed);
    let result = f();
    PRESENT.fetch_add(counted, Ordering::Relaxed);
    result
}

/// Whether a thread has ever had this number.
pub(crate) fn exists(id: u32) -> bool {
    (1..NEXT_ID.load(Ordering::Relaxed)).contains(&id)
}

/// Registered threads alive.
pub(crate) fn present() -> usize {
    PRESENT.load(Ordering::Relaxed)
}

/// Whether the calling thread is a system thread, which sleeps in a wait instead of pumping.
pub(crate) fn is_system() -> bool {
    Thread::with(|thread| thread.system.get())
}

/// Makes the calling thread a system thread.
pub(crate) fn become_system() {
    Thread::with(|thread| {
        thread.id();
        thread.system.set(true);
    });
}

/// Process of the calling thread; null is the system process.
pub(crate) fn process() -> *mut EPROCESS {
    Thread::with(|thread| thread.process.get())
}

/// Makes the calling thread what it was before any test used it.
pub(crate) fn reset() {
    Thread::with(|thread| {
        thread.id();
        thread.irql.set(PASSIVE_LEVEL);
        thread.locks.set(0);
        thread.process.set(null_mut());
    });
}

/// Lets the thread run as another one would: another IRQL and process, no locks. Dropping it comes back, also from a panic.
pub(crate) struct Context {
    irql: KIRQL,
    locks: u32,
    process: *mut EPROCESS,
}

impl Context {
    pub(crate) fn enter(irql: KIRQL, process: *mut EPROCESS) -> Self {
        Thread::with(|thread| Self {
            irql: thread.irql.replace(irql),
            locks: thread.locks.replace(0),
            process: thread.process.replace(process),
        })
    }

    /// Whether the routine that ran in this context left it as it was.
    pub(crate) fn is_balanced(&self, irql: KIRQL) -> bool {
        Thread::with(|thread| thread.irql.get() == irql && thread.locks.get() == 0)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        Thread::with(|thread| {
            thread.irql.set(self.irql);
            thread.locks.set(self.locks);
            thread.process.set(self.process);
        });
    }
}

/// IRQL of the calling thread.
pub fn irql() -> KIRQL {
    Thread::with(|thread| thread.irql.get())
}

/// Sets the IRQL of the calling thread without any rule; for a host that models an interrupt or a scheduler.
pub fn set_irql(irql: KIRQL) {
    Thread::with(|thread| thread.irql.set(irql));
}

/// Spin locks the calling thread holds.
pub fn held_spin_locks() -> u32 {
    Thread::with(|thread| thread.locks.get())
}

/// Raises the IRQL of the calling thread and returns the old one.
pub fn raise_irql(new: KIRQL) -> KIRQL {
    let old = irql();
    if new < old || new > HIGH_LEVEL {
        verifier::report(rules::RAISE_TO_LOWER, format!("raise from {old} to {new}"));
    }
    set_irql(new);
    old
}

/// Lowers the IRQL of the calling thread.
pub fn lower_irql(new: KIRQL) {
    let old = irql();
    if new > old {
        verifier::report(rules::LOWER_TO_HIGHER, format!("lower from {old} to {new}"));
    }
    if new < DISPATCH_LEVEL && held_spin_locks() != 0 {
        verifier::report(rules::IRQL, format!("lower from {old} to {new} with {} spin locks held", held_spin_locks()));
    }
    set_irql(new);
}

/// Runs `f` at `DISPATCH_LEVEL`, as code that a DPC calls runs.
pub fn on_dispatch<R>(f: impl FnOnce() -> R) -> R {
    let context = Context::enter(DISPATCH_LEVEL, process());
    let result = f();
    if !context.is_balanced(DISPATCH_LEVEL) {
        verifier::report(rules::IRQL_NOT_RESTORED, format!("code at DISPATCH_LEVEL returned at {}", irql()));
    }
    result
}

/// Checks a function's documented maximum.
#[inline]
pub(crate) fn require_irql(function: &'static str, max: KIRQL) {
    point::point();
    let irql = irql();
    if irql > max {
        verifier::report(rules::IRQL, format!("{function} at IRQL {irql}, allowed up to {max}"));
    }
}
