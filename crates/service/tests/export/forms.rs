//! The forms, whole, as `docs/log.md` shows them.

use super::made::{blocked, origin, permitted};
use control::entry::{Entry, Verdict};
use proptest::prelude::*;
use rules::facts::{Identity, Program};
use serde_json::{Value, json};
use service::export::syslog::Facility;
use service::export::{Format, Origin, Target};
use std::sync::Arc;

const FORMATS: [Format; 4] = [Format::Json, Format::Ocsf, Format::Ecs, Format::Syslog];

fn value(format: Format, entry: &Entry) -> Value {
    serde_json::from_str(&format.line(entry, &origin())).unwrap()
}

#[test]
fn json_is_the_entry_with_a_version() {
    for entry in [permitted(), blocked()] {
        let line = value(Format::Json, &entry);
        assert_eq!(line["v"], 1);
        assert_eq!(serde_json::from_value::<Entry>(line).unwrap(), entry);
    }
}

#[test]
fn ocsf_says_who_what_where_and_why() {
    let event = value(Format::Ocsf, &permitted());
    assert_eq!(
        (&event["class_uid"], &event["activity_id"], &event["type_uid"]),
        (&json!(4001), &json!(1), &json!(400_101))
    );
    assert_eq!((&event["action_id"], &event["disposition_id"]), (&json!(1), &json!(1)));
    assert_eq!(event["time"], 1_795_435_200_250_u64);
    assert_eq!(
        event["src_endpoint"],
        json!({
            "ip": "192.0.2.7", "port": 50_000, "hostname": "desk", "interface_name": "Ethernet"
        })
    );
    assert_eq!(event["dst_endpoint"], json!({ "ip": "198.51.100.4", "port": 443, "hostname": "example.com" }));
    assert_eq!(event["actor"]["process"]["file"]["hashes"][0]["algorithm_id"], 3);
    assert_eq!(
        event["firewall_rule"],
        json!({
            "uid": "user/node", "name": "node", "category": "user", "version": "0123456789ab"
        })
    );
    assert_eq!(event["connection_info"]["direction_id"], 2);
}

#[test]
fn ocsf_of_what_is_unknown_has_what_the_schema_requires_and_nothing_empty() {
    let event = value(Format::Ocsf, &blocked());
    assert_eq!((&event["activity_id"], &event["type_uid"]), (&json!(5), &json!(400_105)));
    assert_eq!((&event["action_id"], &event["disposition_id"]), (&json!(2), &json!(2)));
    // Who began it is the source.
    assert_eq!(event["src_endpoint"], json!({ "ip": "fe80::1", "port": 5353 }));
    assert_eq!(event["actor"], json!({ "process": { "pid": 4_242 } }));
    assert_eq!(event["firewall_rule"]["uid"], "default/ask-all");
    // https://schema.ocsf.io/1.7.0/classes/network_activity: required attributes, and those of objects used.
    for required in [
        "/activity_id",
        "/category_uid",
        "/class_uid",
        "/metadata/product/name",
        "/metadata/version",
        "/severity_id",
        "/time",
        "/type_uid",
        "/connection_info/direction_id",
        "/device/type_id",
    ] {
        assert!(event.pointer(required).is_some(), "{required}");
    }
    assert_eq!(event["metadata"]["profiles"], json!(["host", "security_control"]));
}

#[test]
fn a_decision_that_came_too_late_was_neither_allowed_nor_denied() {
    let late = Entry { in_force: false, ..permitted() };
    let event = value(Format::Ocsf, &late);
    assert_eq!((&event["action_id"], &event["disposition_id"]), (&json!(3), &json!(16)));
    assert_eq!(value(Format::Ecs, &late)["event"]["type"], json!(["connection", "info"]));
    assert!(Format::Syslog.line(&late, &origin()).contains("inForce=\"false\""));
}

#[test]
fn ecs_says_allowed_and_denied_as_types() {
    let event = value(Format::Ecs, &permitted());
    assert_eq!(event["event"]["category"], json!(["network"]));
    assert_eq!(event["event"]["type"], json!(["connection", "allowed"]));
    assert_eq!(event["event"]["outcome"], Value::Null);
    assert_eq!(event["event"]["duration"], 1_203_000_000_u64);
    assert_eq!(
        event["network"],
        json!({
            "direction": "egress", "type": "ipv4", "transport": "tcp", "iana_number": "6"
        })
    );
    assert_eq!(event["process"]["code_signature"]["subject_name"], "OpenJS Foundation");
    assert_eq!(event["rule"]["id"], "user/node");
    let event = value(Format::Ecs, &blocked());
    assert_eq!(event["event"]["type"], json!(["connection", "denied"]));
    assert_eq!(event["network"]["direction"], "ingress");
    assert_eq!((&event["source"]["ip"], &event["destination"]["ip"]), (&json!("fe80::1"), &json!("2001:db8::7")));
    assert_eq!(event["process"], json!({ "pid": 4_242 }));
}

