//! An answer for ever as a rule: it compiles, and decides what was answered and nothing else.

use crate::desk::*;
use control::entry::{Direction, Verdict};
use control::prompt::{Answer, Hold, Target};
use proptest::prelude::*;
use rules::decision::Judgement;
use rules::facts::Flow;
use rules::model::{Action, Layer};
use rules::ruleset::{Environment, PathStyle, Ruleset};
use rules::source::SourceFile;
use service::ask::reply::Lasting;
use service::ask::rule::{self, Added, FILE, Forever, RuleError};
use std::time::Duration;

/// An administrator answers the prompt of this connection for ever.
fn forever(from: &Connect, answer: &Answer) -> Forever {
    let mut desk = Desk::with_anna();
    desk.asks.follow(2, root());
    let prompt = desk.held(from);
    let answered = desk.asks.answer(prompt, answer, &root(), desk.now).unwrap();
    let Lasting::Rule(forever) = answered.lasting else { panic!("it becomes a rule") };
    *forever
}

fn add(text: &str, forever: &Forever) -> Result<Added, RuleError> {
    rule::add(text, forever, None, &Environment::default(), |_| false)
}

fn windows() -> Environment {
    Environment { paths: PathStyle::Windows, ..Environment::default() }
}

/// What these files say about a connection.
fn decide(files: &[(&str, &str)], environment: &Environment, from: &Connect) -> Option<Action> {
    let files: Vec<SourceFile> =
        files.iter().map(|(path, text)| SourceFile { path: (*path).into(), text: (*text).into() }).collect();
    let ruleset = Ruleset::compile(&files, environment).expect("the rules compile");
    let waiting = from.waiting(1, Duration::ZERO);
    let flow = Flow {
        direction: match from.direction {
            Direction::Out => wire::request::Direction::OUTBOUND,
            Direction::In => wire::request::Direction::INBOUND,
        },
        protocol: waiting.protocol,
        local: waiting.local,
        remote: waiting.remote,
        name: waiting.name.as_ref().map(|name| &*name.text),
        is_name_sure: true,
        interface: None,
        now: 0,
    };
    match ruleset.decide(&ruleset.subject(waiting.identity), &flow) {
        Judgement::Decided(decision) => Some(decision.action),
        Judgement::Needs(_) => None,
    }
}

#[test]
fn an_answer_for_ever_is_a_rule_in_the_user_layer_with_its_reason() {
    let answer = Answer { note: Some("we pay them".into()), ..permit(Hold::Forever, Target::Domain) };
    let added = add("", &forever(&browser("www.example.com"), &answer)).unwrap();
    assert_eq!(added.id, "browser-example.com-1");
    assert_eq!(
        added.text,
        "# Answers given for ever. This file is yours to edit, too.\n\n\
         [rule.\"browser-example.com-1\"]\n\
         action = \"permit\"\n\
         user = \"1000\"\n\
         program = \"/usr/bin/browser\"\n\
         direction = \"out\"\n\
         remote = \".example.com\"\n\
         note = \"answered by root on 2026-11-23: we pay them\"\n"
    );
}

