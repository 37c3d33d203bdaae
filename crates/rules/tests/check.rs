//! What `check` finds, and that what it finds is so.

use proptest::prelude::*;
use rules::check::{Finding, Kind, check};
use rules::decision::Judgement;
use rules::facts::{Flow, Identity, Program, User};
use rules::ruleset::{Environment, Ruleset};
use rules::source::SourceFile;
use std::net::SocketAddr;
use std::sync::Arc;
use wire::request::Direction;

/// 2027-01-01T00:00:00Z.
const NOW: i64 = 1_798_761_600;

fn compile(files: &[(&str, &str)]) -> Ruleset {
    let files: Vec<SourceFile> =
        files.iter().map(|(path, text)| SourceFile { path: (*path).into(), text: (*text).into() }).collect();
    Ruleset::compile(&files, &Environment::default()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn findings(files: &[(&str, &str)]) -> Vec<Finding> {
    check(&compile(files), &Environment::default(), NOW)
}

/// Each finding as `kind rule other`.
fn brief(files: &[(&str, &str)]) -> Vec<String> {
    let other = |finding: &Finding| finding.other.as_ref().map(|other| format!(" {}", other.rule)).unwrap_or_default();
    findings(files).iter().map(|finding| format!("{}: {}{}", finding.kind, finding.rule, other(finding))).collect()
}

#[test]
fn a_rule_behind_a_wider_one_is_shadowed() {
    let user = "[rule.wide]\naction = \"block\"\nremote = \".example.com\"\n
        [rule.narrow]\naction = \"permit\"\nremote = \"www.example.com:443/tcp\"\nprogram = \"/usr/bin/curl\"\n";
    let found = findings(&[("user/a.toml", user)]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].kind, found[0].at.line, found[0].other.as_ref().unwrap().at.line), (Kind::Shadowed, 5, 1));
    assert_eq!(
        found[0].to_string(),
        "user/a.toml:5: shadowed: `user/narrow` never decides: `user/wide` comes first and matches all that it matches\n  \
         user/a.toml:1: `user/wide` is here\n  help: give it a lower priority than the other, or remove it"
    );
}

#[test]
fn a_rule_is_shadowed_across_layers_and_by_the_floor() {
    let mandatory = "[rule.all]\naction = \"block\"\nprogram = \"curl\"\n";
    let user = "[rule.mine]\naction = \"permit\"\nprogram = \"/usr/bin/curl\"\n";
    assert_eq!(brief(&[("mandatory/a.toml", mandatory), ("user/a.toml", user)]), ["shadowed: user/mine mandatory/all"]);
    let user = "[rule.own]\naction = \"block\"\nremote = \":67/udp\"\nlocal_port = 68\n";
    assert_eq!(brief(&[("user/a.toml", user)]), ["shadowed: user/own floor/dhcp"]);
}

#[test]
fn rules_that_say_opposite_things_about_the_same_are_contradictory() {
    let user = "[rule.a]\naction = \"block\"\nremote = \"*:443\"\n[rule.b]\naction = \"permit\"\nremote = \":443\"\n";
    assert_eq!(brief(&[("user/a.toml", user)]), ["contradictory: user/b user/a"]);
    let user =
        "[rule.a]\naction = \"block\"\nremote = \"example.com\"\n[rule.b]\naction = \"permit\"\nprogram = \"curl\"\n";
    assert_eq!(brief(&[("user/a.toml", user)]), ["contradictory: user/b user/a"]);
    let apart = user.replace("[rule.a]", "[rule.a]\npriority = -1");
    assert_eq!(brief(&[("user/a.toml", &apart)]), [""; 0]);
}

#[test]
fn an_exception_before_its_rule_is_fine_in_one_file_and_a_tie_across_files() {
    let exception = "[rule.exception]\naction = \"permit\"\nprogram = \"curl\"\n";
    let rule = "[rule.all]\naction = \"block\"\n";
    assert_eq!(brief(&[("user/a.toml", &format!("{exception}{rule}"))]), [""; 0]);
    assert_eq!(brief(&[("user/a.toml", exception), ("user/b.toml", rule)]), ["tie: user/all user/exception"]);
}

