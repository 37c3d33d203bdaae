//! UDP, ICMP and raw sockets as applications and the network use them.
//!
//! Neighbours: `traffic` takes the packets through the layers; `network` is where they come from and go to.

use super::connect::canonical;
use super::flow::{Icmp, PacketFate, Peer};
use super::handle::FlowHandle;
use super::indicate::{Occasion, indicate_socket};
use super::network::{Mailbox, echo, echo_reply, route};
use super::process::Process;
use super::socket::{ICMP, ICMP_V6, Socket, UDP};
use super::traffic;
use crate::classify::layer;
use crate::machine::Machine;
use crate::ndis::Travel;
use crate::packet::Packet;
use crate::sync::Lock;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a send returned, and what became of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Sent,
    /// The call succeeded and the packet is gone.
    Lost,
    /// The call failed with this Winsock error.
    Refused(u32),
}

/// What IPsec did with a packet that arrives (learn.microsoft.com "FWPS_PACKET_LIST_INBOUND_IPSEC_INFORMATION0").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protection {
    /// Nothing.
    #[default]
    None,
    /// It is secured end to end.
    Transport,
    /// It is a tunnel's outer packet, and arrives once more without the tunnel.
    Tunnel,
    /// It came out of a tunnel.
    DeTunneled,
}

impl Protection {
    fn bits(self) -> u32 {
        use nt_sys::fwps::*;
        match self {
            Self::None => 0,
            Self::Transport => {
                FWPS_PACKET_LIST_INBOUND_IPSEC_IS_SECURE | FWPS_PACKET_LIST_INBOUND_IPSEC_IS_TRANSPORT_MODE
            }
            Self::Tunnel => FWPS_PACKET_LIST_INBOUND_IPSEC_IS_SECURE | FWPS_PACKET_LIST_INBOUND_IPSEC_IS_TUNNEL_MODE,
            Self::DeTunneled => {
                FWPS_PACKET_LIST_INBOUND_IPSEC_IS_SECURE
                    | FWPS_PACKET_LIST_INBOUND_IPSEC_IS_TUNNEL_MODE
                    | FWPS_PACKET_LIST_INBOUND_IPSEC_IS_DE_TUNNELED
            }
        }
    }
}

/// A socket that sends and receives packets. Dropping it closes it.
pub struct DatagramSocket {
    machine: Arc<Machine>,
    mailbox: Arc<Mailbox>,
}

impl fmt::Debug for DatagramSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramSocket").field("endpoint", &self.endpoint()).finish()
    }
}

impl DatagramSocket {
    pub(crate) fn udp(machine: &Arc<Machine>, process: &Process, local: Option<SocketAddr>, is_v6: bool) -> Self {
        Self::open(machine, process, UDP, local, is_v6)
    }

    pub(crate) fn icmp(machine: &Arc<Machine>, process: &Process, is_v6: bool) -> Self {
        Self::open(machine, process, if is_v6 { ICMP_V6 } else { ICMP }, None, is_v6)
    }

    pub(crate) fn open(
        machine: &Arc<Machine>,
        process: &Process,
        protocol: u8,
        local: Option<SocketAddr>,
        is_v6: bool,
    ) -> Self {
        let socket = Socket::new(machine, &process.owner, protocol, local, is_v6);
        let mailbox = machine.network.open(socket);
        Self { machine: Arc::clone(machine), mailbox }
    }

    /// The endpoint handle that its indications carry.
    pub fn endpoint(&self) -> u64 {
        self.mailbox.socket.endpoint
    }

    /// The address that packets to `remote` come from.
    pub fn local_towards(&self, remote: SocketAddr) -> SocketAddr {
        self.mailbox.socket.local_towards(canonical(remote))
    }

    /// Binds it, so that packets arrive before one was sent; says whether it may be bound.
    pub fn bind(&self) -> bool {
        self.mailbox.socket.bind(&self.machine)
    }

    /// Sets the default peer; nothing is authorized by that.
    pub fn connect(&self, remote: SocketAddr) {
        let peer = Peer { addr: remote, icmp: None };
        let occasion = Occasion::default();
        indicate_socket(&self.machine, layer::CONNECT_REDIRECT, &self.mailbox.socket, Some(&peer), &occasion);
    }

    /// Sends a datagram whose content does not matter.
    pub fn send(&self, remote: SocketAddr) -> Sent {
        self.send_bytes(remote, b"datagram")
    }

