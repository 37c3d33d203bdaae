//! Application layer enforcement: processes, sockets, flows, and what each indicates.
//!
//! Invariants: an operation is authorized once, held at most by those who pended it, and ends in one outcome; a flow's
//! contexts are given back exactly once.
//! Neighbours: `classify` decides; `engine` is the public face.

mod connect;
mod contexts;
mod datagram;
mod flow;
mod handle;
mod indicate;
mod pend;
mod process;
mod reauthorize;
mod socket;

pub use connect::{Connect, ConnectSpec};
pub use datagram::{DatagramSocket, Sent};
pub use flow::{Direction, Handshake, Outcome, PacketFate};
pub(crate) use flow::{Flow, Icmp, Peer};
pub use handle::FlowHandle;
pub(crate) use process::Identity;
pub use process::{Process, ProcessSpec};

use crate::sync::Lock;
use pend::Pended;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// A connect or send was forbidden.
pub const WSAEACCES: u32 = 10013;
/// A connect is under way already.
pub const WSAEALREADY: u32 = 10037;
/// A connection was ended by this machine.
pub const WSAECONNABORTED: u32 = 10053;
/// The socket is connected.
pub const WSAEISCONN: u32 = 10056;
/// Nobody listens there.
pub const WSAECONNREFUSED: u32 = 10061;

/// Every flow and every held operation.
#[derive(Default)]
pub(crate) struct Ale {
    flows: Mutex<HashMap<u64, Arc<Flow>>>,
    pended: Mutex<HashMap<u64, Pended>>,
    ports: AtomicU32,
}

impl Ale {
    pub fn flow(&self, id: u64) -> Option<Arc<Flow>> {
        self.flows.hold().get(&id).cloned()
    }

    pub fn flows(&self) -> Vec<Arc<Flow>> {
        self.flows.hold().values().cloned().collect()
    }

    pub fn pended_operations(&self) -> usize {
        self.pended.hold().len()
    }

    /// The next port for a socket that asks for none.
    fn ephemeral_port(&self) -> u16 {
        const FIRST: u32 = 1025;
        let drawn = self.ports.fetch_add(1, Ordering::Relaxed) % (u32::from(u16::MAX) - FIRST + 1);
        u16::try_from(FIRST + drawn).unwrap_or(u16::MAX)
    }
}
