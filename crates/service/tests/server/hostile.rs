//! Whatever a client sends.

use crate::house::{House, eventually, operator};
use control::protocol::{Greeting, ServerLine};
use proptest::prelude::*;
use std::io::{Read, Write};

/// Says `bytes`, then ends, and gives what the service said, each line of which makes sense.
fn said_to(house: &House, bytes: Vec<u8>) -> Vec<String> {
    let mut end = house.stream(operator(1000), 1 << 22).unwrap();
    // The service may have refused and gone before it is all said.
    drop(end.writer.write_all(&bytes));
    drop(end.writer);
    let mut said = String::new();
    end.reader.read_to_string(&mut said).unwrap();
    eventually("the client is gone", || house.server.clients() == 0);
    let lines: Vec<String> = said.lines().map(str::to_owned).collect();
    for (n, line) in lines.iter().enumerate() {
        if n == 0 {
            serde_json::from_str::<Greeting>(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        } else {
            serde_json::from_str::<ServerLine>(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
    lines
}

const SOUND: [&str; 8] = [
    r#"{"tollgate":1}"#,
    r#"{"id":1,"do":"status"}"#,
    r#"{"id":2,"do":"entries","filter":{"port":443},"after":7,"limit":50}"#,
    r#"{"id":3,"do":"follow_prompts"}"#,
    r#"{"id":4,"do":"answer","prompt":1,"answer":{"verdict":"permit","hold":{"for":"duration","seconds":60},"target":"remote"}}"#,
    r#"{"id":5,"do":"snooze","seconds":60,"verdict":"block"}"#,
    r#"{"id":6,"do":"ruleset","revision":"0123456789ab"}"#,
    r#"{"id":7,"do":"review","ids":["a","b"],"adopt":true}"#,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes_are_refused_in_words(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let lines = said_to(&House::new(), bytes);
        prop_assert!(lines.len() <= 1);
    }

    #[test]
    fn any_bytes_after_the_greeting_are_refused_in_words(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let mut said = b"{\"tollgate\":1}\n".to_vec();
        said.extend(bytes);
        let lines = said_to(&House::new(), said);
        prop_assert!(lines[0].contains("\"role\":\"operator\""));
    }

    #[test]
    fn damaged_calls_are_each_answered_or_refused_in_words(
        order in prop::collection::vec(0..SOUND.len(), 1..20),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut said = format!("{}\n", SOUND[0]).into_bytes();
        let greeted = said.len();
        for line in order {
            said.extend(SOUND[line].bytes().chain([b'\n']));
        }
        for (place, byte) in damage {
            let place = greeted + place.index(said.len() - greeted);
            said[place] = byte;
        }
        let lines = said_to(&House::new(), said);
        prop_assert!(lines[0].contains("\"role\":\"operator\""));
    }
}

#[test]
fn a_deep_value_is_refused() {
    let deep = format!("{{\"tollgate\":1}}\n{{\"id\":1,\"do\":{}\n", "[".repeat(100_000));
    let lines = said_to(&House::new(), deep.into_bytes());
    assert_eq!(lines.len(), 2);
    assert!(lines[1].starts_with(r#"{"id":0,"error":{"kind":"bad_request""#), "{}", lines[1]);
}

#[test]
fn a_refusal_repeats_little_of_what_was_said() {
    let long = "x".repeat(100_000);
    let said = format!(
        "{{\"tollgate\":1}}\n{{\"id\":1,\"do\":\"{long}\"}}\n{{\"id\":2,\"do\":\"review\",\"ids\":\"{long}\"}}\n"
    );
    for line in said_to(&House::new(), said.into_bytes()) {
        assert!(line.len() < 1_000, "{} bytes", line.len());
    }
}
