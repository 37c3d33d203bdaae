//! The operating system in user mode: the only place outside the kernel where user-side code may be unsafe.
//!
//! * [`enforcer`]: the contract between the decision point and an enforcement point, and [`open`] for this machine's.
//! * [`message`]: the bytes of that conversation, for every implementation of the contract.
//! * [`driver_service`]: the driver as the service manager sees it.
//! * [`paths`]: program paths in their DOS and NT forms.
//! * [`console`]: being asked to stop.
//!
//! Invariants: no Windows type shows in a signature, so that `service` and the emulators' tests compile anywhere; all
//! `unsafe` is in `windows/`, one operation a block. Neighbours: `wire` says what the bytes mean, `service` decides.

pub mod driver_service;
pub mod enforcer;
pub mod message;
pub mod paths;

#[cfg(unix)]
mod linux;
#[cfg(unix)]
pub use linux::{console, open, system_directory, volumes};
#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub use windows::{console, open, system_directory, volumes};
