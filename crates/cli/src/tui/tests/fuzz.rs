//! Anything, in any order, at any size.

use super::desk::{ASCII, COLOUR, Desk, MONO, entries, loaded, noon, prompts, status};
use crate::tui::message::Message;
use crate::tui::text::is_plain;
use crate::tui::trace::{Part, Trace, TraceLine};
use control::prompt::Closed;
use control::protocol::{ErrorKind, Refusal, Role, Welcome};
use control::status::Gate;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::Timestamp;
use proptest::prelude::*;

fn key() -> impl Strategy<Value = KeyEvent> {
    let common = "1234pbocdfrenqs?/ jkgG+-hl".chars().map(KeyCode::Char).collect::<Vec<_>>();
    let named = vec![
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Tab,
        KeyCode::BackTab,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::Backspace,
        KeyCode::Delete,
        KeyCode::F(1),
    ];
    let code = prop_oneof![4 => prop::sample::select(common), 4 => prop::sample::select(named), 1 => any::<char>().prop_map(KeyCode::Char)];
    let modifiers =
        prop_oneof![8 => Just(KeyModifiers::NONE), 1 => Just(KeyModifiers::CONTROL), 1 => Just(KeyModifiers::ALT)];
    (code, modifiers).prop_map(|(code, modifiers)| KeyEvent::new(code, modifiers))
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        6 => (-100_i64..1_000).prop_map(|second| noon() + jiff::SignedDuration::from_secs(second)),
        1 => Just(Timestamp::MIN),
        1 => Just(Timestamp::MAX),
    ]
}

fn from_service() -> impl Strategy<Value = Message> {
    let entry = (0_usize..7, any::<u64>(), time(), "[\\s\\S]{0,30}").prop_map(|(which, id, time, path)| {
        let mut entry = entries().swap_remove(which);
        (entry.id, entry.time, entry.held_ms) = (id % 50, time, id);
        std::sync::Arc::make_mut(&mut entry.identity).program.path = Some(path.into());
        Message::Entry(Box::new(entry))
    });
    let prompt =
        (0_usize..3, 0_u64..6, time(), time(), any::<bool>()).prop_map(|(which, id, opened, deadline, many)| {
            let mut prompt = prompts().swap_remove(which);
            (prompt.id, prompt.opened, prompt.many) = (id, opened, many);
            prompt.deadline = prompt.deadline.and(Some(deadline));
            prompt.holds.truncate(usize::try_from(id).unwrap());
            Message::Prompt(Box::new(prompt))
        });
    let status = (any::<u64>(), time(), any::<bool>()).prop_map(|(count, time, detached)| {
        let mut status = status();
        (status.counters.permitted, status.snoozed_until) = (count, Some(time));
        if detached {
            status.gate = Gate::Detached { since: time, why: "it is not there".to_owned(), retry: time };
        }
        Message::Status(Box::new(status))
    });
    let role = prop_oneof![Just(Role::Operator), Just(Role::Administrator)];
    let line = TraceLine { part: Part::Decisive, text: "x".repeat(300) };
    prop_oneof![
        entry,
        prompt,
        status,
        Just(Message::Past(entries())),
        any::<u64>().prop_map(Message::Missed),
        (0_u64..6).prop_map(|id| Message::PromptClosed { id, closed: Closed::Ruled }),
        role.prop_map(|role| Message::Connected(Welcome { tollgate: 1, role, user: "root".to_owned() })),
        time().prop_map(|retry| Message::Disconnected { why: "it ended".to_owned(), help: None, retry }),
        (0_u64..6).prop_map(|prompt| Message::Answered { prompt, outcome: Err(Refusal::new(ErrorKind::Busy, "busy")) }),
        Just(Message::Snoozed(Ok(()))),
        Just(Message::Rules(Ok(loaded()))),
        Just(Message::Rules(Err("they do not compile".to_owned()))),
        Just(Message::Checked(Trace::Ready(vec![line.clone(); 40]))),
        (0_u64..50).prop_map(move |entry| Message::Explained { entry, trace: Trace::Ready(vec![line.clone(); 40]) }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        5 => key().prop_map(Message::Key),
        5 => from_service(),
        1 => time().prop_map(Message::Time),
        1 => "[\\s\\S]{0,40}".prop_map(Message::Paste),
        1 => (0_u16..160, 0_u16..60).prop_map(|(columns, rows)| Message::Resize(columns, rows)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_panics_and_every_cell_is_plain(
        messages in prop::collection::vec(message(), 0..120),
        size in (0_u16..140, 0_u16..50),
        theme in prop::sample::select(vec![COLOUR, MONO, ASCII]),
    ) {
        let mut desk = Desk::at_work(size.0, size.1);
        desk.model.theme = theme;
        for (i, message) in messages.into_iter().enumerate() {
            desk.tell(message);
            if i % 3 == 0 {
                let buffer = desk.buffer();
                prop_assert!(buffer.content.iter().all(|cell| cell.symbol().chars().all(is_plain)));
            }
        }
        desk.buffer();
    }
}
