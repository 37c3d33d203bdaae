//! A classify in the gate's words.

use gate::{Flow, FlowKey};
use nt::wfp::classify::Classify;
use nt::wfp::connect::AuthConnect;
use wire::request::{Address, Direction, FAMILY_V4, FAMILY_V6};

/// The flow of a classify. What is missing is zero.
pub(super) fn flow<'a>(classify: &Classify<'_>, values: &AuthConnect<'a>) -> Flow<'a> {
    Flow {
        key: FlowKey {
            family: if values.is_v6 { FAMILY_V6 } else { FAMILY_V4 },
            direction: Direction::OUTBOUND,
            protocol: values.protocol.unwrap_or_default(),
            endpoint: classify.endpoint().unwrap_or_default(),
            remote: values.remote.map(Address::from).unwrap_or_default(),
            remote_port: values.remote_port.unwrap_or_default(),
        },
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
