//! Network interfaces, as people name them: `eth0`, `Wi-Fi`.
//!
//! Invariants: the answer comes from tables in memory, without a disk or a network. Neighbours: `linux::interfaces` and
//! `windows::interfaces` do it, `service` remembers it.

#[cfg(unix)]
pub use crate::linux::interfaces::name;
#[cfg(windows)]
pub use crate::windows::interfaces::name;
