//! Rules of other programs become rules of ours, or are named as left out.

use proptest::prelude::*;
use rules::import::{Format, ImportError, Imported, Input, Target, guess, import};
use rules::model::Layer;
use rules::ruleset::{Environment, Ruleset};

fn target() -> Target {
    Target { layer: Layer::User, name: "imported".to_owned() }
}

fn run(format: Format, files: &[(&str, &str)]) -> Imported {
    let inputs: Vec<Input<'_>> = files.iter().map(|(name, text)| Input { name, bytes: text.as_bytes() }).collect();
    let imported = import(format, &inputs, &target(), &mut |_| None).unwrap();
    if let Err(problems) = Ruleset::compile(&imported.files, &Environment::default()) {
        panic!("{problems:#?}\n{:#?}", imported.files);
    }
    imported
}

fn opensnitch(name: &str, rest: &str, operator: &str) -> String {
    format!(r#"{{"name":"{name}","enabled":true,"duration":"always",{rest},"operator":{operator}}}"#)
}

/// The text of the rules that came of one OpenSnitch rule, without its head.
fn one(rest: &str, operator: &str) -> Result<String, String> {
    let imported = run(Format::OpenSnitch, &[("r.json", &opensnitch("r", rest, operator))]);
    match imported.skipped.as_slice() {
        [] => Ok(imported.files[0].text.split_once("[rule.r]\n").unwrap().1.to_owned()),
        [skipped] => Err(skipped.why.clone()),
        more => panic!("{more:?}"),
    }
}

const ALLOW: &str = r#""action":"allow""#;
const DENY: &str = r#""action":"deny""#;

#[test]
fn a_simple_rule_keeps_its_program_and_is_about_outgoing_connections() {
    let operator = r#"{"type":"simple","operand":"process.path","data":"/usr/bin/curl","sensitive":true}"#;
    let text = one(DENY, operator).unwrap();
    assert_eq!(text, "action = \"block\"\nprogram = \"/usr/bin/curl\"\ndirection = \"out\"\n");
}

#[test]
fn a_list_of_conditions_becomes_one_rule() {
    let operator = r#"{"type":"list","operand":"list","list":[
        {"type":"simple","operand":"process.path","data":"/usr/bin/git"},
        {"type":"simple","operand":"user.id","data":"1000"},
        {"type":"regexp","operand":"dest.host","data":"^(.*\\.)?github\\.com$"},
        {"type":"regexp","operand":"dest.port","data":"^(22|443)$"}]}"#;
    let text = one(ALLOW, operator).unwrap();
    assert!(text.contains("program = \"/usr/bin/git\"\nuser = \"1000\"\ndirection = \"out\"\n"), "{text}");
    assert!(text.contains(r#"remote = [".github.com:22", ".github.com:443"]"#), "{text}");
}

#[test]
fn a_protocol_without_6_is_about_ipv4() {
    let text = one(ALLOW, r#"{"type":"simple","operand":"protocol","data":"tcp"}"#).unwrap();
    assert!(text.contains("protocol = \"tcp\"\nremote = \"0.0.0.0/0\"\n"), "{text}");
    let text = one(ALLOW, r#"{"type":"regexp","operand":"protocol","data":"^udp"}"#);
    assert!(text.unwrap_err().contains("no protocol"), "udplite would be permitted as something else");
    let text = one(ALLOW, r#"{"type":"regexp","operand":"protocol","data":"^tcp6?$"}"#).unwrap();
    assert!(text.contains("protocol = \"tcp\"\n") && !text.contains("remote"), "{text}");
}

#[test]
fn an_expression_for_a_prefix_becomes_the_prefix() {
    let text = one(ALLOW, r#"{"type":"regexp","operand":"dest.ip","data":"^(127\\..*|192\\.168\\..*)$"}"#).unwrap();
    assert!(text.contains(r#"remote = ["127.0.0.0/8", "192.168.0.0/16"]"#), "{text}");
}

#[test]
fn an_expression_for_a_part_of_names_becomes_an_expression() {
    let text = one(ALLOW, r#"{"type":"regexp","operand":"dest.host","data":"\\.example\\.com$|^ads"}"#).unwrap();
    let when = r#"when = 'remote.name.endsWith(".example.com") || remote.name.startsWith("ads")'"#;
    assert!(text.contains(when), "{text}");
}

#[test]
fn what_cannot_be_said_is_left_out_with_its_reason() {
    let unsaid = [
        (r#"{"type":"simple","operand":"process.hash.md5","data":"00"}"#, "no field"),
        (r#"{"type":"simple","operand":"process.env.HOME","data":"/root"}"#, "no field"),
        (r#"{"type":"simple","operand":"source.ip","data":"10.0.0.1"}"#, "no field"),
        (r#"{"type":"regexp","operand":"dest.host","data":"^a.*b$"}"#, "no name"),
        (r#"{"type":"regexp","operand":"dest.port","data":"443"}"#, "not a list"),
        (r#"{"type":"network","operand":"dest.network","data":"LAN"}"#, "do not know"),
        (r#"{"type":"simple","operand":"process.path","data":"curl"}"#, "no pattern"),
        (r#"{"type":"simple","operand":"process.path","data":"/opt/*/x"}"#, "no pattern"),
        (r#"{"type":"lists","operand":"lists.domains","data":"/etc/lists"}"#, "cannot be read"),
        (r#"{"type":"list","operand":"list","list":[]}"#, "empty"),
        (
            r#"{"type":"list","operand":"list","list":[{"type":"simple","operand":"dest.ip","data":"10.0.0.1"},
               {"type":"simple","operand":"dest.host","data":"a.example"}]}"#,
            "must both hold",
        ),
    ];
    for (operator, why) in unsaid {
        let reason = one(ALLOW, operator).unwrap_err();
        assert!(reason.contains(why), "{operator}: {reason}");
    }
    let temporary = opensnitch("r", ALLOW, r#"{"operand":"true"}"#).replace("always", "1h");
    assert!(run(Format::OpenSnitch, &[("r.json", &temporary)]).skipped[0].why.contains("1h"));
}

#[test]
fn a_block_that_is_left_out_says_that_it_no_longer_blocks() {
    let why = one(DENY, r#"{"type":"simple","operand":"process.parent.path","data":"/bin/sh"}"#).unwrap_err();
    assert!(why.contains("no longer blocked"), "{why}");
}

#[test]
fn what_decides_at_once_comes_before_what_permits() {
    let all = r#"{"type":"simple","operand":"true"}"#;
    let files = [
        ("a.json", opensnitch("a", ALLOW, all)),
        ("b.json", opensnitch("b", DENY, all)),
        ("c.json", opensnitch("c", r#""action":"allow","precedence":true"#, all)),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let text = run(Format::OpenSnitch, &files).files[0].text.to_string();
    let place = |rule: &str| text.find(&format!("[rule.{rule}]")).unwrap();
    assert!(place("b") < place("c") && place("c") < place("a"), "{text}");
    assert!(text[place("a")..].contains("priority = 1"), "{text}");
}

#[test]
fn the_lists_of_a_rule_become_a_set() {
    let operator = r#"{"type":"lists","operand":"lists.domains","data":"/etc/ads"}"#;
    let text = opensnitch("No Ads!", DENY, operator);
    let inputs = [Input { name: "r.json", bytes: text.as_bytes() }];
    let lists = &mut |folder: &str| (folder == "/etc/ads").then(|| vec![b"# ads\n0.0.0.0 ads.example\n".to_vec()]);
    let imported = import(Format::OpenSnitch, &inputs, &target(), lists).unwrap();
    assert!(imported.files[0].text.contains("[rule.no-ads]"), "{imported:?}");
    assert!(imported.files[0].text.contains(r#"remote = "@no-ads""#), "{imported:?}");
    assert_eq!((&*imported.files[1].path, &*imported.files[1].text), ("sets/no-ads.txt", "ads.example\n"));
}

#[test]
fn a_rule_group_keeps_the_order_of_precedence() {
    let text = r#"{"name":"Mine","rules":[
        {"action":"deny","process":"any"},
        {"action":"allow","process":"/usr/bin/curl","remote-domains":"example.com","ports":"443","protocol":"tcp"},
        {"action":"ask","process":"/usr/bin/curl","remote-hosts":["a.example.com","b.example.com"]},
        {"action":"allow","process":"/bin/sh","via":"/usr/bin/curl","remote-addresses":"10.0.0.1-10.0.0.9, fd00::/8"},
        {"action":"allow","process":"any","direction":"incoming","ports":"22","priority":"high"},
        {"action":"allow","process":"any","remote":"local-net"},
        {"action":"allow","process":"any","remote":"any","owner":"system"}]}"#;
    let imported = run(Format::LittleSnitch, &[("mine.lsrules", text)]);
    let text = &*imported.files[0].text;
    let order: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("[rule.mine-rule-")).collect();
    assert_eq!(order, ["5]", "4]", "3]", "2]", "1]"], "{text}");
    assert!(text.contains("direction = \"in\"\nlocal_port = \"22\""), "{text}");
    assert!(text.contains(r#"remote = ["10.0.0.1-10.0.0.9", "fd00::/8"]"#), "{text}");
    assert!(text.contains(r#"remote = ".example.com:443""#), "{text}");
    assert!(text.contains("program = \"/usr/bin/curl\"\nparent = \"/bin/sh\""), "{text}");
    let why: Vec<&str> = imported.skipped.iter().map(|skipped| &*skipped.why).collect();
    assert!(why[0].contains("local-net") && why[1].contains("owner"), "{why:?}");
}

#[test]
fn a_rule_group_of_denied_names_becomes_sets() {
    let text =
        r#"{"name":"Ads","denied-remote-domains":["Ads.example","bad name"],"denied-remote-addresses":["192.0.2.1"]}"#;
    let imported = run(Format::LittleSnitch, &[("ads.lsrules", text)]);
    let sets: Vec<(&str, &str)> = imported.files.iter().skip(1).map(|file| (&*file.path, &*file.text)).collect();
    assert_eq!(
        sets,
        [
            ("sets/ads-denied-remote-addresses.txt", "192.0.2.1\n"),
            ("sets/ads-denied-remote-domains.txt", ".ads.example\n")
        ]
    );
    assert_eq!(imported.skipped[0].name, "Ads: denied-remote-domains: bad name");
}

#[test]
fn a_host_file_becomes_a_set_and_a_rule() {
    let text = "# hosts\n127.0.0.1 localhost\n::1 ip6-localhost\n0.0.0.0 ads.example tracker.example # two\n\n";
    let imported = run(Format::List, &[("hosts", text)]);
    assert_eq!(&*imported.files[1].text, "ads.example\ntracker.example\n");
    assert!(imported.files[0].text.contains("[rule.imported]\naction = \"block\"\nremote = \"@imported\"\n"));
    assert_eq!((imported.rules, imported.entries, imported.skipped.len()), (1, 2, 0));
}

#[test]
fn a_list_takes_names_addresses_prefixes_and_ranges_and_names_what_it_leaves_out() {
    let text = "192.0.2.1\n198.51.100.7/24\n2001:db8::/32\n10.0.0.1-10.0.0.9\n||ads.example^\n*.x.example\nnonsense!\n";
    let imported = run(Format::List, &[("list.txt", text)]);
    let entries: Vec<&str> = imported.files[1].text.lines().collect();
    assert_eq!(entries, [".ads.example", "10.0.0.1-10.0.0.9", "192.0.2.1", "198.51.100.0/24", "2001:db8::/32"]);
    let skipped: Vec<&str> = imported.skipped.iter().map(|skipped| &*skipped.name).collect();
    assert_eq!(skipped, ["list.txt:6", "list.txt:7"]);
}

#[test]
fn a_foreign_name_cannot_begin_a_line_or_a_rule() {
    let name = "x\\n[rule.evil]\\naction = 'permit'";
    let operator = r#"{"type":"simple","operand":"process.id","data":"1"}"#;
    let files =
        [("a.json", opensnitch(name, ALLOW, operator)), ("b.json", opensnitch(name, DENY, r#"{"operand":"true"}"#))];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let text = run(Format::OpenSnitch, &files).files[0].text.to_string();
    assert!(!text.contains("\n[rule.evil]"), "{text}");
}

#[test]
fn kinds_of_files_are_told_apart() {
    let kind = |name, text: &str| guess(&Input { name, bytes: text.as_bytes() });
    assert_eq!(kind("x.lsrules", "{}"), Format::LittleSnitch);
    assert_eq!(kind("x.json", &opensnitch("x", ALLOW, r#"{"operand":"true"}"#)), Format::OpenSnitch);
    assert_eq!(kind("x.json", r#"{"name":"x","rules":[]}"#), Format::LittleSnitch);
    assert_eq!(kind("hosts", "127.0.0.1 localhost"), Format::List);
}

#[test]
fn nothing_goes_to_the_floor_or_out_of_its_folder() {
    let inputs = [Input { name: "hosts", bytes: b"ads.example" }];
    let floor = Target { layer: Layer::Floor, ..target() };
    assert_eq!(import(Format::List, &inputs, &floor, &mut |_| None), Err(ImportError::Floor));
    for name in ["", "../x", "a/b", "A", "x.toml"] {
        let bad = Target { name: name.to_owned(), ..target() };
        assert_eq!(import(Format::List, &inputs, &bad, &mut |_| None), Err(ImportError::BadName(name.to_owned())));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_bytes_are_imported_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let inputs = [Input { name: "x", bytes: &bytes }];
        let _ = guess(&inputs[0]);
        for format in [Format::OpenSnitch, Format::LittleSnitch, Format::List] {
            let _ = import(format, &inputs, &target(), &mut |_| Some(vec![bytes.clone()]));
        }
    }

    #[test]
    fn arbitrary_lines_become_a_set_that_compiles(lines in prop::collection::vec("[a-c0-2.:/*|^@ -]{0,20}", 1..8)) {
        let text = format!("ads.example\n{}\n", lines.join("\n"));
        let imported = run(Format::List, &[("list", &text)]);
        let compiled = Ruleset::compile(&imported.files, &Environment::default());
        prop_assert!(compiled.is_ok(), "{:?}\n{:?}", compiled.err(), imported.files);
    }

    #[test]
    fn arbitrary_conditions_are_imported_or_named(
        operand in prop::sample::select(vec!["process.path", "dest.host", "dest.ip", "dest.port", "protocol", "user.id",
            "dest.network", "lists.ips", "process.command", "iface.out", "source.port", "true", "x"]),
        kind in prop::sample::select(vec!["simple", "regexp", "network", "lists", "range", "x"]),
        data in "[a-z0-9.*^$()|\\\\/-]{0,24}",
    ) {
        let operator = serde_json::json!({ "type": kind, "operand": operand, "data": data }).to_string();
        let text = opensnitch("r", ALLOW, &operator);
        let inputs = [Input { name: "x", bytes: text.as_bytes() }];
        let lists = b"ads.example\n192.0.2.0/24\n";
        let imported = import(Format::OpenSnitch, &inputs, &target(), &mut |_| Some(vec![lists.to_vec()])).unwrap();
        prop_assert_eq!(imported.rules + imported.skipped.len(), 1);
        let compiled = Ruleset::compile(&imported.files, &Environment::default());
        prop_assert!(compiled.is_ok(), "{:?}\n{:?}", compiled.err(), imported.files);
    }
}
