//! Application layer enforcement: processes, sockets, flows, and what each indicates.
//!
//! Invariants: an operation is authorized once, held at most by those who pended it, and ends in one outcome; a flow's
//! contexts are given back exactly once.
//! Neighbours: `classify` decides; `engine` is the public face.

mod closing;
mod connect;
mod contexts;
mod datagram;
mod flow;
mod handle;
mod indicate;
mod inject;
mod listen;
mod listener;
mod network;
mod pend;
mod process;
mod reauthorize;
mod socket;
mod traffic;

pub use connect::{Connect, ConnectSpec};
pub use datagram::{DatagramSocket, Protection, Sent};
pub use flow::{Direction, Handshake, Outcome, PacketFate};
pub(crate) use flow::{Flow, Icmp, Peer};
pub use handle::FlowHandle;
pub(crate) use inject::{Injectable, inject};
pub use listener::{Accept, Connection, Listener, SynFate};
pub(crate) use network::Network;
pub use network::Wired;
pub(crate) use process::Identity;
pub use process::{Process, ProcessSpec};
pub(crate) use socket::{ICMP, ICMP_V6, TCP, UDP};

use crate::status::ListenerStatus;
use crate::sync::Lock;
use pend::Pended;
use socket::Socket;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// A connect or send was forbidden.
pub const WSAEACCES: u32 = 10013;
/// A connect is under way already.
pub const WSAEALREADY: u32 = 10037;
/// A connection was ended by this machine.
pub const WSAECONNABORTED: u32 = 10053;
/// The socket is connected.
pub const WSAEISCONN: u32 = 10056;
/// Nobody answered.
pub const WSAETIMEDOUT: u32 = 10060;
/// Nobody listens there.
pub const WSAECONNREFUSED: u32 = 10061;

/// Every flow and every held operation.
#[derive(Default)]
pub(crate) struct Ale {
    flows: Mutex<HashMap<u64, Arc<Flow>>>,
    pended: Mutex<HashMap<u64, Pended>>,
    /// The sockets that listen, by their endpoint.
    listeners: Mutex<BTreeMap<u64, Weak<Socket>>>,
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

    fn add_listener(&self, socket: &Arc<Socket>) {
        self.listeners.hold().insert(socket.endpoint, Arc::downgrade(socket));
    }

    fn remove_listener(&self, endpoint: u64) {
        self.listeners.hold().remove(&endpoint);
    }

    fn listener(&self, endpoint: u64) -> Option<Arc<Socket>> {
        self.listeners.hold().get(&endpoint)?.upgrade()
    }

    /// Who listens at an address of this machine.
    fn listener_at(&self, addr: SocketAddr) -> Option<Arc<Socket>> {
        self.listeners().into_iter().find(|socket| socket.is_at(addr))
    }

    /// Every socket that listens, in the order of their endpoints.
    pub fn listener_statuses(&self) -> Vec<ListenerStatus> {
        let listeners = self.listeners();
        let status = |socket: &Arc<Socket>| {
            socket.listening().map(|listening| ListenerStatus {
                endpoint: socket.endpoint,
                local: socket.local(),
                pid: socket.owner.identity.pid,
                held: listening.held(),
                waiting: listening.waiting().len(),
            })
        };
        listeners.iter().filter_map(status).collect()
    }

    fn listeners(&self) -> Vec<Arc<Socket>> {
        self.listeners.hold().values().filter_map(Weak::upgrade).collect()
    }

    /// The next port for a socket that asks for none.
    fn ephemeral_port(&self) -> u16 {
        const FIRST: u32 = 1025;
        let drawn = self.ports.fetch_add(1, Ordering::Relaxed) % (u32::from(u16::MAX) - FIRST + 1);
        u16::try_from(FIRST + drawn).unwrap_or(u16::MAX)
    }
}
