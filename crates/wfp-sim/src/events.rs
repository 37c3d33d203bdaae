//! The log of network events.
//!
//! Invariant: a ring; the oldest event gives way. learn.microsoft.com "Logging" gives 128 KiB, about 100 to 150 events.

use crate::sync::Lock;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many events are kept.
const CAPACITY: usize = 128;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetEventKind {
    /// A classify blocked.
    ClassifyDrop,
    /// A classify permitted; only collected when asked for.
    ClassifyAllow,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetEvent {
    /// What happened.
    pub kind: NetEventKind,
    /// Where.
    pub layer: u16,
    /// The filter that decided; zero when none matched.
    pub filter_id: u64,
    /// A callout blocked what a heavier sublayer had permitted for good (audit event 5153).
    pub veto: bool,
    /// The traffic stays on the machine.
    pub loopback: bool,
    /// Why the flow was authorized again; zero for a first authorization.
    pub reauth_reason: u32,
    /// IP protocol.
    pub protocol: u8,
    /// This end.
    pub local: SocketAddr,
    /// The other end, where the layer has one.
    pub remote: Option<SocketAddr>,
    /// The process.
    pub pid: u32,
}

#[derive(Default)]
pub(crate) struct Events {
    ring: Mutex<VecDeque<NetEvent>>,
    collect_allow: AtomicBool,
}

impl Events {
    pub fn push(&self, event: NetEvent) {
        if event.kind == NetEventKind::ClassifyAllow && !self.collect_allow.load(Ordering::Relaxed) {
            return;
        }
        let mut ring = self.ring.hold();
        if ring.len() == CAPACITY {
            ring.pop_front();
        }
        ring.push_back(event);
    }

    pub fn collect_allow(&self, collect: bool) {
        self.collect_allow.store(collect, Ordering::Relaxed);
    }

    pub fn all(&self) -> Vec<NetEvent> {
        self.ring.hold().iter().cloned().collect()
    }
}
