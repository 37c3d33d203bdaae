//! The program as the system's service: what it tells systemd, which here is a socket (man 3 sd_notify).
#![cfg(unix)]

use platform::daemon::{self, Kind};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, io};

const IS_CHILD: &str = "TOLLGATE_TEST_CHILD";

/// Not a test of its own: the service.
#[test]
fn child() {
    let Some(ending) = env::var_os(IS_CHILD) else { return };
    let ended = daemon::run(Kind::Service, move |host| -> io::Result<()> {
        let (sender, receiver) = mpsc::channel();
        host.on_stop(move || sender.send(()).unwrap())?;
        host.status("attaching\nto the gate");
        host.ready()?;
        receiver.recv().unwrap();
        if ending == "well" { Ok(()) } else { Err(io::Error::other("because")) }
    });
    std::process::exit(if ended.unwrap().is_ok() { 0 } else { 1 });
}

/// The service, and the socket of its manager.
fn started(ending: &str) -> (Child, UnixDatagram, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child"]).env(IS_CHILD, ending).env("NOTIFY_SOCKET", &path).env_remove("WATCHDOG_PID");
    let child = command.env("WATCHDOG_USEC", "20000").stdout(Stdio::null()).spawn().unwrap();
    (child, socket, folder)
}

fn next(socket: &UnixDatagram) -> String {
    let mut message = [0; 256];
    let length = socket.recv(&mut message).unwrap();
    String::from_utf8(message[..length].to_vec()).unwrap().trim_end().to_owned()
}

fn terminate(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

#[test]
fn the_manager_hears_of_the_start_the_watchdog_and_the_end() {
    let (mut child, socket, _folder) = started("well");
    assert_eq!(next(&socket), "STATUS=attaching to the gate");
    assert_eq!(next(&socket), "READY=1");
    for _ in 0..3 {
        assert_eq!(next(&socket), "WATCHDOG=1");
    }
    terminate(&child);
    while next(&socket) != "STOPPING=1" {}
    assert!(child.wait().unwrap().success());
}

#[test]
fn work_that_fails_ends_the_service_as_failed() {
    let (mut child, socket, _folder) = started("badly");
    while next(&socket) != "READY=1" {}
    terminate(&child);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn in_the_foreground_nobody_is_told_anything() {
    let ended = daemon::run(Kind::Foreground, |host| {
        host.ready().unwrap();
        host.status("x");
        Ok::<_, io::Error>(host.kind())
    });
    assert_eq!(ended.unwrap().unwrap(), Kind::Foreground);
}
