//! Packets through the layers: a flow per peer, authorized by its first packet (learn.microsoft.com "UDP Packet Flows", "ALE
//! Stateful Filtering", "ALE Multicast and Broadcast Traffic").
//!
//! Invariants: a flow that was idle for its time is over, and the next packet is a first one; a held flow keeps its place while
//! a second packet of it is authorized, and afterwards unless that packet's flow lives. Every packet that is shown to callouts
//! is a list of its own, lent for the indication.

use super::flow::{Direction, Flow, Handshake, Oddities, Outcome, PacketFate, Peer, Phase};
use super::indicate::{Occasion, indicate_flow, indicate_socket};
use super::network::{Mailbox, is_group, is_icmp_error, is_loopback, request_of};
use super::reauthorize::{authorize, packet};
use super::socket::Socket;
use super::{Sent, WSAEACCES, WSAECONNABORTED};
use crate::classify::layer;
use crate::config::{HeldSend, InjectedSend, SecondPacket};
use crate::machine::Machine;
use crate::ndis::{Lent, Start, Travel};
use crate::packet::Packet;
use crate::sync::Lock;
use std::sync::Arc;

/// How long a flow lives without packets.
const IDLE_MS: u64 = 60_000;

/// How long after a send to a group anybody may answer.
const GROUP_MS: u64 = 4_000;

/// Sends packets of one flow.
pub(super) fn transmit(
    machine: &Arc<Machine>,
    socket: &Arc<Socket>,
    peer: Peer,
    packets: &[Packet],
    travel: &Travel,
) -> Sent {
    if socket.is_closed() {
        return Sent::Refused(WSAECONNABORTED);
    }
    if !socket.bind(machine) {
        return Sent::Refused(WSAEACCES);
    }
    let known = socket.flows.hold().get(&peer).cloned();
    let sent = match known.map(|flow| (state_of(machine, &flow), flow)) {
        Some((FlowState::Live, flow)) => again(machine, &flow, packets, travel),
        Some((FlowState::Held, _)) if machine.config.knobs.second_packet == SecondPacket::Absorb => held(machine),
        Some((FlowState::Held | FlowState::Over, _)) | None => first(machine, socket, peer, packets, travel),
    };
    if sent == Sent::Sent {
        for packet in packets {
            depart(machine, packet, travel);
        }
    }
    sent
}

/// Sends packets of a flow that lives.
fn again(machine: &Machine, flow: &Arc<Flow>, packets: &[Packet], travel: &Travel) -> Sent {
    let lent = Lent::new(machine, packets, Start::TransportHeader, travel.clone());
    let is_injected = !travel.injected_by.is_empty();
    if is_injected && machine.config.knobs.injected_send == InjectedSend::ClassifiedAgain {
        let occasion = Occasion { data: lent.data(), ..Occasion::default() };
        let verdict = indicate_flow(machine, flow.step(), flow, &occasion);
        if verdict.blocks() {
            return Sent::Lost;
        }
        flow.progress().epoch = verdict.epoch;
    }
    match packet(machine, flow, Direction::Outbound, lent.data()) {
        PacketFate::Passed => Sent::Sent,
        PacketFate::Dropped => Sent::Lost,
    }
}

/// Sends the first packets of a new flow.
fn first(machine: &Arc<Machine>, socket: &Arc<Socket>, peer: Peer, packets: &[Packet], travel: &Travel) -> Sent {
    indicate_socket(machine, layer::CONNECT_REDIRECT, socket, Some(&peer), &Occasion::default());
    let oddities = Oddities::default();
    let flow = Flow::new(machine.new_id(), Arc::clone(socket), peer, oddities, Handshake::Accepted, None);
    let lent = Lent::new(machine, packets, Start::TransportHeader, travel.clone());
    let verdict = in_place(socket, &flow, || authorize(machine, &flow, lent.data()));
    match flow.outcome() {
        Outcome::Connected if verdict.blocks() => Sent::Lost,
        Outcome::Connected => Sent::Sent,
        Outcome::Refused(_) if verdict.absorbs => Sent::Lost,
        Outcome::Refused(error) => Sent::Refused(error),
        Outcome::Pending => held(machine),
        Outcome::Reset | Outcome::Closed => Sent::Refused(WSAECONNABORTED),
    }
}

/// What the sender of a held packet is told.
fn held(machine: &Machine) -> Sent {
    match machine.config.knobs.held_send {
        HeldSend::Succeeds => Sent::Lost,
        HeldSend::Fails => Sent::Refused(WSAEACCES),
    }
}

