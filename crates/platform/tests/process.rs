//! Real processes, described.

use platform::process::{ProcessError, describe, is_running, publisher, start_key};
use std::env;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};

const IS_CHILD: &str = "TOLLGATE_TEST_CHILD";

/// Not a test of its own: what the children run, until their input ends.
#[test]
fn child() {
    if env::var_os(IS_CHILD).is_some() {
        io::stdin().read_to_end(&mut Vec::new()).unwrap();
    }
}

/// A process that runs until it is killed.
fn spawn(prepare: impl FnOnce(&mut Command)) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child", "an argument"]).env(IS_CHILD, "1").stdin(Stdio::piped()).stdout(Stdio::null());
    prepare(&mut command);
    command.spawn().unwrap()
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What the system cannot tell, as under Wine, is not known.
fn key_of(pid: u32) -> u64 {
    start_key(pid).unwrap_or(0)
}

#[test]
fn a_child_is_described_by_its_program_its_parent_and_its_user() {
    let child = spawn(|_| ());
    let (we, it) = (describe(std::process::id(), 0).unwrap(), describe(child.id(), key_of(child.id())).unwrap());
    let program = env::current_exe().unwrap().to_str().unwrap().to_owned();
    assert_eq!(it.path.as_deref(), Some(program.as_str()));
    assert_eq!(it.parent.as_deref(), Some(program.as_str()));
    assert!(it.user_id.is_some());
    assert_eq!((it.user_id, it.user_name), (we.user_id, we.user_name));
    if let Some(line) = it.command_line {
        assert!(line.contains("--exact child") && line.contains("an argument"), "{line}");
    }
    end(child);
}

#[test]
fn a_process_that_has_ended_is_gone() {
    let child = spawn(|_| ());
    let (pid, key) = (child.id(), key_of(child.id()));
    assert!(is_running(pid, key));
    end(child);
    assert!(!is_running(pid, key));
    assert!(matches!(describe(pid, key), Err(ProcessError::Gone { .. })));
}

#[test]
fn a_program_without_a_signature_has_no_publisher() {
    let program = env::current_exe().unwrap();
    assert_eq!(publisher(program.to_str().unwrap()).unwrap(), None);
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::os::unix::process::CommandExt;

    #[test]
    fn a_number_that_was_given_again_does_not_describe_another() {
        let child = spawn(|_| ());
        let key = start_key(child.id()).unwrap();
        assert_eq!(start_key(child.id()).unwrap(), key);
        assert!(matches!(describe(child.id(), key + 1), Err(ProcessError::Gone { .. })));
        assert!(!is_running(child.id(), key + 1));
        end(child);
    }

    #[test]
    fn a_process_that_nobody_has_waited_for_runs_no_more() {
        let mut child = spawn(|_| ());
        let key = start_key(child.id()).unwrap();
        child.kill().unwrap();
        // It is a zombie as soon as the kernel has ended it.
        while is_running(child.id(), key) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }

    #[test]
    fn the_process_of_another_user_is_theirs() {
        if !rustix::process::geteuid().is_root() {
            println!("not run: only root can start a process of another user");
            return;
        }
        let mut command = Command::new("/bin/cat");
        let child = command.uid(65_534).gid(65_534).stdin(Stdio::piped()).spawn().unwrap();
        let described = describe(child.id(), start_key(child.id()).unwrap()).unwrap();
        assert_eq!(described.user_id.as_deref(), Some("65534"));
        assert_eq!(described.command_line.as_deref(), Some("/bin/cat"));
        end(child);
    }

    #[test]
    fn a_program_that_was_deleted_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("my cat");
        std::fs::copy("/bin/cat", &program).unwrap();
        // A process that another test starts at this moment has the file open for writing until it runs its own program.
        let child = loop {
            match Command::new(&program).stdin(Stdio::piped()).spawn() {
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                spawned => break spawned.unwrap(),
            }
        };
        std::fs::remove_file(&program).unwrap();
        assert_eq!(describe(child.id(), 0).unwrap().path.as_deref(), program.to_str());
        end(child);
    }
}

#[cfg(windows)]
mod windows {
    use super::*;

    #[test]
    fn a_start_key_names_one_process_where_the_system_tells() {
        let child = spawn(|_| ());
        if let Ok(key) = start_key(child.id()) {
            assert_ne!(key, start_key(std::process::id()).unwrap());
            assert!(matches!(describe(child.id(), key + 1), Err(ProcessError::Gone { .. })));
        }
        end(child);
    }

    #[test]
    fn a_file_that_is_not_there_has_no_signature_to_check() {
        assert!(publisher(r"C:\nowhere\at all.exe").is_err());
    }
}
