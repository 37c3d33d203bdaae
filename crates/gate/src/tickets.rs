//! Tickets: which sockets have an operation that was handed out and whose completion has not returned yet.
//!
//! Nobody documents that a socket may end while `FwpsCompleteOperation0` runs for it, so its closure waits.
//!
//! Invariant: as many tickets are out as bits are set.
//!
//! Neighbours: `completing` gives them out and takes them back; `closing` looks for a socket among them.

use crate::closing::Closing;
use crate::memory::{Memory, OutOfMemory};

/// How many completions may run at once. Each runs on a processor of its own, or inside another.
pub(crate) const TICKETS: usize = 64;

/// Says that a completion runs. Given back by [`crate::Gate::handle_completed`] when it has returned.
#[must_use = "the socket cannot close before `handle_completed`"]
#[derive(PartialEq, Eq, Debug)]
pub struct Ticket(u8);

/// A socket and the one that it was accepted for, or twice the same.
#[derive(Clone, Copy)]
pub(crate) struct Socket {
    pub(crate) own: u64,
    pub(crate) endpoint: u64,
}

pub(crate) struct Tickets<M: Memory> {
    out: u64,
    sockets: M::Slab<Socket>,
}

impl<M: Memory> Tickets<M> {
    pub(crate) fn new() -> Result<Self, OutOfMemory> {
        Ok(Self { out: 0, sockets: M::slab(TICKETS, || Socket { own: 0, endpoint: 0 })? })
    }

    /// A ticket for a completion of this socket; none when all are out.
    pub(crate) fn take(&mut self, socket: Socket) -> Option<Ticket> {
        let free = self.out.trailing_ones();
        *self.sockets.get_mut(free as usize)? = socket;
        self.out |= 1 << free;
        Some(Ticket(free as u8))
    }

    pub(crate) fn give_back(&mut self, ticket: &Ticket) {
        self.out &= !(1_u64.checked_shl(ticket.0.into()).unwrap_or(0));
    }

    /// Whether any completion runs.
    pub(crate) fn are_out(&self) -> bool {
        self.out != 0
    }

    /// Whether a completion runs that must have returned before this socket ends.
    pub(crate) fn concern(&self, closing: Closing) -> bool {
        let mut out = self.out;
        while out != 0 {
            let at = out.trailing_zeros() as usize;
            if self.sockets.get(at).is_some_and(|socket| closing.concerns(socket.own, socket.endpoint)) {
                return true;
            }
            out &= out - 1;
        }
        false
    }
}