    /// Sends a datagram.
    pub fn send_bytes(&self, remote: SocketAddr, payload: &[u8]) -> Sent {
        self.send_many(remote, &[payload])
    }

    /// Sends several datagrams at once: the stack indicates one list with a net buffer for each. There is at least one.
    pub fn send_many(&self, remote: SocketAddr, payloads: &[&[u8]]) -> Sent {
        self.transmit(Peer { addr: canonical(remote), icmp: None }, payloads)
    }

    /// Sends an echo request with an identifier.
    pub fn echo(&self, remote: SocketAddr, id: u16) -> Sent {
        self.echo_bytes(remote, id, b"abcdefghijklmnopqrstuvwabcdefghi")
    }

    /// Sends an echo request with an identifier and data.
    pub fn echo_bytes(&self, remote: SocketAddr, id: u16, payload: &[u8]) -> Sent {
        let peer = Peer { addr: without_port(remote), icmp: Some(echo(id, remote.is_ipv6())) };
        self.transmit(peer, &[payload])
    }

    /// A datagram from `remote` arrives.
    pub fn deliver(&self, remote: SocketAddr, payload: &[u8]) -> PacketFate {
        self.deliver_protected(remote, payload, Protection::None)
    }

    /// The same, after IPsec had to do with it.
    pub fn deliver_protected(&self, remote: SocketAddr, payload: &[u8], protection: Protection) -> PacketFate {
        self.arrive(Peer { addr: canonical(remote), icmp: None }, payload, protection)
    }

    /// An echo request from `remote` arrives.
    pub fn deliver_echo(&self, remote: SocketAddr, id: u16, payload: &[u8]) -> PacketFate {
        let icmp = echo(id, remote.is_ipv6());
        self.arrive(Peer { addr: without_port(remote), icmp: Some(icmp) }, payload, Protection::None)
    }

    /// An echo reply from `remote` arrives.
    pub fn deliver_echo_reply(&self, remote: SocketAddr, id: u16, payload: &[u8]) -> PacketFate {
        let icmp = echo_reply(id, remote.is_ipv6());
        self.arrive(Peer { addr: without_port(remote), icmp: Some(icmp) }, payload, Protection::None)
    }

    /// "Destination unreachable" from `remote` arrives.
    pub fn deliver_unreachable(&self, remote: SocketAddr) -> PacketFate {
        let kind = if remote.is_ipv6() { 1 } else { 3 };
        let icmp = Icmp { kind, code: 1, id: 0 };
        self.arrive(Peer { addr: without_port(remote), icmp: Some(icmp) }, b"", Protection::None)
    }

    /// What it has received, and from whom, oldest first.
    pub fn received(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.mailbox.received()
    }

    /// The flow to `remote`, if there is one.
    pub fn flow(&self, remote: SocketAddr) -> Option<FlowHandle> {
        let flow = self.mailbox.socket.flows.hold().get(&Peer { addr: canonical(remote), icmp: None }).cloned();
        flow.map(|flow| FlowHandle::new(Arc::clone(&self.machine), flow))
    }

    /// Closes the socket.
    pub fn close(&self) {
        self.machine.network.close(self.endpoint());
        self.mailbox.socket.close(&self.machine);
    }

    fn transmit(&self, peer: Peer, payloads: &[&[u8]]) -> Sent {
        let route = route(&self.mailbox.socket, &peer, super::Direction::Outbound);
        let packets: Vec<Packet> = payloads.iter().map(|payload| Packet::build(route, payload, false)).collect();
        traffic::transmit(&self.machine, &self.mailbox.socket, peer, &packets, &Travel::default())
    }

    fn arrive(&self, peer: Peer, payload: &[u8], protection: Protection) -> PacketFate {
        let route = route(&self.mailbox.socket, &peer, super::Direction::Inbound);
        let packet = Packet::build(route, payload, self.machine.draw() & 3 == 0);
        let travel = Travel { ipsec: protection.bits(), ..Travel::default() };
        traffic::arrive(&self.machine, &self.mailbox, peer, &packet, &travel)
    }
}

impl Drop for DatagramSocket {
    fn drop(&mut self) {
        self.close();
    }
}

fn without_port(remote: SocketAddr) -> SocketAddr {
    let mut remote = canonical(remote);
    remote.set_port(0);
    remote
}
