//! Rules are explained, replaced, refused, learnt and adopted.

use crate::scene::{MAIL, Scene, WEB};
use e2e::{Outcome, WSAEACCES};

const BLOCKED: Outcome = Outcome::Refused(WSAEACCES);
const PERMIT: &str = "[rule.web]\naction = \"permit\"\nprogram = \"node.exe\"\n";
const BLOCK: &str = "[rule.no-web]\naction = \"block\"\nprogram = \"node.exe\"\n";

#[test]
fn a_decision_is_explained_by_the_rules_of_its_time() {
    let scene = Scene::start(PERMIT, "");
    let program = scene.desk.program("node.exe");
    assert_eq!(scene.outcome(&program, WEB), Outcome::Connected);
    let entries = || scene.run(&["log", "--json"]).lines();
    let first = scene.poll("it is in the log", || entries().pop());
    let id = first["id"].to_string();
    let before = scene.run(&["rules", "explain", "--entry", &id]).text();
    assert!(before.contains("=> permit by user/web"), "{before}");
    assert!(before.contains("It was permitted by user/web"), "{before}");

    scene.write_rules(BLOCK);
    scene.run(&["rules", "reload"]).text();
    assert_eq!(scene.outcome(&program, WEB), BLOCKED);
    let second = scene.poll("both are in the log", || Some(entries()).filter(|all| all.len() == 2)).remove(1);
    assert_ne!(first["revision"], second["revision"]);
    assert_eq!(scene.run(&["rules", "explain", "--entry", &id]).text(), before);
    let now = scene.run(&["rules", "explain", "--entry", &second["id"].to_string()]).text();
    assert!(now.contains("=> block by user/no-web") && now.contains("It was blocked by user/no-web"), "{now}");

    let in_force = scene.run(&["rules", "show", "--in-force"]).text();
    assert!(in_force.contains("block user/no-web") && !in_force.contains("user/web"), "{in_force}");
}

#[test]
fn broken_rules_are_refused_with_every_error_and_those_in_force_stay() {
    let scene = Scene::start(PERMIT, "");
    let program = scene.desk.program("node.exe");
    let revision = scene.status()["rules"]["revision"].clone();
    scene.write_rules("[rule.a]\naction = \"maybe\"\n\n[rule.b]\naction = \"permit\"\nremote = \"*:99999\"\n");
    let said = scene.run(&["rules", "reload"]).failed(14);
    assert!(said.contains("user/rules.toml:2:") && said.contains("user/rules.toml:6:"), "{said}");
    assert!(said.contains("those in force stay"), "{said}");
    assert_eq!(scene.outcome(&program, WEB), Outcome::Connected);
    let status = scene.status();
    assert_eq!(status["rules"]["revision"], revision);
    assert_eq!(status["rules"]["refused"].as_array().unwrap().len(), 2, "{status}");
}

#[test]
fn what_is_learnt_is_proposed_and_decides_once_it_is_adopted() {
    let scene = Scene::start("", "unmatched = \"learn\"\n");
    let program = scene.desk.program("node.exe");
    assert_eq!(scene.outcome(&program, WEB), Outcome::Connected);
    assert_eq!(scene.outcome(&program, MAIL), Outcome::Connected);
    let proposals = || scene.run(&["rules", "proposals", "--json"]).json().as_array().unwrap().clone();
    let proposed = scene.poll("proposals", || Some(proposals()).filter(|all| !all.is_empty()));
    let shown = scene.run(&["rules", "proposals"]).text();
    let ids: Vec<&str> = proposed.iter().map(|proposal| proposal["id"].as_str().unwrap()).collect();
    assert!(ids.iter().all(|id| shown.contains(&format!("[rule.\"{id}\"]"))), "{shown}");

    scene.run(&[&["rules", "adopt"], &ids[..]].concat()).text();
    let in_force = scene.run(&["rules", "show", "--in-force"]).text();
    assert!(ids.iter().all(|id| in_force.contains(&format!("permit user/{id}"))), "{in_force}");
    assert!(proposals().is_empty());
    scene.outcome(&program, WEB);
    let last = scene.poll("a rule decides", || {
        let last = scene.run(&["log", "--json", "-n", "1"]).lines().pop()?;
        (last["reason"]["by"] == "rule").then_some(last)
    });
    assert_eq!(last["verdict"], "permit");
    let said = scene.run(&["rules", "adopt", "nothing-like-it"]).failed(16);
    assert!(said.contains("nothing-like-it"), "{said}");
}
