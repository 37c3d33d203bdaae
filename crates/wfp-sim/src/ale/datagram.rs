//! UDP and ICMP: a flow per peer, authorized by its first packet (learn.microsoft.com "UDP Packet Flows", "ALE Stateful
//! Filtering").
//!
//! Invariant: a flow that was idle for its time is over; the next packet is a first one.

use super::connect::canonical;
use super::flow::{Direction, Flow, Handshake, Icmp, Oddities, Outcome, PacketFate, Peer, Phase};
use super::handle::FlowHandle;
use super::indicate::{Occasion, indicate_socket};
use super::process::Process;
use super::reauthorize::{authorize, packet};
use super::socket::{ICMP, ICMP_V6, Socket, UDP};
use super::{WSAEACCES, WSAECONNABORTED};
use crate::classify::{LayerData, layer};
use crate::config::SecondPacket;
use crate::machine::Machine;
use crate::sync::Lock;
use std::ffi::c_void;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// How long a flow lives without packets.
const IDLE_MS: u64 = 60_000;

const ECHO_V4: u8 = 8;
const ECHO_V6: u8 = 128;

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

/// A socket that sends packets. Dropping it closes it.
pub struct DatagramSocket {
    machine: Arc<Machine>,
    socket: Arc<Socket>,
}

impl fmt::Debug for DatagramSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramSocket").field("endpoint", &self.socket.endpoint).finish()
    }
}

impl DatagramSocket {
    pub(crate) fn udp(machine: &Arc<Machine>, process: &Process, local: Option<SocketAddr>, is_v6: bool) -> Self {
        let socket = Socket::new(machine, &process.owner, UDP, local, is_v6);
        Self { machine: Arc::clone(machine), socket }
    }

    pub(crate) fn icmp(machine: &Arc<Machine>, process: &Process, is_v6: bool) -> Self {
        let socket = Socket::new(machine, &process.owner, if is_v6 { ICMP_V6 } else { ICMP }, None, is_v6);
        Self { machine: Arc::clone(machine), socket }
    }

    /// The endpoint handle that its indications carry.
    pub fn endpoint(&self) -> u64 {
        self.socket.endpoint
    }

    /// Sets the default peer; nothing is authorized by that.
    pub fn connect(&self, remote: SocketAddr) {
        let peer = Peer { addr: remote, icmp: None };
        self.redirect(&peer);
    }

    /// Sends a packet that nobody looks into.
    pub fn send(&self, remote: SocketAddr) -> Sent {
        self.transmit(Peer { addr: canonical(remote), icmp: None }, LayerData::opaque(self.socket.protocol))
    }

    /// Sends `net_buffer_list`, which the caller keeps valid for the call.
    pub fn send_packet(&self, remote: SocketAddr, net_buffer_list: *mut c_void) -> Sent {
        self.transmit(
            Peer { addr: canonical(remote), icmp: None },
            LayerData { list: net_buffer_list, ..LayerData::opaque(self.socket.protocol) },
        )
    }

    /// Sends an echo request with an identifier.
    pub fn echo(&self, remote: SocketAddr, id: u16) -> Sent {
        let kind = if remote.is_ipv6() { ECHO_V6 } else { ECHO_V4 };
        self.transmit(
            Peer { addr: remote, icmp: Some(Icmp { kind, code: 0, id }) },
            LayerData::opaque(self.socket.protocol),
        )
    }

    /// The flow to `remote`, if there is one.
    pub fn flow(&self, remote: SocketAddr) -> Option<FlowHandle> {
        let flow = self.socket.flows.hold().get(&Peer { addr: canonical(remote), icmp: None }).cloned();
        flow.map(|flow| FlowHandle::new(Arc::clone(&self.machine), flow))
    }

    /// Closes the socket.
    pub fn close(&self) {
        self.socket.close(&self.machine);
    }

    fn redirect(&self, peer: &Peer) {
        indicate_socket(&self.machine, layer::CONNECT_REDIRECT, &self.socket, Some(peer), &Occasion::default());
    }

    fn transmit(&self, peer: Peer, data: LayerData) -> Sent {
        if !self.socket.bind(&self.machine) {
            return Sent::Refused(WSAEACCES);
        }
        let known = self.socket.flows.hold().get(&peer).cloned();
        match known.as_ref().map(|flow| self.state_of(flow)) {
            Some(FlowState::Live(flow)) => match packet(&self.machine, flow, Direction::Outbound, data) {
                PacketFate::Passed => Sent::Sent,
                PacketFate::Dropped => Sent::Lost,
            },
            Some(FlowState::Held) if self.machine.config.knobs.second_packet == SecondPacket::Absorb => Sent::Lost,
            Some(FlowState::Held | FlowState::Over) | None => self.first(peer, data),
        }
    }

    /// Sends the first packet of a new flow.
    fn first(&self, peer: Peer, data: LayerData) -> Sent {
        self.redirect(&peer);
        let id = self.machine.new_id();
        let flow = Flow::new(id, Arc::clone(&self.socket), peer, Oddities::default(), Handshake::Accepted, None);
        let replaced = self.socket.flows.hold().insert(peer, Arc::clone(&flow));
        let verdict = authorize(&self.machine, &flow, data);
        if let Some(held) = replaced.filter(|flow| flow.progress().phase != Phase::Ended) {
            self.socket.supersede(held);
        }
        match flow.outcome() {
            Outcome::Connected if verdict.blocks() => Sent::Lost,
            Outcome::Connected => Sent::Sent,
            Outcome::Refused(_) if verdict.absorbs => Sent::Lost,
            Outcome::Refused(error) => Sent::Refused(error),
            Outcome::Pending => Sent::Lost,
            Outcome::Reset | Outcome::Closed => Sent::Refused(WSAECONNABORTED),
        }
    }

    fn state_of<'a>(&self, flow: &'a Arc<Flow>) -> FlowState<'a> {
        let now_ms = self.machine.host.now_ms();
        let (phase, last_used_ms) = {
            let progress = flow.progress();
            (progress.phase, progress.last_used_ms)
        };
        match phase {
            Phase::Live if now_ms - last_used_ms < IDLE_MS => FlowState::Live(flow),
            Phase::Live => {
                flow.end(&self.machine, Outcome::Closed);
                FlowState::Over
            }
            Phase::Ended => FlowState::Over,
            _ => FlowState::Held,
        }
    }
}

impl Drop for DatagramSocket {
    fn drop(&mut self) {
        self.close();
    }
}

/// What a packet meets.
enum FlowState<'a> {
    Live(&'a Arc<Flow>),
    Held,
    Over,
}
