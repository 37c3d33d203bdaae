//! The kernel that the engine runs on, as far as the engine needs one.

use std::fmt;

/// What the engine asks of the machine it runs on.
///
/// The engine calls every method without holding a lock of its own, so a host may call back into it.
pub trait Host: Send + Sync {
    /// The level of the running thread.
    fn irql(&self) -> u8;

    /// Sets the level of the running thread, up or down.
    fn set_irql(&self, irql: u8);

    /// How many spin locks the running thread holds.
    fn spin_locks_held(&self) -> usize;

    /// A clock that only moves forward.
    fn now_ms(&self) -> u64;

    /// Runs `work` later, on another thread or when the host is pumped; never inside this call.
    fn defer(&self, work: Box<dyn FnOnce() + Send>);

    /// Lets other threads go on for about `ms` while the engine waits for one of them; a virtual clock moves by that much.
    fn wait_ms(&self, ms: u32);

    /// Whether the call named `what`, which can fail on Windows, has to fail now.
    fn should_fail(&self, what: &'static str) -> bool;

    /// Stops the machine. It must not return; unwinding is fine.
    fn bugcheck(&self, violation: Violation) -> !;
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule's name: `V-CLS-*` classify, `V-PEND-*` pended operations, `V-HDL-*` classify handles, `V-NBL-*` net buffer
    /// lists, `V-INJ-*` injection, `V-OBJ-*` objects, `IRQL` level.
    pub rule: &'static str,
    /// Who did what.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.detail)
    }
}
