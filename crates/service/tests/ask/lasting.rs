//! The file of answers: what survives, and what is refused.

use crate::desk::*;
use control::prompt::{Hold, Target};
use proptest::prelude::*;
use service::ask::answers::Answers;
use service::ask::answers::file::LoadError;

fn load(bytes: &[u8]) -> Result<Answers, LoadError> {
    Answers::load(bytes, "boot-1".into(), Desk::new().now)
}

fn file() -> Vec<u8> {
    let mut desk = Desk::with_anna();
    for (name, hold, target) in [
        ("www.example.com", HOUR, Target::Domain),
        ("www.example.org", Hold::Process, Target::Remote),
        ("www.example.net", HOUR, Target::Everything),
    ] {
        let prompt = desk.held(&browser(name).signed("Example \"Ltd\""));
        let _ = desk.answer(prompt, permit(hold, target));
    }
    desk.asks.snapshot().to_bytes()
}

#[test]
fn a_file_says_again_what_it_said() {
    let bytes = file();
    let answers = load(&bytes).unwrap();
    assert_eq!(answers.len(), 3);
    assert_eq!(answers.snapshot().to_bytes(), bytes);
}

#[test]
fn a_younger_snapshot_has_a_higher_generation() {
    let mut desk = Desk::with_anna();
    let before = desk.asks.snapshot().generation;
    let prompt = desk.held(&browser("www.example.com"));
    let _ = desk.answer(prompt, permit(Hold::Process, Target::Domain));
    let between = desk.asks.snapshot().generation;
    desk.asks.process_ended(77);
    assert!(before < between && between < desk.asks.snapshot().generation);
}

#[test]
fn a_file_of_another_version_is_refused() {
    let error = load(br#"{"version":2,"answers":"anything"}"#).unwrap_err();
    assert_eq!(error.to_string(), "it is of version 2, and this release reads version 1");
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    let bytes = file();
    for end in 0..bytes.len() - 2 {
        assert!(matches!(load(&bytes[..end]), Err(LoadError::Damaged(_))), "cut at {end}");
    }
}

#[test]
fn a_file_that_is_too_long_or_holds_too_much_is_refused() {
    let one = String::from_utf8(file()).unwrap();
    let first = &one[one.find('[').unwrap() + 1..one.find("},{\"user\"").unwrap() + 1];
    let many = vec![first; 4097].join(",");
    let text = format!(r#"{{"version":1,"boot":"boot-1","answers":[{many}]}}"#);
    assert!(matches!(load(text.as_bytes()), Err(LoadError::TooMany(4097))), "{:?}", load(text.as_bytes()).err());
    assert!(matches!(load(&vec![b' '; (64 << 20) + 1]), Err(LoadError::TooLong(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn no_bytes_in_the_file_break_the_service(mut bytes in Just(file()), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(answers) = load(&bytes) {
            prop_assert!(answers.len() <= 3);
        }
    }
}
