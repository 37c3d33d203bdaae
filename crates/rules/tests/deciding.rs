//! What rules decide.

use rules::decision::{Decision, Judgement};
use rules::facts::{Flow, Identity, Needs, Program, User};
use rules::model::{Action, Lifetime};
use rules::ruleset::{Environment, PathStyle, Ruleset};
use rules::source::SourceFile;
use std::sync::Arc;
use std::time::Duration;
use wire::request::Direction;
use wire::verdict::Scope;

const TCP: u8 = 6;
const UDP: u8 = 17;

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile { path: path.into(), text: text.into() }
}

fn windows() -> Environment {
    Environment {
        paths: PathStyle::Windows,
        variables: [("PROGRAMFILES".to_owned(), r"C:\Program Files".to_owned())].into(),
        time_zone: None,
        resolver: Some(r"C:\Windows\System32\svchost.exe".into()),
    }
}

fn compile(files: &[(&str, &str)], environment: &Environment) -> Ruleset {
    let files: Vec<_> = files.iter().map(|(path, text)| file(path, text)).collect();
    Ruleset::compile(&files, environment).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn user_rules(text: &str) -> Ruleset {
    compile(&[("user/a.toml", text)], &Environment::default())
}

fn git() -> Identity {
    Identity {
        program: Program { path: Some("/usr/bin/git".into()), ..Program::default() },
        user: Some(User { id: "1000".into(), name: Some("mara".into()) }),
        ..Identity::default()
    }
}

fn flow(protocol: u8, remote: &str) -> Flow<'static> {
    Flow {
        direction: Direction::OUTBOUND,
        protocol,
        local: "192.0.2.1:50000".parse().unwrap(),
        remote: remote.parse().unwrap(),
        name: None,
        is_name_sure: true,
        interface: None,
        now: 1_800_000_000,
    }
}

fn judge(ruleset: &Ruleset, identity: &Identity, flow: &Flow<'_>) -> Judgement {
    ruleset.decide(&ruleset.subject(Arc::new(identity.clone())), flow)
}

fn decide(ruleset: &Ruleset, identity: &Identity, flow: &Flow<'_>) -> Decision {
    match judge(ruleset, identity, flow) {
        Judgement::Decided(decision) => decision,
        needs => panic!("{needs:?}"),
    }
}

fn action(ruleset: &Ruleset, identity: &Identity, flow: &Flow<'_>) -> Action {
    decide(ruleset, identity, flow).action
}

fn because(decision: &Decision) -> String {
    decision.because.as_ref().map_or_else(String::new, ToString::to_string)
}

#[test]
fn without_a_rule_a_person_is_asked() {
    let ruleset = compile(&[], &Environment::default());
    let decision = decide(&ruleset, &git(), &flow(TCP, "203.0.113.7:443"));
    assert_eq!(decision.action, Action::Ask);
    assert_eq!(decision.because, None);
    assert_eq!(decision.scope, Scope::OPERATION);
}

#[test]
fn layers_come_first_then_priority_then_file_then_line() {
    let rule = |id: &str, more: &str| format!("[rule.{id}]\naction = \"permit\"\n{more}\n");
    let all = [
        ("default/a.toml", rule("e", "priority = -5")),
        ("user/b.toml", rule("d", "")),
        ("user/a.toml", rule("c", "") + &rule("c2", "") + &rule("b", "priority = -1")),
        ("mandatory/z.toml", rule("a", "priority = 9")),
    ];
    let order = ["mandatory/a", "user/b", "user/c", "user/c2", "user/d", "default/e"];
    let files: Vec<(&str, &str)> = all.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let ruleset = compile(&files, &Environment::default());
    let names: Vec<String> = ruleset.rules().iter().map(|rule| rule.name.to_string()).collect();
    assert_eq!(names[names.len() - order.len()..], order);
    assert_eq!(because(&decide(&ruleset, &git(), &flow(TCP, "203.0.113.7:443"))), "mandatory/a");
}

