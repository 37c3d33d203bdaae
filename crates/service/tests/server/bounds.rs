//! How much, how many, how long.

use crate::house::{House, administrator, entry, eventually, next, operator, prompt, refusal, say};
use control::client::Client;
use control::entry::Verdict;
use control::filter::Filter;
use control::protocol::{ErrorKind, Event, MAX_ENTRIES, MAX_LINE, Reply, Request};
use service::server::{HANDSHAKE, LINGER, MAX_CLIENTS, MAX_CLIENTS_OF_OPERATORS, MAX_CLIENTS_OF_USER, PATIENCE};
use std::io::{ErrorKind as Io, Read, Write};
use std::time::Duration;

const MOMENT: Duration = Duration::from_secs(1);

fn follow(client: &mut Client, filter: Filter) {
    client.call(Request::FollowEntries { filter }).unwrap();
}

#[test]
fn a_follower_gets_the_entries_it_asked_for_in_order() {
    let house = House::new();
    let mut client = house.client(operator(1000));
    follow(&mut client, Filter { verdict: Some(Verdict::Permit), ..Filter::default() });
    for id in 0..10 {
        house.decide(id);
    }
    for id in [0, 2, 4, 6, 8] {
        assert_eq!(next(&mut client), Event::Entry(Box::new(entry(id))));
    }
}

