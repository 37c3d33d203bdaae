//! The JSON Schema of rule files, for editors that complete and check TOML by one.
//!
//! Invariants: it knows every key and word that `language` knows, and takes every file that compiles; a file that it takes
//! may still be wrong in what only the language knows. `docs/rules.schema.json` is this. JSON Schema draft 2020-12.

use crate::language::rule::{ACTIONS, DIRECTIONS, MAX_ALTERNATIVES, MAX_NOTE, MAX_PATTERN, PRIORITIES};
use crate::language::text::MAX_ID;
use crate::model::PROTOCOLS;
use crate::when;
use serde_json::{Value, json};

/// The schema.
pub fn schema() -> Value {
    let id = format!("^[A-Za-z0-9._-]{{1,{MAX_ID}}}$");
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tollgate rules",
        "description": "A file of rules: LAYER/NAME.toml in the directory of rules.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "rule": {
                "description": "Rules by their ids. An id is unique in its layer.",
                "type": "object",
                "propertyNames": { "pattern": id },
                "additionalProperties": { "$ref": "#/$defs/rule" },
            },
        },
        "$defs": {
            "rule": rule(),
            "text": { "type": "string", "minLength": 1, "maxLength": MAX_PATTERN },
            "texts": one_or_more(&json!({ "$ref": "#/$defs/text" })),
            "path": { "type": "string", "minLength": 1, "maxLength": 4096 },
            "program": {
                "anyOf": [{ "$ref": "#/$defs/path" }, { "$ref": "#/$defs/known_program" }],
            },
            "known_program": {
                "description": "All that is given must hold.",
                "type": "object",
                "additionalProperties": false,
                "minProperties": 1,
                "properties": {
                    "path": described("A full path, a glob, or a file name alone.", &json!({ "$ref": "#/$defs/path" })),
                    "sha256": {
                        "description": "SHA-256 of the file's contents, in hexadecimal.",
                        "type": "string",
                        "pattern": "^[0-9A-Fa-f]{64}$",
                    },
                    "publisher": described(
                        "Who signed it: the common name of the signature's subject. `*` and `?` are wildcards.",
                        &json!({ "$ref": "#/$defs/text" }),
                    ),
                    "package": described(
                        "The package it belongs to: a package family name, a snap, a flatpak. `*` and `?` are wildcards.",
                        &json!({ "$ref": "#/$defs/text" }),
                    ),
                    "service": described(
                        "The service it runs as: a Windows service, a systemd unit. `*` and `?` are wildcards.",
                        &json!({ "$ref": "#/$defs/text" }),
                    ),
                },
            },
            "programs": one_or_more(&json!({ "$ref": "#/$defs/program" })),
        },
    })
}

fn rule() -> Value {
    let port = json!({
        "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": 65_535 },
            { "type": "string", "pattern": "^[0-9]{1,5}(-[0-9]{1,5})?$" },
        ],
    });
    let protocol = json!({
        "anyOf": [
            { "enum": PROTOCOLS.map(|(name, _)| name) },
            { "type": "integer", "minimum": 0, "maximum": 255 },
        ],
    });
    let remote = json!({ "type": "string", "minLength": 1, "maxLength": 300 });
    let texts = json!({ "$ref": "#/$defs/texts" });
    json!({
        "description": "Conditions must all hold; the members of a list are alternatives; what is not given is no condition.",
        "type": "object",
        "additionalProperties": false,
        "required": ["action"],
        "properties": {
            "action": {
                "description": "What happens to a connection that the rule matches.",
                "enum": ACTIONS.map(|(word, _)| word),
            },
            "priority": {
                "description": "Lower comes first in the layer.",
                "type": "integer",
                "minimum": PRIORITIES.start(),
                "maximum": PRIORITIES.end(),
                "default": 0,
            },
            "enabled": { "description": "Whether the rule takes part.", "type": "boolean", "default": true },
            "program": described("The program that connects.", &json!({ "$ref": "#/$defs/programs" })),
            "parent": described("The program that started it.", &json!({ "$ref": "#/$defs/programs" })),
            "user": described("The user it runs as: a name, a SID or a user id. `*` and `?` are wildcards.", &texts),
            "command_line": described("Its command line. `*` and `?` are wildcards. Proves nothing alone.", &texts),
            "direction": {
                "description": "Who began the connection: this machine (out) or the remote (in).",
                "enum": DIRECTIONS.map(|(word, _)| word),
            },
            "protocol": described("The IP protocol: a name or a number.", &one_or_more(&protocol)),
            "remote": described(
                "The remote end: host, host:port, host:low-high or :port, each with /tcp or another protocol after it. \
                 A host is *, an address, a prefix, a range a-b, a name, .name for the name and all below it, or @set.",
                &one_or_more(&remote),
            ),
            "local_port": described("The local port: a number, or a range as text.", &one_or_more(&port)),
            "interface": described("The local interface. `*` and `?` are wildcards.", &texts),
            "when": {
                "description": "A CEL expression that must hold, too.",
                "type": "string",
                "minLength": 1,
                "maxLength": when::MAX_EXPRESSION,
            },
            "for": {
                "description": "How long an answer holds: once, process, forever, or a number with s, m, h or d.",
                "type": "string",
                "pattern": "^(once|process|forever|[0-9]+[smhd])$",
            },
            "expires": {
                "description": "After this moment the rule takes no part: 2027-01-31T18:00:00Z, without quotes.",
                "type": "string",
                "format": "date-time",
            },
            "log": { "description": "Whether its decisions go into the log.", "type": "boolean", "default": true },
            "note": { "description": "For people.", "type": "string", "maxLength": MAX_NOTE },
        },
    })
}

fn described(description: &str, schema: &Value) -> Value {
    let mut schema = schema.clone();
    schema["description"] = description.into();
    schema
}

/// One value, or a list of at least one.
fn one_or_more(schema: &Value) -> Value {
    json!({
        "anyOf": [schema, { "type": "array", "minItems": 1, "maxItems": MAX_ALTERNATIVES, "items": schema }],
    })
}
