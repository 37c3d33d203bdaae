//! Deciding by rules: one decision among ten thousand, the cost of a process and of compiling. Beside it a walk through all
//! rules in order, which compares what must be equal and nothing else.

use crate::heap;
use crate::table::{Row, Table, time};
use crate::timing::{median, p50};
use rules::decision::Judgement;
use rules::facts::{Flow, Identity, Program};
use rules::model::Action;
use rules::ruleset::{Environment, Ruleset};
use rules::source::SourceFile;
use std::fmt::Write;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;
use wire::request::Direction;

const RULES: u32 = 10_000;
const DOMAINS: u32 = 100_000;
const BATCHES: usize = 200;

/// Measures.
pub fn measure(table: &mut Table) {
    exact(table);
    one_program(table);
    patterns(table);
}

/// Every rule is for a program, an address and a port of its own.
fn exact(table: &mut Table) {
    let text = rules(|n| format!("program = \"{}\"\nremote = \"{}:443/tcp\"", path(n), address(n)));
    let files = [file("user/a.toml", text)];
    let compiled = median((0..9).map(|_| {
        let start = Instant::now();
        black_box(compile(&files));
        start.elapsed().as_nanos() as f64
    }));
    table.add(Row {
        what: format!("rules: compile {RULES}"),
        measured: time(compiled),
        baseline: String::new(),
        goal: "<= 100 ms",
        is_met: compiled <= 1e8,
    });
    let ruleset = compile(&files);
    let numbers: Vec<u32> = (0..100).map(|n| n * RULES / 100).collect();
    let subject = p50(BATCHES, &numbers, |n| ruleset.subject(identity(&path(*n))));
    table.add(Row {
        what: "  prepare a process, once per process".into(),
        measured: time(subject),
        baseline: String::new(),
        goal: "",
        is_met: true,
    });
    let cases: Vec<_> =
        numbers.iter().map(|n| (ruleset.subject(identity(&path(*n))), path(*n), flow(address(*n), None))).collect();
    let walk: Vec<(String, IpAddr, u16)> = (0..RULES).map(|n| (path(n), IpAddr::V4(address(n)), 443)).collect();
    let walked = p50(20, &cases, |(_, path, flow)| {
        let is_it = |rule: &&(String, IpAddr, u16)| {
            rule.0 == *path && rule.1 == flow.remote.ip() && rule.2 == flow.remote.port() && flow.protocol == 6
        };
        walk.iter().find(is_it).is_some()
    });
    let before = heap::allocations();
    for (subject, _, flow) in &cases {
        assert_eq!(action(&ruleset.decide(subject, flow)), Some(Action::Permit));
    }
    assert_eq!(heap::allocations(), before, "a decision allocates nothing");
    let decided = p50(BATCHES, &cases, |(subject, _, flow)| ruleset.decide(subject, flow));
    table.add(Row {
        what: format!("rules: decide one among {RULES} exact ones"),
        measured: time(decided),
        baseline: format!("walk in order {}", time(walked)),
        goal: "<= 100 ns",
        is_met: decided <= 100.0,
    });
}

/// All rules are for one program.
fn one_program(table: &mut Table) {
    let text = rules(|n| format!("program = \"{}\"\nremote = \"{}:443/tcp\"", path(0), address(n)));
    let ruleset = compile(&[file("user/a.toml", text)]);
    let subject = ruleset.subject(identity(&path(0)));
    let flows: Vec<_> = (0..100).map(|n| flow(address(n * RULES / 100), None)).collect();
    let decided = p50(BATCHES, &flows, |flow| ruleset.decide(&subject, flow));
    table.add(Row {
        what: "  all of them for one program".into(),
        measured: time(decided),
        baseline: String::new(),
        goal: "<= 100 ns",
        is_met: decided <= 100.0,
    });
}

