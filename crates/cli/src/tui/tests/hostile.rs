//! Text of others that would like to be more than text.

use super::desk::{Desk, entries, loaded, prompts, status};
use crate::tui::message::Message;
use crate::tui::text::is_plain;
use control::entry::{Confidence, Name};
use control::protocol::{ErrorKind, Refusal, Role, Welcome};
use control::status::{Gate, Source};
use rules::facts::{Identity, Program, User};
use std::sync::Arc;

const EVIL: &str = "\x1b]0;owned\x07\x1b[2J\u{9b}31m\u{202e}txt\u{2066}.exe\u{200b}\r\n\t\u{7f}a\u{301}\u{301}\u{301}\u{301}\u{301}メモ\u{fe0f}🏽\u{e0041}";

fn evil() -> Option<Arc<str>> {
    Some(EVIL.into())
}

fn identity() -> Arc<Identity> {
    let program = Program { path: evil(), sha256: evil(), publisher: evil(), package: evil(), service: evil() };
    Arc::new(Identity {
        parent: Some(Arc::new(program.clone())),
        program,
        user: Some(User { id: EVIL.into(), name: evil() }),
        command_line: evil(),
        ..Identity::default()
    })
}

#[test]
fn no_text_of_others_reaches_the_terminal_as_more_than_text() {
    let name = || Some(Name { text: EVIL.into(), confidence: Confidence::OtherProcess });
    let mut desk = Desk::at_work(100, 30);
    desk.tell(Message::Connected(Welcome { tollgate: 1, role: Role::Administrator, user: EVIL.to_owned() }));
    for mut entry in entries() {
        (entry.identity, entry.name, entry.interface) = (identity(), name(), evil());
        entry.revision = rules::decision::Revision(EVIL.into());
        desk.tell(Message::Entry(Box::new(entry)));
    }
    for mut prompt in prompts() {
        (prompt.identity, prompt.name, prompt.domain) = (identity(), name(), evil());
        desk.tell(Message::Prompt(Box::new(prompt)));
    }
    let mut rules = loaded();
    for row in &mut rules.rows {
        let row = Arc::get_mut(row).unwrap();
        for text in [&mut row.what, &mut row.origin, &mut row.text] {
            EVIL.clone_into(text);
        }
    }
    desk.tell(Message::Rules(Ok(rules)));
    let mut status = status();
    status.log.state = Source::Fails { why: EVIL.into() };
    status.gate = Gate::Detached { since: super::desk::noon(), why: EVIL.to_owned(), retry: super::desk::noon() };
    desk.tell(Message::Status(Box::new(status)));
    for keys in ["1", "<Enter>", "<Esc>", "2", "p", "n", "xyz", "<Enter>", "<Esc>", "3", "<Enter>", "<Esc>", "4"] {
        desk.keys(keys);
        desk.tell(Message::Refused(Refusal::new(ErrorKind::Failed, EVIL).with_help(EVIL)));
        for cell in &desk.buffer().content {
            let symbol = cell.symbol();
            assert!(symbol.chars().all(is_plain) && symbol.chars().count() <= 3, "{symbol:?} after {keys}");
        }
    }
    desk.keys("1");
    assert!(desk.screen().contains(r"\u{1b}]0;owned"), "{}", desk.screen());
}