#[test]
fn syslog_is_a_message_of_rfc_5424() {
    assert_eq!(
        Format::Syslog.line(&blocked(), &origin()),
        "<133>1 2026-11-23T12:00:00.250000Z desk tollgate 412 BLOCK [tollgate@32473 id=\"1795435200000001\" \
        reason=\"default\" because=\"default: no answer in time (default/ask-all)\" rule=\"default/ask-all\" \
        revision=\"0123456789ab\" direction=\"in\" protocol=\"udp\" local=\"[2001:db8::7\\]:5353\" \
        remote=\"[fe80::1%3\\]:5353\" pid=\"4242\" heldMs=\"1203\"] blocked an unknown program from \
        fe80::1 to port 5353/udp by default: no answer in time (default/ask-all)"
    );
    let audit: Facility = "audit".parse().unwrap();
    assert!(Format::Syslog.line(&permitted(), &Origin { facility: audit, ..origin() }).starts_with("<110>1 "));
    assert!("local8".parse::<Facility>().unwrap_err().to_string().contains("local7"));
}

#[test]
fn the_document_shows_what_is_written() {
    let document = include_str!("../../../../docs/log.md");
    let shown: Vec<&str> = document.split("```").skip(1).step_by(2).collect();
    let is_shown = |line: &str| {
        shown.iter().any(|block| {
            let text = block.split_once('\n').map_or("", |(_, text)| text);
            match serde_json::from_str::<Value>(line) {
                Ok(value) => serde_json::from_str::<Value>(text).is_ok_and(|shown| shown == value),
                Err(_) => text.split_whitespace().eq(line.split_whitespace()),
            }
        })
    };
    let lines = FORMATS.map(|format| format.line(&permitted(), &origin()));
    let missing: Vec<String> = lines.into_iter().filter(|line| !is_shown(line)).collect();
    assert!(missing.is_empty(), "docs/log.md does not show\n{}", missing.join("\n"));
}

#[test]
fn a_target_is_an_address_with_a_scheme() {
    for (text, target) in [
        ("udp://log.example.com", "udp://log.example.com:514"),
        ("udp://192.0.2.1:5514", "udp://192.0.2.1:5514"),
        ("tcp://[2001:db8::1]:601", "tcp://[2001:db8::1]:601"),
        ("tcp://2001:db8::1", "tcp://[2001:db8::1]:514"),
        ("unix:///dev/log", "unix:///dev/log"),
    ] {
        assert_eq!(text.parse::<Target>().unwrap().to_string(), target);
    }
    for bad in ["", "udp", "udp://", "http://a", "unix://dev/log", "192.0.2.1:514"] {
        assert!(bad.parse::<Target>().unwrap_err().contains("udp://HOST:PORT"), "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_program_calls_itself_it_is_one_line_and_one_message(text in "\\PC{0,40}|[\u{0}-\u{9f}\"\\\\\\]]{0,40}") {
        let text: Arc<str> = text.into();
        let identity = Identity {
            program: Program { path: Some(text.clone()), publisher: Some(text.clone()), ..Program::default() },
            command_line: Some(text.clone()),
            ..Identity::default()
        };
        let entry = Entry { identity: Arc::new(identity), verdict: Verdict::Block, ..permitted() };
        for format in FORMATS {
            let line = format.line(&entry, &origin());
            prop_assert!(!line.contains(|c: char| c.is_ascii_control() && c != '\u{7f}'), "{line:?}");
        }
        let message = Format::Syslog.line(&entry, &origin());
        prop_assert!(!message.contains(char::is_control), "{message:?}");
        let (_, data) = message.split_once(" [tollgate@32473 ").unwrap();
        let expected: String =
            text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
        prop_assert_eq!(parameter(data, "program").unwrap(), expected);
    }
}

/// The value of a parameter, read as RFC 5424, 6.3.3 says.
fn parameter(data: &str, wanted: &str) -> Option<String> {
    let mut rest = data.chars().peekable();
    loop {
        let name: String = rest.by_ref().take_while(|c| *c != '=').collect();
        assert_eq!(rest.next(), Some('"'));
        let mut value = String::new();
        loop {
            match rest.next()? {
                '"' => break,
                '\\' => value.push(rest.next()?),
                ']' => return None,
                other => value.push(other),
            }
        }
        if name == wanted {
            return Some(value);
        }
        if rest.next()? == ']' {
            return None;
        }
    }
}