#[test]
fn a_rule_that_a_later_one_repeats_is_redundant_unless_something_is_between() {
    let narrow = "[rule.narrow]\naction = \"block\"\nprogram = \"/usr/bin/curl\"\n";
    let between = "[rule.between]\naction = \"permit\"\nprogram = \"/usr/bin/*\"\nremote = \"10.0.0.0/8\"\n";
    let wide = "[rule.wide]\naction = \"block\"\n";
    assert_eq!(brief(&[("user/a.toml", &format!("{narrow}{wide}"))]), ["redundant: user/narrow user/wide"]);
    assert_eq!(
        brief(&[("user/a.toml", &format!("{narrow}{between}{wide}"))]),
        ["contradictory: user/between user/narrow"]
    );
}

#[test]
fn what_nothing_can_match_is_named() {
    let user = "[rule.ping]\naction = \"permit\"\nprotocol = \"icmp\"\nremote = \":443\"\n
        [rule.apart]\naction = \"permit\"\nprotocol = \"tcp\"\nremote = \"*/udp\"\n
        [rule.none]\naction = \"block\"\nremote = \"@nobody\"\n
        [rule.port]\naction = \"block\"\nprotocol = \"icmp\"\nlocal_port = 22\n";
    let found = brief(&[("user/a.toml", user), ("sets/nobody.txt", "# nobody\n")]);
    let expected = ["ping", "apart", "none", "port"].map(|rule| format!("never matches: user/{rule}"));
    assert_eq!(found, expected);
}

#[test]
fn what_takes_no_part_is_a_note_and_shadows_nothing() {
    let user = "[rule.off]\naction = \"block\"\nenabled = false\n
        [rule.old]\naction = \"block\"\nexpires = 2026-01-01T00:00:00Z\n
        [rule.on]\naction = \"permit\"\nprogram = \"curl\"\n";
    let found = findings(&[("user/a.toml", user)]);
    assert!(found.iter().all(|finding| finding.kind.is_note()) && found.len() == 2, "{found:?}");
}

#[test]
fn a_rule_that_expires_shadows_only_what_expires_no_later() {
    let user = "[rule.soon]\naction = \"block\"\nexpires = 2027-02-01T00:00:00Z\npriority = -1\n[rule.always]\naction = \"permit\"\n";
    assert_eq!(brief(&[("user/a.toml", user)]), [""; 0]);
}

#[test]
fn sets_are_looked_into() {
    let user = "[rule.ads]\naction = \"block\"\nremote = \"@ads\"\npriority = -1\n
        [rule.one]\naction = \"permit\"\nremote = \"x.ads.example\"\n
        [rule.net]\naction = \"permit\"\nremote = \"192.0.2.128/25\"\n
        [rule.other]\naction = \"permit\"\nremote = \"example.com\"\n";
    let found = brief(&[("user/a.toml", user), ("sets/ads.txt", ".ads.example\n192.0.2.0/24\n")]);
    assert_eq!(found, ["shadowed: user/one user/ads", "shadowed: user/net user/ads"]);
}

#[test]
fn ten_thousand_rules_are_checked() {
    let mut user = String::new();
    for number in 0..10_000 {
        let action = if number % 3 == 0 { "block" } else { "permit" };
        user.push_str(&format!(
            "[rule.r{number}]\naction = \"{action}\"\nprogram = \"/usr/bin/p{}\"\nremote = \"10.{}.{}.0/24\"\n",
            number % 5_000,
            number / 256 % 256,
            number % 256
        ));
    }
    user.push_str("[rule.last]\naction = \"block\"\npriority = 1\n[rule.never]\naction = \"permit\"\npriority = 2\n");
    let found = findings(&[("user/a.toml", &user)]);
    assert!(found.iter().any(|finding| &*finding.rule.id == "never" && finding.kind == Kind::Shadowed));
}