#[test]
fn every_condition_of_a_rule_must_hold() {
    let ruleset = user_rules(
        r#"[rule.r]
        action = "block"
        program = "git"
        user = "MAR?"
        direction = "out"
        protocol = ["tcp", "udp"]
        remote = ["203.0.113.0/24:443", ".example.com:8000-8999/tcp"]
        for = "8h"
        log = false"#,
    );
    let mut connection = flow(TCP, "203.0.113.7:443");
    let decision = decide(&ruleset, &git(), &connection);
    assert_eq!(decision.action, Action::Block);
    assert_eq!(decision.lifetime, Lifetime::For(Duration::from_secs(8 * 3600)));
    assert!(!decision.log);
    assert_eq!(because(&decision), "user/r");
    connection.direction = Direction::INBOUND;
    assert_eq!(action(&ruleset, &git(), &connection), Action::Ask);
    let named = |name: &'static str, remote| Flow { name: Some(name), ..flow(TCP, remote) };
    for name in ["example.com", "www.example.com", "WWW.Example.com."] {
        assert_eq!(action(&ruleset, &git(), &named(name, "198.51.100.1:8443")), Action::Block, "{name}");
    }
    assert_eq!(action(&ruleset, &git(), &named("badexample.com", "198.51.100.1:8443")), Action::Ask);
    assert_eq!(action(&ruleset, &git(), &named("example.com", "198.51.100.1:443")), Action::Ask);
    let root = Identity { user: Some(User { id: "0".into(), name: Some("root".into()) }), ..git() };
    assert_eq!(action(&ruleset, &root, &flow(TCP, "203.0.113.7:443")), Action::Ask);
}

#[test]
fn a_name_that_is_a_guess_blocks_and_asks_but_permits_nothing() {
    let ruleset = user_rules(
        r#"
        rule.a-named = {action = "permit", remote = ".good.example"}
        rule.b-listed = {action = "permit", remote = ["203.0.113.1", "203.0.113.2", "a.example", "b.example", "c.example"]}
        rule.c-said = {action = "permit", when = 'remote.name != "" && remote.name != "bad.example"'}
        rule.d-bad = {action = "block", remote = "bad.example"}
        rule.e-addressed = {action = "permit", when = 'remote.address == "203.0.113.9"'}
        "#,
    );
    let says = |name: &'static str, remote, is_name_sure| {
        action(&ruleset, &git(), &Flow { name: Some(name), is_name_sure, ..flow(TCP, remote) })
    };
    for name in ["www.good.example", "a.example", "other.example"] {
        assert_eq!(says(name, "198.51.100.1:443", true), Action::Permit, "{name}");
        assert_eq!(says(name, "198.51.100.1:443", false), Action::Ask, "{name}");
        // What does not turn on the name does not mind.
        assert_eq!(says(name, "203.0.113.1:443", false), Action::Permit, "{name}");
        assert_eq!(says(name, "203.0.113.9:443", false), Action::Permit, "{name}");
    }
    assert_eq!(says("bad.example", "198.51.100.1:443", false), Action::Block);
    let nameless = flow(TCP, "198.51.100.1:443");
    assert_eq!(action(&ruleset, &git(), &Flow { is_name_sure: false, ..nameless }), Action::Ask);
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_the_ipv4_address() {
    let ruleset = user_rules("rule.r = {action = \"block\", remote = [\"203.0.113.7\", \"::ffff:198.51.100.0/120\"]}");
    for remote in ["203.0.113.7:1", "[::ffff:203.0.113.7]:1", "198.51.100.9:1"] {
        assert_eq!(action(&ruleset, &git(), &flow(TCP, remote)), Action::Block, "{remote}");
    }
}

#[test]
fn a_port_means_nothing_to_a_protocol_without_ports() {
    let ruleset = user_rules("rule.r = {action = \"block\", remote = \":1-65535\"}\n");
    assert_eq!(action(&ruleset, &git(), &flow(UDP, "203.0.113.7:8")), Action::Block);
    assert_eq!(action(&ruleset, &git(), &flow(1, "203.0.113.7:8")), Action::Ask);
}

