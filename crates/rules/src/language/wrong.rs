//! What is wrong with a piece of text, before it is known where the text stands.
//!
//! Neighbours: `reader` adds the place.

/// What is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Wrong {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where in the text, in bytes from its begin.
    pub at: usize,
}

impl Wrong {
    /// At the begin of the text.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, at: 0 }
    }

    /// With help.
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// With the nearest of the words that are known, if one is near; else with all of them when they are few.
    pub fn known<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let help = match nearest(word, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() || known.len() > MAX_LISTED => return self,
            None => format!("known: {}", known.join(", ")),
        };
        self.help(help)
    }

    /// The same, in a longer text in which this one begins at `offset`.
    pub fn shift(self, offset: usize) -> Self {
        Self { at: self.at + offset, ..self }
    }
}

/// How many known words a help text lists.
const MAX_LISTED: usize = 24;
/// Words longer than this are not compared.
const MAX_COMPARED: usize = 64;

/// The nearest word, if it is no further away than a third of the letters.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    if word.len() > MAX_COMPARED {
        return None;
    }
    let limit = word.len().div_ceil(3);
    known
        .iter()
        .filter(|candidate| candidate.len() <= MAX_COMPARED)
        .map(|candidate| (distance(&word, &candidate.to_lowercase().chars().collect::<Vec<_>>()), *candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The number of letters to insert, remove, replace or swap (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_by_typing_errors_and_not_by_chance() {
        let known = ["action", "remote", "program", "protocol"];
        for (typed, meant) in [("acton", "action"), ("remtoe", "remote"), ("Programm", "program")] {
            assert_eq!(nearest(typed, &known), Some(meant), "{typed}");
        }
        assert_eq!(nearest("host", &known), None);
        assert_eq!(nearest("", &known), None);
    }
}
