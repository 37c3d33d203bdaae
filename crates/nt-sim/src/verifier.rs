//! How a broken rule reaches the test that broke it.
//!
//! A violation is recorded first, so none is lost on another thread, and then thrown as a panic with the [`Violation`] as its
//! payload; it unwinds through the driver's frames, because every kernel function is `extern "system-unwind"`.
//!
//! Invariant: the first violation stops the machine. From then on nothing is verified, waits return, and kernel functions only
//! keep a teardown from crashing, until the next boot.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::global::Global;
use crate::rules::Rule;

static RECORDED: Global<Option<Violation>> = Global::new(None);
static STOPPED: AtomicBool = AtomicBool::new(false);

/// A bug check: which rule was broken, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Bug check code.
    pub code: u32,
    /// First parameter of the bug check.
    pub parameter: usize,
    /// Name of the rule in [`crate::rules`].
    pub rule: &'static str,
    /// What happened.
    pub message: String,
}

impl Violation {
    /// Whether this is a violation of `rule`.
    pub fn is(&self, rule: Rule) -> bool {
        self.rule == rule.name
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bug check {:#X} ({:#X}) {}: {}", self.code, self.parameter, self.rule, self.message)
    }
}

/// Runs `f`, which must break a rule, and returns the violation.
///
/// # Panics
/// When `f` returns, and with `f`'s own panic when that is none of the verifier's.
pub fn bugcheck_of<T>(f: impl FnOnce() -> T) -> Violation {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("expected a bug check, and there was none"),
        Err(payload) => match payload.downcast::<Violation>() {
            Ok(violation) => {
                RECORDED.take();
                *violation
            }
            Err(other) => resume_unwind(other),
        },
    }
}

/// Stops the machine and does not come back, also when it had stopped before.
pub(crate) fn bugcheck(code: u32, parameter: usize, rule: &'static str, message: String) -> ! {
    stop(Violation { code, parameter, rule, message });
    resume_unwind(Box::new("bug check on a stopped machine"))
}

/// Reports that `rule` was broken. Returns only when the machine is stopped already.
#[cold]
pub(crate) fn report(rule: Rule, message: String) {
    stop(Violation { code: rule.code, parameter: rule.parameter as usize, rule: rule.name, message });
}

/// Whether a violation has stopped the machine.
pub(crate) fn stopped() -> bool {
    STOPPED.load(Ordering::Relaxed)
}

/// Stops the machine without a violation: whoever waits is let go.
pub(crate) fn halt() {
    STOPPED.store(true, Ordering::Relaxed);
}

/// The violation that no [`bugcheck_of`] has seen.
pub(crate) fn take_recorded() -> Option<Violation> {
    RECORDED.take()
}

pub(crate) fn reset() {
    RECORDED.take();
    STOPPED.store(false, Ordering::Relaxed);
}

fn stop(violation: Violation) {
    if STOPPED.swap(true, Ordering::Relaxed) {
        return;
    }
    eprintln!("{violation}");
    *RECORDED.lock() = Some(violation.clone());
    crate::wait::notify();
    if !std::thread::panicking() {
        // Not `panic_any`: the message is printed already, and the panic hook could only say `Box<dyn Any>`.
        resume_unwind(Box::new(violation));
    }
}