/// A fifth of the rules each by glob, by prefix, by domain, by set of prefixes and by name of a program; before them a rule
/// that blocks a set of domains for everybody. The connection matches the last rule.
fn patterns(table: &mut Table) {
    let mut text = "[rule.ads]\naction = \"block\"\npriority = -1\nremote = \"@ads\"\n".to_owned();
    text += &rules(|n| match n % 5 {
        0 => format!("program = \"/opt/team{n}/*/bin/**\"\nremote = \":443\""),
        1 => format!("remote = \"{}/28:1-1023\"", Ipv4Addr::from_bits(0x3000_0000 + (n << 4))),
        2 => format!("remote = \".site{n}.example:443/tcp\""),
        3 => format!("remote = \"@nets{}:443\"\nuser = \"group{n}-*\"", n % 20),
        _ => format!("program = \"tool{n}\"\nremote = \"@nets{}\"", n % 20),
    });
    text += "[rule.last]\naction = \"permit\"\npriority = 1\nprogram = \"/usr/**\"\nremote = \".example\"\n";
    let mut files = vec![file("user/a.toml", text)];
    let mut ads = String::new();
    for n in 0..DOMAINS {
        let _ = writeln!(ads, ".ads{n}.tracker{}.example", n % 1000);
    }
    files.push(file("sets/ads.txt", ads));
    for set in 0..20_u32 {
        let nets: String = (0..50_u32)
            .map(|n| format!("{}/24\n", Ipv4Addr::from_bits(0x5000_0000 + (set << 16) + (n << 8))))
            .collect();
        files.push(file(&format!("sets/nets{set}.txt"), nets));
    }
    let start = Instant::now();
    let ruleset = compile(&files);
    let compiled = start.elapsed().as_nanos() as f64;
    table.add(Row {
        what: format!("rules: compile {RULES} with globs, prefixes and {DOMAINS} domains"),
        measured: time(compiled),
        baseline: String::new(),
        goal: "",
        is_met: true,
    });
    let subjects = p50(BATCHES, &[()], |()| ruleset.subject(identity("/usr/lib/git-core/git-remote-https")));
    table.add(Row {
        what: "  prepare a process, once per process".into(),
        measured: time(subjects),
        baseline: String::new(),
        goal: "",
        is_met: true,
    });
    let subject = ruleset.subject(identity("/usr/lib/git-core/git-remote-https"));
    let names: Vec<String> = (0..100).map(|n| format!("www.cdn{n}.shop{n}.example")).collect();
    let flows: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(n, name)| flow(Ipv4Addr::from_bits(0x5000_0001 + ((n as u32 % 20) << 16)), Some(name)))
        .collect();
    let before = heap::allocations();
    for flow in &flows {
        assert_eq!(action(&ruleset.decide(&subject, flow)), Some(Action::Permit));
    }
    assert_eq!(heap::allocations(), before, "a decision allocates nothing");
    let decided = p50(BATCHES, &flows, |flow| ruleset.decide(&subject, flow));
    table.add(Row {
        what: format!("rules: decide with globs, prefixes, sets and {DOMAINS} domains"),
        measured: time(decided),
        baseline: String::new(),
        goal: "<= 1 us",
        is_met: decided <= 1000.0,
    });
}

fn rules(conditions: impl Fn(u32) -> String) -> String {
    (0..RULES).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "[rule.r{n}]\naction = \"permit\"\n{}", conditions(n));
        text
    })
}

fn file(path: &str, text: String) -> SourceFile {
    SourceFile { path: path.into(), text: text.into() }
}

fn compile(files: &[SourceFile]) -> Ruleset {
    Ruleset::compile(files, &Environment::default()).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn path(n: u32) -> String {
    format!("/opt/program-{n}/bin/program-{n}")
}

const fn address(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + n * 7)
}

fn identity(path: &str) -> Arc<Identity> {
    Arc::new(Identity { program: Program { path: Some(path.into()), ..Program::default() }, ..Identity::default() })
}

fn flow(remote: Ipv4Addr, name: Option<&str>) -> Flow<'_> {
    Flow {
        direction: Direction::OUTBOUND,
        protocol: 6,
        local: SocketAddr::from(([10, 0, 0, 2], 50_000)),
        remote: SocketAddr::from((remote, 443)),
        name,
        is_name_sure: true,
        interface: Some("eth0"),
        now: 1_800_000_000,
    }
}

fn action(judgement: &Judgement) -> Option<Action> {
    match judgement {
        Judgement::Decided(decision) => Some(decision.action),
        Judgement::Needs(_) => None,
    }
}
