//! Replies that fit into a line.
//!
//! Invariants: a list loses whole items, from the end that the request cares for less. Neighbours: `requests` makes the
//! lists.

use control::line::encode;
use control::protocol::{ErrorKind, MAX_LINE, Refusal, ServerLine};
use serde::Serialize;
use std::io::{self, Write};

/// How much of a line is for lists; the rest is for what stands around them.
const LISTS: usize = MAX_LINE - 64 * 1024;

/// Which items matter more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The first.
    First,
    /// The last.
    Last,
}

/// As many of `items` as fit into a line, in their order.
pub(crate) fn fit<T: Serialize>(mut items: Vec<T>, keep: Keep) -> Vec<T> {
    let mut room = LISTS;
    let mut fits = |item: &T| {
        let Some(left) = room.checked_sub(length(item) + 1) else { return false };
        room = left;
        true
    };
    match keep {
        Keep::First => {
            let count = items.iter().take_while(|item| fits(item)).count();
            items.truncate(count);
        }
        Keep::Last => {
            let count = items.iter().rev().take_while(|item| fits(item)).count();
            items.drain(..items.len() - count);
        }
    }
    items
}

/// The line, or a line that says that it does not fit.
pub(crate) fn line(id: u64, line: &ServerLine) -> Vec<u8> {
    encode(line).unwrap_or_else(|_| {
        let error = Refusal::new(ErrorKind::Failed, "the answer is too long for a line");
        encode(&ServerLine::Error { id, error }).unwrap_or_default()
    })
}

fn length<T: Serialize>(item: &T) -> usize {
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, item) {
        Ok(()) => counter.0,
        Err(_) => usize::MAX - 1,
    }
}

struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_as_it_is() {
        assert_eq!(fit(vec!["a", "b"], Keep::First), ["a", "b"]);
        assert_eq!(fit(vec!["a", "b"], Keep::Last), ["a", "b"]);
        assert!(fit(Vec::<String>::new(), Keep::Last).is_empty());
    }

    #[test]
    fn what_does_not_fit_is_left_out_at_the_other_end() {
        let items: Vec<(u32, String)> = (0..8).map(|n| (n, "x".repeat(LISTS / 4))).collect();
        let kept = |keep| fit(items.clone(), keep).iter().map(|item| item.0).collect::<Vec<_>>();
        assert_eq!(kept(Keep::First), [0, 1, 2]);
        assert_eq!(kept(Keep::Last), [5, 6, 7]);
    }

    #[test]
    fn a_line_that_is_too_long_becomes_a_refusal_with_its_number() {
        let error = Refusal::new(ErrorKind::Failed, "x".repeat(MAX_LINE));
        let told = String::from_utf8(line(7, &ServerLine::Error { id: 7, error })).unwrap();
        assert!(told.starts_with(r#"{"id":7,"error":{"kind":"failed","message":"the answer is too long"#), "{told}");
    }
}
