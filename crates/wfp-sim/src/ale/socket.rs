//! Sockets: what they are, and binding them.
//!
//! Invariant: an endpoint handle is one socket's, and never given out again. Neighbours: `closing` ends sockets.

use super::flow::{Flow, Peer, Phase};
use super::indicate::{Occasion, indicate_socket};
use super::listen::Listening;
use super::process::Owned;
use crate::classify::layer;
use crate::machine::Machine;
use crate::sync::Lock;
use nt_sys::fwp::FWP_CONDITION_FLAG_IS_WILDCARD_BIND;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

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
    listening: OnceLock<Listening>,
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
        Self::adopted(machine, owner, protocol, local, None)
    }

    /// A socket at `local`, which may be unspecified and still has a port of its own.
    pub fn bound(machine: &Machine, owner: &Arc<Owned>, protocol: u8, local: SocketAddr) -> Arc<Self> {
        Self::new(machine, owner, protocol, Some(local), local.is_ipv6())
    }

    /// The end at `local` of a connection that `listener` was asked for.
    pub fn child(machine: &Machine, listener: &Self, local: SocketAddr) -> Arc<Self> {
        Self::adopted(machine, &listener.owner, listener.protocol, local, Some(listener.endpoint))
    }

    fn adopted(
        machine: &Machine,
        owner: &Arc<Owned>,
        protocol: u8,
        local: SocketAddr,
        parent: Option<u64>,
    ) -> Arc<Self> {
        let socket = Arc::new(Self {
            endpoint: machine.new_id(),
            parent,
            protocol,
            owner: Arc::clone(owner),
            is_address_fixed: !local.ip().is_unspecified(),
            local,
            flows: Mutex::default(),
            superseded: Mutex::default(),
            listening: OnceLock::new(),
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

    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// Lets go of a flow that has ended, or is another socket's now.
    pub(super) fn forget(&self, gone: &Flow) {
        self.flows.hold().retain(|_, flow| flow.id != gone.id);
        self.superseded.hold().retain(|flow| flow.id != gone.id);
    }

    pub fn local(&self) -> SocketAddr {
        self.local
    }

    pub fn is_v6(&self) -> bool {
        self.local.is_ipv6()
    }

    /// Whether packets to `addr` are for this socket.
    pub(super) fn is_at(&self, addr: SocketAddr) -> bool {
        let is_here = [LOCAL_V4, LOCAL_V6].contains(&addr.ip()) || addr.ip().is_loopback();
        let is_family = self.is_v6() || addr.is_ipv4();
        self.local == addr || !self.is_address_fixed && is_here && is_family && self.local.port() == addr.port()
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

    /// The flows that end with the socket.
    pub(super) fn take_flows(&self) -> Vec<Arc<Flow>> {
        let mut flows: Vec<Arc<Flow>> = self.flows.hold().drain().map(|(_, flow)| flow).collect();
        flows.append(&mut self.superseded.hold());
        flows
    }

    /// Turns the socket into a listener.
    pub(super) fn listen(&self, listening: Listening) {
        // Listening again changes nothing.
        drop(self.listening.set(listening));
    }

    pub(super) fn listening(&self) -> Option<&Listening> {
        self.listening.get()
    }

    /// Says whether nobody has closed it before.
    pub(super) fn start_closing(&self) -> bool {
        !self.is_closed.swap(true, Ordering::SeqCst)
    }

    pub(super) fn is_bound(&self) -> bool {
        self.is_bound.load(Ordering::SeqCst)
    }

    pub(super) fn was_authorized(&self) -> bool {
        self.was_authorized.load(Ordering::SeqCst)
    }

    /// The endpoint that authorizations name, and its parent. A connection that is not established yet may still go by its
    /// listener.
    pub(super) fn authorized_as(&self) -> (u64, Option<u64>) {
        match self.parent {
            Some(parent) if !self.was_authorized() => (parent, None),
            parent => (self.endpoint, parent),
        }
    }
}
