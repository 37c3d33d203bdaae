//! What emulations of other parts of the system, such as the filter engine, need of the machine they run on.
//!
//! Neighbours: [`crate::fault`] is shared too; IRQL and held spin locks are read with the functions at the crate's root.

use crate::clock::{self, MILLISECOND};
use crate::{verifier, wait};

pub use crate::io::defer;

/// Virtual time since boot.
pub fn now_ms() -> u64 {
    clock::since_boot() / MILLISECOND
}

/// Waits as a thread of the machine would: other work runs, and virtual time moves on by `ms`.
pub fn wait_ms(ms: u64) {
    wait::until(Some(clock::now() + ms * MILLISECOND), "a host that waits", || false);
}

/// Makes the calling thread known to the machine before its first call: while another thread waits, virtual time does not move
/// on by itself before this one had a chance to act.
pub fn attach_thread() {
    wait::attach();
}

/// Stops the machine over a rule of the other emulation.
pub fn bugcheck(code: u32, parameter: usize, rule: &'static str, message: String) -> ! {
    verifier::bugcheck(code, parameter, rule, message)
}
