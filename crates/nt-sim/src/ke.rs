//! `Ke*`: the kernel core.

pub(crate) mod dpc;
pub(crate) mod event;
mod irql;
pub(crate) mod spin_lock;
pub(crate) mod timer;
mod wait;

use crate::verifier;

/// Stops the machine.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn KeBugCheckEx(code: u32, p1: usize, p2: usize, p3: usize, p4: usize) -> ! {
    verifier::requested(code, [p1, p2, p3, p4]);
    // The machine had stopped before: there is nowhere to return to, and nothing more to report.
    std::panic::resume_unwind(Box::new("bug check on a stopped machine"));
}
