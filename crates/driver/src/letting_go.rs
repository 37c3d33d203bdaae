//! Letting go of what was held: completing operations, injecting their packets, and closing sockets that waited for it.
//!
//! Invariants: no lock is held across a completion or an injection (R7); nothing is injected from inside a classify (R22);
//! a permitted packet is injected exactly once, after its operation was completed; a packet that is thrown away is freed
//! with no lock held.
//!
//! Neighbours: `gate` says what is ready; `closures` has the sockets that wait.

use crate::Tollgate;
use crate::kept::Kept;
use gate::{Completion, Then};
use nt::wfp::pend::Pended;

type Ready = Completion<Pended, Kept>;

impl Tollgate {
    /// Completes every operation that has been decided, and injects the packets of those that were permitted. Each
    /// completion may come back into `ale` on this thread, so the lock is taken anew for each.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`, with no lock held and not from a classify.
    pub(crate) fn complete_ready(&self) {
        while let Some(ready) = self.next_completion() {
            self.complete(ready);
        }
        self.send_released();
    }

    /// Completes what one closing socket holds. Its packets go with it.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`, with no lock held.
    pub(crate) fn complete_ready_of(&self, endpoint: u64) {
        while let Some(Completion { operation, ticket, then }) = self.next_completion_of(endpoint) {
            operation.complete();
            drop(then);
            self.completed(ticket);
        }
    }

    fn next_completion(&self) -> Option<Ready> {
        self.gate.lock().poll_completion(self.now())
    }

    fn next_completion_of(&self, endpoint: u64) -> Option<Ready> {
        self.gate.lock().poll_completion_of(self.now(), endpoint)
    }

    fn complete(&self, ready: Ready) {
        match ready.then {
            Then::Reauthorizes => ready.operation.complete(),
            Then::Inject(packets) => self.receive(ready.operation, packets),
            Then::Drop(packets) => {
                ready.operation.complete();
                drop(packets);
            }
        }
        self.completed(ready.ticket);
    }

    /// A permitted inbound operation goes on with its first packet; the others follow it (R20, R21).
    fn receive(&self, operation: Pended, mut packets: Kept) {
        match packets.pop_front() {
            Some(first) => self.injector.complete_and_receive(operation, first),
            None => operation.complete(),
        }
        while let Some(packet) = packets.pop_front() {
            self.injector.inject(packet);
        }
    }

    fn completed(&self, ticket: gate::Ticket) {
        self.gate.lock().handle_completed(ticket);
        self.close_waiting();
    }

    /// Injects the packets of outbound operations whose reauthorize has taken a permit, and frees those of the others.
    fn send_released(&self) {
        let mut released = self.gate.lock().take_packets();
        while let Some(packet) = released.inject.pop_front() {
            self.injector.inject(packet);
        }
    }
}
