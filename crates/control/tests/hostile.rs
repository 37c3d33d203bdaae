//! Whatever a service sends, a client ends with an error and nothing worse.

use control::client::{Client, ClientError};
use control::line::encode;
use control::protocol::{Event, Reply, Request, ServerLine};
use proptest::prelude::*;
use std::io::{self, Read};

const WELCOME: &str = "{\"tollgate\":1,\"role\":\"operator\",\"user\":\"alice\"}\n";

fn client(said: Vec<u8>) -> Result<Client, ClientError> {
    Client::connect(Box::new(io::Cursor::new(said)), Box::new(io::sink()))
}

fn after_welcome(lines: &[ServerLine]) -> Client {
    let mut said = WELCOME.as_bytes().to_vec();
    for line in lines {
        said.extend(encode(line).unwrap());
    }
    client(said).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_greeting_is_an_error_in_words(said in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Err(error) = client(said) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn any_answer_is_an_error_in_words(said in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut all = WELCOME.as_bytes().to_vec();
        all.extend(&said);
        let mut one = client(all.clone()).unwrap();
        prop_assert!(one.call(Request::Status).is_err());
        let other = client(all).unwrap();
        for event in other.split().1 {
            if let Err(error) = event {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}

#[test]
fn a_service_that_says_one_endless_line_is_left() {
    let endless: Box<dyn Read + Send> = Box::new(io::repeat(b'x'));
    match Client::connect(endless, Box::new(io::sink())) {
        Err(ClientError::Nonsense(why)) => assert!(why.contains("longer than"), "{why}"),
        other => panic!("{:?}", other.map(|client| client.welcome().clone())),
    }
}

#[test]
fn a_service_that_ends_is_told_apart_from_one_that_makes_no_sense() {
    assert!(matches!(client(Vec::new()), Err(ClientError::Closed)));
    assert!(matches!(client(WELCOME.into()).unwrap().call(Request::Status), Err(ClientError::Closed)));
    assert!(matches!(client(b"hello\n".to_vec()), Err(ClientError::Nonsense(_))));
}

#[test]
fn events_that_come_before_the_answer_are_kept_in_order() {
    let missed = |count| ServerLine::Event { event: Event::Missed(count) };
    let reply = ServerLine::Reply { id: 1, reply: Reply::Done };
    let mut client = after_welcome(&[missed(1), missed(2), reply, missed(3)]);
    assert_eq!(client.call(Request::FollowPrompts).unwrap(), Reply::Done);
    let events: Vec<Event> = client.events().map_while(Result::ok).collect();
    assert_eq!(events, [1, 2, 3].map(Event::Missed));
}

#[test]
fn an_event_that_a_newer_service_tells_is_passed_over() {
    let mut said = WELCOME.as_bytes().to_vec();
    said.extend(b"{\"event\":{\"moon\":\"full\"}}\n{\"event\":{\"missed\":7}}\n");
    assert_eq!(client(said).unwrap().events().next().unwrap().unwrap(), Event::Missed(7));
}

#[test]
fn one_thread_calls_while_another_receives() {
    let missed = ServerLine::Event { event: Event::Missed(1) };
    let reply = ServerLine::Reply { id: 1, reply: Reply::Done };
    let (mut caller, events) = after_welcome(&[missed, reply]).split();
    let receiver = std::thread::spawn(move || events.map_while(Result::ok).count());
    assert_eq!(caller.call(Request::FollowPrompts).unwrap(), Reply::Done);
    assert_eq!(receiver.join().unwrap(), 1);
    assert!(matches!(caller.call(Request::Status), Err(ClientError::Closed)));
}
