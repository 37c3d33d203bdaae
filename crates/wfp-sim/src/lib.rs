//! An emulated Windows Filtering Platform: the engine a callout driver links against when there is no Windows.
//!
//! It defines the `Fwpm*` and `Fwps*` symbols that `nt-sys` declares, so the driver's own object code runs unchanged: natively
//! in a test process, or under Wine with this crate inside `fwpkclnt.sys`. It answers what Windows answers, and reports a
//! *violation* where Windows would corrupt, hang or bugcheck.
//!
//! * [`Engine`] boots the platform (one per process, as in a kernel) and plays the applications: processes, connects, sends.
//! * `api` holds the C symbols; `bfe` the objects, sessions and transactions; `classify` layers, values and arbitration;
//!   `ale` sockets, flows, pending and reauthorization.
//! * [`Host`] is the kernel it runs on: level, clock, deferred work, what to do on a violation. [`TestHost`] is a small one.
//!
//! Where the public record does not settle what Windows does there is a [`Knobs`] setting, and a driver has to be right under
//! every value of it.
//!
//! Invariants: no lock of the engine is held while a callout, a notify function or deferred work runs; a classify sees one
//! committed policy from start to end; nothing here knows which driver it serves.

mod ale;
mod api;
mod bfe;
mod classify;
mod config;
mod counters;
mod engine;
mod events;
mod host;
mod inject;
mod machine;
mod ndis;
mod packet;
mod status;
mod sync;
mod test_host;

pub use ale::{
    Accept, Connect, ConnectSpec, Connection, DatagramSocket, Direction, FlowHandle, Handshake, Listener, Outcome,
    PacketFate, Process, ProcessSpec, Protection, Sent, SynFate, WSAEACCES, WSAEALREADY, WSAECONNABORTED,
    WSAECONNREFUSED, WSAEISCONN, WSAETIMEDOUT, Wired,
};
pub use config::{
    AcceptEndpoint, AfterHardBlock, ClassifyIrql, CloseWhilePended, Config, HeldSend, InjectedSend, InjectionTime,
    Knobs, LoopbackInjection, ReauthMode, SecondPacket, SynRetransmit,
};
pub use counters::Counts;
pub use engine::Engine;
pub use events::{NetEvent, NetEventKind};
pub use host::{Host, Violation};
pub use status::{CalloutStatus, EngineStatus, FilterStatus, ListenerStatus, SublayerStatus, Totals};
pub use test_host::TestHost;
