//! The state of engine, kernel and questions as JSON.

use nt_sys::fwps::{
    FWPS_LAYER_ALE_AUTH_CONNECT_V4, FWPS_LAYER_ALE_AUTH_CONNECT_V6, FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V4,
    FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V6, FWPS_LAYER_ALE_ENDPOINT_CLOSURE_V4, FWPS_LAYER_ALE_ENDPOINT_CLOSURE_V6,
    FWPS_LAYER_ALE_FLOW_ESTABLISHED_V4, FWPS_LAYER_ALE_FLOW_ESTABLISHED_V6,
};
use nt_sys::types::GUID;
use serde_json::{Value, json};
use wfp_sim::{CalloutStatus, Counts, FilterStatus, ListenerStatus};

use crate::engine::engine;
use crate::questions;

/// The layers that a lab can reach, as the headers call them.
const LAYERS: [(u16, &str); 8] = [
    (FWPS_LAYER_ALE_AUTH_CONNECT_V4, "ALE_AUTH_CONNECT_V4"),
    (FWPS_LAYER_ALE_AUTH_CONNECT_V6, "ALE_AUTH_CONNECT_V6"),
    (FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V4, "ALE_AUTH_RECV_ACCEPT_V4"),
    (FWPS_LAYER_ALE_AUTH_RECV_ACCEPT_V6, "ALE_AUTH_RECV_ACCEPT_V6"),
    (FWPS_LAYER_ALE_FLOW_ESTABLISHED_V4, "ALE_FLOW_ESTABLISHED_V4"),
    (FWPS_LAYER_ALE_FLOW_ESTABLISHED_V6, "ALE_FLOW_ESTABLISHED_V6"),
    (FWPS_LAYER_ALE_ENDPOINT_CLOSURE_V4, "ALE_ENDPOINT_CLOSURE_V4"),
    (FWPS_LAYER_ALE_ENDPOINT_CLOSURE_V6, "ALE_ENDPOINT_CLOSURE_V6"),
];

/// Everything at this moment.
pub fn json() -> String {
    let status = engine().snapshot();
    let warnings: Vec<String> = engine().warnings().iter().map(ToString::to_string).collect();
    let totals = status.totals;
    let engine = json!({
        "bfe_state": status.bfe_state,
        "sessions": status.sessions,
        "flows": status.flows,
        "held": status.pended,
        "closures_held": status.closures_held,
        "listeners": status.listeners.iter().map(listener).collect::<Vec<_>>(),
        "counts": {
            "connects": totals.connects,
            "syns": totals.syns,
            "permitted": totals.permitted,
            "blocked": totals.blocked,
            "pended": totals.pended,
            "completed": totals.completed,
            "reauthorized": totals.reauthorized,
        },
        "callouts": status.callouts.iter().map(callout).collect::<Vec<_>>(),
        "filters": status.filters.iter().map(filter).collect::<Vec<_>>(),
        "violations": { "count": warnings.len(), "texts": warnings },
    });
    json!({ "engine": engine, "kernel": lab_shim::report(), "questions": questions::report() }).to_string()
}

fn listener(listener: &ListenerStatus) -> Value {
    json!({
        "local": listener.local.to_string(),
        "pid": listener.pid,
        "held": listener.held,
        "waiting": listener.waiting,
    })
}

fn callout(callout: &CalloutStatus) -> Value {
    json!({
        "id": callout.id,
        "key": guid(callout.key),
        "name": callout.name,
        "layer": callout.layer.map(layer),
        "is_registered": callout.is_registered,
        "held": callout.pended,
        "counts": counts(callout.counts),
    })
}

fn filter(filter: &FilterStatus) -> Value {
    json!({
        "id": filter.id,
        "key": guid(filter.key),
        "name": filter.name,
        "layer": layer(filter.layer),
        "weight": filter.weight,
        "callout": filter.callout,
        "counts": counts(filter.counts),
    })
}

fn counts(counts: Counts) -> Value {
    json!({
        "matched": counts.matched,
        "called": counts.called,
        "permit": counts.permit,
        "block": counts.block,
        "veto": counts.veto,
        "absorbed": counts.absorbed,
        "pended": counts.pended,
        "without_right": counts.without_right,
    })
}

fn layer(id: u16) -> String {
    LAYERS.iter().find(|(layer, _)| *layer == id).map_or_else(|| format!("layer {id}"), |(_, name)| (*name).to_owned())
}

fn guid(guid: GUID) -> String {
    let hex = format!("{:032x}", guid.to_u128());
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