/// A rule as its lines; an empty one is no condition.
fn rule_lines() -> impl Strategy<Value = String> {
    let pick = |choices: &'static [&'static str]| prop::sample::select(choices);
    let actions = pick(&["action = \"permit\"", "action = \"block\"", "action = \"ask\""]);
    let programs = pick(&[
        "",
        "",
        "program = \"/bin/a\"",
        "program = \"/bin/b\"",
        "program = \"a\"",
        "program = \"/bin/*\"",
        "program = [\"/bin/a\", \"/opt/a\"]",
        "program = { path = \"/bin/a\", publisher = \"P*\" }",
        "program = { publisher = \"Pub\" }",
    ]);
    let remotes = pick(&[
        "",
        "",
        "remote = \":443\"",
        "remote = \":1-1000/tcp\"",
        "remote = \"x.example\"",
        "remote = \".example:443\"",
        "remote = \"192.0.2.0/24\"",
        "remote = \"192.0.2.1\"",
        "remote = \"192.0.2.1-192.0.2.9\"",
        "remote = [\"@some\", \"198.51.100.1\"]",
        "remote = \"@none\"",
        "remote = \"*/udp\"",
    ]);
    let protocols = pick(&["", "", "protocol = \"tcp\"", "protocol = [\"tcp\", \"udp\"]", "protocol = \"icmp\""]);
    let others = pick(&[
        "",
        "",
        "",
        "user = \"bob\"",
        "user = \"1*\"",
        "user = \"*\"",
        "direction = \"out\"",
        "local_port = \"1-100\"",
        "interface = \"eth*\"",
        "interface = \"eth0\"",
        "command_line = \"*x*\"",
        "parent = \"sh\"",
        "when = 'remote.port > 100'",
        "expires = 2027-06-01T00:00:00Z",
        "enabled = false",
        "for = \"once\"",
        "log = false",
    ]);
    let priorities = pick(&["", "", "", "priority = 1", "priority = -1"]);
    (actions, programs, remotes, protocols, others, priorities)
        .prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f].join("\n"))
}

fn ruleset_files() -> impl Strategy<Value = Vec<(usize, String)>> {
    prop::collection::vec((0..4_usize, rule_lines()), 1..9)
}

const FILES: [&str; 4] = ["mandatory/a.toml", "user/a.toml", "user/b.toml", "default/a.toml"];

fn build(rules: &[(usize, String)], without: Option<usize>) -> Ruleset {
    let mut texts = [const { String::new() }; 4];
    for (number, (file, lines)) in rules.iter().enumerate() {
        // What is taken out leaves its lines, so that the others keep theirs.
        let text = &mut texts[*file];
        let head = format!("[rule.r{number}]\n{lines}\n");
        match without == Some(number) {
            true => text.push_str(&"\n".repeat(head.matches('\n').count())),
            false => text.push_str(&head),
        }
    }
    let mut files: Vec<(&str, &str)> = FILES.into_iter().zip(texts.iter().map(String::as_str)).collect();
    files.extend([("sets/some.txt", ".example\n192.0.2.0/25\n"), ("sets/none.txt", "")]);
    compile(&files)
}

