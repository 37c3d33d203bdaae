//! What is put arrives; what cannot is counted.

use super::made::{origin, permitted};
use control::entry::Entry;
use control::status::Source;
use service::export::exporter::QUEUE;
use service::export::{Exporter, Format, Target};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SYSLOG: Format = Format::Syslog;

/// How long a test waits for what must come; only a hang takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

fn entry(id: u64) -> Arc<Entry> {
    Arc::new(Entry { id, ..permitted() })
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < give_up, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// One message framed by its length.
fn counted(stream: &mut BufReader<TcpStream>) -> String {
    let mut length = Vec::new();
    stream.read_until(b' ', &mut length).unwrap();
    let length: usize = String::from_utf8(length).unwrap().trim().parse().unwrap();
    let mut message = vec![0; length];
    stream.read_exact(&mut message).unwrap();
    String::from_utf8(message).unwrap()
}

#[test]
fn over_udp_each_is_a_datagram() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let target = Target::Udp(receiver.local_addr().unwrap().to_string());
    let exporter = Exporter::start(target, SYSLOG, origin());
    for id in 1..=3 {
        exporter.put(entry(id));
        let mut datagram = [0; 4_096];
        let length = receiver.recv(&mut datagram).unwrap();
        assert_eq!(std::str::from_utf8(&datagram[..length]).unwrap(), SYSLOG.line(&entry(id), &origin()));
    }
}

#[test]
fn over_tcp_octets_are_counted_and_a_lost_connection_is_made_again() {
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::Tcp(receiver.local_addr().unwrap().to_string());
    let exporter = Exporter::start(target, SYSLOG, origin());
    exporter.put(entry(1));
    let mut first = BufReader::new(receiver.accept().unwrap().0);
    assert_eq!(counted(&mut first), SYSLOG.line(&entry(1), &origin()));
    drop(first);
    // The receiver's goodbye may be under way yet: what is put now arrives in any case, or a moment later.
    let mut next = 1;
    receiver.set_nonblocking(true).unwrap();
    let mut accepted = None;
    until("it connects again", || {
        next += 1;
        exporter.put(entry(next));
        accepted = receiver.accept().ok();
        accepted.is_some()
    });
    let stream = accepted.unwrap().0;
    stream.set_nonblocking(false).unwrap();
    let mut second = BufReader::new(stream);
    exporter.put(entry(next + 1));
    until("the last one arrives", || counted(&mut second) == SYSLOG.line(&entry(next + 1), &origin()));
    assert_eq!(exporter.dropped(), 0);
}

#[test]
fn json_over_tcp_is_a_line_each() {
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::Tcp(receiver.local_addr().unwrap().to_string());
    let exporter = Exporter::start(target, Format::Json, origin());
    exporter.put(entry(1));
    exporter.put(entry(2));
    let lines = BufReader::new(receiver.accept().unwrap().0).lines();
    let ids: Vec<u64> = lines.take(2).map(|line| serde_json::from_str::<Entry>(&line.unwrap()).unwrap().id).collect();
    assert_eq!(ids, [1, 2]);
}

#[cfg(unix)]
#[test]
fn a_local_socket_that_comes_later_gets_what_waited() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let exporter = Exporter::start(Target::Unix(path.clone()), SYSLOG, origin());
    exporter.put(entry(1));
    until("it says that it fails", || matches!(exporter.state(), Source::Fails { .. }));
    let receiver = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut datagram = [0; 4_096];
    let length = receiver.recv(&mut datagram).unwrap();
    assert_eq!(std::str::from_utf8(&datagram[..length]).unwrap(), SYSLOG.line(&entry(1), &origin()));
    until("it says that it works", || matches!(exporter.state(), Source::Works { .. }));
}

#[test]
fn while_the_target_is_away_the_queue_fills_and_the_rest_is_dropped_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing").join("log");
    let exporter = Exporter::start(Target::File(path), Format::Json, origin());
    let put = QUEUE as u64 + 1_000;
    (0..put).for_each(|id| exporter.put(entry(id)));
    // One may be in the hands of the sender.
    assert!((999..=1_000).contains(&exporter.dropped()), "{}", exporter.dropped());
}

#[test]
fn a_file_gets_a_line_each_and_is_begun_anew_after_it_was_moved_away() {
    let directory = tempfile::tempdir().unwrap();
    let (path, moved) = (directory.path().join("log"), directory.path().join("log.1"));
    let exporter = Exporter::start(Target::File(path.clone()), Format::Json, origin());
    exporter.put(entry(1));
    exporter.put(entry(2));
    until("both are written", || fs::read_to_string(&path).is_ok_and(|text| text.lines().count() == 2));
    fs::rename(&path, &moved).unwrap();
    let mut id = 2;
    until("a new file is begun", || {
        id += 1;
        exporter.put(entry(id));
        // Longer than the idle time, so that the file is closed meanwhile.
        std::thread::sleep(Duration::from_millis(1_100));
        path.exists()
    });
    drop(exporter);
    let text = fs::read_to_string(&moved).unwrap() + &fs::read_to_string(&path).unwrap();
    let ids: Vec<u64> = text.lines().map(|line| serde_json::from_str::<Entry>(line).unwrap().id).collect();
    assert_eq!(ids, Vec::from_iter(1..=id));
}

#[test]
fn what_waits_is_sent_before_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let exporter = Exporter::start(Target::File(path.clone()), Format::Ocsf, origin());
    (1..=1_000).for_each(|id| exporter.put(entry(id)));
    drop(exporter);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1_000);
}
