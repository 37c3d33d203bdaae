//! What is held, and what is said where nobody is asked.
//!
//! Neighbours: `crate::Gate::classify` asks; `wire::settings` says it all.

use crate::Gate;
use crate::flow::{Flow, Subject};
use crate::memory::Memory;
use crate::packets::Packets;
use wire::request::Direction;
use wire::settings::{Fallback, Holds};
use wire::verdict::Verdict;

/// The protocol number of TCP.
pub(crate) const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP_V6: u8 = 58;

/// What the settings want for a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Policy {
    /// Ask.
    Hold,
    /// Cache and fallback, and a report.
    Report,
    /// The inbound half of loopback: its outbound half is asked about. Cache, else permit, and a report.
    Loopback,
}

impl Policy {
    pub(crate) fn of(holds: Holds, flow: &Flow<'_>) -> Self {
        let outbound = flow.key.direction == Direction::OUTBOUND;
        if !outbound && flow.loopback && !holds.contains(Holds::ACCEPT_LOOPBACK) {
            return Self::Loopback;
        }
        let kind = match (outbound, flow.key.protocol) {
            (true, TCP) => Holds::CONNECT_TCP,
            (true, UDP) => Holds::CONNECT_UDP,
            (true, ICMP | ICMP_V6) => Holds::CONNECT_ICMP,
            (true, _) => Holds::CONNECT_OTHER,
            (false, TCP) => Holds::ACCEPT_TCP,
            (false, UDP) => Holds::ACCEPT_UDP,
            (false, ICMP | ICMP_V6) => Holds::ACCEPT_ICMP,
            (false, _) => Holds::ACCEPT_OTHER,
        };
        if holds.contains(kind) { Self::Hold } else { Self::Report }
    }
}

/// Whether it is ICMP, of IPv4 or IPv6: its messages have types where others have local ports.
pub(crate) fn is_icmp(protocol: u8) -> bool {
    matches!(protocol, ICMP | ICMP_V6)
}

/// How much of a limit operations of this direction may fill. Inbound ones find the half of it gone: remotes, who can send
/// from any address, must not be able to keep this machine's own connections, or those of one of its servers, from being
/// held.
pub(crate) fn share(direction: Direction, limit: u32) -> u32 {
    if direction == Direction::INBOUND { limit.div_ceil(2) } else { limit }
}

impl<P, K: Packets, M: Memory> Gate<P, K, M> {
    pub(crate) fn policy(&self, flow: &Flow<'_>) -> Policy {
        Policy::of(self.settings.holds(), flow)
    }

    pub(crate) fn fallback(&self, subject: &Subject) -> Verdict {
        let fallback = match subject.key.direction {
            Direction::OUTBOUND => self.settings.fallback_outbound,
            _ => self.settings.fallback_inbound,
        };
        match fallback {
            Fallback::PERMIT => Verdict::PERMIT,
            Fallback::LAST => self.cache.last_known(subject).unwrap_or(Verdict::BLOCK),
            _ => Verdict::BLOCK,
        }
    }
}
