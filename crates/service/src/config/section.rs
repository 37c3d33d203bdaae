//! One table of the file: values are taken out of it by key, and what is left is unknown.
//!
//! Invariants: whatever is wrong becomes a problem with its place, and reading goes on. Neighbours: `parse` knows the keys.

use rules::source::Problem;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A file that is being read.
pub struct Source<'a> {
    file: Arc<str>,
    text: &'a str,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

/// A table.
pub struct Section<'a> {
    /// Its name and a dot; empty for the file itself.
    prefix: String,
    values: Vec<(String, Range<usize>, Spanned<DeValue<'a>>)>,
    known: Vec<&'static str>,
}

impl<'a> Source<'a> {
    /// This text of that file.
    pub fn new(file: &str, text: &'a str) -> Self {
        Self { file: file.into(), text, problems: Vec::new() }
    }

    /// Reads it as TOML.
    pub fn root(&mut self) -> Section<'a> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            self.wrong(&error.span().unwrap_or_default(), error.message().to_owned(), None);
        }
        Section::new(String::new(), table.into_inner())
    }

    /// Something is wrong there.
    pub fn wrong(&mut self, span: &Range<usize>, message: String, help: Option<String>) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        let file = self.file.clone();
        self.problems.push(Problem { file, line: number(line), column: number(column), message, help });
    }
}

impl<'a> Section<'a> {
    fn new(prefix: String, table: DeTable<'a>) -> Self {
        let entry = |(key, value): (Spanned<_>, _)| {
            let span = key.span();
            let key: std::borrow::Cow<'a, str> = key.into_inner();
            (key.into_owned(), span, value)
        };
        Self { prefix, values: table.into_iter().map(entry).collect(), known: Vec::new() }
    }

    /// A table in it; an empty one when there is none.
    pub fn section(&mut self, source: &mut Source<'_>, key: &'static str) -> Self {
        let prefix = format!("{}{key}.", self.prefix);
        let table = match self.take(key) {
            Some((span, value)) => match value.into_inner() {
                DeValue::Table(table) => table,
                _ => {
                    self.wanted(source, key, &span, "a table");
                    DeTable::new()
                }
            },
            None => DeTable::new(),
        };
        Self::new(prefix, table)
    }

    /// One of these words.
    pub fn word<T: Copy>(&mut self, source: &mut Source<'_>, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let all = words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        self.text(source, key, &format!("one of {all}"), |text| {
            words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning)
        })
    }

    /// A list of these words, each as what it means.
    pub fn words<T: Copy>(
        &mut self,
        source: &mut Source<'_>,
        key: &'static str,
        words: &[(&str, T)],
    ) -> Option<Vec<T>> {
        let (span, value) = self.take(key)?;
        let all = words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let wanted = format!("a list of {all}");
        let DeValue::Array(values) = value.get_ref() else {
            self.wanted(source, key, &span, wanted);
            return None;
        };
        let mut meanings = Vec::new();
        for value in values {
            let word = value.get_ref().as_str();
            match words.iter().find(|(known, _)| Some(*known) == word) {
                Some((_, meaning)) => meanings.push(*meaning),
                None => self.wanted(source, key, &value.span(), &wanted),
            }
        }
        Some(meanings)
    }

    /// Text in which `read` sees a meaning.
    pub fn text<T>(
        &mut self,
        source: &mut Source<'_>,
        key: &'static str,
        wanted: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let (span, value) = self.take(key)?;
        let meaning = value.get_ref().as_str().and_then(read);
        if meaning.is_none() {
            self.wanted(source, key, &span, wanted);
        }
        meaning
    }

    /// `true` or `false`.
    pub fn flag(&mut self, source: &mut Source<'_>, key: &'static str) -> Option<bool> {
        let (span, value) = self.take(key)?;
        let meaning = value.get_ref().as_bool();
        if meaning.is_none() {
            self.wanted(source, key, &span, "`true` or `false`");
        }
        meaning
    }

    /// A whole number.
    pub fn number(&mut self, source: &mut Source<'_>, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let (span, value) = self.take(key)?;
        let number = value.get_ref().as_integer().and_then(|number| {
            u32::from_str_radix(number.as_str(), number.radix()).ok().filter(|number| range.contains(number))
        });
        if number.is_none() {
            self.wanted(source, key, &span, format!("a whole number from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// A number with a unit, such as `30s`.
    pub fn time(&mut self, source: &mut Source<'_>, key: &'static str, [least, most]: [&str; 2]) -> Option<Duration> {
        const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
        let limits = [least, most].map(|limit| with_unit(limit, &UNITS).unwrap_or_default());
        let wanted = format!("a time from {least} to {most}: a whole number with s, m, h or d");
        let seconds = self.text(source, key, &wanted, |text| {
            with_unit(text, &UNITS).filter(|seconds| (limits[0]..=limits[1]).contains(seconds))
        });
        seconds.map(Duration::from_secs)
    }

    /// A number with a unit, such as `512M`, in bytes.
    pub fn size(&mut self, source: &mut Source<'_>, key: &'static str, [least, most]: [&str; 2]) -> Option<u64> {
        const UNITS: [(&str, u64); 3] = [("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30)];
        let limits = [least, most].map(|limit| with_unit(limit, &UNITS).unwrap_or_default());
        let wanted = format!("a size from {least} to {most}: a whole number with K, M or G");
        self.text(source, key, &wanted, |text| {
            with_unit(text, &UNITS).filter(|bytes| (limits[0]..=limits[1]).contains(bytes))
        })
    }

    /// A full path.
    pub fn path(&mut self, source: &mut Source<'_>, key: &'static str) -> Option<PathBuf> {
        self.text(source, key, "a full path", |text| Some(PathBuf::from(text)).filter(|path| path.is_absolute()))
    }

    /// Where a key stands, while it is not taken.
    pub fn place(&self, key: &str) -> Option<Range<usize>> {
        self.values.iter().find(|(found, ..)| found == key).map(|(_, span, _)| span.clone())
    }

    /// What is left is unknown.
    pub fn end(self, source: &mut Source<'_>) {
        let known = self.known.iter().map(|key| format!("`{}{key}`", self.prefix)).collect::<Vec<_>>().join(", ");
        for (key, span, _) in &self.values {
            let message = format!("there is no `{}{key}`", self.prefix);
            source.wrong(span, message, Some(format!("there is {known}")));
        }
    }

    fn take(&mut self, key: &'static str) -> Option<(Range<usize>, Spanned<DeValue<'a>>)> {
        self.known.push(key);
        let at = self.values.iter().position(|(found, ..)| found == key)?;
        let (_, _, value) = self.values.remove(at);
        Some((value.span(), value))
    }

    fn wanted(&self, source: &mut Source<'_>, key: &str, span: &Range<usize>, wanted: impl Display) {
        source.wrong(span, format!("`{}{key}` must be {wanted}", self.prefix), None);
    }
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}
