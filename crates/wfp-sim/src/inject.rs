//! Packet injection: handles, packets on their way, what is told when they are through (learn.microsoft.com "Packet Injection
//! Functions").
//!
//! An injected packet passes the stack again, from the layer where it was taken out, and carries the handle that it was injected
//! with. `handles` knows the handles, `job` takes one packet through, `symbols` are the `Fwps*` functions.
//!
//! Invariants: a completion function is called once for each injection that was accepted, and never for one that was refused;
//! a handle is gone when nothing that was injected with it is on its way. The rules carry names:
//!
//! | rule | |
//! |---|---|
//! | V-INJ-01 | a handle was used that is not there, or is of another kind or address family |
//! | V-INJ-02 | a list of more than one net buffer was injected inbound (R20, bug check 0x1D3) |
//! | V-INJ-03 | a list was injected before its first injection was over |
//! | V-INJ-04 | a packet was injected from inside a classify of its own flow (R22) |
//! | V-INJ-05 | a handle was destroyed from a completion function, which it waits for |
//! | V-INJ-06 | what was injected is not a packet |
//! | V-INJ-07 | a handle is left at shutdown |
//! | V-INJ-08 | warning: injected with a spin lock held, which the completion function may want |

mod handles;
mod job;
mod symbols;

pub(crate) use handles::Injection;
