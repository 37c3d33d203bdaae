//! Sockets that go away.
//!
//! Invariants: what a closed socket held is blocked; a socket is `Busy` from the moment that an operation of it is to be
//! pended until its completion has returned, but for the time in which it is held.
//!
//! Neighbours: `tickets` knows the completions that run; `pending` finds the records of a socket.

use crate::Gate;
use crate::memory::Memory;
use crate::packets::Packets;
use crate::time::Instant;
use wire::verdict::Verdict;

/// A socket that goes away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closing {
    /// Its endpoint handle; nothing is known of `0`.
    pub endpoint: u64,
    /// That of the listening socket for which it was accepted, when there is one: then only what is its own goes with it.
    pub parent: Option<u64>,
}

impl Closing {
    /// Whether what belongs to this socket, under this endpoint, goes with it.
    pub(crate) fn concerns(self, socket: u64, endpoint: u64) -> bool {
        self.endpoint == socket || self.parent.is_none() && self.endpoint == endpoint
    }
}

/// Whether a socket may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closure {
    /// It may: no operation of it is on its way.
    Clear,
    /// Not yet: an operation of it is about to be pended, waits to be completed ([`Gate::poll_completion_of`]), or is being
    /// completed. [`Gate::is_closing_busy`] says when that is over.
    Busy,
}

impl<P, K: Packets, M: Memory> Gate<P, K, M> {
    /// A socket goes away: what it holds is blocked.
    pub fn handle_closure(&mut self, now: Instant, closing: Closing) -> Closure {
        self.tick(now);
        let Closing { endpoint, parent } = closing;
        if endpoint == 0 {
            return Closure::Clear;
        }
        if self.pending.undecided_count() > 0 {
            let stamp = self.cache.stamp();
            let closed = self.pending.decide_socket(self.sip, endpoint, parent.is_none(), Verdict::BLOCK, stamp);
            self.counters.doors.closure += closed;
        }
        if self.is_closing_busy(closing) { Closure::Busy } else { Closure::Clear }
    }

    /// Whether an operation of this socket is still on its way: about to be pended, or to be completed, or being completed.
    pub fn is_closing_busy(&self, closing: Closing) -> bool {
        let Closing { endpoint, parent } = closing;
        endpoint != 0
            && (self.tickets.concern(closing)
                || self.pending.used() > 0 && self.pending.is_on_its_way(self.sip, endpoint, parent.is_none()))
    }
}
