//! Random rules and connections: the index decides as a walk through the rules does, a decision is remembered no wider than
//! is right, and an explanation ends in the same decision.

use globset::GlobBuilder;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use rules::decision::{Decision, Judgement};
use rules::explain::StepResult;
use rules::facts::{Flow, Identity, Needs, Program, User};
use rules::model::{Action, Glob, Host, PathPattern, ProgramPattern, Remote, Rule, has_ports};
use rules::ruleset::{Environment, Ruleset};
use rules::source::SourceFile;
use rules::when::{Expression, Facts};
use std::net::SocketAddr;
use std::sync::Arc;
use wire::request::Direction;
use wire::verdict::Scope;

const NAMES: &str = "example.com\n.example.net\n";
const MIXED: &str = "10.1.0.0/16\n2001:db8::/48\n10.0.0.3-10.0.0.6\n.cdn.example\n";

const PROGRAMS: &[&str] = &[
    r#""git""#,
    r#""/usr/bin/git""#,
    r#""/usr/bin/*""#,
    r#""/usr/**""#,
    r#""g?t""#,
    r#"["curl", {package = "p*"}]"#,
    r#"{sha256 = "00000000000000000000000000000000000000000000000000000000000000aa"}"#,
    r#"{path = "/usr/bin/git", publisher = "Git*"}"#,
    r#"{service = "dns", path = "**/{git,curl}"}"#,
];
const PARENTS: &[&str] = &[r#""sh""#, r#""/bin/*""#, r#"{publisher = "Git*"}"#];
const USERS: &[&str] = &[r#""1000""#, r#""MARA""#, r#"["ro*", "0"]"#];
const LINES: &[&str] = &[r#""* push*""#, r#""git ?*""#];
const PROTOCOLS: &[&str] = &[r#""tcp""#, r#"["udp", "icmp"]"#, "58"];
const REMOTES: &[&str] = &[
    r#""*""#,
    r#""10.0.0.1""#,
    r#""10.0.0.0/8""#,
    r#"":443""#,
    r#""10.0.0.0/8:80/tcp""#,
    r#""example.com""#,
    r#"".example.com:443""#,
    r#""@mixed""#,
    r#"["@names:80", "10.0.0.2"]"#,
    r#""10.0.0.1-10.0.0.9:1-500""#,
    r#"["2001:db8::/32", "@link-local"]"#,
    r#""[2001:db8::1]:443/udp""#,
    r#"["10.0.0.1:443", "10.0.0.2:443", "example.com:443", "10.1.0.0/16:443", ".net:443", "2001:db8::1:443"]"#,
];
const PORTS: &[&str] = &["68", r#"["1000-2000", 5353]"#];
const INTERFACES: &[&str] = &[r#""eth*""#, r#""lo""#];
const EXPRESSIONS: &[&str] = &[
    r#""remote.port == 443""#,
    r#""user.name == 'mara'""#,
    r#""program.sha256 != '' && direction == 'out'""#,
    r#""1 / (remote.port - 443) >= 0""#,
    r#""time.hour < 12 || remote.name.endsWith('.net')""#,
    r#""['sh', 'bash'].exists(name, parent.name == name)""#,
];
const LIFETIMES: &[&str] = &[r#""once""#, r#""8h""#];
const MOMENTS: &[&str] = &["2027-01-15T08:00:00Z", "2020-01-01T00:00:00Z", "2030-01-01T00:00:00+02:00"];

/// The text of a rule, without its head, and its layer.
fn rule() -> impl Strategy<Value = (&'static str, String)> {
    let one = |values: &'static [&'static str], chance: f64| option::weighted(chance, select(values));
    let process = (one(PROGRAMS, 0.4), one(PARENTS, 0.1), one(USERS, 0.15), one(LINES, 0.1));
    let connection = (one(&["\"out\"", "\"in\""], 0.2), one(PROTOCOLS, 0.2), one(REMOTES, 0.7), one(PORTS, 0.1));
    let more = (one(INTERFACES, 0.1), one(EXPRESSIONS, 0.15), one(LIFETIMES, 0.1), one(MOMENTS, 0.1));
    let head = (select(&["mandatory", "user", "default"][..]), select(&["permit", "block", "ask"][..]), -1..2, 0..20);
    (head, process, connection, more).prop_map(|((layer, action, priority, disabled), process, connection, more)| {
        let mut text = format!("action = \"{action}\"\npriority = {priority}\nenabled = {}\n", disabled != 0);
        for (key, value) in [
            ("program", process.0),
            ("parent", process.1),
            ("user", process.2),
            ("command_line", process.3),
            ("direction", connection.0),
            ("protocol", connection.1),
            ("remote", connection.2),
            ("local_port", connection.3),
            ("interface", more.0),
            ("when", more.1),
            ("for", more.2),
            ("expires", more.3),
        ] {
            if let Some(value) = value {
                text += &format!("{key} = {value}\n");
            }
        }
        (layer, text)
    })
}

fn ruleset() -> impl Strategy<Value = Arc<Ruleset>> {
    prop_oneof![vec(rule(), 0..6), vec(rule(), 10..60)].prop_map(|rules| {
        let mut files =
            vec![("sets/names.txt".to_owned(), NAMES.to_owned()), ("sets/mixed.txt".to_owned(), MIXED.to_owned())];
        for layer in ["mandatory", "user", "default"] {
            let of_layer = rules.iter().enumerate().filter(|(_, (of, _))| *of == layer);
            let text = of_layer.map(|(n, (_, text))| format!("[rule.r{n}]\n{text}")).collect();
            files.push((format!("{layer}/a.toml"), text));
        }
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| SourceFile { path: path.as_str().into(), text: text.as_str().into() })
            .collect();
        let ruleset = Ruleset::compile(&files, &Environment::default());
        Arc::new(ruleset.unwrap_or_else(|problems| panic!("{problems:#?}\n{files:#?}")))
    })
}

fn maybe(values: &'static [&'static str]) -> impl Strategy<Value = Option<Arc<str>>> {
    option::weighted(0.7, select(values).prop_map(Arc::from))
}

const AA: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

fn program(paths: &'static [&'static str]) -> impl Strategy<Value = Program> {
    (maybe(paths), maybe(&[AA]), maybe(&["Git Project", "Other"]), maybe(&["pack"]), maybe(&["dns", "x"]))
        .prop_map(|(path, sha256, publisher, package, service)| Program { path, sha256, publisher, package, service })
}

fn identity() -> impl Strategy<Value = Identity> {
    let user = (select(&["0", "1000", "1001"][..]), maybe(&["root", "mara"]));
    (
        program(&["/usr/bin/git", "/usr/bin/curl", "/opt/git"]),
        option::weighted(0.7, program(&["/bin/sh", "/opt/sh"])),
        option::weighted(0.8, user.prop_map(|(id, name)| User { id: id.into(), name })),
        maybe(&["git push origin", "git"]),
        0..8_u8,
        any::<bool>(),
    )
        .prop_map(|(program, parent, user, command_line, pending, is_known)| Identity {
            program,
            parent: parent.map(Arc::new),
            user,
            command_line,
            pending: if is_known { Needs::empty() } else { Needs::from_bits_truncate(pending) },
        })
}

fn flow() -> impl Strategy<Value = Flow<'static>> {
    const REMOTES: &[&str] =
        &["10.0.0.1", "10.0.0.2", "10.1.2.3", "::ffff:10.0.0.4", "2001:db8::1", "fe80::1", "192.0.2.1"];
    let names = [None, Some("example.com"), Some("www.Example.com."), Some("a.example.net"), Some("x.cdn.example")];
    (
        select(&[Direction::OUTBOUND, Direction::INBOUND, Direction(7)][..]),
        select(&[6, 17, 1, 58][..]),
        select(&[68, 1500, 50_000][..]),
        (select(REMOTES), select(&[0, 80, 443, 67][..])),
        (select(names.to_vec()), any::<bool>()),
        select(&[None, Some("eth0"), Some("lo")][..]),
        select(&[1_799_999_999, 1_800_000_000, 1_800_000_001, 1_800_040_000][..]),
    )
        .prop_map(|(direction, protocol, local, (remote, port), (name, is_name_sure), interface, now)| Flow {
            direction,
            protocol,
            local: SocketAddr::from(([10, 9, 9, 9], local)),
            remote: SocketAddr::new(remote.parse().unwrap(), port),
            name,
            is_name_sure,
            interface,
            now,
        })
}

/// What a rule says of a connection: `None` no, else what it needs.
type Says = Option<Needs>;

fn glob(glob: &Glob, text: &str) -> bool {
    let mut pattern = GlobBuilder::new(&glob.0);
    pattern.case_insensitive(true).literal_separator(false);
    pattern.build().unwrap().compile_matcher().is_match(text)
}

fn known_or(needs: Needs, pending: Needs) -> Says {
    (!(needs & pending).is_empty()).then_some(needs & pending)
}

fn some(condition: bool) -> Says {
    condition.then(Needs::empty)
}

fn one_of(all: impl Iterator<Item = Says>) -> Says {
    let all: Vec<Needs> = all.flatten().collect();
    if all.iter().any(|needs| needs.is_empty()) {
        return Some(Needs::empty());
    }
    (!all.is_empty()).then(|| all.into_iter().fold(Needs::empty(), |a, b| a | b))
}

fn all_of(all: impl IntoIterator<Item = Says>) -> Says {
    all.into_iter().try_fold(Needs::empty(), |a, b| Some(a | b?))
}

fn path(pattern: &PathPattern, path: &str) -> bool {
    match pattern {
        PathPattern::Exact(exact) => **exact == *path,
        PathPattern::Name(name) => path.rsplit('/').next() == Some(name),
        PathPattern::Glob(glob) => {
            let mut glob = GlobBuilder::new(glob);
            glob.literal_separator(true).build().unwrap().compile_matcher().is_match(path)
        }
    }
}

fn is_program(pattern: &ProgramPattern, program: &Program, path_needs: Needs, pending: Needs) -> Says {
    let text = |pattern: &Option<Glob>, known: &Option<Arc<str>>, needs| match (pattern, known) {
        (None, _) => Some(Needs::empty()),
        (Some(pattern), Some(known)) => some(glob(pattern, known)),
        (Some(_), None) => known_or(needs, pending),
    };
    all_of([
        match (&pattern.path, &program.path) {
            (None, _) => Some(Needs::empty()),
            (Some(pattern), Some(known)) => some(path(pattern, known)),
            (Some(_), None) => known_or(path_needs, pending),
        },
        match (&pattern.sha256, &program.sha256) {
            (None, _) => Some(Needs::empty()),
            (Some(wanted), Some(known)) => some(wanted == known),
            (Some(_), None) => known_or(Needs::HASH, pending),
        },
        text(&pattern.publisher, &program.publisher, Needs::PUBLISHER),
        text(&pattern.package, &program.package, Needs::PROCESS),
        text(&pattern.service, &program.service, Needs::PROCESS),
    ])
}

fn is_host(host: &Host, flow: &Flow<'_>) -> bool {
    let address = flow.remote.ip().to_canonical();
    let name = flow.name.map(|name| name.trim_end_matches('.').to_lowercase());
    match host {
        Host::Any => true,
        Host::Net(net) => net.contains(&address),
        Host::Range(first, last) => first.is_ipv4() == address.is_ipv4() && *first <= address && address <= *last,
        Host::Domain(domain) => name.as_deref() == Some(domain),
        Host::DomainTree(domain) => name.is_some_and(|name| name == **domain || name.ends_with(&format!(".{domain}"))),
        Host::Set(set) => {
            let text = match &**set {
                "names" => NAMES,
                "mixed" => MIXED,
                "link-local" => "169.254.0.0/16\nfe80::/10\n",
                other => panic!("{other}"),
            };
            text.lines().any(|line| is_host(&rules::language::remote::host(line).unwrap(), flow))
        }
    }
}

fn is_remote(remote: &Remote, flow: &Flow<'_>) -> bool {
    is_host(&remote.host, flow)
        && remote.protocol.is_none_or(|protocol| protocol == flow.protocol)
        && remote.ports.as_ref().is_none_or(|ports| has_ports(flow.protocol) && ports.contains(&flow.remote.port()))
}

/// What a rule says, by the words of the manual.
fn says(rule: &Rule, identity: &Identity, flow: &Flow<'_>) -> Says {
    let is_guess = rule.action == Action::Permit && flow.name.is_some() && !flow.is_name_sure;
    if is_guess && rule.when.as_ref().is_some_and(|when| when.contains("remote.name")) {
        return None;
    }
    let flow = &Flow { name: flow.name.filter(|_| !is_guess), ..*flow };
    let pending = identity.pending;
    let programs = |patterns: &[ProgramPattern], program: Option<&Program>, path_needs| match program {
        _ if patterns.is_empty() => Some(Needs::empty()),
        Some(program) => one_of(patterns.iter().map(|pattern| is_program(pattern, program, path_needs, pending))),
        None => known_or(Needs::PROCESS, pending),
    };
    let user = match &identity.user {
        _ if rule.user.is_empty() => Some(Needs::empty()),
        None => known_or(Needs::PROCESS, pending),
        Some(user) => one_of(rule.user.iter().flat_map(|pattern| {
            let name = match &user.name {
                Some(name) => some(glob(pattern, name)),
                None => known_or(Needs::PROCESS, pending),
            };
            [some(glob(pattern, &user.id)), name]
        })),
    };
    let line = match &identity.command_line {
        _ if rule.command_line.is_empty() => Some(Needs::empty()),
        Some(line) => some(rule.command_line.iter().any(|pattern| glob(pattern, line))),
        None => known_or(Needs::PROCESS, pending),
    };
    let needs = all_of([
        some(rule.enabled),
        programs(&rule.program, Some(&identity.program), Needs::empty()),
        programs(&rule.parent, identity.parent.as_deref(), Needs::PROCESS),
        user,
        line,
        some(rule.direction.is_none_or(|direction| direction == flow.direction)),
        some(rule.protocol.is_empty() || rule.protocol.contains(&flow.protocol)),
        some(rule.remote.is_empty() || rule.remote.iter().any(|remote| is_remote(remote, flow))),
        some(
            rule.local_port.is_empty()
                || (has_ports(flow.protocol) && rule.local_port.iter().any(|ports| ports.contains(&flow.local.port()))),
        ),
        some(
            rule.interface.is_empty()
                || flow.interface.is_some_and(|name| rule.interface.iter().any(|pattern| glob(pattern, name))),
        ),
        some(rule.expires.is_none_or(|expires| flow.now <= expires.as_second())),
    ])?;
    let Some(when) = &rule.when else { return Some(needs) };
    let when = Expression::compile(when).unwrap();
    let needs = needs | when.needs(identity);
    if !needs.is_empty() {
        return Some(needs);
    }
    // Names are compared in lower case, without a final dot.
    let name = flow.name.map(|name| name.trim_end_matches('.').to_lowercase());
    let flow = Flow { name: name.as_deref(), ..*flow };
    some(when.evaluate(Facts { identity, flow: &flow, time_zone: None }) == Ok(true))
}

/// What was decided, but for the scope.
fn outcome(judgement: &Judgement) -> String {
    match judgement {
        Judgement::Decided(Decision { action, lifetime, log, because, .. }) => {
            format!("{action} {lifetime} {log} {because:?}")
        }
        Judgement::Needs(needs) => format!("needs {needs:?}"),
    }
}

fn naive(ruleset: &Ruleset, identity: &Identity, flow: &Flow<'_>) -> String {
    for rule in ruleset.rules() {
        match says(rule, identity, flow) {
            None => {}
            Some(needs) if needs.is_empty() => {
                return format!("{} {} {} {:?}", rule.action, rule.lifetime, rule.log, Some(&rule.name));
            }
            Some(needs) => return format!("needs {needs:?}"),
        }
    }
    "ask process true None".to_owned()
}

fn decide(ruleset: &Ruleset, identity: &Identity, flow: &Flow<'_>) -> Judgement {
    ruleset.decide(&ruleset.subject(Arc::new(identity.clone())), flow)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_decides_as_a_walk_through_the_rules_does(
        ruleset in ruleset(),
        connections in vec((identity(), flow()), 12),
    ) {
        for (identity, flow) in &connections {
            let decided = outcome(&decide(&ruleset, identity, flow));
            prop_assert_eq!(decided, naive(&ruleset, identity, flow), "{:?} {:?}", identity, flow);
        }
    }

    #[test]
    fn what_is_remembered_decides_no_connection_differently(
        ruleset in ruleset(),
        connections in vec((identity(), flow()), 6),
        others in vec((identity(), flow()), 24),
    ) {
        for (identity, flow) in &connections {
            let Judgement::Decided(decision) = decide(&ruleset, identity, flow) else { continue };
            if decision.scope == Scope::OPERATION {
                continue;
            }
            prop_assert!(identity.program.path.is_some());
            for (other, to) in &others {
                // Another process of the same program, another connection with the same key. What is pending becomes known.
                let program = Program { path: identity.program.path.clone(), ..other.program.clone() };
                let other = Identity { program, pending: Needs::empty(), ..other.clone() };
                let to = match decision.scope {
                    Scope::PROGRAM => Flow { direction: flow.direction, ..*to },
                    _ => Flow { direction: flow.direction, protocol: flow.protocol, remote: flow.remote, ..*to },
                };
                match decide(&ruleset, &other, &to) {
                    Judgement::Decided(again) => {
                        prop_assert_eq!(again.action, decision.action, "{:?} then {:?} {:?}", decision, other, to);
                    }
                    Judgement::Needs(needs) => prop_assert!(false, "nothing is pending, but {:?} is needed", needs),
                }
            }
        }
    }

    #[test]
    fn an_explanation_ends_in_the_decision(
        ruleset in ruleset(),
        connections in vec((identity(), flow()), 6),
    ) {
        for (identity, flow) in &connections {
            let decided = decide(&ruleset, identity, flow);
            for all in [false, true] {
                let explanation = ruleset.explain(identity, flow, all);
                prop_assert_eq!(&explanation.judgement, &decided);
                let last = explanation.steps.last().map(|step| (&step.result, &step.rule));
                match &decided {
                    Judgement::Decided(Decision { because: Some(because), .. }) => {
                        prop_assert_eq!(last, Some((&StepResult::Matched, because)));
                        let place = ruleset.rules().iter().position(|rule| rule.name == *because).unwrap();
                        prop_assert_eq!(explanation.steps.len() + explanation.others, place + 1);
                    }
                    Judgement::Decided(_) => {
                        prop_assert_eq!(explanation.steps.len() + explanation.others, ruleset.rules().len());
                    }
                    Judgement::Needs(_) => {
                        let is_needs = matches!(last, Some((StepResult::Needs { .. }, _)));
                        prop_assert!(is_needs);
                    }
                }
                prop_assert!(!all || explanation.others == 0);
                prop_assert!(serde_json::to_string(&explanation).is_ok());
            }
        }
    }
}
