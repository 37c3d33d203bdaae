//! The filter of a list: words that must all be somewhere in a row; `!word` must not.
//!
//! Invariants: pure; either case; no filter takes everything. Neighbours: `connections` and `ruleset` filter by it.

use super::wording;
use control::entry::Entry;

/// What a person filters by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    wanted: Vec<String>,
    unwanted: Vec<String>,
}

impl Words {
    /// From what was typed.
    pub fn new(typed: &str) -> Self {
        let mut words = Self::default();
        for word in typed.split_whitespace().map(str::to_lowercase) {
            match word.strip_prefix('!') {
                Some("") => {}
                Some(unwanted) => words.unwanted.push(unwanted.to_owned()),
                None => words.wanted.push(word),
            }
        }
        words
    }

    /// Whether a text passes.
    pub fn take(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.wanted.iter().all(|word| text.contains(word)) && !self.unwanted.iter().any(|word| text.contains(word))
    }

    /// Whether an entry passes: by verdict, program path, user, name, address, port, protocol, process and why.
    pub fn take_entry(&self, entry: &Entry) -> bool {
        (self.wanted.is_empty() && self.unwanted.is_empty()) || self.take(&wording::searchable(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_words_must_be_there_and_none_of_the_unwanted() {
        let text = "block /usr/bin/curl alice example.com 203.0.113.7:443/tcp user/web";
        for (typed, expected) in
            [("", true), ("CURL", true), ("curl :443", true), ("curl :80", false), ("block !curl", false), ("!", true)]
        {
            assert_eq!(Words::new(typed).take(text), expected, "{typed}");
        }
    }
}
