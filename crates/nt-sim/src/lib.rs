//! An emulated NT kernel that is stricter than the real one.
//!
//! It defines the `Etw*`, `Ke*`, `Ex*`, `Io*`, `Mm*`, `Ps*`, `Ob*`, `Zw*`, `Rtl*` and `Dbg*` symbols that `nt-sys` declares, so a driver's own
//! source, linked into a test, runs on it unchanged. It returns what Windows returns, and where Windows would corrupt, hang or
//! leak it stops the test with a [`Violation`] that names the rule. It knows NT and nothing about any particular driver.
//!
//! Invariants:
//! * The machine is process-global, as a kernel is. [`Kernel::boot`] takes a process-wide lock; shutting down verifies and resets.
//! * Time is virtual and moves only by [`Kernel::advance`] or when a thread waits and nothing else can run.
//! * Timers, deferred procedure calls and work items run when the test pumps ([`Kernel::settle`], [`Kernel::advance`]) or while a
//!   thread waits. Spin locks and system threads are real.
//!
//! Neighbours: `nt-sys` only. A file here has the name of the `nt-sys` file whose functions it defines; the rest is the machine.

#![cfg_attr(miri, feature(c_variadic))]
#![expect(unsafe_code, reason = "defines the symbols of the kernel, whose callers pass raw pointers")]

mod clock;
mod dbg;
mod etw;
mod ex;
pub mod fault;
mod global;
mod hal;
pub mod host;
mod io;
mod ke;
mod kernel;
mod mdl;
mod memory;
mod ob;
mod point;
mod ps;
mod rtl;
pub mod rules;
mod se;
mod thread;
mod verifier;
mod wait;
mod zw;

pub use dbg::DebugLine;
pub use etw::{TraceEvent, TraceValue};
pub use ex::allocation_count;
pub use io::{Driver, File, Io};
pub use kernel::{Config, Kernel};
pub use point::point;
pub use ps::{Process, ProcessSpec, User};
pub use rules::Rule;
pub use thread::{held_spin_locks, irql, lower_irql, on_dispatch, raise_irql, set_irql};
pub use verifier::{Violation, bugcheck_of};