/// A packet that passed leaves the machine, or arrives at it.
fn depart(machine: &Arc<Machine>, packet: &Packet, travel: &Travel) {
    if !is_loopback(&packet.route) {
        return machine.network.leave(packet, !travel.injected_by.is_empty());
    }
    if let Some(mailbox) = machine.network.at(&packet.route) {
        let mut travel = travel.clone();
        if !travel.injected_by.is_empty() {
            travel.injected_by.push((0, 0));
        }
        let peer = Peer { addr: packet.route.source, icmp: packet.route.icmp };
        arrive(machine, &mailbox, peer, packet, &travel);
    }
}

/// A packet from `peer` arrives.
pub(super) fn arrive(
    machine: &Arc<Machine>,
    mailbox: &Mailbox,
    peer: Peer,
    packet: &Packet,
    travel: &Travel,
) -> PacketFate {
    let socket = &mailbox.socket;
    if socket.is_closed() {
        return PacketFate::Dropped;
    }
    let icmp = peer.icmp.map(|icmp| request_of(socket.protocol, icmp));
    let is_error = peer.icmp.is_some_and(|icmp| is_icmp_error(socket.protocol, icmp));
    let fate = if is_error || answers_group(machine, socket) {
        PacketFate::Passed
    } else {
        authorize_arrival(machine, socket, Peer { icmp, ..peer }, packet, travel)
    };
    if fate == PacketFate::Passed {
        mailbox.receive(peer.addr, packet.payload());
    }
    fate
}

fn authorize_arrival(
    machine: &Arc<Machine>,
    socket: &Arc<Socket>,
    peer: Peer,
    arrived: &Packet,
    travel: &Travel,
) -> PacketFate {
    let known = socket.flows.hold().get(&peer).cloned();
    let state = known.as_ref().map(|flow| state_of(machine, flow));
    let lent = || Lent::new(machine, std::slice::from_ref(arrived), Start::Payload, travel.clone());
    match (state, known) {
        (Some(FlowState::Live), Some(flow)) => packet(machine, &flow, Direction::Inbound, lent().data()),
        (Some(FlowState::Held), _) if machine.config.knobs.second_packet == SecondPacket::Absorb => PacketFate::Dropped,
        _ => {
            let flow = Flow::inbound(machine.new_id(), Arc::clone(socket), peer);
            let lent = lent();
            let verdict = in_place(socket, &flow, || authorize(machine, &flow, lent.data()));
            let passes = !verdict.blocks() && flow.outcome() == Outcome::Connected;
            if passes { PacketFate::Passed } else { PacketFate::Dropped }
        }
    }
}

/// Runs the first authorization of `flow` in its place among the socket's flows. One that was held there stays, unless the
/// new one takes over.
fn in_place<R>(socket: &Socket, flow: &Arc<Flow>, authorize: impl FnOnce() -> R) -> R {
    let replaced = socket.flows.hold().insert(flow.peer, Arc::clone(flow));
    let done = authorize();
    if let Some(earlier) = replaced.filter(|earlier| earlier.progress().phase != Phase::Ended) {
        if flow.progress().phase != Phase::Ended {
            socket.supersede(earlier);
        } else if !socket.is_closed() {
            socket.flows.hold().insert(flow.peer, earlier);
        } else {
            socket.supersede(earlier);
        }
    }
    done
}

/// Whether the socket has sent to a group lately, so that anybody may answer (E82).
fn answers_group(machine: &Machine, socket: &Socket) -> bool {
    let flows: Vec<Arc<Flow>> = socket.flows.hold().values().cloned().collect();
    flows.iter().any(|flow| is_group(flow.peer.addr.ip()) && matches!(state_of(machine, flow), FlowState::Live))
}

/// What a packet meets.
pub(super) enum FlowState {
    Live,
    Held,
    Over,
}

pub(super) fn state_of(machine: &Machine, flow: &Arc<Flow>) -> FlowState {
    let now_ms = machine.host.now_ms();
    let (phase, last_used_ms) = {
        let progress = flow.progress();
        (progress.phase, progress.last_used_ms)
    };
    let idle_ms = if is_group(flow.peer.addr.ip()) { GROUP_MS } else { IDLE_MS };
    match phase {
        Phase::Live if now_ms.saturating_sub(last_used_ms) < idle_ms => FlowState::Live,
        Phase::Live => {
            flow.end(machine, Outcome::Closed);
            FlowState::Over
        }
        // Nothing follows the completion of an inbound operation: what arrives now is new.
        Phase::Scheduled if flow.direction == Direction::Inbound => FlowState::Over,
        Phase::Ended => FlowState::Over,
        _ => FlowState::Held,
    }
}
