//! TOML values with their places, read as what they ought to be; what is wrong is noted, and reading goes on.

use super::wrong::Wrong;
use crate::source::{Lines, Problem, SourceFile};
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and where it stands.
pub type Value<'t> = Spanned<DeValue<'t>>;

/// The problems of a ruleset so far: no more than [`MAX_PROBLEMS`] are kept.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

/// How many problems are told at once.
pub const MAX_PROBLEMS: usize = 1000;

impl Problems {
    /// Adds one.
    pub fn add(&mut self, problem: Problem) {
        if !self.is_full() {
            self.0.push(problem);
        }
    }

    /// Whether no more are kept.
    pub fn is_full(&self) -> bool {
        self.0.len() >= MAX_PROBLEMS
    }

    /// Adds one about a file as a whole.
    pub fn about(&mut self, file: &Arc<str>, wrong: Wrong) {
        self.add(Problem { file: file.clone(), line: 1, column: 1, message: wrong.message, help: wrong.help });
    }

    /// All, in the order in which a person looks for them.
    pub fn into_sorted(self) -> Vec<Problem> {
        let mut problems = self.0;
        problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        problems
    }
}

/// Reads one file.
pub struct Reader<'a> {
    /// The file.
    pub file: &'a SourceFile,
    lines: Lines<'a>,
    problems: &'a mut Problems,
}

impl<'a> Reader<'a> {
    /// Begins to read a file.
    pub fn new(file: &'a SourceFile, problems: &'a mut Problems) -> Self {
        Self { file, lines: Lines::new(&file.text), problems }
    }

    /// The line in which a byte stands, from 1.
    pub fn line(&self, at: usize) -> u32 {
        self.lines.place(at).0
    }

    /// Notes what is wrong at a byte.
    pub fn wrong_at(&mut self, at: usize, wrong: Wrong) {
        let (line, column) = self.lines.place(at);
        let Wrong { message, help, .. } = wrong;
        self.problems.add(Problem { file: self.file.path.clone(), line, column, message, help });
    }

    /// Notes what is wrong with a value.
    pub fn wrong(&mut self, value: &Value<'_>, wrong: Wrong) {
        let at = wrong.at;
        self.wrong_at(self.begin(value) + at, wrong);
    }

    /// What went wrong, noted; what went well, handed on.
    pub fn note<T>(&mut self, value: &Value<'_>, result: Result<T, Wrong>) -> Option<T> {
        result.map_err(|wrong| self.wrong(value, wrong)).ok()
    }

    /// The file's table, and whether it is whole: `false` when there were errors, which are noted.
    pub fn document(&mut self) -> (Spanned<DeTable<'a>>, bool) {
        let text: &'a str = &self.file.text;
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let at = error.span().map_or(0, |span: Range<usize>| span.start);
            self.wrong_at(at, Wrong::new(error.message().lines().next().unwrap_or("this is not TOML")));
        }
        (table, errors.is_empty())
    }

    /// A text of 1 to `most` bytes.
    pub fn text<'v>(&mut self, name: &str, value: &'v Value<'_>, most: usize) -> Option<&'v str> {
        let Some(text) = value.get_ref().as_str() else { return self.mismatch(name, value, "a string") };
        if text.is_empty() || text.len() > most {
            self.wrong(value, Wrong::new(format!("`{name}` has 1 to {most} characters")));
            return None;
        }
        Some(text)
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str, value: &Value<'_>) -> Option<bool> {
        value.get_ref().as_bool().or_else(|| self.mismatch(name, value, "`true` or `false`"))
    }

    /// A whole number in a range.
    pub fn number(&mut self, name: &str, value: &Value<'_>, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let Some(integer) = value.get_ref().as_integer() else { return self.mismatch(name, value, "a whole number") };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|n| range.contains(n));
        if number.is_none() {
            let wrong = Wrong::new(format!("`{name}` is out of range"));
            self.wrong(value, wrong.help(format!("{} to {}", range.start(), range.end())));
        }
        number
    }

    /// One of some words.
    pub fn word<T: Copy>(&mut self, name: &str, value: &Value<'_>, known: &[(&str, T)]) -> Option<T> {
        let Some(text) = value.get_ref().as_str() else { return self.mismatch(name, value, "a string") };
        let found = known.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let wrong = Wrong::new(format!("`{}` is no {name}", super::text::excerpt(text)));
            self.wrong(value, wrong.known(text, known.iter().map(|(word, _)| *word)));
        }
        found
    }

    /// The elements of a list of 1 to `most`, or the value itself when it is not a list.
    pub fn list<'v, 't>(&mut self, name: &str, value: &'v Value<'t>, most: usize) -> Vec<&'v Value<'t>> {
        let Some(array) = value.get_ref().as_array() else { return vec![value] };
        if array.is_empty() || array.len() > most {
            let wrong = Wrong::new(format!("`{name}` is a list of {}, but has 1 to {most}", array.len()));
            self.wrong(value, wrong.help("without the key it is no condition"));
            return Vec::new();
        }
        array.iter().collect()
    }

    /// Notes that a value is of the wrong kind.
    pub fn mismatch<T>(&mut self, name: &str, value: &Value<'_>, wanted: &str) -> Option<T> {
        let kind = value.get_ref().type_str();
        let article = if kind.starts_with(['a', 'i']) { "an" } else { "a" };
        self.wrong(value, Wrong::new(format!("`{name}` is {article} {kind}, but must be {wanted}")));
        None
    }

    /// Notes a key that is not known.
    pub fn unknown_key(&mut self, key: &Spanned<std::borrow::Cow<'_, str>>, known: &[&str], of: &str) {
        let name = key.get_ref();
        let wrong = Wrong::new(format!("`{}` is not a key of {of}", super::text::excerpt(name)));
        self.wrong_at(key.span().start, wrong.known(name, known.iter().copied()));
    }

    /// Where a value begins. Of a string: where its contents do, when it is written without escapes, so that places in it
    /// are places in the file.
    fn begin(&self, value: &Value<'_>) -> usize {
        let span = value.span();
        let Some(text) = value.get_ref().as_str() else { return span.start };
        let written = self.file.text.get(span.clone()).unwrap_or_default();
        let inner = written.trim_start_matches(['"', '\'']);
        let quotes = written.len() - inner.len();
        if inner.starts_with(text) && quotes > 0 && inner.len() - text.len() <= 3 {
            span.start + quotes
        } else {
            span.start
        }
    }
}
