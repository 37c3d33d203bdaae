//! Both ends of the service's pipe or socket.

use platform::ipc::{Closer, Listener, connect, listen};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::sync::mpsc;
use std::thread;

/// A name that no other test uses, for as long as the value lives.
struct Endpoint {
    name: String,
    #[cfg(unix)]
    folder: tempfile::TempDir,
}

impl Endpoint {
    #[cfg(unix)]
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { name: folder.path().join("run").join("control.sock").to_str().unwrap().to_owned(), folder }
    }

    #[cfg(windows)]
    fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(r"\\.\pipe\Tollgate.Test.{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { name }
    }

    fn listen(&self) -> io::Result<Listener> {
        listen(&self.name, None)
    }
}

type Ends = (Box<dyn Read + Send>, Box<dyn Write + Send>, Closer);

/// A client and the service's end of its stream.
fn pair(listener: &Listener, endpoint: &Endpoint) -> (Ends, Ends) {
    thread::scope(|scope| {
        let client = scope.spawn(|| connect(&endpoint.name).unwrap().split().unwrap());
        let served = listener.accept().unwrap().expect("nobody stopped it").split().unwrap();
        (client.join().unwrap(), served)
    })
}

#[test]
fn both_sides_read_what_the_other_wrote_at_the_same_time() {
    let endpoint = Endpoint::new();
    let listener = endpoint.listen().unwrap();
    let ((from_service, mut to_service, _), (from_client, mut to_client, _)) = pair(&listener, &endpoint);
    let read_lines = |from: Box<dyn Read + Send>| BufReader::new(from).lines().take(1000).map(Result::unwrap).collect();
    thread::scope(|scope| {
        let client = scope.spawn(move || -> Vec<String> { read_lines(from_service) });
        let service = scope.spawn(move || -> Vec<String> { read_lines(from_client) });
        for number in 0..1000 {
            writeln!(to_service, "question {number}").unwrap();
            writeln!(to_client, "answer {number}").unwrap();
        }
        let (answers, questions) = (client.join().unwrap(), service.join().unwrap());
        assert!(answers.iter().enumerate().all(|(number, line)| *line == format!("answer {number}")));
        assert!(questions.iter().enumerate().all(|(number, line)| *line == format!("question {number}")));
    });
}

#[test]
fn the_service_knows_who_its_client_is() {
    let endpoint = Endpoint::new();
    let listener = endpoint.listen().unwrap();
    thread::scope(|scope| {
        let client = scope.spawn(|| connect(&endpoint.name).unwrap());
        let peer = listener.accept().unwrap().unwrap().peer().unwrap();
        drop(client.join().unwrap());
        assert_eq!(peer.pid, std::process::id());
        assert!(peer.is_administrator && peer.is_operator, "{peer:?}");
        let us = platform::process::describe(peer.pid, 0).unwrap();
        assert_eq!(Some(peer.user_id), us.user_id);
        assert_eq!(peer.user_name, us.user_name);
    });
}

#[test]
fn what_was_written_before_the_end_arrives() {
    let endpoint = Endpoint::new();
    let listener = endpoint.listen().unwrap();
    let ((mut from_service, ..), (from_client, mut to_client, closer)) = pair(&listener, &endpoint);
    to_client.write_all(b"refused\n").unwrap();
    closer.close();
    drop((from_client, to_client, closer));
    let mut said = String::new();
    from_service.read_to_string(&mut said).unwrap();
    assert_eq!(said, "refused\n");
}

#[test]
fn closing_wakes_a_reader() {
    let endpoint = Endpoint::new();
    let listener = endpoint.listen().unwrap();
    let (_client, (mut from_client, _, closer)) = pair(&listener, &endpoint);
    let reader = thread::spawn(move || from_client.read(&mut [0]).unwrap());
    closer.close();
    assert_eq!(reader.join().unwrap(), 0);
}

