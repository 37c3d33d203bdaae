//! A flow in the hand of whoever plays the network.

use super::flow::{Direction, Flow, Outcome, PacketFate};
use super::network::packet_of;
use super::reauthorize::{packet, recheck};
use crate::machine::Machine;
use crate::ndis::{Lent, Start, Travel};
use std::fmt;
use std::sync::Arc;

/// A flow.
#[derive(Clone)]
pub struct FlowHandle {
    machine: Arc<Machine>,
    flow: Arc<Flow>,
}

impl fmt::Debug for FlowHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowHandle").field("id", &self.flow.id).field("is_live", &self.is_live()).finish()
    }
}

impl FlowHandle {
    pub(crate) fn new(machine: Arc<Machine>, flow: Arc<Flow>) -> Self {
        Self { machine, flow }
    }

    /// The id that `FwpsFlowAssociateContext0` takes.
    pub fn id(&self) -> u64 {
        self.flow.id
    }

    /// Whether packets pass.
    pub fn is_live(&self) -> bool {
        self.flow.is_live()
    }

    /// Has `then` called when it is decided about a flow that is held, and at once about another one.
    pub fn then(&self, then: impl FnOnce(Outcome) + Send + 'static) {
        self.flow.when_done(Box::new(then));
    }

    /// A packet comes by. The first after a change of the layer's filters is authorized again.
    pub fn packet(&self, direction: Direction) -> PacketFate {
        packet(&self.machine, &self.flow, direction, self.some_packet(direction).data())
    }

    /// Something else has the flow authorized again: a new interface, a profile, a socket option. A held flow stays held.
    pub fn reauthorize(&self, reason: u32) -> PacketFate {
        let lent = self.some_packet(Direction::Outbound);
        recheck(&self.machine, &self.flow, reason, Direction::Outbound, lent.data())
    }

    fn some_packet(&self, direction: Direction) -> Lent<'_> {
        let start = match direction {
            Direction::Outbound => Start::TransportHeader,
            Direction::Inbound => Start::Payload,
        };
        Lent::new(&self.machine, &[packet_of(&self.machine, &self.flow, direction)], start, Travel::default())
    }
}
