//! How long answers hold, whatever happens to the clocks.

use crate::desk::*;
use control::entry::Verdict;
use control::prompt::{Hold, Target};
use service::ask::answers::{Answers, MAX_ANSWERS_PER_USER};
use std::time::Duration;

/// A desk where Anna permitted `www.example.com` for an hour.
fn answered() -> Desk {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com"));
    let _ = desk.answer(prompt, permit(HOUR, Target::Domain));
    desk
}

/// The service starts anew, after that many seconds by the wall clock.
fn restart(desk: &Desk, seconds: i64, boot: &str) -> Desk {
    let bytes = desk.asks.snapshot().to_bytes();
    let mut now = desk.now;
    now.monotonic = Duration::from_secs(5);
    now.wall += jiff::SignedDuration::from_secs(seconds);
    let mut desk = Desk::with(Answers::load(&bytes, boot.into(), now).unwrap());
    desk.now = now;
    desk.asks.follow(1, anna());
    desk
}

#[test]
fn a_clock_that_is_set_back_prolongs_no_answer() {
    let mut desk = answered();
    desk.set_clock("2020-01-01T00:00:00Z");
    assert_eq!(desk.decided(&browser("www.example.com")).0, Verdict::Permit);
    let _ = desk.pass(Duration::from_secs(3600));
    desk.held(&browser("www.example.com"));
}

#[test]
fn a_machine_that_sleeps_prolongs_no_answer() {
    let mut desk = answered();
    // The monotonic clock may stand still meanwhile; the wall clock does not.
    desk.set_clock("2026-11-23T10:00:00Z");
    desk.held(&browser("www.example.com"));
}

#[test]
fn an_answer_for_a_time_outlives_the_service_and_the_boot() {
    for boot in ["boot-1", "boot-2"] {
        let mut desk = restart(&answered(), 1800, boot);
        assert_eq!(desk.decided(&browser("www.example.com").in_process(5)), by_anna(Verdict::Permit, 1));
        let _ = desk.pass(Duration::from_secs(1799));
        assert_eq!(desk.decided(&browser("www.example.com")).0, Verdict::Permit);
        let _ = desk.pass(Duration::from_secs(1));
        desk.held(&browser("www.example.com"));
    }
    restart(&answered(), 3600, "boot-1").held(&browser("www.example.com"));
}

#[test]
fn an_answer_whose_clock_was_set_back_while_the_service_was_down_holds_no_longer_than_its_whole_time() {
    let mut desk = restart(&answered(), -1_000_000, "boot-1");
    let _ = desk.pass(Duration::from_secs(3599));
    assert_eq!(desk.decided(&browser("www.example.com")).0, Verdict::Permit);
    let _ = desk.pass(Duration::from_secs(1));
    desk.held(&browser("www.example.com"));
}

#[test]
fn an_answer_for_the_process_outlives_the_service_but_not_the_boot() {
    let mut desk = Desk::with_anna();
    let prompt = desk.held(&browser("www.example.com"));
    let _ = desk.answer(prompt, permit(Hold::Process, Target::Domain));
    assert_eq!(restart(&desk, 1, "boot-1").decided(&browser("www.example.com")).0, Verdict::Permit);
    restart(&desk, 1, "boot-1").held(&browser("www.example.com").in_process(78));
    restart(&desk, 1, "boot-2").held(&browser("www.example.com"));
}

#[test]
fn prompts_of_two_runs_have_different_numbers() {
    let mut desk = restart(&answered(), 1, "boot-1");
    assert_eq!(desk.held(&browser("www.example.org")), 2);
}

#[test]
fn the_answer_that_ends_first_makes_room() {
    let mut desk = Desk::with_anna();
    for number in 0..=MAX_ANSWERS_PER_USER as u32 {
        let remote = format!("10.0.{}.{}:443", number / 256, number % 256);
        let prompt = desk.held(&browser("-").nameless().to(remote));
        // The one that is given as number 100 ends first.
        let seconds = if number == 100 { 60 } else { 3600 + number };
        let _ = desk.answer(prompt, permit(Hold::Duration { seconds }, Target::Remote));
    }
    assert_eq!(desk.asks.snapshot().len(), MAX_ANSWERS_PER_USER);
    desk.held(&browser("-").nameless().to("10.0.0.100:443"));
    assert_eq!(desk.decided(&browser("-").nameless().to("10.0.0.0:443")).0, Verdict::Permit);
    assert_eq!(desk.decided(&browser("-").nameless().to("10.0.4.0:443")).0, Verdict::Permit);
}

#[test]
fn the_same_answer_twice_is_kept_once() {
    let mut desk = answered();
    let _ = desk.pass(Duration::from_secs(3600));
    let prompt = desk.held(&browser("www.example.com"));
    let _ = desk.answer(prompt, permit(HOUR, Target::Domain));
    assert_eq!(desk.asks.snapshot().len(), 1);
}
