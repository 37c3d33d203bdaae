//! TCP connects.

use super::flow::{Flow, Handshake, Oddities, OnDone, Outcome, Peer, Phase};
use super::handle::FlowHandle;
use super::indicate::{Occasion, indicate_socket};
use super::listen::syn_from;
use super::process::Process;
use super::reauthorize::{authorize, establish};
use super::socket::{Socket, TCP};
use super::{WSAEACCES, WSAEALREADY, WSAECONNREFUSED, WSAEISCONN, WSAETIMEDOUT};
use crate::classify::{LayerData, layer};
use crate::machine::Machine;
use crate::sync::Lock;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// How long SYNs are sent that nobody answers.
const SYN_MS: u64 = 21_000;

/// A connect to make.
pub struct ConnectSpec {
    /// Where to. An IPv4-mapped address is connected by IPv4.
    pub remote: SocketAddr,
    /// Where from; the route decides if it does not say.
    pub local: Option<SocketAddr>,
    /// What the peer does.
    pub handshake: Handshake,
    /// Values that are empty in every indication, as bits by field index.
    pub empty_fields: u64,
    /// Metadata that is not provided.
    pub omit_metadata: u32,
    /// Called once with the outcome, on whichever thread brings it about, maybe before the connect call returns.
    pub on_done: Option<OnDone>,
}

impl ConnectSpec {
    /// A connect to `remote` that the peer accepts.
    pub fn to(remote: SocketAddr) -> Self {
        Self { remote, local: None, handshake: Handshake::Accepted, empty_fields: 0, omit_metadata: 0, on_done: None }
    }

    /// The same from a given address.
    pub fn from(mut self, local: SocketAddr) -> Self {
        self.local = Some(local);
        self
    }

    /// The same, telling the outcome to `on_done`.
    pub fn then(mut self, on_done: impl FnOnce(Outcome) + Send + 'static) -> Self {
        self.on_done = Some(Box::new(on_done));
        self
    }
}

/// A socket that connects or is connected. Dropping it closes it.
pub struct Connect {
    machine: Arc<Machine>,
    flow: Arc<Flow>,
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("remote", &self.flow.peer.addr).field("outcome", &self.outcome()).finish()
    }
}

impl Connect {
    pub(crate) fn start(machine: &Arc<Machine>, process: &Process, spec: ConnectSpec) -> Self {
        machine.totals.connects.add();
        let is_v6 = spec.local.map_or(spec.remote, |local| local).is_ipv6();
        let socket = Socket::new(machine, &process.owner, TCP, spec.local, is_v6);
        let may_bind = socket.bind(machine);
        let peer = Peer { addr: canonical(spec.remote), icmp: None };
        let oddities = Oddities { empty_fields: spec.empty_fields, omit_metadata: spec.omit_metadata };
        let flow = Flow::new(machine.new_id(), Arc::clone(&socket), peer, oddities, spec.handshake, spec.on_done);
        socket.flows.hold().insert(peer, Arc::clone(&flow));
        if may_bind {
            let asked = Peer { addr: spec.remote, icmp: None };
            indicate_socket(machine, layer::CONNECT_REDIRECT, &socket, Some(&asked), &Occasion::default());
            authorize(machine, &flow, LayerData::default());
        } else {
            flow.end(machine, Outcome::Refused(WSAEACCES));
        }
        Self { machine: Arc::clone(machine), flow }
    }

    /// What has become of it so far.
    pub fn outcome(&self) -> Outcome {
        self.flow.outcome()
    }

    /// What a second `connect` on the socket is told; zero is success.
    pub fn connect_again(&self) -> u32 {
        match self.outcome() {
            Outcome::Pending => WSAEALREADY,
            Outcome::Connected => WSAEISCONN,
            Outcome::Refused(error) => error,
            Outcome::Reset | Outcome::Closed => super::WSAECONNABORTED,
        }
    }

    /// The endpoint handle that its indications carry.
    pub fn endpoint(&self) -> u64 {
        self.flow.socket.endpoint
    }

    /// The address that it connects from.
    pub fn local(&self) -> SocketAddr {
        self.flow.socket.local_towards(self.flow.peer.addr)
    }

    /// Its flow.
    pub fn flow(&self) -> FlowHandle {
        FlowHandle::new(Arc::clone(&self.machine), Arc::clone(&self.flow))
    }

    /// Sends the SYN again, to a listener of this machine that has not answered; gives up when it is time to.
    pub fn retransmit(&self) {
        let (is_connecting, since_ms) = {
            let progress = self.flow.progress();
            (progress.phase == Phase::Connecting, progress.last_used_ms)
        };
        if is_connecting && self.machine.host.now_ms() - since_ms >= SYN_MS {
            self.flow.end(&self.machine, Outcome::Refused(WSAETIMEDOUT));
        } else if is_connecting && let Some(listener) = self.machine.ale.listener_at(self.flow.peer.addr) {
            syn_from(&self.machine, &listener, &self.flow);
        }
    }

    /// Closes the socket.
    pub fn close(&self) {
        self.flow.socket.close(&self.machine);
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        self.close();
    }
}

/// An authorized connect sends its SYN. A listener of this machine answers when it is permitted to.
pub(super) fn send_syn(machine: &Arc<Machine>, flow: &Arc<Flow>) {
    if let Some(listener) = machine.ale.listener_at(flow.peer.addr) {
        {
            let mut progress = flow.progress();
            progress.phase = Phase::Connecting;
            progress.last_used_ms = machine.host.now_ms();
        }
        return syn_from(machine, &listener, flow);
    }
    match flow.handshake {
        Handshake::Accepted => {
            establish(machine, flow);
        }
        Handshake::Refused => flow.end(machine, Outcome::Refused(WSAECONNREFUSED)),
    }
}

/// The listener has answered; says whether the connect is established by that.
pub(super) fn syn_ack(machine: &Machine, flow: &Arc<Flow>) -> bool {
    {
        let mut progress = flow.progress();
        if progress.phase != Phase::Connecting {
            return false;
        }
        progress.start_again();
    }
    establish(machine, flow)
}

/// The address that the engine sees: a mapped IPv4 address is IPv4.
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    let ip = addr.ip().to_canonical();
    if ip == addr.ip() { addr } else { SocketAddr::new(ip, addr.port()) }
}
