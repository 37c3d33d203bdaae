//! What keys decide, and what they do not.

use super::desk::{Desk, entries, entry, noon, prompt, prompts, status};
use crate::tui::connections::{MAX_ENTRIES, Pane};
use crate::tui::message::{Effect, Message};
use crate::tui::model::Tab;
use control::entry::Verdict;
use control::prompt::{Answer, Closed, Hold, HoldKind, Target};
use control::protocol::{ErrorKind, Refusal, Role, Welcome};
use jiff::SignedDuration;

fn open(desk: &mut Desk) {
    for prompt in prompts() {
        desk.tell(Message::Prompt(Box::new(prompt)));
    }
    desk.wanted();
}

fn answer(verdict: Verdict, hold: Hold, target: Target) -> Answer {
    Answer { verdict, hold, target, note: None }
}

#[test]
fn a_prompt_that_comes_takes_neither_the_tab_nor_what_is_typed() {
    let mut desk = Desk::at_work(80, 24);
    desk.keys("/cur");
    desk.tell(Message::Prompt(Box::new(prompts().remove(0))));
    assert_eq!(desk.wanted(), [Effect::Bell]);
    desk.keys("pb<Enter>");
    assert_eq!(desk.model.connections.input.text(), "curpb");
    assert_eq!(desk.model.tab, Tab::Connections);
    assert_eq!(desk.wanted(), []);
    assert!(desk.screen().contains("2 Prompts (1 new!)"));
}

#[test]
fn the_bell_rings_once_for_many() {
    let mut desk = Desk::at_work(80, 24);
    for id in 0..50 {
        desk.tell(Message::Prompt(Box::new(prompt(id, "/usr/bin/curl", "alice", "203.0.113.7:443", None, 9))));
    }
    assert_eq!(desk.wanted(), [Effect::Bell]);
}

#[test]
fn no_single_key_decides() {
    for key in (' '..='~').map(String::from).chain(["<Enter>", "<Esc>", "<Tab>", "<Up>", "<Left>"].map(str::to_owned)) {
        let mut desk = Desk::at_work(80, 24);
        open(&mut desk);
        desk.keys("2");
        desk.keys(&key);
        let decided = desk.wanted().iter().any(|effect| matches!(effect, Effect::Answer { .. } | Effect::Snooze(_)));
        assert!(!decided, "{key}");
    }
}

#[test]
fn two_keys_answer_with_what_is_offered_first() {
    let mut desk = Desk::at_work(80, 24);
    open(&mut desk);
    desk.keys("2p<Enter>");
    let expected = answer(Verdict::Permit, Hold::Process, Target::Domain);
    assert_eq!(desk.wanted(), [Effect::Answer { prompt: 11, answer: expected }]);
    desk.keys("p");
    assert!(desk.model.prompts.form.is_none(), "an answer is on its way already");
}

#[test]
fn every_choice_has_a_key() {
    for (keys, hold, target) in [
        ("o", Hold::Once, Target::Domain),
        ("c", Hold::Process, Target::Domain),
        ("d1", Hold::Duration { seconds: 300 }, Target::Domain),
        ("ddr", Hold::Duration { seconds: 3_600 }, Target::Remote),
        ("d3d", Hold::Duration { seconds: 28_800 }, Target::Domain),
        ("4e", Hold::Duration { seconds: 86_400 }, Target::Everything),
        ("fr", Hold::Forever, Target::Remote),
        ("fe", Hold::Forever, Target::Everything),
        ("<Right><Right><Down><Right>", Hold::Forever, Target::Everything),
    ] {
        let mut desk = Desk::at_work(80, 24);
        open(&mut desk);
        desk.keys("2b");
        desk.keys(keys);
        desk.keys("<Enter>");
        assert_eq!(
            desk.wanted(),
            [Effect::Answer { prompt: 11, answer: answer(Verdict::Block, hold, target) }],
            "{keys}"
        );
    }
}

#[test]
fn enter_ends_a_note_and_does_not_send() {
    let mut desk = Desk::at_work(80, 24);
    open(&mut desk);
    desk.keys("2pfnpob<Enter>");
    assert_eq!(desk.wanted(), []);
    desk.keys("<Enter>");
    let expected = Answer { note: Some("pob".to_owned()), ..answer(Verdict::Permit, Hold::Forever, Target::Domain) };
    assert_eq!(desk.wanted(), [Effect::Answer { prompt: 11, answer: expected }]);
}

#[test]
fn what_is_not_offered_cannot_be_chosen() {
    let mut desk = Desk::at_work(80, 24);
    let mut many = prompt(5, "/usr/bin/scan", "alice", "203.0.113.7:443", None, 9);
    many.holds = vec![HoldKind::Once, HoldKind::Process];
    many.many = true;
    desk.tell(Message::Prompt(Box::new(many)));
    desk.wanted();
    desk.keys("2pf<Down>rd<Enter>");
    let expected = answer(Verdict::Permit, Hold::Process, Target::Everything);
    assert_eq!(desk.wanted(), [Effect::Answer { prompt: 5, answer: expected }]);
}

