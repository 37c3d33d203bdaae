//! Injected packets on their way back into the stack.
//!
//! Invariant: an injected packet is authorized where it would be had it come by itself, with the handles it was injected with.

use super::flow::{Flow, PacketFate, Peer};
use super::listen::{listening_flow, syn};
use super::network::{Mailbox, is_loopback};
use super::socket::{Socket, TCP};
use super::{Sent, traffic};
use crate::classify::frames;
use crate::config::LoopbackInjection;
use crate::machine::Machine;
use crate::ndis::{Injected, Travel};
use crate::packet::Packet;
use crate::sync::Lock;
use nt_sys::status::*;
use nt_sys::types::NTSTATUS;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

/// The public value of `STATUS_DATA_NOT_ACCEPTED`.
const STATUS_DATA_NOT_ACCEPTED: NTSTATUS = 0xC000_021B_u32.cast_signed();

/// A list that was injected, as packets.
pub(crate) enum Injectable {
    /// From a socket of this machine; without it when it was closed.
    Send { socket: Option<Arc<Socket>>, peer: Peer, packets: Vec<Packet>, travel: Travel },
    /// To a socket of this machine.
    Receive { mailbox: Option<Arc<Mailbox>>, peer: Peer, packet: Packet, travel: Travel },
    /// To a listener of this machine.
    Syn { listener: Option<Arc<Socket>>, packet: Packet, travel: Travel },
}

impl Injectable {
    /// What starts at its transport headers; nothing when that is not what the endpoint sends.
    pub fn send(machine: &Machine, endpoint: u64, remote: IpAddr, scope: u32, injected: &Injected) -> Option<Self> {
        let travel = injected.travel.clone();
        let Some(mailbox) = machine.network.by_endpoint(endpoint) else {
            let peer = Peer { addr: SocketAddr::new(remote, 0), icmp: None };
            return Some(Self::Send { socket: None, peer, packets: Vec::new(), travel });
        };
        let socket = Arc::clone(&mailbox.socket);
        let local = socket.local_towards(SocketAddr::new(remote, 0));
        let packets: Option<Vec<Packet>> = injected
            .data
            .iter()
            .map(|bytes| Packet::read_transport(bytes, socket.protocol, local.ip(), remote))
            .collect();
        let packets = packets?;
        let route = packets.first()?.route;
        let addr = match remote {
            IpAddr::V4(_) => route.destination,
            IpAddr::V6(ip) => SocketAddrV6::new(ip, route.destination.port(), 0, scope).into(),
        };
        Some(Self::Send { socket: Some(socket), peer: Peer { addr, icmp: route.icmp }, packets, travel })
    }

    /// A whole packet.
    pub fn receive(machine: &Machine, packet: Packet, travel: Travel) -> Self {
        if packet.route.protocol == TCP {
            let listener = machine.ale.listener_at(packet.route.destination);
            return Self::Syn { listener, packet, travel };
        }
        let mailbox = machine.network.at(&packet.route);
        let peer = Peer { addr: packet.route.source, icmp: packet.route.icmp };
        Self::Receive { mailbox, peer, packet, travel }
    }

    /// Whether a classify of its flow runs somewhere; the engine lets that end first.
    pub fn is_busy(&self) -> bool {
        self.flow().is_some_and(|flow| {
            let progress = flow.progress();
            progress.is_running() || progress.rechecks > 0
        })
    }

    /// Whether a classify of its flow runs on this thread.
    pub fn is_in_classify(&self) -> bool {
        self.flow().is_some_and(|flow| frames::is_in_flow(flow.id))
    }

    fn flow(&self) -> Option<Arc<Flow>> {
        let (socket, peer) = match self {
            Self::Send { socket, peer, .. } => (socket.as_ref()?, peer),
            Self::Receive { mailbox, peer, .. } => (&mailbox.as_ref()?.socket, peer),
            Self::Syn { listener, packet, .. } => return listening_flow(listener.as_ref()?, packet.route.source),
        };
        socket.flows.hold().get(peer).cloned()
    }
}

/// Takes an injected packet through the stack; the status is what its list gets.
pub(crate) fn inject(machine: &Arc<Machine>, what: Injectable) -> NTSTATUS {
    match what {
        Injectable::Send { socket: None, .. }
        | Injectable::Receive { mailbox: None, .. }
        | Injectable::Syn { listener: None, .. } => STATUS_NOT_FOUND,
        Injectable::Send { socket: Some(socket), peer, packets, travel } => {
            match traffic::transmit(machine, &socket, peer, &packets, &travel) {
                Sent::Sent => STATUS_SUCCESS,
                Sent::Lost | Sent::Refused(_) => STATUS_DATA_NOT_ACCEPTED,
            }
        }
        Injectable::Receive { mailbox: Some(mailbox), peer, packet, travel } => {
            let knob = machine.config.knobs.loopback_injection;
            if is_loopback(&packet.route) && knob == LoopbackInjection::NotAccepted {
                return STATUS_DATA_NOT_ACCEPTED;
            }
            received(traffic::arrive(machine, &mailbox, peer, &packet, &travel))
        }
        Injectable::Syn { listener: Some(listener), packet, travel } => {
            let knob = machine.config.knobs.loopback_injection;
            if is_loopback(&packet.route) && knob == LoopbackInjection::NotAccepted {
                return STATUS_DATA_NOT_ACCEPTED;
            }
            received(syn(machine, &listener, &packet, &travel))
        }
    }
}

fn received(fate: PacketFate) -> NTSTATUS {
    match fate {
        PacketFate::Passed => STATUS_SUCCESS,
        PacketFate::Dropped => STATUS_DATA_NOT_ACCEPTED,
    }
}
