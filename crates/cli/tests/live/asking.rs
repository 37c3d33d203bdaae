//! Prompts are listed, answered and snoozed.

use crate::scene::{MAIL, Scene, WEB};
use e2e::{Outcome, WSAEACCES};
use platform::names::Answer;
use std::fs;
use std::io::Write;

const BLOCKED: Outcome = Outcome::Refused(WSAEACCES);

#[test]
fn an_answer_for_a_time_holds_for_the_whole_domain() {
    let scene = Scene::start("", "");
    let core = scene.desk.daemon().core();
    let program = scene.desk.program("node.exe");
    let _asking = scene.sit_down();
    for (address, name) in [("192.0.2.1", "www.example.com"), ("198.51.100.25", "mail.example.com")] {
        let answer = Answer { name: name.to_owned(), address: address.parse().unwrap(), pid: None, ttl: None };
        core.gate.names.hear(&answer, core.gate.clock.now().monotonic);
    }
    let (connect, prompt) = scene.ask(&program, WEB);
    let id = prompt["id"].to_string();
    let shown = scene.run(&["ask", "--list"]).text();
    assert!(shown.contains("node.exe") && shown.contains("www.example.com"), "{shown}");
    scene.run(&["ask", "--answer", &id, "permit", "--for", "1h", "--to", "domain"]).text();
    assert_eq!(scene.verdict(&connect), Outcome::Connected);
    assert_eq!(scene.outcome(&program, MAIL), Outcome::Connected, "the same domain");
    assert!(scene.path("state/answers.json").is_file());
    let again = scene.run(&["ask", "--answer", &id, "permit"]).failed(16);
    assert!(again.contains(&id), "{again}");
}

#[test]
fn a_prompt_without_a_domain_cannot_be_answered_for_one_and_stays() {
    let scene = Scene::start("", "");
    let program = scene.desk.program("node.exe");
    let _asking = scene.sit_down();
    let (connect, prompt) = scene.ask(&program, WEB);
    let id = prompt["id"].to_string();
    let said = scene.run(&["ask", "--answer", &id, "permit", "--for", "1h", "--to", "domain"]).failed(16);
    assert!(said.contains("no domain") && said.contains("answer for its remote"), "{said}");
    assert_eq!(connect.outcome(), Outcome::Pending);
    scene.run(&["ask", "--answer", &id, "block"]).text();
    assert_eq!(scene.verdict(&connect), BLOCKED);
}

#[test]
fn an_answer_for_ever_becomes_a_rule_that_decides_the_next_connection() {
    let scene = Scene::start("", "");
    let program = scene.desk.program("node.exe");
    let _asking = scene.sit_down();
    let (connect, prompt) = scene.ask(&program, WEB);
    let id = prompt["id"].to_string();
    let answer = ["ask", "--answer", &id, "block", "--for", "forever", "--to", "everything", "--note", "no telemetry"];
    scene.run(&answer).text();
    assert_eq!(scene.verdict(&connect), BLOCKED);
    let written = fs::read_to_string(scene.path("rules/user/answers.toml")).unwrap();
    assert!(written.contains("action = \"block\"") && written.contains("no telemetry"), "{written}");
    assert_eq!(scene.outcome(&program, MAIL), BLOCKED);
    scene.poll("the rule decided", || {
        let last = scene.run(&["log", "--json", "-n", "1"]).lines().pop()?;
        (last["reason"]["by"] == "rule" && last["remote"] == MAIL).then_some(())
    });
}

#[test]
fn a_conversation_answers_what_it_shows() {
    let scene = Scene::start("", "");
    let program = scene.desk.program("node.exe");
    let mut asking = scene.begin(&["ask"]);
    scene.poll("somebody who answers", || scene.desk.daemon().core().feed.audience().administrator.then_some(()));
    let connect = scene.desk.machine().connect(&program, WEB);
    scene.poll("it is asked", || asking.stdout().contains("node.exe").then_some(()));
    asking.stdin().write_all(b"permit\n").unwrap();
    assert_eq!(scene.verdict(&connect), Outcome::Connected);
    asking.signal("TERM");
    scene.poll("it ends", || asking.done());
}

#[test]
fn a_snooze_blocks_without_a_prompt_until_it_is_off() {
    let scene = Scene::start("", "");
    let program = scene.desk.program("node.exe");
    let _asking = scene.sit_down();
    let said = scene.run(&["snooze", "1m", "--block"]).text();
    assert!(said.contains("blocked") && said.contains("tollgate snooze off"), "{said}");
    assert_eq!(scene.outcome(&program, WEB), BLOCKED);
    assert!(scene.status()["snoozed_until"].is_string());
    scene.run(&["snooze", "off"]).text();
    assert!(scene.status()["snoozed_until"].is_null());
    let (connect, prompt) = scene.ask(&program, WEB);
    scene.run(&["ask", "--answer", &prompt["id"].to_string(), "permit"]).text();
    assert_eq!(scene.verdict(&connect), Outcome::Connected);
}
