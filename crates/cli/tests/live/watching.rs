//! What is decided is seen: status, the log, and following it.

use crate::scene::{MAIL, Scene, WEB};
use e2e::{Outcome, WSAEACCES};
use serde_json::Value;

const RULES: &str = r#"
[rule.web]
action = "permit"
program = "node.exe"
remote = "192.0.2.1:443"

[rule.rest]
action = "block"
"#;

fn remotes(lines: &str) -> Vec<String> {
    // The last line may be on its way.
    let whole = lines.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let remote = |line: &str| {
        let entry: Value = serde_json::from_str(line).unwrap();
        entry["remote"].as_str().unwrap().to_owned()
    };
    whole.map(remote).collect()
}

#[test]
fn status_says_that_rules_decide_and_how_much_they_did() {
    let scene = Scene::start(RULES, "");
    let program = scene.desk.program("node.exe");
    assert_eq!(scene.outcome(&program, WEB), Outcome::Connected);
    assert_eq!(scene.outcome(&program, MAIL), Outcome::Refused(WSAEACCES));
    let status = scene.poll("both are counted", || {
        let status = scene.status();
        (status["counters"]["permitted"] == 1 && status["counters"]["blocked"] == 1).then_some(status)
    });
    assert_eq!(status["gate"]["state"], "attached");
    assert_eq!(status["pid"], std::process::id());
    let table = scene.run(&["status"]).text();
    assert!(table.to_lowercase().contains("attached since"), "{table}");
}

#[test]
fn the_log_has_each_decision_with_its_rule() {
    let scene = Scene::start(RULES, "");
    let program = scene.desk.program("node.exe");
    scene.outcome(&program, WEB);
    scene.outcome(&program, MAIL);
    let entries = scene.poll("both are in the log", || {
        Some(scene.run(&["log", "--json"]).lines()).filter(|entries| entries.len() == 2)
    });
    assert_eq!(entries[0]["remote"], WEB);
    assert_eq!(entries[0]["verdict"], "permit");
    assert_eq!(entries[0]["reason"]["rule"]["id"], "web");
    assert_eq!(entries[1]["verdict"], "block");
    let read = scene.run(&["log", "--verdict", "block"]).text();
    assert!(read.contains("node.exe") && read.contains(MAIL) && read.contains("user/rest"), "{read}");
    assert_eq!(read.lines().count(), 1, "{read}");
}

#[test]
fn following_the_log_shows_every_decision_once_whenever_it_was_made() {
    let scene = Scene::start(RULES, "");
    let program = scene.desk.program("node.exe");
    // Decided, and perhaps not written yet.
    let connect = |number: u8| {
        scene.outcome(&program, &format!("192.0.2.{number}:443"));
    };
    (1..=3).for_each(connect);
    let following = scene.begin(&["log", "-f", "--json"]);
    (4..=6).for_each(connect);
    scene.poll("the first of them", || (!remotes(&following.stdout()).is_empty()).then_some(()));
    (7..=9).for_each(connect);
    let mut seen = scene.poll("all nine", || Some(remotes(&following.stdout())).filter(|seen| seen.len() >= 9));
    seen.sort();
    let wanted: Vec<String> = (1..=9).map(|number| format!("192.0.2.{number}:443")).collect();
    assert_eq!(seen, wanted, "{}", following.stderr());
}

#[test]
fn following_ends_with_the_service_and_says_so() {
    let scene = Scene::start(RULES, "");
    let mut following = scene.begin(&["log", "-f"]);
    let program = scene.desk.program("node.exe");
    scene.outcome(&program, WEB);
    scene.poll("it follows", || following.stdout().contains(WEB).then_some(()));
    scene.desk.daemon().stop();
    scene.desk.daemon().wait();
    let done = scene.poll("it ends", || following.done());
    assert!(done.failed(13).contains("tollgate status"));
}
