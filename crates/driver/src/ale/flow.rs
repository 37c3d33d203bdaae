//! A classify in the gate's words.

use gate::{Flow, FlowKey};
use nt::wfp::authorize::Authorization;
use nt::wfp::classify::{self, Classify};
use wire::request::{Address, Direction, FAMILY_V4, FAMILY_V6};

/// The flow of a classify. What is missing is zero.
pub(super) fn flow<'a>(classify: &Classify<'_>, values: &Authorization<'a>) -> Flow<'a> {
    let own_endpoint = classify.endpoint().unwrap_or_default();
    let direction = direction(values);
    Flow {
        key: FlowKey {
            family: if values.is_v6 { FAMILY_V6 } else { FAMILY_V4 },
            direction,
            protocol: values.protocol.unwrap_or_default(),
            endpoint: listener(classify, direction).unwrap_or(own_endpoint),
            remote: values.remote.map(Address::from).unwrap_or_default(),
            remote_port: values.remote_port.unwrap_or_default(),
        },
        own_endpoint,
        compartment: classify.compartment().unwrap_or_default(),
        local: values.local.map(Address::from).unwrap_or_default(),
        local_port: values.local_port.unwrap_or_default(),
        process_id: classify.process_id().unwrap_or_default(),
        program: values.app_id,
        user: values.user,
        interface_luid: values.interface_luid.unwrap_or_default(),
        interface_index: values.interface_index.unwrap_or_default(),
        remote_scope: classify.remote_scope().unwrap_or_default(),
        loopback: values.is_loopback(),
    }
}

/// The layer says who began the flow. The packet does not: one may come in on a flow that went out (R13).
fn direction(values: &Authorization<'_>) -> Direction {
    match values.direction {
        classify::Direction::Outbound => Direction::OUTBOUND,
        classify::Direction::Inbound => Direction::INBOUND,
    }
}

/// The socket that listens, of an inbound connection that has a socket of its own already: a SYN that comes again has
/// another one of those (O9).
fn listener(classify: &Classify<'_>, direction: Direction) -> Option<u64> {
    classify.parent_endpoint().filter(|parent| direction == Direction::INBOUND && *parent != 0)
}
