//! The server on a real socket.

use crate::house::{FakeDesk, entry, eventually};
use control::client::{Client, ClientError};
use control::filter::Filter;
use control::protocol::{ErrorKind, Event, Request, Role};
use platform::ipc;
use service::server::{Listening, MAX_CLIENTS_OF_USER, PATIENCE, Server};
use service::sink::{Made, Sink};
use std::sync::Arc;
use std::time::Instant;

fn listen(path: &str) -> Listening {
    let desk = Arc::new(FakeDesk::default());
    let feed = desk.feed.clone();
    Server::new(desk, feed).listen(ipc::listen(path, None).unwrap()).unwrap()
}

fn connect(path: &str) -> Result<Client, ClientError> {
    let (reader, writer, _) = ipc::connect(path)?.split()?;
    Client::connect(reader, writer)
}

#[test]
fn clients_come_over_a_socket_and_end_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let path = path.to_str().unwrap();
    let listening = listen(path);
    let mut client = connect(path).unwrap();
    // The user that the service runs as is its administrator.
    assert_eq!(client.welcome().role, Role::Administrator);
    client.call(Request::Status).unwrap();
    drop(listening);
    assert!(client.call(Request::Status).is_err());
    assert!(connect(path).is_err());
}

#[test]
fn one_client_too_many_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let path = path.to_str().unwrap();
    let listening = listen(path);
    let mut clients: Vec<Client> = (0..MAX_CLIENTS_OF_USER).map(|_| connect(path).unwrap()).collect();
    match connect(path) {
        Err(ClientError::Refused(refusal)) => assert_eq!(refusal.kind, ErrorKind::Busy),
        other => panic!("{:?}", other.map(|client| client.welcome().clone())),
    }
    clients.pop();
    eventually("its place is free", || listening.server().clients() < MAX_CLIENTS_OF_USER);
    connect(path).unwrap();
}

#[test]
fn a_follower_that_stops_reading_goes_on_later_and_is_told_what_it_missed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let path = path.to_str().unwrap();
    let desk = Arc::new(FakeDesk::default());
    let feed = desk.feed.clone();
    let listening = Server::new(desk, feed.clone()).listen(ipc::listen(path, None).unwrap()).unwrap();
    let mut client = connect(path).unwrap();
    client.call(Request::FollowEntries { filter: Filter::default() }).unwrap();
    // Far more than its queue and the socket hold.
    let count = 50_000_u64;
    let decide = |id| feed.take(&[Made { entry: Arc::new(entry(id)), log: true }]);
    (1..=count).for_each(decide);
    // It has no reply to read, so it does not take too long, however late it is.
    listening.server().watch(Instant::now() + PATIENCE * 100);
    assert_eq!(listening.server().clients(), 1);
    let (mut seen, mut missed) = (0, 0);
    while seen + missed < count {
        match client.events().next().unwrap().unwrap() {
            Event::Entry(_) => seen += 1,
            Event::Missed(number) => missed += number,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen + missed, count);
    assert!(missed > 0 && seen > 1_000, "{seen} {missed}");
    decide(count + 1);
    let last = client.events().next().unwrap().unwrap();
    assert!(matches!(&last, Event::Entry(entry) if entry.id == count + 1), "{last:?}");
}