#[test]
fn pasted_text_answers_nothing() {
    let mut desk = Desk::at_work(80, 24);
    open(&mut desk);
    desk.keys("2");
    desk.tell(Message::Paste("p\n".to_owned()));
    desk.keys("p");
    desk.tell(Message::Paste("\n\n".to_owned()));
    assert_eq!(desk.wanted(), []);
}

#[test]
fn a_prompt_that_closes_under_the_hand_leaves_no_other_in_its_place() {
    let mut desk = Desk::at_work(80, 24);
    open(&mut desk);
    desk.keys("2");
    desk.tell(Message::PromptClosed { id: 11, closed: Closed::Expired });
    desk.keys("p<Enter>");
    assert_eq!(desk.wanted(), [], "the next prompt was not read");
    desk.keys("<Down>p<Enter>");
    assert!(matches!(desk.wanted()[..], [Effect::Answer { prompt: 12, .. }]));
}

#[test]
fn a_form_whose_prompt_is_closed_sends_nothing() {
    let mut desk = Desk::at_work(80, 24);
    open(&mut desk);
    desk.keys("2p");
    desk.tell(Message::PromptClosed { id: 11, closed: Closed::Ruled });
    desk.keys("<Enter>");
    assert_eq!(desk.wanted(), []);
}

#[test]
fn a_prompt_of_another_service_with_the_same_number_is_not_answered() {
    let mut desk = Desk::at_work(80, 24);
    open(&mut desk);
    desk.keys("2p");
    desk.tell(Message::Disconnected { why: "it ended".to_owned(), help: None, retry: noon() });
    desk.keys("<Enter>");
    desk.tell(Message::Connected(Welcome { tollgate: 1, role: Role::Administrator, user: "root".to_owned() }));
    desk.tell(Message::Prompt(Box::new(prompt(11, "/usr/bin/other", "bob", "203.0.113.8:443", None, 9))));
    desk.wanted();
    desk.keys("<Enter><Enter>");
    assert_eq!(desk.wanted(), []);
}

#[test]
fn after_an_answer_the_next_prompt_is_selected() {
    let mut desk = Desk::at_work(80, 24);
    open(&mut desk);
    desk.keys("2p<Enter>");
    let closed = Closed::Answered { user: "root".into(), verdict: Verdict::Permit };
    desk.tell(Message::PromptClosed { id: 11, closed });
    desk.wanted();
    desk.keys("b<Enter>");
    assert!(matches!(desk.wanted()[..], [Effect::Answer { prompt: 12, .. }]));
}

#[test]
fn a_refused_answer_says_why_and_can_be_made_again() {
    let mut desk = Desk::at_work(80, 24);
    open(&mut desk);
    desk.keys("2p<Enter>");
    let refusal = Refusal::new(ErrorKind::Denied, "forever needs an administrator").with_help("choose a duration");
    desk.tell(Message::Answered { prompt: 11, outcome: Err(refusal) });
    assert!(desk.screen().contains("! forever needs an administrator; choose a duration"));
    desk.wanted();
    desk.keys("p<Enter>");
    assert!(matches!(desk.wanted()[..], [Effect::Answer { prompt: 11, .. }]));
}

#[test]
fn operators_do_not_snooze() {
    let mut desk = Desk::at_work(80, 24);
    desk.tell(Message::Connected(Welcome { tollgate: 1, role: Role::Operator, user: "alice".to_owned() }));
    desk.wanted();
    desk.keys("s<Enter>");
    assert_eq!(desk.wanted(), []);
    desk.keys("s");
    assert!(desk.screen().contains("needs an administrator"));
}

#[test]
fn the_selection_stays_with_its_entry_while_others_come() {
    let mut desk = Desk::at_work(80, 24);
    for entry in entries() {
        desk.tell(Message::Entry(Box::new(entry)));
    }
    desk.keys("<Up><Up>");
    let before = desk.model.connections.selected().unwrap().id;
    for id in 200..300 {
        desk.tell(Message::Entry(Box::new(entry(
            id,
            60,
            "/usr/bin/git",
            "192.0.2.80:443",
            None,
            entries()[0].reason.clone(),
        ))));
    }
    assert_eq!(desk.model.connections.selected().unwrap().id, before);
    desk.keys("<End>");
    assert_eq!(desk.model.connections.selected().unwrap().id, 299);
    assert!(desk.model.connections.is_following());
}

