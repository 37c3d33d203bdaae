//! The operating system in user mode: the only place outside the kernel where user-side code may be unsafe.
//!
//! * [`enforcer`]: the contract between the decision point and an enforcement point, and [`open`] for this machine's.
//! * [`message`]: the bytes of that conversation, for every implementation of the contract.
//! * [`driver_service`]: the driver as the service manager sees it.
//! * [`paths`]: program paths in their DOS and NT forms.
//! * [`console`]: being asked to stop. [`daemon`]: running as the system's service, and managing it.
//! * [`ipc`]: the service's pipe or socket, and who is at its other end.
//! * [`process`]: what the system tells about a process. [`names`]: which names programs looked up.
//! * [`interfaces`]: network interfaces, as people name them.
//! * [`dirs`], [`tree`], [`files`]: where things are kept, a directory of rules as text, files replaced as a whole.
//!
//! Invariants: no type of one system shows in a signature, so that `service` and the emulators' tests compile anywhere;
//! all `unsafe` is in `windows/` and `linux/`, one operation a block. Neighbours: `wire` says what the bytes mean, `service` decides.

pub mod daemon;
pub mod dirs;
pub mod driver_service;
pub mod enforcer;
pub mod files;
pub mod filter_engine;
pub mod interfaces;
pub mod ipc;
pub mod message;
pub mod names;
pub mod paths;
pub mod process;
pub mod purge;
pub mod tree;

#[cfg(unix)]
pub(crate) mod linux;
#[cfg(unix)]
pub use linux::{console, open, system_directory, volumes};
#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub use windows::{console, open, system_directory, volumes};
