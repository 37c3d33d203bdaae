//! `tollgate run` as a process, and commands when no service runs.

use crate::scene::{Going, Scene, poll, tollgate};
use std::path::Path;

fn run(folder: &Path) -> Going {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (config, rules, state) = (path("tollgate.toml"), path("rules"), path("state"));
    std::fs::create_dir_all(&rules).unwrap();
    Going::start(&["run", "--config", &config, "--rules", &rules, "--state", &state], &folder.join("control.sock"))
}

#[test]
fn where_no_service_runs_commands_say_so_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control.sock");
    for command in [&["log"][..], &["ask"], &["ask", "--list"], &["snooze", "1m"], &["rules", "reload"], &["status"]] {
        let said = tollgate(command, &control).failed(13);
        assert!(said.contains("no service runs"), "{command:?}: {said}");
        assert!(said.contains("tollgate service start") && said.contains("tollgate run"), "{command:?}: {said}");
    }
}

#[test]
fn a_second_service_is_refused_and_the_first_goes_on() {
    let scene = Scene::start("", "");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (config, rules, state) = (path("tollgate.toml"), path("rules"), path("state"));
    let second = scene.run(&["run", "--config", &config, "--rules", &rules, "--state", &state]);
    let said = second.failed(1);
    assert!(said.contains("another service"), "{said}");
    assert!(!Path::new(&state).exists(), "it wrote something");
    assert_eq!(scene.status()["gate"]["state"], "attached");
}

/// There is no enforcement point on Linux.
#[cfg(target_os = "linux")]
#[test]
fn a_service_that_cannot_attach_says_so_and_ends_when_it_is_told_to() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let control = folder.path().join("control.sock");
        let mut service = run(folder.path());
        let table = poll(
            "it serves",
            || (),
            || {
                let status = tollgate(&["status"], &control);
                (status.code == Some(0)).then_some(status.stdout)
            },
        );
        assert!(table.contains("NOT ATTACHED"), "{table}");
        let status = tollgate(&["status", "--json"], &control).json();
        assert_eq!(status["service"]["gate"]["state"], "detached");
        assert!(!status["service"]["gate"]["why"].as_str().unwrap().is_empty());
        service.signal(signal);
        let done = poll("it ends", || (), || service.done());
        assert_eq!(done.code, Some(0), "{signal}: {done:?}");
        assert!(!control.exists(), "its socket is left");
        assert!(done.stdout.contains("not attached"), "{}", done.stdout);
    }
}
