//! The program as it is run: arguments, output, exit code.

use std::process::{Command, Output};

fn tollgate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate")).args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_teaches_the_first_steps_and_the_exit_codes() {
    let output = tollgate(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = stdout(&output);
    for taught in ["tollgate driver install", "Exit codes:", " 7  another service is attached"] {
        assert!(help.contains(taught), "{taught} is not in\n{help}");
    }
}

#[test]
fn help_says_how_an_exemption_matches() {
    let help = stdout(&tollgate(&["block", "--help"]));
    for taught in ["upper or lower case", r"C:\Tools\node.exe", r"\Device\HarddiskVolume3", "svchost.exe"] {
        assert!(help.contains(taught), "{taught} is not in\n{help}");
    }
}

#[test]
fn bad_arguments_have_an_exit_code_and_a_reason() {
    for (args, reason) in [
        (&[][..], "Usage"),
        (&["permit", "--exempt", r"tools\node.exe"], "relative path"),
        (&["permit", "--exempt", ""], "empty"),
        (&["block", "--deadline", "2h"], "ms, s or m"),
        (&["block", "--fallback", "maybe"], "possible values: permit, block, last"),
        (&["driver"], "Usage"),
        (&["gate"], "unrecognized subcommand"),
        (&["snooze", "2d"], "1s to 24h"),
        (&["snooze", "30m", "--permit", "--block"], "cannot be used with"),
        (&["ask", "permit"], "--answer"),
        (&["ask", "--answer", "7"], "<VERDICT>"),
        (&["ask", "--list", "--for", "1h"], "--answer"),
        (&["completions", "csh"], "possible values: bash"),
    ] {
        let output = tollgate(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(reason), "{args:?}: {}", stderr(&output));
    }
}

#[cfg(not(windows))]
#[test]
fn what_needs_the_windows_driver_says_so_elsewhere() {
    for args in [
        &["permit"][..],
        &["block", "--exempt", "curl.exe", "--json"],
        &["driver", "install"],
        &["driver", "start"],
        &["driver", "stop"],
        &["driver", "uninstall"],
        &["driver", "status"],
        &["driver", "doctor"],
        &["driver", "doctor", "--purge", "--yes"],
    ] {
        let output = tollgate(args);
        assert_eq!(output.status.code(), Some(10), "{args:?}");
        assert!(stderr(&output).contains("Windows"), "{args:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{args:?}");
    }
}

#[test]
fn what_needs_the_service_says_so_when_none_runs() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("control.sock");
    for args in [
        &["snooze", "30m"][..],
        &["ask"],
        &["ask", "--list", "--json"],
        &["ask", "--answer", "7", "permit"],
        #[cfg(not(windows))]
        &["status"],
    ] {
        let output = tollgate(&[&["--control", nowhere.to_str().unwrap()], args].concat());
        assert_eq!(output.status.code(), Some(13), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).starts_with("error: no service runs: nobody listens on "), "{}", stderr(&output));
        assert!(stderr(&output).contains("help: `tollgate service start`"), "{}", stderr(&output));
        assert_eq!(stdout(&output), "", "{args:?}");
    }
}

#[test]
fn man_pages_are_written_and_completions_printed() {
    let folder = tempfile::tempdir().unwrap();
    let output = tollgate(&["man", folder.path().join("man1").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(folder.path().join("man1/tollgate-status.1").exists());
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = tollgate(&["completions", shell]);
        assert!(stdout(&output).contains("snooze"), "{shell}");
    }
}