#[test]
fn a_client_that_does_not_read_loses_entries_is_told_how_many_and_still_gets_prompts() {
    const MADE: u64 = 20_000;
    let house = House::new();
    let mut client = house.client(operator(1000));
    follow(&mut client, Filter::default());
    client.call(Request::FollowPrompts).unwrap();
    for id in 0..MADE {
        house.decide(id);
    }
    house.desk.open(prompt(1, 1000));
    let (mut seen, mut missed, mut last, mut prompted) = (0, 0, None, false);
    while seen + missed < MADE || !prompted {
        match next(&mut client) {
            Event::Entry(entry) => {
                assert!(last < Some(entry.id));
                (seen, last) = (seen + 1, Some(entry.id));
            }
            Event::Missed(count) => missed += count,
            Event::Prompt(prompt) => prompted = prompt.id == 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(missed > 0 && seen > 0);
    assert_eq!(seen + missed, MADE);
}

#[test]
fn a_client_that_does_not_read_its_reply_is_dropped_after_a_while_and_no_sooner() {
    let house = House::new();
    let mut end = house.stream(administrator(0), 256).unwrap();
    say(&mut end, r#"{"tollgate":1}"#);
    say(&mut end, r#"{"id":1,"do":"ruleset"}"#);
    // The welcome is read, and the beginning of the reply is there: it is under way.
    let mut read = Vec::new();
    let mut chunk = [0; 64];
    while !String::from_utf8_lossy(&read).contains("\"id\":1") {
        let count = end.reader.read(&mut chunk).unwrap();
        read.extend_from_slice(&chunk[..count]);
    }
    house.wait(Duration::ZERO);
    assert_eq!(house.server.clients(), 1);
    house.wait(PATIENCE + MOMENT);
    eventually("it is dropped", || house.server.clients() == 0);
}

#[test]
fn a_client_that_says_half_a_line_and_then_nothing_holds_up_nobody_and_is_dropped() {
    let house = House::new();
    let mut silent = house.stream(operator(1000), 4096).unwrap();
    silent.writer.write_all(b"{\"tollg").unwrap();
    let mut other = house.client(operator(1000));
    other.call(Request::Status).unwrap();
    house.wait(HANDSHAKE + MOMENT);
    let mut said = String::new();
    silent.reader.read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    // After the greeting there is no hurry.
    eventually("it is dropped", || house.server.clients() == 1);
    other.call(Request::Status).unwrap();
}

#[test]
fn a_client_that_is_refused_and_does_not_read_why_is_dropped() {
    let house = House::new();
    let mut end = house.stream(operator(1000), 8).unwrap();
    // The stream holds a part of each line at a time, so this returns when the service has read the rest.
    say(&mut end, r#"{"tollgate":7}"#);
    eventually("it is dropped", || {
        house.wait(LINGER + MOMENT);
        house.server.clients() == 0
    });
}

#[test]
fn a_client_that_says_its_last_is_still_told_what_it_asked() {
    let house = House::new();
    let mut end = house.stream(operator(1000), 1 << 20).unwrap();
    say(&mut end, r#"{"tollgate":1}"#);
    say(&mut end, r#"{"id":1,"do":"prompts"}"#);
    drop(end.writer);
    let mut said = String::new();
    end.reader.read_to_string(&mut said).unwrap();
    assert!(said.ends_with("{\"id\":1,\"reply\":{\"prompts\":[]}}\n"), "{said}");
}

#[test]
fn a_line_that_is_too_long_is_refused_and_ends_the_session() {
    let house = House::new();
    for greeting in ["", "{\"tollgate\":1}\n"] {
        let mut end = house.stream(operator(1000), 1 << 22).unwrap();
        end.writer.write_all(greeting.as_bytes()).unwrap();
        end.writer.write_all(&vec![b' '; MAX_LINE]).unwrap();
        let mut said = String::new();
        end.reader.read_to_string(&mut said).unwrap();
        assert!(said.contains("a line is longer than 1048576 bytes"), "{said}");
    }
    eventually("both are gone", || house.server.clients() == 0);
}

#[test]
fn a_reply_has_as_many_entries_as_fit_into_a_line() {
    let house = House::new();
    let long = |id| {
        let mut entry = entry(id);
        let mut identity = (*entry.identity).clone();
        identity.command_line = Some("x".repeat(MAX_LINE / 4).into());
        entry.identity = identity.into();
        entry
    };
    house.desk.papers().entries = (0..10).map(long).collect();
    let mut client = house.client(operator(1000));
    let mut ids = |after| {
        let request = Request::Entries { filter: Filter::default(), after, before: None, limit: MAX_ENTRIES };
        match client.call(request).unwrap() {
            Reply::Entries(entries) => entries.iter().map(|entry| entry.id).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ids(Some(0)), [0, 1, 2]);
    assert_eq!(ids(None), [7, 8, 9]);
}

#[test]
fn files_that_do_not_fit_into_a_line_are_left_out_and_counted() {
    let house = House::new();
    let reply = house.client(operator(1000)).call(Request::Ruleset { revision: None }).unwrap();
    let Reply::Ruleset { files, left_out, .. } = reply else { panic!("{reply:?}") };
    assert_eq!((files.len(), left_out), (3, 2));
}

#[test]
fn there_are_so_many_clients_and_one_more_is_refused_until_one_leaves() {
    let house = House::new();
    let mut clients: Vec<Client> = (0..).map(|n| house.client(administrator(n))).take(MAX_CLIENTS).collect();
    match house.try_client(administrator(9_999)) {
        Err(control::client::ClientError::Io(error)) => assert_eq!(error.kind(), Io::QuotaExceeded),
        other => panic!("{:?}", other.map(|client| client.welcome().clone())),
    }
    for client in &mut clients {
        client.call(Request::Status).unwrap();
    }
    clients.pop();
    eventually("its place is free", || house.server.clients() < MAX_CLIENTS);
    house.client(administrator(9_999));
}

#[test]
fn one_user_has_so_many_clients_and_operators_leave_room_for_administrators() {
    let house = House::new();
    let of_one: Vec<Client> = (0..MAX_CLIENTS_OF_USER).map(|_| house.client(operator(1000))).collect();
    let refused = refusal(house.try_client(operator(1000)).map(|client| client.welcome().clone()));
    assert_eq!(refused.kind, ErrorKind::Busy);
    assert_eq!(refused.message, "user1000 has 16 clients already");

    let others: Vec<Client> =
        (2000..).map(|user| house.client(operator(user))).take(MAX_CLIENTS_OF_OPERATORS - of_one.len()).collect();
    let refused = refusal(house.try_client(operator(9_999)).map(|client| client.welcome().clone()));
    assert_eq!(refused.kind, ErrorKind::Busy);
    house.client(administrator(0)).call(Request::Status).unwrap();
    drop(others);
}
