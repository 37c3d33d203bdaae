//! `Ke*`: the kernel core.

pub(crate) mod dpc;
pub(crate) mod event;
mod irql;
pub(crate) mod processor;
pub(crate) mod spin_lock;
pub(crate) mod timer;
mod wait;

use crate::{rules, verifier};

/// Stops the machine.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn KeBugCheckEx(code: u32, p1: usize, p2: usize, p3: usize, p4: usize) -> ! {
    let message = format!("KeBugCheckEx({code:#x}, {p1:#x}, {p2:#x}, {p3:#x}, {p4:#x})");
    verifier::bugcheck(code, p1, rules::REQUESTED.name, message)
}
