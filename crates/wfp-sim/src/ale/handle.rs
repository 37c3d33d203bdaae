//! A flow in the hand of whoever plays the network.

use super::flow::{Direction, Flow, PacketFate};
use super::reauthorize::{packet, recheck};
use crate::classify::LayerData;
use crate::machine::Machine;
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

    /// A packet comes by. The first after a change of the layer's filters is authorized again.
    pub fn packet(&self, direction: Direction) -> PacketFate {
        packet(&self.machine, &self.flow, direction, self.opaque(direction))
    }

    /// Something else has the flow authorized again: a new interface, a profile, a socket option. A held flow stays held.
    pub fn reauthorize(&self, reason: u32) -> PacketFate {
        recheck(&self.machine, &self.flow, reason, Direction::Outbound, self.opaque(Direction::Outbound))
    }

    fn opaque(&self, direction: Direction) -> LayerData {
        let protocol = self.flow.socket.protocol;
        match direction {
            Direction::Outbound => LayerData::opaque(protocol),
            Direction::Inbound => LayerData::opaque_inbound(protocol, self.flow.is_v6()),
        }
    }
}
