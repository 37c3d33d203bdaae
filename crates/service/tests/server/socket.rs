//! The server on a real socket.

use crate::house::{FakeDesk, eventually};
use control::client::{Client, ClientError};
use control::protocol::{ErrorKind, Request, Role};
use platform::ipc;
use service::server::{Listening, MAX_CLIENTS_OF_USER, Server};
use std::sync::Arc;

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
