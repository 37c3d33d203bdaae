//! What a listening socket does with SYNs: authorizes each at ALE_AUTH_RECV_ACCEPT, answers what is permitted, queues what is
//! established (learn.microsoft.com "TCP Packet Flows").
//!
//! Invariants: a SYN that is blocked, or held and not injected again, gets no answer; a connection is established once for
//! each peer; what closes with the listener is what nobody has accepted.
//! Neighbours: `reauthorize` authorizes, `listener` is the public face, `closing` ends sockets.

use super::connect::syn_ack;
use super::flow::{Flow, Outcome, PacketFate, Peer, Phase};
use super::reauthorize::{authorize, establish};
use super::socket::{Socket, TCP};
use super::{WSAEACCES, WSAECONNREFUSED};
use crate::config::{AcceptEndpoint, SynRetransmit};
use crate::machine::Machine;
use crate::ndis::{Lent, Start, Travel};
use crate::packet::{Packet, Route};
use crate::sync::Lock;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What a socket has that listens.
pub(super) struct Listening {
    /// Most connections that wait to be accepted.
    pub backlog: AtomicUsize,
    attempts: Mutex<BTreeMap<SocketAddr, Arc<Attempt>>>,
    /// Established, and not accepted.
    queue: Mutex<VecDeque<Arc<Flow>>>,
}

/// What one peer has tried.
pub(super) struct Attempt {
    state: Mutex<AttemptState>,
}

#[derive(Default)]
struct AttemptState {
    /// One for each SYN that was indicated; the latest last.
    flows: Vec<Arc<Flow>>,
    /// The connecting end, where it is on this machine.
    client: Option<Arc<Flow>>,
}

impl Attempt {
    pub fn flows(&self) -> Vec<Arc<Flow>> {
        self.state.hold().flows.clone()
    }

    fn add(&self, flow: &Arc<Flow>) {
        let mut state = self.state.hold();
        state.flows.retain(|flow| flow.progress().phase != Phase::Ended);
        state.flows.push(Arc::clone(flow));
    }

    fn is(&self, phase: Phase) -> bool {
        self.flows().iter().any(|flow| flow.progress().phase == phase)
    }
}

impl Listening {
    pub fn new(backlog: usize) -> Self {
        Self { backlog: AtomicUsize::new(backlog), attempts: Mutex::default(), queue: Mutex::default() }
    }

    pub fn attempt(&self, remote: SocketAddr) -> Arc<Attempt> {
        let mut attempts = self.attempts.hold();
        let attempt = attempts.entry(remote).or_insert_with(|| Arc::new(Attempt { state: Mutex::default() }));
        Arc::clone(attempt)
    }

    /// Takes the connection that has waited longest.
    pub fn accept(&self) -> Option<Arc<Flow>> {
        let mut queue = self.queue.hold();
        while let Some(flow) = queue.pop_front() {
            if flow.is_live() {
                return Some(flow);
            }
        }
        None
    }

    /// Peers of the connections that nobody has accepted yet.
    pub fn waiting(&self) -> Vec<SocketAddr> {
        self.queue.hold().iter().filter(|flow| flow.is_live()).map(|flow| flow.peer.addr).collect()
    }

    /// SYNs that are held.
    pub fn held(&self) -> usize {
        let attempts: Vec<Arc<Attempt>> = self.attempts.hold().values().cloned().collect();
        let flows = attempts.iter().flat_map(|attempt| attempt.flows());
        flows.filter(|flow| flow.progress().phase == Phase::Held).count()
    }

    /// The children that go with the listener: half open, or never accepted.
    pub fn take_children(&self) -> Vec<Arc<Socket>> {
        let attempts = std::mem::take(&mut *self.attempts.hold());
        let mut flows: Vec<Arc<Flow>> = self.queue.hold().drain(..).collect();
        for flow in attempts.into_values().flat_map(|attempt| attempt.flows()) {
            if !matches!(flow.progress().phase, Phase::Live | Phase::Ended) {
                flows.push(flow);
            }
        }
        flows.into_iter().map(|flow| Arc::clone(&flow.socket)).collect()
    }

    fn is_full(&self) -> bool {
        self.waiting().len() >= self.backlog.load(Ordering::SeqCst)
    }
}

/// The SYN of `remote`.
pub(super) fn syn_of(machine: &Machine, listener: &Socket, remote: SocketAddr) -> Packet {
    let destination = listener.local_towards(remote);
    let route = Route { protocol: TCP, source: remote, destination, icmp: None };
    Packet::build(route, b"", machine.draw() & 1 == 0)
}