#[test]
fn a_backslash_before_a_brace_takes_it_as_it_is() {
    let ruleset = user_rules(r#"rule.r = {action = "permit", program = ['/opt/\{b}/*', '/srv/\{a,b}/x']}"#);
    let says = |path: &str| {
        let program = Program { path: Some(path.into()), ..Program::default() };
        action(&ruleset, &Identity { program, ..Identity::default() }, &flow(TCP, "203.0.113.7:443"))
    };
    for path in ["/opt/{b}/x", "/srv/{a,b}/x"] {
        assert_eq!(says(path), Action::Permit, "{path}");
    }
    for path in ["/opt/[]b[]/x", "/opt/b/x", "/srv/a/x"] {
        assert_eq!(says(path), Action::Ask, "{path}");
    }
}

#[test]
fn a_windows_file_named_with_a_look_alike_is_another_file() {
    let ruleset = compile(
        &[(
            "user/a.toml",
            "rule.r = {action = \"permit\", program = ['C:\\Tools\\Kite.exe', 'C:\\\u{c9}A\\\u{3a3}.exe', '\u{130}s.exe']}",
        )],
        &windows(),
    );
    let says = |path: &str| {
        let program = Program { path: Some(path.into()), ..Program::default() };
        action(&ruleset, &Identity { program, ..Identity::default() }, &flow(TCP, "203.0.113.7:443"))
    };
    for path in ["c:\\tools\\kITE.EXE", "c:\\\u{e9}a\\\u{3c3}.EXE", "D:\\\u{130}S.exe"] {
        assert_eq!(says(path), Action::Permit, "{path}");
    }
    // The Kelvin sign, and a dotted I whose lower case in Unicode is two characters.
    for path in ["C:\\Tools\\\u{212a}ite.exe", "D:\\i\u{307}s.exe"] {
        assert_eq!(says(path), Action::Ask, "{path}");
    }
}

#[test]
fn windows_paths_match_in_any_case_and_with_variables() {
    let ruleset = compile(
        &[(
            "user/a.toml",
            r#"
            rule.exact = {action = "block", program = 'c:/tools\NODE.exe'}
            rule.name = {action = "block", program = "Curl.exe"}
            rule.glob = {action = "block", program = '%ProgramFiles%\Git\**'}
            rule.braces = {action = "block", program = 'C:\x\{6d80-6af0}\y.exe'}
            "#,
        )],
        &windows(),
    );
    let is_blocked = |path: &str| {
        let identity = Identity { program: Program { path: Some(path.into()), ..Program::default() }, ..git() };
        action(&ruleset, &identity, &flow(TCP, "203.0.113.7:443")) == Action::Block
    };
    for path in [r"C:\Tools\node.exe", r"\\?\C:\TOOLS\node.EXE", r"D:\curl.EXE", r"C:\program files\git\BIN\git.exe"] {
        assert!(is_blocked(path), "{path}");
    }
    assert!(is_blocked(r"C:\X\{6d80-6af0}\y.exe"));
    for path in [r"C:\Tools\x\node.exe", r"C:\curl.exe.bak", r"D:\program files\git\git.exe"] {
        assert!(!is_blocked(path), "{path}");
    }
}

#[test]
fn a_rule_that_turns_on_a_pending_fact_needs_it_and_never_matches_when_it_stays_unknown() {
    let ruleset = user_rules(
        r#"
        [rule.signed]
        action = "permit"
        program = [{path = "/usr/bin/*", sha256 = "00000000000000000000000000000000000000000000000000000000000000aa"}, {publisher = "Git*"}]
        remote = ":443"
        [rule.rest]
        action = "block""#,
    );
    let connection = flow(TCP, "203.0.113.7:443");
    let mut identity = Identity { pending: Needs::HASH | Needs::PUBLISHER, ..git() };
    assert_eq!(judge(&ruleset, &identity, &connection), Judgement::Needs(Needs::HASH | Needs::PUBLISHER));
    assert_eq!(action(&ruleset, &identity, &flow(TCP, "203.0.113.7:80")), Action::Block);
    identity.program.publisher = Some("Git Project".into());
    assert_eq!(action(&ruleset, &identity, &connection), Action::Permit);
    identity.program.publisher = Some("Other".into());
    assert_eq!(judge(&ruleset, &identity, &connection), Judgement::Needs(Needs::HASH));
    identity.pending = Needs::empty();
    assert_eq!(action(&ruleset, &identity, &connection), Action::Block);
}

#[test]
fn an_expression_is_asked_last_and_one_that_fails_does_not_match() {
    let ruleset = user_rules(
        r#"
        [rule.night]
        action = "block"
        when = "time.hour >= 22 && remote.port == 443 && program.name == 'git'"
        [rule.odd]
        action = "block"
        remote = ":80"
        when = "1 / (remote.port - 80) == 1"
        [rule.parent]
        action = "block"
        when = "parent.path.endsWith('/sh') && remote.port == 22""#,
    );
    // 2027-01-15T08:00:00Z
    let day = flow(TCP, "203.0.113.7:443");
    let night = Flow { now: day.now + 15 * 3600, ..day };
    assert_eq!(action(&ruleset, &git(), &day), Action::Ask);
    assert_eq!(action(&ruleset, &git(), &night), Action::Block);
    assert_eq!(action(&ruleset, &git(), &flow(TCP, "203.0.113.7:80")), Action::Ask);
    let pending = Identity { pending: Needs::all(), ..git() };
    assert_eq!(judge(&ruleset, &pending, &flow(TCP, "203.0.113.7:22")), Judgement::Needs(Needs::PROCESS));
}

#[test]
fn a_rule_that_expired_or_is_not_enabled_takes_no_part() {
    let ruleset = user_rules(
        r#"
        [rule.off]
        action = "block"
        enabled = false
        [rule.until]
        action = "permit"
        expires = 2027-01-15T09:00:00+01:00"#,
    );
    let before = flow(TCP, "203.0.113.7:443");
    let decision = decide(&ruleset, &git(), &before);
    assert_eq!((decision.action, decision.scope), (Action::Permit, Scope::OPERATION));
    assert_eq!(action(&ruleset, &git(), &Flow { now: before.now + 1, ..before }), Action::Ask);
    assert_eq!(ruleset.rules().iter().filter(|rule| !rule.enabled).count(), 1);
}

#[test]
fn sets_are_lists_of_names_and_addresses() {
    let set = "# ads\nads.example\n.tracker.example # and all below\n198.51.100.0/24\n10.0.0.5-10.0.0.9\n0.0.0.0 a.example b.example\n127.0.0.1 localhost\n";
    let rules =
        "rule.a = {action = \"block\", remote = \"@ads:443\"}\nrule.b = {action = \"permit\", remote = \"@private\"}";
    let ruleset = compile(&[("sets/ads.txt", set), ("user/a.toml", rules)], &Environment::default());
    let act = |name: Option<&'static str>, remote| action(&ruleset, &git(), &Flow { name, ..flow(TCP, remote) });
    for name in ["ads.example", "tracker.example", "x.y.tracker.example", "b.example"] {
        assert_eq!(act(Some(name), "203.0.113.1:443"), Action::Block, "{name}");
    }
    assert_eq!(act(Some("x.ads.example"), "203.0.113.1:443"), Action::Ask);
    assert_eq!(act(None, "198.51.100.77:443"), Action::Block);
    assert_eq!(act(None, "10.0.0.7:443"), Action::Block);
    assert_eq!(act(None, "10.0.0.7:80"), Action::Permit);
    assert_eq!(act(None, "10.0.0.10:443"), Action::Permit);
}

#[test]
fn the_floor_permits_addresses_and_names_and_no_more() {
    let block = [("mandatory/a.toml", "rule.all = {action = \"block\"}")];
    let ruleset = compile(&block, &windows());
    let svchost = Identity {
        program: Program { path: Some(r"C:\WINDOWS\system32\svchost.exe".into()), ..Program::default() },
        ..Identity::default()
    };
    let from = |local: &str, protocol, remote| Flow { local: local.parse().unwrap(), ..flow(protocol, remote) };
    let dhcp = from("0.0.0.0:68", UDP, "255.255.255.255:67");
    let dhcpv6 = from("[fe80::1]:546", UDP, "[ff02::1:2]:547");
    let solicitation = from("[fe80::1]:135", 58, "[ff02::1:ff00:7]:0");
    for (permitted, identity, connection) in [
        (true, &git(), dhcp),
        (true, &git(), Flow { direction: Direction::INBOUND, ..dhcp }),
        (false, &git(), from("0.0.0.0:69", UDP, "255.255.255.255:67")),
        (true, &git(), dhcpv6),
        (true, &Identity::default(), solicitation),
        (false, &git(), from("[fe80::1]:128", 58, "[2001:db8::1]:0")),
        (true, &svchost, flow(UDP, "9.9.9.9:53")),
        (true, &svchost, flow(TCP, "[2620:fe::fe]:853")),
        (false, &svchost, flow(TCP, "9.9.9.9:443")),
        (false, &svchost, Flow { direction: Direction::INBOUND, ..flow(UDP, "9.9.9.9:53") }),
        (false, &git(), flow(UDP, "9.9.9.9:53")),
    ] {
        let decision = decide(&ruleset, identity, &connection);
        assert_eq!(decision.action == Action::Permit, permitted, "{connection:?} {decision:?}");
    }
}

#[test]
fn a_decision_is_remembered_no_wider_than_the_rules_before_it_allow() {
    let scope = |text: &str, remote: &str| decide(&user_rules(text), &git(), &flow(TCP, remote)).scope;
    let remote = "203.0.113.7:443";
    assert_eq!(scope("rule.r = {action = \"permit\", program = \"git\"}", remote), Scope::PROGRAM);
    assert_eq!(scope("rule.r = {action = \"permit\", remote = \":443\"}", remote), Scope::REMOTE);
    // The floor permits what a block for a whole program would hide.
    assert_eq!(scope("rule.r = {action = \"block\", program = \"git\"}", remote), Scope::REMOTE);
    assert_eq!(scope("rule.r = {action = \"ask\"}", remote), Scope::OPERATION);
    for first in [
        "user = \"root\"",
        "command_line = \"* push *\"",
        "parent = \"sh\"",
        "program = {sha256 = \"00000000000000000000000000000000000000000000000000000000000000aa\"}",
        "remote = \"example.com\"",
        "remote = \"example.com:443/tcp\"",
        "local_port = 1",
        "interface = \"eth0\"",
        "when = \"time.hour == 1\"",
        "expires = 2020-01-01T00:00:00Z",
    ] {
        let text = format!("rule.a = {{action = \"block\", {first}}}\nrule.b = {{action = \"permit\"}}");
        assert_eq!(scope(&text, remote), Scope::OPERATION, "{first}");
        let other =
            format!("rule.a = {{action = \"block\", program = \"ssh\", {first}}}\nrule.b = {{action = \"permit\"}}");
        if !first.starts_with("program") {
            assert_eq!(scope(&other, remote), Scope::PROGRAM, "{first}");
        }
        let same = format!("rule.a = {{action = \"permit\", {first}}}\nrule.b = {{action = \"permit\"}}");
        assert_eq!(scope(&same, remote), Scope::PROGRAM, "{first}");
    }
    let text = "rule.a = {action = \"block\", remote = \"example.com:80\"}\nrule.b = {action = \"permit\"}";
    assert_eq!(scope(text, remote), Scope::REMOTE);
    assert_eq!(scope(text, "203.0.113.7:80"), Scope::OPERATION);
}