/// One of each thing that the rules above can tell apart.
fn connections() -> Vec<(Arc<Identity>, Flow<'static>)> {
    let text = |text: &'static str| Some(Arc::<str>::from(text)).filter(|text| !text.is_empty());
    let mut connections = Vec::new();
    let mut turn = 0_usize;
    let mut next = move |of: usize| {
        turn += 1;
        (turn.wrapping_mul(2_654_435_761) >> 7) % of
    };
    for path in ["/bin/a", "/bin/b", "/opt/a", "/opt/b", ""] {
        for remote in ["192.0.2.1:443", "192.0.2.130:80", "198.51.100.1:443", "192.0.2.5:5000", "[2001:db8::1]:443"] {
            for name in [None, Some("x.example"), Some("example"), Some("other.test")] {
                for protocol in [6, 17, 1, 47] {
                    let remote: SocketAddr = remote.parse().unwrap();
                    let user = [None, Some(("1000", "bob")), Some(("2", "eve"))][next(3)];
                    let identity = Identity {
                        program: Program {
                            path: text(path),
                            publisher: text(["", "Pub", "Other"][next(3)]),
                            ..Program::default()
                        },
                        parent: [None, Some(Arc::new(Program { path: text("/bin/sh"), ..Program::default() }))]
                            [next(2)]
                        .clone(),
                        user: user.map(|(id, name)| User { id: id.into(), name: text(name) }),
                        command_line: text(["", "a x b", "a"][next(3)]),
                        ..Identity::default()
                    };
                    let has_ports = matches!(protocol, 6 | 17);
                    let port = |port| if has_ports { port } else { 0 };
                    let flow = Flow {
                        direction: [Direction::OUTBOUND, Direction::INBOUND][next(2)],
                        protocol,
                        local: SocketAddr::new(remote.ip(), port([22, 5000][next(2)])),
                        remote: SocketAddr::new(remote.ip(), port(remote.port())),
                        name,
                        is_name_sure: true,
                        interface: [None, Some("eth0"), Some("eth1")][next(3)],
                        now: [NOW, NOW + 200 * 86_400][next(2)],
                    };
                    connections.push((Arc::new(identity), flow));
                }
            }
        }
    }
    connections
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn without_a_rule_that_is_shadowed_redundant_or_unmatchable_all_is_decided_alike(rules in ruleset_files()) {
        let whole = build(&rules, None);
        for finding in check(&whole, &Environment::default(), NOW) {
            let changes_nothing = matches!(
                finding.kind,
                Kind::Shadowed | Kind::Redundant | Kind::NeverMatches | Kind::Inactive
            );
            if !changes_nothing {
                continue;
            }
            let number = finding.rule.id.strip_prefix('r').unwrap().parse().unwrap();
            let less = build(&rules, Some(number));
            for (identity, flow) in connections() {
                let [before, after] = [&whole, &less].map(|ruleset| {
                    match ruleset.decide(&ruleset.subject(identity.clone()), &flow) {
                        Judgement::Decided(decision) => decision,
                        Judgement::Needs(needs) => panic!("{needs:?}"),
                    }
                });
                prop_assert_eq!(before.action, after.action, "{} {:?} {:?}", finding, identity, flow);
                prop_assert_eq!(before.lifetime, after.lifetime, "{} {:?} {:?}", finding, identity, flow);
                prop_assert_eq!(before.log, after.log, "{} {:?} {:?}", finding, identity, flow);
                prop_assert!(finding.kind == Kind::Redundant || before.because == after.because);
            }
        }
    }

    #[test]
    fn rules_that_are_called_contradictory_or_tied_do_meet(rules in ruleset_files()) {
        // Each alone matches something that the other matches: swapping their priorities changes a decision, or something
        // else decides first. What can be seen from outside: both are enabled, and neither is shadowed by the other alone.
        let whole = build(&rules, None);
        for finding in check(&whole, &Environment::default(), NOW) {
            if matches!(finding.kind, Kind::Contradictory | Kind::Tie) {
                let other = finding.other.unwrap();
                let rule = |name| whole.rules().iter().find(|rule| rule.name == name).unwrap();
                let (a, b) = (rule(finding.rule), rule(other.rule));
                prop_assert!(a.name.layer == b.name.layer && a.priority == b.priority && a.enabled && b.enabled);
                prop_assert!((a.action, a.lifetime, a.log) != (b.action, b.lifetime, b.log));
            }
        }
    }
}
