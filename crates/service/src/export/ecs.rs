//! Elastic Common Schema 8.17, for a firewall on a host.
//!
//! <https://www.elastic.co/guide/en/ecs/8.17/ecs-using-the-categorization-fields.html>: allow and deny are `event.type`,
//! not `event.outcome`; a host's directions are `ingress` and `egress`. The source is who began it. What ECS has no field
//! for is under `tollgate`.

use crate::export::{
    Origin, because, confidence_word, file_name, port, protocol_name, pruned, reason_word, rule, sentence,
};
use control::entry::{Direction, Entry, Verdict};
use rules::facts::Program;
use rules::model::is_icmp;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// The version of the schema.
pub const VERSION: &str = "8.17.0";

/// `entry` as a document.
pub fn event(entry: &Entry, origin: &Origin) -> Value {
    let (kind, action) = match (entry.in_force, entry.verdict) {
        (true, Verdict::Permit) => ("allowed", "connection-permitted"),
        (true, Verdict::Block) if entry.live => ("denied", "connection-ended"),
        (true, Verdict::Block) => ("denied", "connection-blocked"),
        (false, _) => ("info", "decision-too-late"),
    };
    let local = end(entry, &entry.local, None);
    let remote = end(entry, &entry.remote, entry.name.as_ref().map(|name| &*name.text));
    let (direction, source, destination) = match entry.direction {
        Direction::In => ("ingress", remote, local),
        Direction::Out => ("egress", local, remote),
    };
    let identity = &entry.identity;
    let mut process = program(&identity.program);
    process["pid"] = json!(entry.pid);
    process["command_line"] = json!(identity.command_line);
    process["parent"] = json!(identity.parent.as_deref().map(program));
    pruned(json!({
        "@timestamp": entry.time.to_string(),
        "ecs": { "version": VERSION },
        "message": sentence(entry),
        "event": {
            "kind": "event",
            "category": ["network"],
            "type": ["connection", kind],
            "action": action,
            "id": entry.id.to_string(),
            "module": "tollgate",
            "dataset": "tollgate.connections",
            "duration": entry.held_ms.saturating_mul(1_000_000),
            "reason": because(entry),
        },
        "host": { "hostname": origin.host, "name": origin.host },
        "observer": { "vendor": "Tollgate", "product": "Tollgate", "type": "firewall", "version": origin.version },
        "network": {
            "direction": direction,
            "type": if entry.remote.is_ipv4() { "ipv4" } else { "ipv6" },
            "transport": protocol_name(entry.protocol),
            "iana_number": entry.protocol.to_string(),
        },
        "source": source,
        "destination": destination,
        "process": process,
        "user": identity.user.as_ref().map(|user| json!({ "id": user.id, "name": user.name })),
        "rule": rule(entry).map(|rule| json!({
            "id": rule.to_string(),
            "name": rule.id,
            "ruleset": rule.layer.name(),
            "version": entry.revision,
        })),
        "tollgate": {
            "verdict": entry.verdict,
            "in_force": entry.in_force,
            "live": entry.live.then_some(true),
            "icmp": is_icmp(entry.protocol)
                .then(|| json!({ "type": entry.local.port(), "code": entry.remote.port() })),
            "reason": reason_word(&entry.reason),
            "revision": entry.revision,
            "name_confidence": entry.name.as_ref().map(|name| confidence_word(name.confidence)),
            "interface": entry.interface,
            "package": identity.program.package,
            "service": identity.program.service,
        },
    }))
}

fn end(entry: &Entry, end: &SocketAddr, domain: Option<&str>) -> Value {
    let ip = end.ip().to_string();
    json!({ "address": domain.unwrap_or(&ip), "domain": domain, "ip": ip, "port": port(entry, end) })
}

fn program(program: &Program) -> Value {
    // A publisher is named only when the platform trusts the signature.
    let signature = program
        .publisher
        .as_deref()
        .map(|publisher| json!({ "exists": true, "subject_name": publisher, "valid": true, "trusted": true }));
    json!({
        "name": program.path.as_deref().map(file_name),
        "executable": program.path,
        "hash": { "sha256": program.sha256 },
        "code_signature": signature,
    })
}
