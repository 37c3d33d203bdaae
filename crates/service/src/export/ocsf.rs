//! OCSF 1.7.0, class 4001 Network Activity, with the profiles Host and Security Control.
//!
//! <https://schema.ocsf.io/1.7.0/classes/network_activity>. A permitted connection is activity 1 Open, a blocked one 5
//! Refuse; what came too late to be enforced was only observed: action 3 Observed, disposition 16 No Action. The source
//! is who began it. What has no field of its own is in `unmapped`.

use crate::export::{
    Origin, because, confidence_word, file_name, port, protocol_name, pruned, reason_word, rule, sentence,
};
use control::entry::{Direction, Entry, Verdict};
use rules::facts::{Identity, Program, User};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// The version of the schema.
pub const VERSION: &str = "1.7.0";

const CATEGORY: u32 = 4;
const CLASS: u32 = 4_001;

/// `entry` as an event.
pub fn event(entry: &Entry, origin: &Origin) -> Value {
    let (activity, activity_name) = match entry.verdict {
        Verdict::Permit => (1, "Open"),
        Verdict::Block => (5, "Refuse"),
    };
    let (action, action_name, disposition, disposition_name) = match (entry.in_force, entry.verdict) {
        (true, Verdict::Permit) => (1, "Allowed", 1, "Allowed"),
        (true, Verdict::Block) => (2, "Denied", 2, "Blocked"),
        (false, _) => (3, "Observed", 16, "No Action"),
    };
    let (local, remote) = ends(entry, origin);
    let (direction, direction_name, source, destination) = match entry.direction {
        Direction::In => (1, "Inbound", remote, local),
        Direction::Out => (2, "Outbound", local, remote),
    };
    pruned(json!({
        "category_uid": CATEGORY,
        "category_name": "Network Activity",
        "class_uid": CLASS,
        "class_name": "Network Activity",
        "activity_id": activity,
        "activity_name": activity_name,
        "type_uid": CLASS * 100 + activity,
        "type_name": format!("Network Activity: {activity_name}"),
        "severity_id": 1,
        "severity": "Informational",
        "time": entry.time.as_millisecond(),
        "duration": entry.held_ms,
        "message": sentence(entry),
        "metadata": {
            "version": VERSION,
            "uid": entry.id.to_string(),
            "log_name": "connections",
            "profiles": ["host", "security_control"],
            "product": { "name": "Tollgate", "vendor_name": "Tollgate", "version": origin.version },
        },
        "action_id": action,
        "action": action_name,
        "disposition_id": disposition,
        "disposition": disposition_name,
        "firewall_rule": rule(entry).map(|rule| json!({
            "uid": rule.to_string(),
            "name": rule.id,
            "category": rule.layer.name(),
            "version": entry.revision,
        })),
        "policy": { "name": "Tollgate rules", "uid": entry.revision, "version": entry.revision, "is_applied": true },
        "device": { "type_id": 0, "type": "Unknown", "hostname": origin.host },
        "actor": { "process": process(entry), "user": entry.identity.user.as_ref().map(user) },
        "connection_info": {
            "uid": entry.id.to_string(),
            "direction_id": direction,
            "direction": direction_name,
            "protocol_num": entry.protocol,
            "protocol_name": protocol_name(entry.protocol),
            "protocol_ver_id": if entry.remote.is_ipv4() { 4 } else { 6 },
        },
        "src_endpoint": source,
        "dst_endpoint": destination,
        "unmapped": {
            "reason": reason_word(&entry.reason),
            "because": because(entry),
            "name_confidence": entry.name.as_ref().map(|name| confidence_word(name.confidence)),
            "publisher": entry.identity.program.publisher,
            "package": entry.identity.program.package,
            "service": entry.identity.program.service,
            "start_key": (entry.start_key != 0).then(|| entry.start_key.to_string()),
        },
    }))
}

/// The local end, and the remote one.
fn ends(entry: &Entry, origin: &Origin) -> (Value, Value) {
    let end = |end: &SocketAddr| json!({ "ip": end.ip().to_string(), "port": port(entry, end) });
    let (mut local, mut remote) = (end(&entry.local), end(&entry.remote));
    local["hostname"] = json!(origin.host);
    local["interface_name"] = json!(entry.interface);
    remote["hostname"] = json!(entry.name.as_ref().map(|name| &name.text));
    (local, remote)
}

fn process(entry: &Entry) -> Value {
    let Identity { program, parent, user: owner, command_line, .. } = &*entry.identity;
    json!({
        "pid": entry.pid,
        "name": program.path.as_deref().map(file_name),
        "cmd_line": command_line,
        "file": file(program),
        "user": owner.as_ref().map(user),
        "parent_process": parent.as_ref().and_then(|parent| {
            let path = parent.path.as_deref()?;
            Some(json!({ "name": file_name(path), "file": file(parent) }))
        }),
    })
}

/// `None` when its name, which the schema requires, is not known.
fn file(program: &Program) -> Option<Value> {
    let path = program.path.as_deref()?;
    let hash = |value| json!([{ "algorithm_id": 3, "algorithm": "SHA-256", "value": value }]);
    Some(json!({
        "name": file_name(path),
        "path": path,
        "type_id": 1,
        "type": "Regular File",
        "hashes": program.sha256.as_deref().map(hash),
    }))
}

fn user(user: &User) -> Value {
    json!({ "uid": user.id, "name": user.name, "type_id": 0, "type": "Unknown" })
}
