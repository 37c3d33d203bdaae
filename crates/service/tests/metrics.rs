//! Metrics are scraped over a real socket.

use control::entry::{DefaultWhy, Direction, EnforcerWhy, Entry, Reason, Verdict};
use control::status::{Counters, Gate, Log, Rules, Source, Status, Unmatched};
use jiff::Timestamp;
use rules::decision::{Revision, RuleName};
use rules::model::Layer;
use service::metrics::{Metrics, Server};
use service::sink::{Made, Sink};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

fn entry(verdict: Verdict, reason: Reason, held_ms: u64) -> Entry {
    Entry {
        id: 1,
        time: Timestamp::UNIX_EPOCH,
        verdict,
        reason,
        asked_by: None,
        revision: Revision("0123456789ab".into()),
        live: false,
        in_force: true,
        direction: Direction::Out,
        protocol: 6,
        local: SocketAddr::from(([192, 0, 2, 1], 50_000)),
        remote: SocketAddr::from(([192, 0, 2, 2], 443)),
        name: None,
        interface: None,
        pid: 1,
        start_key: 1,
        identity: Arc::default(),
        held_ms,
    }
}

fn status() -> Status {
    Status {
        version: "0.1.0".to_owned(),
        pid: 1,
        started: Timestamp::UNIX_EPOCH,
        gate: Gate::Attached { since: Timestamp::UNIX_EPOCH },
        rules: Rules {
            revision: Revision("0123456789ab".into()),
            count: 12,
            since: Timestamp::UNIX_EPOCH,
            refused: Vec::new(),
        },
        unmatched: Unmatched::Ask,
        snoozed_until: None,
        prompts: 2,
        counters: Counters { stale: 3, shed: 4, waiting: 5, prompts: 6, answered: 7, ..Counters::default() },
        log: Log { state: Source::Works { what: "log.db".into() }, bytes: 8_192, entries: 9 },
        names: Source::Off,
    }
}

fn started(metrics: Arc<Metrics>) -> Server {
    Server::start(([127, 0, 0, 1], 0).into(), metrics, Arc::new(status)).unwrap()
}

/// What comes back for `request`.
fn ask(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    // A refusal may come before everything is sent.
    let _ = stream.read_to_string(&mut answer);
    answer
}

const GET: &str = "GET /metrics HTTP/1.1\r\nHost: localhost:9100\r\n\r\n";

#[test]
fn a_scrape_tells_what_was_decided() {
    let metrics = Arc::new(Metrics::default());
    let rule = Reason::Rule { rule: RuleName { layer: Layer::User, id: "a".into() } };
    let made = |entry| Made { entry: Arc::new(entry), log: false };
    metrics.take(&[
        made(entry(Verdict::Permit, rule.clone(), 0)),
        made(entry(Verdict::Permit, rule, 3)),
        made(entry(Verdict::Block, Reason::Default { why: DefaultWhy::TimedOut }, 30_000)),
        made(entry(Verdict::Permit, Reason::Enforcer { why: EnforcerWhy::Cached }, 0)),
    ]);
    metrics.answered(Duration::from_millis(4_500));
    let answer = ask(&started(metrics), GET);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    for line in [
        r#"tollgate_decisions_total{verdict="permit",source="rule"} 2"#,
        r#"tollgate_decisions_total{verdict="block",source="timeout"} 1"#,
        r#"tollgate_decisions_total{verdict="permit",source="cached"} 1"#,
        r#"tollgate_decisions_total{verdict="block",source="answer"} 0"#,
        r#"tollgate_held_seconds_bucket{le="0.001"} 2"#,
        r#"tollgate_held_seconds_bucket{le="0.005"} 3"#,
        r#"tollgate_held_seconds_bucket{le="30.0"} 4"#,
        r#"tollgate_held_seconds_bucket{le="+Inf"} 4"#,
        "tollgate_held_seconds_count 4",
        "tollgate_held_seconds_sum 30.003",
        r#"tollgate_prompt_answer_seconds_bucket{le="5.0"} 1"#,
        "tollgate_stale_total 3",
        "tollgate_log_shed_total 4",
        "tollgate_export_dropped_total 0",
        "tollgate_waiting 5",
        "tollgate_prompts_open 2",
        "tollgate_prompts_opened_total 6",
        "tollgate_prompts_answered_total 7",
        "tollgate_gate_attached 1",
        "tollgate_rules 12",
        "tollgate_log_working 1",
        "tollgate_log_bytes 8192",
        "tollgate_log_entries 9",
        r#"tollgate_ruleset_info{revision="0123456789ab"} 1"#,
        r#"tollgate_build_info{version="0.1.0"} 1"#,
    ] {
        assert!(body.lines().any(|found| found == line), "no line {line} in\n{body}");
    }
    assert!(body.ends_with("# EOF\n"));
}

#[test]
fn every_metric_is_documented_and_nothing_else() {
    let text = Metrics::default().text(&status());
    let mut named: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let document = include_str!("../../../docs/log.md");
    let mut documented: Vec<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `tollgate_"))
        .map(|rest| rest.split(['`', '{']).next().unwrap_or_default())
        .map(|name| ["_total", "_info"].iter().fold(name, |name, end| name.strip_suffix(end).unwrap_or(name)))
        .collect();
    named.sort_unstable();
    documented.sort_unstable();
    let documented: Vec<String> = documented.iter().map(|name| format!("tollgate_{name}")).collect();
    assert_eq!(named, documented);
}

#[test]
fn only_get_metrics_of_this_machine_is_answered() {
    let server = started(Arc::default());
    for (request, status) in [
        ("GET /metrics HTTP/1.0\r\n\r\n", "200"),
        ("GET /metrics?x=1 HTTP/1.1\r\nHost: 127.0.0.1:9100\r\n\r\n", "200"),
        ("GET /metrics HTTP/1.1\r\nhost: [::1]:9100\r\n\r\n", "200"),
        ("GET /metrics HTTP/1.1\r\nHost: tollgate.example.com\r\n\r\n", "403"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "405"),
        ("GET /metrics\r\n\r\n", "400"),
        ("\u{fffd} nonsense\r\n\r\n", "400"),
    ] {
        let answer = ask(&server, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
    }
    let long = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(10_000));
    let answer = ask(&server, &long);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert!(ask(&server, GET).contains("# EOF"), "and the next one is answered");
}

#[test]
fn a_scraper_that_says_nothing_does_not_keep_the_others_out() {
    let server = started(Arc::default());
    let silent = TcpStream::connect(server.address()).unwrap();
    assert!(ask(&server, GET).contains("# EOF"));
    drop(silent);
}

#[test]
fn other_machines_are_not_listened_to() {
    let error = Server::start(([0, 0, 0, 0], 0).into(), Arc::default(), Arc::new(status)).unwrap_err();
    assert!(error.to_string().contains("loopback"), "{error}");
}
