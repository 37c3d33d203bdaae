//! What packets meet outside the layers: the sockets that they arrive at, and the wire that they leave by.
//!
//! Invariants: a packet that left the machine is on the wire once, with its bytes; one for an address of this machine arrives
//! at the socket that is bound there, and never reaches the wire.

use super::flow::{Direction, Flow, Icmp, Peer};
use super::socket::{ICMP, ICMP_V6, Socket};
use crate::machine::Machine;
use crate::packet::{Packet, Route};
use crate::sync::Lock;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

/// A packet that left the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wired {
    /// IP protocol.
    pub protocol: u8,
    /// Where it comes from; the port is zero where the protocol has none.
    pub local: SocketAddr,
    /// Where it goes.
    pub remote: SocketAddr,
    /// What follows the transport header.
    pub payload: Vec<u8>,
    /// The whole packet, from its IP header on.
    pub bytes: Vec<u8>,
    /// It was injected.
    pub is_injected: bool,
}

/// A socket that datagrams arrive at.
pub(crate) struct Mailbox {
    pub socket: Arc<Socket>,
    received: Mutex<Vec<(SocketAddr, Vec<u8>)>>,
}

impl Mailbox {
    pub fn receive(&self, from: SocketAddr, payload: &[u8]) {
        self.received.hold().push((from, payload.to_vec()));
    }

    pub fn received(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.received.hold().clone()
    }

    /// Whether a packet to `local` is for this socket.
    fn takes(&self, protocol: u8, local: SocketAddr, remote: SocketAddr) -> bool {
        let has_port = !matches!(protocol, ICMP | ICMP_V6) && local.port() != 0;
        let own = self.socket.local_towards(remote);
        self.socket.protocol == protocol
            && !self.socket.is_closed()
            && own.ip() == local.ip()
            && (!has_port || own.port() == local.port())
    }
}

/// Every mailbox, by endpoint, and the wire.
#[derive(Default)]
pub(crate) struct Network {
    mailboxes: Mutex<HashMap<u64, Arc<Mailbox>>>,
    wire: Mutex<Vec<Wired>>,
}

impl Network {
    pub(super) fn open(&self, socket: Arc<Socket>) -> Arc<Mailbox> {
        let endpoint = socket.endpoint;
        let mailbox = Arc::new(Mailbox { socket, received: Mutex::default() });
        self.mailboxes.hold().insert(endpoint, Arc::clone(&mailbox));
        mailbox
    }

    pub(super) fn close(&self, endpoint: u64) {
        let closed = self.mailboxes.hold().remove(&endpoint);
        drop(closed);
    }

    pub(super) fn by_endpoint(&self, endpoint: u64) -> Option<Arc<Mailbox>> {
        self.mailboxes.hold().get(&endpoint).filter(|mailbox| !mailbox.socket.is_closed()).cloned()
    }

    /// The mailbox that a packet on `route` arrives at.
    pub(super) fn at(&self, route: &Route) -> Option<Arc<Mailbox>> {
        let mailboxes = self.mailboxes.hold();
        let mut found = mailboxes.values().filter(|one| one.takes(route.protocol, route.destination, route.source));
        found.next().cloned()
    }

    pub(super) fn leave(&self, packet: &Packet, is_injected: bool) {
        self.wire.hold().push(Wired {
            protocol: packet.route.protocol,
            local: packet.route.source,
            remote: packet.route.destination,
            payload: packet.payload().to_vec(),
            bytes: packet.bytes.clone(),
            is_injected,
        });
    }

    pub fn take_wire(&self) -> Vec<Wired> {
        std::mem::take(&mut self.wire.hold())
    }

    pub fn wire(&self) -> Vec<Wired> {
        self.wire.hold().clone()
    }
}

/// Whether packets on this route stay on the machine.
pub(super) fn is_loopback(route: &Route) -> bool {
    route.destination.ip().is_loopback() || route.destination.ip() == route.source.ip()
}

/// Whether a send to this address is answered by whoever likes to.
pub(super) fn is_group(ip: IpAddr) -> bool {
    ip.is_multicast() || ip == Ipv4Addr::BROADCAST
}

/// The way of a packet between a socket and a peer.
pub(super) fn route(socket: &Socket, peer: &Peer, direction: Direction) -> Route {
    let without_port = |addr: SocketAddr| match socket.protocol {
        super::TCP | super::UDP => addr,
        _ => SocketAddr::new(addr.ip(), 0),
    };
    let local = without_port(socket.local_towards(peer.addr));
    let remote = without_port(peer.addr);
    let (source, destination) = match direction {
        Direction::Outbound => (local, remote),
        Direction::Inbound => (remote, local),
    };
    Route { protocol: socket.protocol, source, destination, icmp: peer.icmp }
}

/// Some packet of a flow.
pub(super) fn packet_of(machine: &Machine, flow: &Flow, direction: Direction) -> Packet {
    let options = direction == Direction::Inbound && machine.draw() & 1 == 0;
    Packet::build(route(&flow.socket, &flow.peer, direction), b"data", options)
}

const ECHO_V4: u8 = 8;
const ECHO_REPLY_V4: u8 = 0;
const ECHO_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;

/// The request whose flow an ICMP message belongs to.
pub(super) fn request_of(protocol: u8, icmp: Icmp) -> Icmp {
    let kind = match (protocol, icmp.kind) {
        (ICMP, ECHO_REPLY_V4) => ECHO_V4,
        (ICMP_V6, ECHO_REPLY_V6) => ECHO_V6,
        (_, kind) => kind,
    };
    Icmp { kind, ..icmp }
}

pub(super) fn echo(id: u16, is_v6: bool) -> Icmp {
    Icmp { kind: if is_v6 { ECHO_V6 } else { ECHO_V4 }, code: 0, id }
}

pub(super) fn echo_reply(id: u16, is_v6: bool) -> Icmp {
    Icmp { kind: if is_v6 { ECHO_REPLY_V6 } else { ECHO_REPLY_V4 }, code: 0, id }
}

/// Whether this is news of an error, which the layers do not see (learn.microsoft.com "ALE Stateful Filtering").
pub(super) fn is_icmp_error(protocol: u8, icmp: Icmp) -> bool {
    match protocol {
        ICMP => matches!(icmp.kind, 3 | 4 | 5 | 11 | 12),
        ICMP_V6 => icmp.kind < 128,
        _ => false,
    }
}