/// A SYN arrives at `listener`, from the network or injected; passed is what was answered.
pub(super) fn syn(machine: &Arc<Machine>, listener: &Arc<Socket>, packet: &Packet, travel: &Travel) -> PacketFate {
    let Some(listening) = listener.listening().filter(|_| !listener.is_closed()) else { return PacketFate::Dropped };
    let remote = packet.route.source;
    machine.totals.syns.add();
    let attempt = listening.attempt(remote);
    let retransmit_is_lost = attempt.is(Phase::Held) && machine.config.knobs.syn_retransmit == SynRetransmit::Absorbed;
    // A connected peer sends no SYN; a full listener does not answer one.
    if attempt.is(Phase::Live) || retransmit_is_lost || listening.is_full() {
        return PacketFate::Dropped;
    }
    let child = Socket::child(machine, listener, packet.route.destination);
    let peer = Peer { addr: remote, icmp: None };
    let names_child = machine.config.knobs.accept_endpoint == AcceptEndpoint::Child;
    let flow = Flow::inbound(machine.new_id(), Arc::clone(&child), peer);
    if names_child {
        child.note_authorization();
        child.flows.hold().insert(peer, Arc::clone(&flow));
    } else {
        let held = listener.flows.hold().insert(peer, Arc::clone(&flow));
        held.into_iter().for_each(|held| listener.supersede(held));
    }
    attempt.add(&flow);
    if listener.is_closed() {
        // It closed before it could see this child.
        flow.end(machine, Outcome::Closed);
        child.close(machine);
        return PacketFate::Dropped;
    }
    let lent = Lent::new(machine, std::slice::from_ref(packet), Start::Payload, travel.clone());
    authorize(machine, &flow, lent.data());
    if flow.is_live() { PacketFate::Passed } else { PacketFate::Dropped }
}

/// A SYN of this machine arrives at this machine: both ends are indicated, and know nothing of each other's verdict.
pub(super) fn syn_from(machine: &Arc<Machine>, listener: &Arc<Socket>, client: &Arc<Flow>) {
    let remote = client.socket.local_towards(client.peer.addr);
    if let Some(listening) = listener.listening() {
        listening.attempt(remote).state.hold().client = Some(Arc::clone(client));
    }
    let route = Route { protocol: TCP, source: remote, destination: client.peer.addr, icmp: None };
    syn(machine, listener, &Packet::build(route, b"", false), &Travel::default());
}

/// The flow of the latest SYN of `remote`.
pub(super) fn listening_flow(listener: &Socket, remote: SocketAddr) -> Option<Arc<Flow>> {
    listener.listening()?.attempt(remote).flows().pop()
}

/// The SYN of `flow` was permitted: the handshake runs to its end.
pub(super) fn complete_handshake(machine: &Arc<Machine>, flow: &Arc<Flow>) {
    let Some(listener) = flow.socket.parent.and_then(|parent| machine.ale.listener(parent)) else {
        return abort(machine, flow, Outcome::Closed);
    };
    let Some(listening) = listener.listening() else { return };
    let attempt = listening.attempt(flow.peer.addr);
    if attempt.is(Phase::Live) || listening.is_full() {
        return abort(machine, flow, Outcome::Refused(WSAEACCES));
    }
    let client = attempt.state.hold().client.take();
    if client.is_some_and(|client| !syn_ack(machine, &client)) {
        return abort(machine, flow, Outcome::Refused(WSAECONNREFUSED));
    }
    flow.adopt(&listener);
    if !establish(machine, flow) {
        return flow.socket.close(machine);
    }
    listening.queue.hold().push_back(Arc::clone(flow));
    if listener.is_closed() {
        flow.socket.close(machine);
    }
}

/// The SYN of `flow` was dropped, and with it what there was of a connection.
pub(super) fn discard_child(machine: &Arc<Machine>, flow: &Flow) {
    if let Some(listener) = flow.socket.parent.and_then(|parent| machine.ale.listener(parent)) {
        listener.forget(flow);
    }
    flow.socket.close(machine);
}

fn abort(machine: &Arc<Machine>, flow: &Arc<Flow>, outcome: Outcome) {
    flow.end(machine, outcome);
    discard_child(machine, flow);
}

impl Flow {
    /// From now on the flow is its own socket's, not the listener's.
    fn adopt(self: &Arc<Self>, listener: &Socket) {
        listener.forget(self);
        self.socket.note_authorization();
        self.socket.flows.hold().insert(self.peer, Arc::clone(self));
    }
}
