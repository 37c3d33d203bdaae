//! The driver, unchanged, on the emulated kernel and the emulated filter engine, with programs that connect and a service
//! that decides.
//!
//! [`Machine`] is the whole thing: boot, load the driver, start programs, attach services, move time. Everything is
//! deterministic but what a test starts threads for. When a machine is shut down, both emulators verify that nothing is left:
//! no pool, no handle, no pended operation, no registration.
//!
//! Neighbours: `tests/` has one file for each kind of scenario; `benches/` measures.

#![expect(unsafe_code, reason = "plays the I/O manager's part: it calls the driver's entry point")]

#[cfg(feature = "service")]
mod desk;
#[cfg(feature = "service")]
mod enforcer;
mod host;
mod machine;
mod program;
mod rival;
mod service;
mod sweep;

#[cfg(feature = "service")]
pub use desk::{Desk, Residents, Setup};
#[cfg(feature = "service")]
pub use enforcer::{Device, Plug};
pub use machine::{Machine, Options};
pub use program::Program;
pub use rival::{Rival, Rule};
pub use service::{Request, Service, read_batch};
pub use sweep::{every_combination, every_setting, every_system};
pub use wfp_sim::{
    Accept, AcceptEndpoint, AfterHardBlock, ClassifyIrql, CloseWhilePended, Connect, ConnectSpec, DatagramSocket,
    Direction, FlowHandle, InjectedSend, Knobs, Listener, LoopbackInjection, Outcome, PacketFate, Protection,
    ReauthMode, SecondPacket, Sent, SynFate, SynRetransmit, WSAEACCES, Wired,
};
