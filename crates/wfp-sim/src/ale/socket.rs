//! Sockets: binding, closing, and what is indicated for the endpoint itself.
//!
//! Invariant: a connection's endpoint is reported closed once for each authorization it was indicated, a datagram socket's
//! once whatever the number of its peers (learn.microsoft.com "ALE Endpoint Lifetime Management").

use super::flow::{Flow, Peer, Phase};
use super::indicate::{Occasion, indicate_socket};
use super::process::Owned;
use crate::classify::{frames, layer};
use crate::machine::Machine;
use crate::sync::Lock;
use nt_sys::fwp::FWP_CONDITION_FLAG_IS_WILDCARD_BIND;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMP_V6: u8 = 58;

/// The addresses of this machine.
const LOCAL_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const LOCAL_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, 0, 2));

/// A socket.
pub(crate) struct Socket {
    pub endpoint: u64,
    /// The listener whose child it is.
    pub parent: Option<u64>,
    pub protocol: u8,
    pub(super) owner: Arc<Owned>,
    local: SocketAddr,
    /// The address was asked for, not chosen by the route.
    is_address_fixed: bool,
    pub(super) flows: Mutex<HashMap<Peer, Arc<Flow>>>,
    /// Held flows whose peer has a newer one.
    superseded: Mutex<Vec<Arc<Flow>>>,
    is_bound: AtomicBool,
    is_closed: AtomicBool,
    was_authorized: AtomicBool,
}

impl Socket {
    pub fn new(
        machine: &Machine,
        owner: &Arc<Owned>,
        protocol: u8,
        local: Option<SocketAddr>,
        is_v6: bool,
    ) -> Arc<Self> {
        let any = if is_v6 { IpAddr::from(Ipv6Addr::UNSPECIFIED) } else { IpAddr::from(Ipv4Addr::UNSPECIFIED) };
        let mut local = local.unwrap_or(SocketAddr::new(any, 0));
        if local.port() == 0 {
            local.set_port(machine.ale.ephemeral_port());
        }
        let socket = Arc::new(Self {
            endpoint: machine.new_id(),
            parent: None,
            protocol,
            owner: Arc::clone(owner),
            is_address_fixed: !local.ip().is_unspecified(),
            local,
            flows: Mutex::default(),
            superseded: Mutex::default(),
            is_bound: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            was_authorized: AtomicBool::new(false),
        });
        owner.adopt(&socket);
        socket
    }

    /// Binds the socket unless it is; says whether it may be used.
    pub fn bind(self: &Arc<Self>, machine: &Machine) -> bool {
        if self.is_bound.load(Ordering::SeqCst) {
            return true;
        }
        let flags = if self.is_address_fixed { 0 } else { FWP_CONDITION_FLAG_IS_WILDCARD_BIND };
        indicate_socket(machine, layer::BIND_REDIRECT, self, None, &Occasion::default());
        let occasion = Occasion { flags, is_wildcard: !self.is_address_fixed, ..Occasion::default() };
        let verdict = indicate_socket(machine, layer::RESOURCE_ASSIGNMENT, self, None, &occasion);
        let may_bind = !verdict.blocks();
        self.is_bound.store(may_bind, Ordering::SeqCst);
        may_bind
    }

    /// Notes that a flow of the socket was indicated for authorization.
    pub fn note_authorization(&self) {
        self.was_authorized.store(true, Ordering::SeqCst);
    }

    /// Keeps a held flow to close it with the socket.
    pub fn supersede(&self, held: Arc<Flow>) {
        let mut superseded = self.superseded.hold();
        superseded.retain(|flow| flow.progress().phase != Phase::Ended);
        superseded.push(held);
    }

    pub fn local(&self) -> SocketAddr {
        self.local
    }

    pub fn is_v6(&self) -> bool {
        self.local.is_ipv6()
    }

    /// The local address as packets to `remote` carry it.
    pub fn local_towards(&self, remote: SocketAddr) -> SocketAddr {
        if self.is_address_fixed {
            return self.local;
        }
        let ip = match remote.ip() {
            ip if ip.is_loopback() => ip,
            IpAddr::V4(_) => LOCAL_V4,
            IpAddr::V6(_) => LOCAL_V6,
        };
        SocketAddr::new(ip, self.local.port())
    }

    /// Closes the socket: held operations are orphaned, live flows end. Again is nothing.
    pub fn close(self: &Arc<Self>, machine: &Machine) {
        if self.is_closed.swap(true, Ordering::SeqCst) {
            return;
        }
        self.owner.release(self);
        let mut flows: Vec<Arc<Flow>> = self.flows.hold().drain().map(|(_, flow)| flow).collect();
        flows.append(&mut self.superseded.hold());
        for flow in &flows {
            wait_until_idle(machine, flow);
        }
        if self.was_authorized.load(Ordering::SeqCst) {
            let peer = flows.first().filter(|_| self.protocol == TCP).map(|flow| &flow.peer);
            indicate_socket(machine, layer::ENDPOINT_CLOSURE, self, peer, &Occasion::default());
        }
        for flow in &flows {
            flow.end_closed(machine);
        }
        if self.is_bound.load(Ordering::SeqCst) {
            indicate_socket(machine, layer::RESOURCE_RELEASE, self, None, &Occasion::default());
        }
    }
}

/// Lets a classify of the flow that runs on another thread end; from then on none starts.
fn wait_until_idle(machine: &Machine, flow: &Flow) {
    loop {
        {
            let mut progress = flow.progress();
            // After a violation nobody will end what was running.
            if !matches!(progress.phase, Phase::Classifying | Phase::Reauthorizing) || machine.has_crashed() {
                if progress.phase != Phase::Ended {
                    progress.phase = Phase::Closing;
                }
                return;
            }
        }
        assert!(!frames::is_in_flow(flow.id), "a socket was closed from inside its own classify");
        machine.host.wait_ms(1);
    }
}
