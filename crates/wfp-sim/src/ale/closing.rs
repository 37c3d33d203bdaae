//! The end of a socket (learn.microsoft.com "ALE Endpoint Lifetime Management").
//!
//! Invariants: `close` returns at once; a connection's endpoint is reported closed once for each authorization it was
//! indicated, a datagram socket's and a listener's once. Whoever pends the closure keeps the endpoint: until it is complete,
//! operations of the socket may be completed, its flows are not over and its resources not released.

use super::flow::{Flow, Outcome, Phase};
use super::indicate::{Occasion, indicate_closure, indicate_socket};
use super::socket::{Socket, TCP};
use crate::classify::{Suspension, layer};
use crate::machine::Machine;
use crate::sync::this_thread;
use std::sync::Arc;

impl Socket {
    /// Closes the socket: held operations are orphaned, live flows end. Again is nothing.
    pub fn close(self: &Arc<Self>, machine: &Arc<Machine>) {
        if !self.start_closing() {
            return;
        }
        self.owner.release(self);
        machine.ale.remove_listener(self.endpoint);
        let children = self.listening().map(|listening| listening.take_children()).unwrap_or_default();
        // No page says who goes first.
        let is_parent_first = machine.draw() & 1 == 0;
        if is_parent_first {
            close_flows(machine, self, self.take_flows());
        }
        for child in children {
            child.close(machine);
        }
        if !is_parent_first {
            close_flows(machine, self, self.take_flows());
        }
    }
}

/// Goes on when no classify of the flows is running any more; from then on none starts.
fn close_flows(machine: &Arc<Machine>, socket: &Arc<Socket>, flows: Vec<Arc<Flow>>) {
    if !flows.iter().all(|flow| stop(machine, flow)) {
        // This thread is inside one of them: the endpoint lives until that has returned.
        let (machine_then, socket) = (Arc::clone(machine), Arc::clone(socket));
        machine.host.defer(Box::new(move || close_flows(&machine_then, &socket, flows)));
        return;
    }
    if !socket.was_authorized() {
        return finish(machine, socket, &flows);
    }
    let is_connection = socket.protocol == TCP && socket.listening().is_none();
    let peer = flows.first().filter(|_| is_connection).map(|flow| flow.peer);
    let (machine_then, socket_then, flows_then) = (Arc::clone(machine), Arc::clone(socket), flows.clone());
    let (machine_again, socket_again) = (Arc::clone(machine), Arc::clone(socket));
    Suspension::run(
        move |closure| indicate_closure(&machine_again, &socket_again, peer.as_ref(), closure),
        move || finish(&machine_then, &socket_then, &flows_then),
    );
    for flow in &flows {
        flow.conclude(Outcome::Closed);
    }
}

fn finish(machine: &Machine, socket: &Arc<Socket>, flows: &[Arc<Flow>]) {
    for flow in flows {
        flow.end_closed(machine);
    }
    if socket.is_bound() {
        indicate_socket(machine, layer::RESOURCE_RELEASE, socket, None, &Occasion::default());
    }
}

/// Lets a classify of the flow that runs on another thread end; says no when it runs on this one.
fn stop(machine: &Machine, flow: &Flow) -> bool {
    loop {
        {
            let mut progress = flow.progress();
            // After a violation nobody will end what was running.
            if !progress.is_running() || machine.has_crashed() {
                if progress.phase != Phase::Ended {
                    progress.phase = Phase::Closing;
                }
                return true;
            }
            if progress.running_on == this_thread() {
                return false;
            }
        }
        machine.host.wait_ms(1);
    }
}
