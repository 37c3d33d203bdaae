//! A flow: one socket, one peer, and how far its authorization has got.
//!
//! ```text
//! Classifying --permit--> Live --block, close--> Ended        Held --close--> Closing --> Orphaned --complete--> Ended
//!      | pend                                                   | complete
//!      +--------> Held <----------------------------------------+--> Scheduled --> Reauthorizing --> Live or Ended
//! ```
//!
//! Invariants: `outstanding` contexts are out for this flow, and it leaves `Held` when the last comes back; the outcome is
//! told once.

use super::contexts::Contexts;
use super::process::Identity;
use super::socket::Socket;
use crate::classify::Facts;
use crate::classify::layer::{self, Step};
use crate::sync::{Lock, ThreadId, this_thread};
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

/// Who started a packet's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From this machine.
    Outbound,
    /// To this machine.
    Inbound,
}

/// What became of a connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet: a blocking caller waits, another one has `WSAEWOULDBLOCK`.
    Pending,
    /// It is connected.
    Connected,
    /// It failed with this Winsock error.
    Refused(u32),
    /// It was connected, and the engine tore it down.
    Reset,
    /// The socket was closed before there was an outcome.
    Closed,
}

/// How the peer answers a SYN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handshake {
    /// It accepts.
    #[default]
    Accepted,
    /// It sends RST.
    Refused,
}

/// What became of a packet of a live flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketFate {
    /// It went on.
    Passed,
    /// It was discarded; unless it was absorbed, the flow went with it.
    Dropped,
}

/// The other end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    pub addr: SocketAddr,
    pub icmp: Option<Icmp>,
}

/// What tells ICMP flows apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Icmp {
    pub kind: u8,
    pub code: u8,
    pub id: u16,
}

/// What a test makes odd about the indications of one flow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Oddities {
    pub empty_fields: u64,
    pub omit_metadata: u32,
}

pub(super) type OnDone = Box<dyn FnOnce(Outcome) + Send>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first classify runs.
    Classifying,
    /// Pended.
    Held,
    /// Completed; the reauthorization has not started.
    Scheduled,
    /// The reauthorization runs.
    Reauthorizing,
    /// Authorized; its SYN is on the way to a listener of this machine.
    Connecting,
    /// Authorized, and established.
    Live,
    /// The socket closes.
    Closing,
    /// Closed, and pended still.
    Orphaned,
    /// Over.
    Ended,
}

/// What the lock of a flow guards.
pub(super) struct Progress {
    pub phase: Phase,
    /// The thread that runs the latest classify.
    pub running_on: ThreadId,
    pub outcome: Outcome,
    pub outstanding: usize,
    pub pended_by: Vec<u32>,
    /// The policy that the flow was authorized under.
    pub epoch: u64,
    pub last_used_ms: u64,
    /// Reauthorizations that run now while the flow lives.
    pub rechecks: usize,
    on_done: Vec<OnDone>,
}

impl Progress {
    /// Whether a classify of the flow runs that decides about it.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Classifying | Phase::Reauthorizing)
    }

    /// The running thread starts another one.
    pub fn start_again(&mut self) {
        self.phase = Phase::Reauthorizing;
        self.running_on = this_thread();
    }
}

/// A flow.
pub(crate) struct Flow {
    pub id: u64,
    pub socket: Arc<Socket>,
    pub peer: Peer,
    /// Who began it: what is inbound is authorized at ALE_AUTH_RECV_ACCEPT, what is outbound at ALE_AUTH_CONNECT.
    pub direction: Direction,
    pub oddities: Oddities,
    pub handshake: Handshake,
    pub(super) contexts: Contexts,
    progress: Mutex<Progress>,
}

impl Flow {
    /// A flow that this machine begins.
    pub fn new(
        id: u64,
        socket: Arc<Socket>,
        peer: Peer,
        oddities: Oddities,
        handshake: Handshake,
        on_done: Option<OnDone>,
    ) -> Arc<Self> {
        Arc::new(Self { oddities, handshake, ..Self::begun(id, socket, peer, Direction::Outbound, on_done) })
    }

    /// A flow that `peer` begins.
    pub fn inbound(id: u64, socket: Arc<Socket>, peer: Peer) -> Arc<Self> {
        Arc::new(Self::begun(id, socket, peer, Direction::Inbound, None))
    }

    fn begun(id: u64, socket: Arc<Socket>, peer: Peer, direction: Direction, on_done: Option<OnDone>) -> Self {
        let progress = Progress {
            phase: Phase::Classifying,
            running_on: this_thread(),
            outcome: Outcome::Pending,
            outstanding: 0,
            pended_by: Vec::new(),
            epoch: 0,
            last_used_ms: 0,
            rechecks: 0,
            on_done: on_done.into_iter().collect(),
        };
        Self {
            id,
            socket,
            peer,
            direction,
            oddities: Oddities::default(),
            handshake: Handshake::Accepted,
            contexts: Contexts::default(),
            progress: Mutex::new(progress),
        }
    }

    /// Where the flow is authorized.
    pub fn step(&self) -> Step {
        match self.direction {
            Direction::Outbound => layer::AUTH_CONNECT,
            Direction::Inbound => layer::AUTH_RECV_ACCEPT,
        }
    }

    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.hold()
    }

    pub fn outcome(&self) -> Outcome {
        self.progress().outcome
    }

    pub fn is_live(&self) -> bool {
        self.progress().phase == Phase::Live
    }

    /// Whether the callout pended this flow.
    pub fn was_pended_by(&self, callout: u32) -> bool {
        self.progress().pended_by.contains(&callout)
    }

    /// Whether the flow's addresses are of IPv6; a mapped address is IPv4 to the engine.
    pub fn is_v6(&self) -> bool {
        self.peer.addr.is_ipv6()
    }

    /// Tells the outcome, if nobody was told one yet.
    pub(super) fn conclude(&self, outcome: Outcome) {
        let on_done = {
            let mut progress = self.progress();
            if progress.outcome == Outcome::Pending {
                progress.outcome = outcome;
            }
            mem::take(&mut progress.on_done)
        };
        for on_done in on_done {
            on_done(outcome);
        }
    }

    /// Has `on_done` called with the outcome, at once when there is one.
    pub(super) fn when_done(&self, on_done: OnDone) {
        let outcome = {
            let mut progress = self.progress();
            if progress.outcome == Outcome::Pending {
                progress.on_done.push(on_done);
                return;
            }
            progress.outcome
        };
        on_done(outcome);
    }

    /// What every indication of this flow says.
    pub(super) fn facts<'a>(&'a self, identity: &'a Identity) -> Facts<'a> {
        let (endpoint, parent) = self.socket.authorized_as();
        Facts {
            identity,
            protocol: self.socket.protocol,
            local: self.socket.local_towards(self.peer.addr),
            is_wildcard: false,
            peer: Some(&self.peer),
            direction: self.direction,
            endpoint,
            parent,
            flow_id: Some(self.id),
            flags: 0,
            reason: 0,
            packet: None,
            empty_fields: self.oddities.empty_fields,
            omit_metadata: self.oddities.omit_metadata,
        }
    }
}