#[test]
fn closing_wakes_a_writer_whose_client_does_not_read() {
    let endpoint = Endpoint::new();
    let listener = endpoint.listen().unwrap();
    let (_client, (_, mut to_client, closer)) = pair(&listener, &endpoint);
    // Far more than any buffer between the two holds, so that a write waits.
    let writer = thread::spawn(move || to_client.write_all(&vec![b'x'; 64 << 20]).unwrap_err());
    closer.close();
    assert_eq!(writer.join().unwrap().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn stopping_ends_an_accept_that_waits_and_every_later_one() {
    let endpoint = Endpoint::new();
    let listener = endpoint.listen().unwrap();
    let stopper = listener.stopper();
    let (sender, receiver) = mpsc::channel();
    let waiting = thread::spawn(move || {
        sender.send(()).unwrap();
        (listener.accept().unwrap().is_none(), listener.accept().unwrap().is_none())
    });
    receiver.recv().unwrap();
    stopper.stop();
    assert_eq!(waiting.join().unwrap(), (true, true));
}

#[test]
fn many_clients_are_served_at_once() {
    let endpoint = Endpoint::new();
    let listener = endpoint.listen().unwrap();
    let streams: Vec<_> = (0..20).map(|_| pair(&listener, &endpoint)).collect();
    for (number, ((_, to_service, _), (from_client, ..))) in streams.into_iter().enumerate() {
        let (mut to_service, mut from_client) = (to_service, from_client);
        to_service.write_all(&[u8::try_from(number).unwrap()]).unwrap();
        let mut byte = [0];
        from_client.read_exact(&mut byte).unwrap();
        assert_eq!(usize::from(byte[0]), number);
    }
}

#[test]
fn a_name_has_one_listener_at_a_time() {
    let endpoint = Endpoint::new();
    let listener = endpoint.listen().unwrap();
    assert_eq!(endpoint.listen().err().map(|error| error.kind()), Some(ErrorKind::AddrInUse));
    drop(listener);
    assert_eq!(connect(&endpoint.name).err().map(|error| error.kind()), Some(ErrorKind::NotFound));
    drop(endpoint.listen().unwrap());
}

#[cfg(unix)]
mod unix {
    use super::*;
    use rustix::process::{Gid, Uid};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    /// A group that every system has, and its number.
    fn group() -> (String, u32) {
        let groups = fs::read_to_string("/etc/group").unwrap();
        let (name, rest) = groups.lines().find(|line| !line.starts_with("root:")).unwrap().split_once(':').unwrap();
        (name.to_owned(), rest.split(':').nth(1).unwrap().parse().unwrap())
    }

    #[test]
    fn a_socket_that_a_killed_service_left_is_replaced() {
        let endpoint = Endpoint::new();
        let path = Path::new(&endpoint.name);
        fs::create_dir(path.parent().unwrap()).unwrap();
        drop(UnixListener::bind(path).unwrap());
        let listener = endpoint.listen().unwrap();
        drop(pair(&listener, &endpoint));
    }

    #[test]
    fn a_file_that_is_no_socket_is_not_replaced() {
        let endpoint = Endpoint::new();
        let path = Path::new(&endpoint.name);
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(path, "precious").unwrap();
        assert_eq!(endpoint.listen().err().map(|error| error.kind()), Some(ErrorKind::AlreadyExists));
        assert_eq!(fs::read(path).unwrap(), b"precious");
    }

    #[test]
    fn a_folder_that_others_may_change_is_refused() {
        let endpoint = Endpoint::new();
        let folder = Path::new(&endpoint.name).parent().unwrap();
        fs::create_dir(folder).unwrap();
        fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap();
        assert_eq!(endpoint.listen().err().map(|error| error.kind()), Some(ErrorKind::PermissionDenied));
        fs::set_permissions(folder, Permissions::from_mode(0o1777)).unwrap();
        drop(endpoint.listen().unwrap());
    }

    #[test]
    fn a_folder_below_one_that_others_may_change_is_refused() {
        let endpoint = Endpoint::new();
        fs::set_permissions(endpoint.folder.path(), Permissions::from_mode(0o777)).unwrap();
        assert_eq!(endpoint.listen().err().map(|error| error.kind()), Some(ErrorKind::PermissionDenied));
        fs::set_permissions(endpoint.folder.path(), Permissions::from_mode(0o700)).unwrap();
        drop(endpoint.listen().unwrap());
    }

    #[test]
    fn what_a_service_left_that_was_killed_while_it_began_is_removed() {
        let endpoint = Endpoint::new();
        let folder = Path::new(&endpoint.name).parent().unwrap();
        let left = folder.join(format!(".tollgate-{}", std::process::id()));
        fs::create_dir_all(&left).unwrap();
        drop(UnixListener::bind(left.join("socket")).unwrap());
        let _listener = endpoint.listen().unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    }

    #[test]
    fn nothing_but_the_socket_is_left_beside_it() {
        let endpoint = Endpoint::new();
        let folder = Path::new(&endpoint.name).parent().unwrap();
        let listener = endpoint.listen().unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
        assert_eq!(fs::metadata(&endpoint.name).unwrap().mode() & 0o7777, 0o660);
        drop(listener);
        assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    }

    /// Credentials belong to threads (man 7 credentials), so that a thread of this process can be somebody else.
    fn somebody<T: Send>(groups: &[u32], act: impl FnOnce() -> T + Send) -> T {
        const NOBODY: u32 = 65_534;
        let groups: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
        let become_them = move || {
            rustix::thread::set_thread_groups(&groups).unwrap();
            rustix::thread::set_thread_gid(Gid::from_raw(NOBODY)).unwrap();
            rustix::thread::set_thread_uid(Uid::from_raw(NOBODY)).unwrap();
            act()
        };
        thread::scope(|scope| scope.spawn(become_them).join().unwrap())
    }

    #[test]
    fn operators_get_in_as_such_and_others_do_not() {
        if !rustix::process::geteuid().is_root() {
            println!("not run: only root can be somebody else");
            return;
        }
        let endpoint = Endpoint::new();
        fs::set_permissions(endpoint.folder.path(), Permissions::from_mode(0o755)).unwrap();
        let (name, operators) = group();
        let listener = listen(&endpoint.name, Some(&name)).unwrap();

        let refused = somebody(&[], || connect(&endpoint.name).err().map(|error| error.kind()));
        assert_eq!(refused, Some(ErrorKind::PermissionDenied));

        // More groups than are asked for at first.
        let many: Vec<u32> = (70_000..70_200).chain([operators]).collect();
        let _client = somebody(&many, || connect(&endpoint.name).unwrap());
        let peer = listener.accept().unwrap().unwrap().peer().unwrap();
        assert_eq!(peer.user_id, "65534");
        assert!(peer.is_operator && !peer.is_administrator, "{peer:?}");

        // Who opened the socket to everybody made nobody an operator.
        fs::set_permissions(&endpoint.name, Permissions::from_mode(0o666)).unwrap();
        let _client = somebody(&[], || connect(&endpoint.name).unwrap());
        let peer = listener.accept().unwrap().unwrap().peer().unwrap();
        assert!(!peer.is_operator && !peer.is_administrator, "{peer:?}");
    }
}