#[test]
fn an_answer_for_our_port_for_ever_is_a_rule_for_what_comes_in_there() {
    let inbound = Connect { direction: Direction::In, local: "192.168.0.2:22", ..browser("-").nameless() };
    let echo = Connect { protocol: 58, local: "[2001:db8::2]:128", ..inbound.clone() };
    let rule = |from: &Connect| {
        let added = add("", &forever(from, &permit(Hold::Forever, Target::Port))).unwrap();
        let conditions = added.text.lines().skip_while(|line| !line.starts_with("direction"));
        (added.id.clone(), conditions.take_while(|line| !line.starts_with("note")).collect::<Vec<_>>().join("; "))
    };
    let ssh = ("browser-22-1", r#"direction = "in"; local_port = 22; protocol = "tcp""#);
    assert_eq!(rule(&inbound.to("192.168.0.9:51000")), (ssh.0.to_owned(), ssh.1.to_owned()));
    let ping = ("browser-icmp-128-1", r#"direction = "in"; protocol = "icmpv6"; when = "icmp.type == 128""#);
    assert_eq!(rule(&echo.to("[2001:db8::9]:0")), (ping.0.to_owned(), ping.1.to_owned()));
}

#[test]
fn the_rule_decides_what_the_answer_covers_and_nothing_else() {
    let inbound = Connect { direction: Direction::In, local: "192.168.0.2:22", ..browser("-").nameless() };
    let ping = Connect { protocol: 1, ..browser("-").nameless().to("198.51.100.1:0") };
    let odd = Connect { protocol: 253, ..ping.clone() };
    let pinged = Connect { direction: Direction::In, protocol: 1, local: "192.168.0.2:8", ..inbound.clone() };
    let timed = Connect { local: "192.168.0.2:13", ..pinged.clone() };
    let odd_inbound = Connect { direction: Direction::In, ..odd.clone() };
    let others = [
        browser("www.example.com"),
        browser("cdn.example.com"),
        browser("www.example.com").to("93.184.216.1:80"),
        browser("www.example.org"),
        browser("www.example.com").of_user("1001"),
        browser("www.example.com").by("/usr/bin/other"),
        browser("-").nameless().to("[2001:db8::1]:443"),
        inbound.clone().to("192.168.0.9:51000"),
        inbound.clone().to("192.168.0.9:51001"),
        inbound.clone().to("203.0.113.7:51001"),
        Connect { local: "192.168.0.2:80", ..inbound.to("192.168.0.9:51000") },
        ping,
        odd,
        pinged.clone().to("192.168.0.9:0"),
        pinged.to("203.0.113.7:0"),
        timed.to("192.168.0.9:0"),
        odd_inbound.to("192.168.0.9:0"),
    ];
    for from in &others {
        for target in [Target::Remote, Target::Domain, Target::Port, Target::Everything] {
            for answer in [permit(Hold::Forever, target), block(Hold::Forever, target)] {
                let is_outbound = from.direction == Direction::Out;
                if from.name.is_none() && target == Target::Domain || is_outbound && target == Target::Port {
                    continue;
                }
                let forever = forever(from, &answer);
                let text = add("", &forever).unwrap().text;
                let wanted = if answer.verdict == Verdict::Permit { Action::Permit } else { Action::Block };
                for other in &others {
                    // What the answer itself covers while the rule is not in force yet.
                    let mut desk = Desk::with_anna();
                    desk.asks.follow(2, root());
                    let prompt = desk.held(from);
                    let _ = desk.asks.answer(prompt, &answer, &root(), desk.now).unwrap();
                    let covered = matches!(desk.connect(other), service::ask::waiting::Considered::Decided(_));
                    let action = decide(&[(FILE, &text)], &Environment::default(), other);
                    let expected = if covered { wanted } else { Action::Ask };
                    assert_eq!(action, Some(expected), "{text}{other:?}");
                }
            }
        }
    }
}

#[test]
fn the_rule_comes_before_the_rule_of_the_user_layer_that_asks() {
    let mine = "[rule.careful]\naction = \"ask\"\npriority = -7\nprogram = \"browser\"\n";
    let from = browser("www.example.com").asked(Layer::User, "careful");
    let forever = forever(&from, &permit(Hold::Forever, Target::Domain));
    let added = rule::add("", &forever, Some(-7), &Environment::default(), |_| false).unwrap();
    assert!(added.text.contains("priority = -8\n"), "{}", added.text);
    let files = [("user/mine.toml", mine), (FILE, &added.text)];
    assert_eq!(decide(&files, &Environment::default(), &from), Some(Action::Permit));
    let lowest = rule::add("", &forever, Some(-1_000_000), &Environment::default(), |_| false);
    assert!(matches!(lowest, Err(RuleError::NoRoom)));
}

#[test]
fn a_signed_program_is_named_by_publisher_and_file_name() {
    let from = browser("www.example.com").by(r"C:\Program Files\Example\1.0\app.exe").signed("Example, Ltd");
    let forever = forever(&from, &permit(Hold::Forever, Target::Everything));
    let added = rule::add("", &forever, None, &windows(), |_| false).unwrap();
    assert!(added.text.contains("program = { publisher = \"Example, Ltd\", path = \"app.exe\" }"), "{}", added.text);
    assert_eq!(added.id, "app.exe-1");
    let files = [(FILE, &*added.text)];
    let updated = from.clone().by(r"C:\Program Files\Example\2.0\app.exe");
    assert_eq!(decide(&files, &windows(), &updated), Some(Action::Permit));
    assert_eq!(decide(&files, &windows(), &from.clone().signed("Other")), Some(Action::Ask));
    assert_eq!(decide(&files, &windows(), &from.by(r"C:\Program Files\Example\1.0\tool.exe")), Some(Action::Ask));
}

#[test]
fn a_publisher_that_would_be_a_pattern_is_not_one() {
    let from = browser("www.example.com").signed("*");
    let added = add("", &forever(&from, &permit(Hold::Forever, Target::Everything))).unwrap();
    assert!(added.text.contains("program = \"/usr/bin/browser\"\n"), "{}", added.text);
}

#[test]
fn a_path_that_would_be_a_pattern_is_not_one() {
    let from = browser("www.example.com").by("/opt/a*b[c]?/x");
    let added = add("", &forever(&from, &permit(Hold::Forever, Target::Everything))).unwrap();
    let files = [(FILE, &*added.text)];
    assert_eq!(decide(&files, &Environment::default(), &from), Some(Action::Permit));
    let other = from.by("/opt/axxb[c]y/x");
    assert_eq!(decide(&files, &Environment::default(), &other), Some(Action::Ask));
}

#[test]
fn the_file_keeps_what_people_wrote() {
    let mine = "# mine\n\n[rule.mine]   # first\naction = 'block'\nremote = [ \"@private\", ] # odd\n";
    let forever = forever(&browser("www.example.com"), &permit(Hold::Forever, Target::Remote));
    let added = add(mine, &forever).unwrap();
    assert!(added.text.starts_with(mine), "{}", added.text);
    assert_eq!(added.id, "browser-93.184.216.237-443-1");
    assert!(added.text.contains("remote = \"93.184.216.237:443/tcp\"\n"), "{}", added.text);
}

#[test]
fn the_same_answer_again_adds_no_second_rule() {
    let first = forever(&browser("www.example.com"), &permit(Hold::Forever, Target::Domain));
    let mut again = forever(&browser("cdn.example.com"), &permit(Hold::Forever, Target::Domain));
    again.note = Some("again".into());
    let once = add("", &first).unwrap();
    assert_eq!(add(&once.text, &again).unwrap(), once);
}

#[test]
fn the_opposite_answer_takes_the_place_of_the_rule() {
    let first = forever(&browser("www.example.com"), &permit(Hold::Forever, Target::Domain));
    let then = forever(&browser("www.example.com"), &block(Hold::Forever, Target::Domain));
    let once = add("", &first).unwrap();
    let twice = add(&once.text, &then).unwrap();
    assert_eq!(twice.id, once.id);
    assert_eq!(twice.text, once.text.replace("permit", "block"));
}

#[test]
fn an_id_is_taken_once_in_the_layer() {
    let domain = forever(&browser("www.example.com"), &permit(Hold::Forever, Target::Domain));
    let other = forever(&browser("www.example.com").of_user("1001"), &permit(Hold::Forever, Target::Domain));
    let once = add("", &domain).unwrap();
    assert_eq!(add(&once.text, &other).unwrap().id, "browser-example.com-2");
    let elsewhere = |id: &str| id == "browser-example.com-1";
    let added = rule::add("", &domain, None, &Environment::default(), elsewhere).unwrap();
    assert_eq!(added.id, "browser-example.com-2");
}

#[test]
fn a_file_that_does_not_parse_is_left_alone() {
    let forever = forever(&browser("www.example.com"), &permit(Hold::Forever, Target::Domain));
    assert!(matches!(add("[rule.x\n", &forever), Err(RuleError::Damaged(..))));
    assert!(matches!(add("rule = 1\n", &forever), Err(RuleError::Shape(_))));
    assert!(matches!(add(&" ".repeat(rule::MAX_FILE + 1), &forever), Err(RuleError::Full(_))));
}

#[test]
fn what_no_rule_can_name_is_refused() {
    let port_zero = forever(&browser("-").nameless().to("198.51.100.1:0"), &permit(Hold::Forever, Target::Remote));
    assert!(matches!(add("", &port_zero), Err(RuleError::NoPort)));
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("-").nameless().to("[fe80::1%2]:443"));
    let refused = desk.asks.answer(prompt, &permit(Hold::Forever, Target::Remote), &root(), desk.now);
    assert_eq!(refused.unwrap_err(), service::ask::refused::AnswerRefused::LinkLocal);
}

#[test]
fn an_adopted_proposal_decides_what_was_learned() {
    let mut desk = Desk::new();
    desk.asks.configure(service::ask::Settings { unmatched: control::status::Unmatched::Learn, ..SETTINGS });
    let seen = [browser("www.example.com"), browser("-").nameless().to("[2001:db8::1]:53")];
    for from in &seen {
        let _ = desk.connect(from);
    }
    let ids: Vec<String> = desk.asks.learned().proposals().into_iter().map(|proposal| proposal.id).collect();
    let text = desk.asks.learned().adopt(&ids, "", |_| false).unwrap();
    let files = [("user/learned.toml", &*text)];
    for from in &seen {
        assert_eq!(decide(&files, &Environment::default(), from), Some(Action::Permit), "{text}");
    }
    assert_eq!(decide(&files, &Environment::default(), &browser("www.example.org")), Some(Action::Ask));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn whatever_a_program_is_called_the_rule_is_for_it_alone_or_there_is_none(
        path in r#"/([ -~äß☃]{1,12}/){0,2}[ -~äß☃]{1,12}"#,
        publisher in prop::option::of(r#"[ -~äß☃]{1,20}"#),
        note in r#"(?s).{0,40}"#,
        is_windows in any::<bool>(),
    ) {
        let path = if is_windows { format!("C:{}", path.replace('/', "\\")) } else { path };
        let environment = if is_windows { windows() } else { Environment::default() };
        let mut from = browser("www.example.com").by(&path);
        from.program.publisher = publisher.map(Into::into);
        let answer = Answer { note: Some(note), ..permit(Hold::Forever, Target::Domain) };
        match rule::add("", &forever(&from, &answer), None, &environment, |_| false) {
            Ok(added) => {
                let files = [(FILE, &*added.text)];
                prop_assert_eq!(decide(&files, &environment, &from), Some(Action::Permit));
                let other = from.by(&format!("{path}x"));
                prop_assert_eq!(decide(&files, &environment, &other), Some(Action::Ask), "{}", added.text);
            }
            Err(error) => prop_assert!(matches!(error, RuleError::DoesNotDecide), "{error}"),
        }
    }
}
