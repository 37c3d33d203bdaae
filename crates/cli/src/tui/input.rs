//! A line that a person types: a filter, a note.
//!
//! Invariants: bounded; holds letters only, whatever is pasted. Neighbours: `update` gives it keys, `view` shows it.

use super::text::is_plain;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A line that a person types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    letters: Vec<char>,
    /// Before which letter the cursor stands.
    at: usize,
}

impl Input {
    /// The longest line, in letters: what a note may have.
    pub const MAX: usize = 500;

    /// Takes a key. Whether it was one for a line.
    pub fn key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('u') if control => *self = Self::default(),
            KeyCode::Char('w') if control => self.delete_word(),
            KeyCode::Char('a') if control => self.at = 0,
            KeyCode::Char('e') if control => self.at = self.letters.len(),
            KeyCode::Char(_) if control || key.modifiers.contains(KeyModifiers::ALT) => return false,
            KeyCode::Char(c) => self.insert(c),
            KeyCode::Backspace if self.at > 0 => {
                self.at -= 1;
                self.letters.remove(self.at);
            }
            KeyCode::Backspace => {}
            KeyCode::Delete if self.at < self.letters.len() => {
                self.letters.remove(self.at);
            }
            KeyCode::Delete => {}
            KeyCode::Left => self.at = self.at.saturating_sub(1),
            KeyCode::Right => self.at = (self.at + 1).min(self.letters.len()),
            KeyCode::Home => self.at = 0,
            KeyCode::End => self.at = self.letters.len(),
            _ => return false,
        }
        true
    }

    /// Takes what was pasted: its first line.
    pub fn paste(&mut self, text: &str) {
        text.chars().take(Self::MAX).take_while(|c| !matches!(c, '\r' | '\n')).for_each(|c| self.insert(c));
    }

    /// What was typed.
    pub fn text(&self) -> String {
        self.letters.iter().collect()
    }

    /// What was typed, before and after the cursor.
    pub fn halves(&self) -> (String, String) {
        let (before, after) = self.letters.split_at(self.at);
        (before.iter().collect(), after.iter().collect())
    }

    /// Whether nothing was typed.
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    fn insert(&mut self, c: char) {
        if is_plain(c) && self.letters.len() < Self::MAX {
            self.letters.insert(self.at, c);
            self.at += 1;
        }
    }

    fn delete_word(&mut self) {
        let before = &self.letters[..self.at];
        let end = before.iter().rposition(|c| *c != ' ').map_or(0, |at| at + 1);
        let start = before[..end].iter().rposition(|c| *c == ' ').map_or(0, |at| at + 1);
        self.letters.drain(start..self.at);
        self.at = start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(input: &mut Input, code: KeyCode, modifiers: KeyModifiers) {
        input.key(KeyEvent::new(code, modifiers));
    }

    #[test]
    fn a_line_is_edited_where_the_cursor_stands() {
        let mut input = Input::default();
        input.paste("curl exmple");
        for _ in 0..4 {
            press(&mut input, KeyCode::Left, KeyModifiers::NONE);
        }
        press(&mut input, KeyCode::Char('a'), KeyModifiers::NONE);
        assert_eq!(input.halves(), ("curl exa".to_owned(), "mple".to_owned()));
        press(&mut input, KeyCode::End, KeyModifiers::NONE);
        press(&mut input, KeyCode::Char('w'), KeyModifiers::CONTROL);
        assert_eq!(input.text(), "curl ");
        press(&mut input, KeyCode::Char('u'), KeyModifiers::CONTROL);
        assert!(input.is_empty());
    }

    #[test]
    fn what_is_pasted_is_one_line_of_letters_and_bounded() {
        let mut input = Input::default();
        input.paste("one\x1b[2J\u{202e} line\nanother");
        assert_eq!(input.text(), "one[2J line");
        input.paste(&"x".repeat(10_000));
        assert_eq!(input.text().len(), Input::MAX);
    }
}
