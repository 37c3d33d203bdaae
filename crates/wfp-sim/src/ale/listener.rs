//! A listening socket and its connections in the hand of whoever plays the application and its peers.

use super::WSAEACCES;
use super::connect::canonical;
use super::flow::{Flow, Outcome, Phase};
use super::handle::FlowHandle;
use super::indicate::{Occasion, indicate_socket};
use super::listen::{Attempt, Listening, syn, syn_of};
use super::process::Process;
use super::socket::{Socket, TCP};
use crate::classify::layer;
use crate::machine::Machine;
use crate::ndis::Travel;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Most connections that wait to be accepted, unless the application says otherwise.
const BACKLOG: usize = 200;

/// A socket that listens for TCP connections. Dropping it closes it.
pub struct Listener {
    machine: Arc<Machine>,
    socket: Arc<Socket>,
    error: Option<u32>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("local", &self.local()).field("error", &self.error).finish()
    }
}

impl Listener {
    pub(crate) fn start(machine: &Arc<Machine>, process: &Process, local: SocketAddr) -> Self {
        let socket = Socket::bound(machine, &process.owner, TCP, local);
        let may_listen = socket.bind(machine) && {
            socket.note_authorization();
            !indicate_socket(machine, layer::AUTH_LISTEN, &socket, None, &Occasion::default()).blocks()
        };
        if may_listen {
            socket.listen(Listening::new(BACKLOG));
            machine.ale.add_listener(&socket);
        }
        Self { machine: Arc::clone(machine), socket, error: (!may_listen).then_some(WSAEACCES) }
    }

    /// What `bind` or `listen` failed with, as a Winsock error.
    pub fn error(&self) -> Option<u32> {
        self.error
    }

    /// The endpoint handle that its indications carry.
    pub fn endpoint(&self) -> u64 {
        self.socket.endpoint
    }

    /// The address that it listens at; unspecified where it listens at all.
    pub fn local(&self) -> SocketAddr {
        self.socket.local()
    }

    /// Lets at most `backlog` connections wait to be accepted; a SYN beyond that is dropped.
    pub fn set_backlog(&self, backlog: usize) {
        if let Some(listening) = self.socket.listening() {
            listening.backlog.store(backlog, Ordering::SeqCst);
        }
    }

    /// A SYN from another machine arrives.
    pub fn syn_from(&self, remote: SocketAddr) -> Accept {
        let remote = canonical(remote);
        let attempt = self.socket.listening().map(|listening| listening.attempt(remote));
        let accept = Accept { machine: Arc::clone(&self.machine), listener: Arc::clone(&self.socket), remote, attempt };
        accept.retransmit();
        accept
    }

    /// Accepts the connection that has waited longest.
    pub fn accept(&self) -> Option<Connection> {
        let flow = self.socket.listening()?.accept()?;
        Some(Connection { machine: Arc::clone(&self.machine), flow })
    }

    /// The peers of the connections that wait to be accepted, oldest first.
    pub fn accepted(&self) -> Vec<SocketAddr> {
        self.socket.listening().map(Listening::waiting).unwrap_or_default()
    }

    /// Closes the socket, and with it every connection that was not accepted.
    pub fn close(&self) {
        self.socket.close(&self.machine);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

/// What a peer sees of its SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynFate {
    /// Nothing was answered yet, and something may be.
    Held,
    /// Nothing was answered, and nothing will be unless it sends again.
    Dropped,
    /// The connection is established.
    Established,
    /// The connection was established, or would have been, and was reset.
    Reset,
    /// The connection was established, and this machine closed it.
    Closed,
}

/// A peer that wants to connect.
pub struct Accept {
    machine: Arc<Machine>,
    listener: Arc<Socket>,
    remote: SocketAddr,
    attempt: Option<Arc<Attempt>>,
}

impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accept").field("remote", &self.remote).field("fate", &self.fate()).finish()
    }
}

impl Accept {
    /// What has become of it so far.
    pub fn fate(&self) -> SynFate {
        let flows = self.attempt.as_ref().map(|attempt| attempt.flows()).unwrap_or_default();
        let fates: Vec<SynFate> = flows.iter().map(|flow| fate(flow)).collect();
        let either = [SynFate::Established, SynFate::Held].into_iter().find(|fate| fates.contains(fate));
        either.or(fates.last().copied()).unwrap_or(SynFate::Dropped)
    }

    /// Sends the SYN again, as a peer does that got no answer.
    pub fn retransmit(&self) {
        let packet = syn_of(&self.machine, &self.listener, self.remote);
        syn(&self.machine, &self.listener, &packet, &Travel::default());
    }

    /// The peer gives up: it resets what there is of the connection.
    pub fn reset(&self) {
        for flow in self.attempt.iter().flat_map(|attempt| attempt.flows()) {
            flow.socket.close(&self.machine);
        }
    }

    /// The flow of its latest SYN that was indicated.
    pub fn flow(&self) -> Option<FlowHandle> {
        let flow = self.attempt.as_ref()?.flows().pop()?;
        Some(FlowHandle::new(Arc::clone(&self.machine), flow))
    }
}

fn fate(flow: &Flow) -> SynFate {
    let (phase, outcome) = {
        let progress = flow.progress();
        (progress.phase, progress.outcome)
    };
    match (phase, outcome) {
        (Phase::Live, _) => SynFate::Established,
        (_, Outcome::Reset | Outcome::Refused(super::WSAECONNREFUSED | super::WSAECONNABORTED)) => SynFate::Reset,
        (_, Outcome::Refused(_)) => SynFate::Dropped,
        (_, Outcome::Connected | Outcome::Closed) => SynFate::Closed,
        (_, Outcome::Pending) => SynFate::Held,
    }
}

/// An accepted connection. Dropping it closes it.
pub struct Connection {
    machine: Arc<Machine>,
    flow: Arc<Flow>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer()).finish()
    }
}

impl Connection {
    /// Who connected.
    pub fn peer(&self) -> SocketAddr {
        self.flow.peer.addr
    }

    /// The endpoint handle that its indications carry, from its establishment on.
    pub fn endpoint(&self) -> u64 {
        self.flow.socket.endpoint
    }

    /// Its flow.
    pub fn flow(&self) -> FlowHandle {
        FlowHandle::new(Arc::clone(&self.machine), Arc::clone(&self.flow))
    }

    /// Closes the socket.
    pub fn close(&self) {
        self.flow.socket.close(&self.machine);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}