#[test]
fn the_past_is_put_before_what_came_meanwhile_and_once() {
    let mut desk = Desk::at_work(80, 24);
    let mut all = entries();
    let last = all.pop().unwrap();
    desk.tell(Message::Entry(Box::new(last.clone())));
    all.push(last);
    desk.tell(Message::Past(all));
    let ids: Vec<u64> = desk.model.connections.shown().iter().map(|entry| entry.id).collect();
    assert_eq!(ids, [101, 102, 103, 104, 105, 106, 107]);
}

#[test]
fn a_log_that_began_anew_is_not_mixed_with_the_old_one() {
    let mut desk = Desk::at_work(80, 24);
    desk.tell(Message::Past(entries()));
    desk.tell(Message::Disconnected { why: "it ended".to_owned(), help: None, retry: noon() });
    desk.tell(Message::Connected(Welcome { tollgate: 1, role: Role::Operator, user: "alice".to_owned() }));
    desk.tell(Message::Entry(Box::new(entry(
        3,
        90,
        "/usr/bin/git",
        "192.0.2.80:443",
        None,
        entries()[0].reason.clone(),
    ))));
    assert_eq!(desk.model.connections.len(), 1);
}

#[test]
fn the_rule_of_a_decision_is_one_key_away() {
    let mut desk = Desk::at_work(80, 24);
    desk.tell(Message::Past(entries()));
    desk.keys("gr");
    assert_eq!(desk.model.tab, Tab::Rules);
    assert!(desk.screen().contains("Rule user/git"));
}

#[test]
fn an_explanation_that_comes_late_is_not_shown_for_another_entry() {
    let mut desk = Desk::at_work(80, 24);
    desk.tell(Message::Past(entries()));
    desk.keys("ge<Down>");
    let trace = crate::tui::trace::Trace::Failed("late".to_owned());
    desk.tell(Message::Explained { entry: 101, trace });
    assert!(matches!(&desk.model.connections.pane, Some(Pane { trace: None, entry, .. }) if entry.id == 102));
}

#[test]
fn text_is_scrolled_to_its_end_and_no_further() {
    let mut desk = Desk::at_work(80, 24);
    desk.keys("?<PgDn><PgDn><PgDn><PgDn>");
    let end = desk.screen();
    desk.keys("<PgDn>");
    assert_eq!(desk.screen(), end);
    desk.keys("<Up>");
    assert_ne!(desk.screen(), end);
}

#[test]
fn a_screen_that_shows_nothing_of_time_is_not_drawn_again() {
    let mut desk = Desk::at_work(80, 24);
    desk.model.stale = false;
    for _ in 0..20 {
        desk.pass(1);
        desk.tell(Message::Status(Box::new(status())));
    }
    assert!(!desk.model.stale);
    desk.tell(Message::Entry(Box::new(entries().remove(0))));
    assert!(desk.model.stale);
}

#[test]
fn the_status_is_asked_for_every_two_seconds_and_one_at_a_time() {
    let mut desk = Desk::at_work(80, 24);
    for _ in 0..20 {
        desk.pass(1);
    }
    assert_eq!(desk.wanted(), [Effect::AskStatus]);
    assert!(desk.screen().contains("NOT ANSWER"), "{}", desk.screen());
    desk.tell(Message::Status(Box::new(status())));
    desk.model.now -= SignedDuration::from_hours(5);
    desk.pass(1);
    assert_eq!(desk.wanted(), [Effect::AskStatus], "also when the clock was set back");
}

#[test]
fn new_rules_are_fetched_when_the_revision_changes() {
    let mut desk = Desk::at_work(80, 24);
    let mut status = status();
    status.rules.revision = rules::decision::Revision("000000000000".into());
    desk.tell(Message::Status(Box::new(status.clone())));
    assert_eq!(desk.wanted(), [Effect::LoadRules]);
    desk.tell(Message::Rules(Err("they are too large".to_owned())));
    desk.tell(Message::Status(Box::new(status)));
    assert_eq!(desk.wanted(), [], "what cannot be read is not asked for every two seconds");
}

#[test]
fn control_c_ends_from_everywhere() {
    for keys in ["", "/x", "?", "s", "2", "3/x"] {
        let mut desk = Desk::at_work(80, 24);
        desk.keys(keys);
        desk.wanted();
        desk.keys("<C-c>");
        assert_eq!(desk.wanted(), [Effect::Quit], "{keys}");
    }
}

#[test]
fn a_paused_list_stands_still_however_much_comes() {
    let mut desk = Desk::at_work(80, 24);
    desk.tell(Message::Past(entries()));
    desk.keys(" ");
    for id in 1_000..1_000 + MAX_ENTRIES as u64 * 2 {
        desk.tell(Message::Entry(Box::new(entry(
            id,
            60,
            "/usr/bin/git",
            "192.0.2.80:443",
            None,
            entries()[0].reason.clone(),
        ))));
    }
    assert_eq!(desk.model.connections.shown().len(), 7);
    desk.keys(" ");
    assert_eq!(desk.model.connections.shown().len(), MAX_ENTRIES);
}
