//! The snooze dialog: no prompts for a while.
//!
//! Neighbours: `update` gives it keys, `view::dialogs` shows it.

use control::entry::Verdict;
use control::status::Snooze;
use crossterm::event::{KeyCode, KeyEvent};

/// How long a snooze may be, in seconds; `0` ends one.
pub const SPANS: [u32; 6] = [300, 900, 3_600, 14_400, 28_800, 0];

/// The snooze that is being made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnoozeForm {
    /// Which of [`SPANS`].
    pub span: usize,
    /// What to do meanwhile; the configured default when `None`.
    pub verdict: Option<Verdict>,
}

impl SnoozeForm {
    /// Takes a key. `Err` when the person left, or is done.
    pub fn key(&mut self, key: KeyEvent) -> Result<(), Option<Snooze>> {
        match key.code {
            KeyCode::Esc | KeyCode::Char('q' | 's') => return Err(None),
            KeyCode::Enter => return Err(Some(Snooze { seconds: SPANS[self.span], verdict: self.verdict })),
            KeyCode::Char(digit @ '1'..='6') => self.span = digit as usize - '1' as usize,
            KeyCode::Up | KeyCode::Char('k') => self.span = self.span.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.span = (self.span + 1).min(SPANS.len() - 1),
            KeyCode::Char('p') => self.verdict = Some(Verdict::Permit),
            KeyCode::Char('b') => self.verdict = Some(Verdict::Block),
            KeyCode::Char('u') => self.verdict = None,
            _ => {}
        }
        Ok(())
    }
}
