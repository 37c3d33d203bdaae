//! The canonical form of rule files.
//!
//! Keys in the order of the documentation, a blank line between rules, lists that are too long for a line one entry a line,
//! comments where they were. Invariants: the rules, their order and their comments stay the same; what is canonical stays
//! as it is. Neighbours: `import` writes such files; `cli` rewrites files with it.

use crate::language::rule::{KEYS, PROGRAM_KEYS};
use crate::source::Lines;
use toml_edit::{Array, Decor, DocumentMut, InlineTable, Item, Key, RawString, Table, Value};

/// The longest line that a list may stand in, in characters.
const WIDTH: usize = 100;

/// A text is not TOML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct NotToml {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
}

/// Formats a file of rules.
pub fn format(text: &str) -> Result<String, NotToml> {
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let (line, column) = Lines::new(text).place(error.span().map_or(0, |span| span.start));
        NotToml { line, column, message: error.message().to_owned() }
    })?;
    let mut rules: Vec<(isize, &mut Table)> = Vec::new();
    for (_, item) in document.as_table_mut().iter_mut() {
        if let Item::Table(group) = item {
            for (_, item) in group.iter_mut() {
                if let Item::Table(rule) = item
                    && !rule.is_dotted()
                    && let Some(place) = rule.position()
                {
                    rules.push((place, rule));
                }
            }
        }
    }
    rules.sort_by_key(|(place, _)| *place);
    for (number, (_, rule)) in rules.into_iter().enumerate() {
        head(rule.decor_mut(), number == 0);
        body(rule);
    }
    let end = comments(document.trailing().as_str().unwrap_or_default());
    let end = if end.is_empty() { String::new() } else { format!("\n{}", end.join("\n") + "\n") };
    document.set_trailing(end);
    let text = document.to_string();
    Ok(text.trim_start_matches('\n').to_owned())
}

/// The lines of comments in the space before something: blank lines between them as one, none at the ends.
fn comments(space: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in space.lines().map(str::trim) {
        if !line.is_empty() || lines.last().is_some_and(|last| !last.is_empty()) {
            lines.push(line.to_owned());
        }
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

fn text_of(raw: Option<&RawString>) -> &str {
    raw.and_then(RawString::as_str).unwrap_or_default()
}

/// A comment that follows on the same line.
fn trailing_comment(raw: Option<&RawString>) -> String {
    match text_of(raw).trim() {
        "" => String::new(),
        comment => format!(" {comment}"),
    }
}

fn head(decor: &mut Decor, first: bool) {
    let space = text_of(decor.prefix());
    let stands_apart = space.trim_end_matches([' ', '\t', '\r']).ends_with("\n\n") || space.ends_with("\r\n\r\n");
    let mut lines = comments(space);
    // A comment with a blank line after it is not about this rule.
    if !lines.is_empty() && stands_apart {
        lines.push(String::new());
    }
    let blank = if first { "" } else { "\n" };
    let prefix: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let suffix = trailing_comment(decor.suffix());
    decor.set_prefix(format!("{blank}{prefix}"));
    decor.set_suffix(suffix);
}

fn body(rule: &mut Table) {
    let place = |key: &Key| KEYS.iter().position(|known| *known == key.get()).unwrap_or(KEYS.len());
    rule.sort_values_by(|a, _, b, _| place(a).cmp(&place(b)));
    for (mut key, item) in rule.iter_mut() {
        let width = key.get().chars().count() + " = ".len();
        let lines: String = comments(text_of(key.leaf_decor().prefix()))
            .iter()
            .filter(|line| !line.is_empty())
            .map(|line| format!("{line}\n"))
            .collect();
        key.leaf_decor_mut().set_prefix(lines);
        key.leaf_decor_mut().set_suffix(" ");
        if let Item::Value(value) = item {
            let suffix = trailing_comment(value.decor().suffix());
            self::value(value, width);
            *value.decor_mut() = Decor::new(" ", suffix);
        }
    }
}

/// Lays out a value that stands after `width` characters.
fn value(value: &mut Value, width: usize) {
    match value {
        Value::Array(array) => list(array, width),
        Value::InlineTable(table) => inline(table, width),
        _ => {}
    }
}

fn list(array: &mut Array, width: usize) {
    let has_comment = |raw: Option<&RawString>| text_of(raw).contains('#');
    let commented =
        array.iter().any(|value| has_comment(value.decor().prefix()) || has_comment(value.decor().suffix()))
            || array.trailing().as_str().is_some_and(|end| end.contains('#'));
    for value in array.iter_mut() {
        self::value(value, 4);
    }
    if !commented {
        for (number, value) in array.iter_mut().enumerate() {
            *value.decor_mut() = Decor::new(if number == 0 { "" } else { " " }, "");
        }
        array.set_trailing("");
        array.set_trailing_comma(false);
        let line = array.to_string();
        if !line.contains('\n') && width + line.trim().chars().count() <= WIDTH {
            return;
        }
    }
    // A comment after a comma stands in the space before the next entry; one after the last entry may stand before its comma.
    let mut end = String::new();
    let mut after = Vec::new();
    let last = array.len().saturating_sub(1);
    for (number, value) in array.iter_mut().enumerate() {
        let (same_line, mut own_lines) = split(text_of(value.decor().prefix()), number > 0);
        if let Some(comment) = same_line {
            after.push((number, comment));
        }
        let before_comma = text_of(value.decor().suffix());
        if number == last {
            end.push_str(before_comma);
        } else {
            own_lines.extend(comments(before_comma).into_iter().filter(|line| !line.is_empty()));
        }
        let lines: String = own_lines.iter().map(|line| format!("\n    {line}")).collect();
        *value.decor_mut() = Decor::new(format!("{lines}\n    "), "");
    }
    end.push_str(array.trailing().as_str().unwrap_or_default());
    let (same_line, own_lines) = split(&end, !array.is_empty());
    let same_line = same_line.map(|comment| format!(" {comment}")).unwrap_or_default();
    let own_lines: String = own_lines.iter().map(|line| format!("\n    {line}")).collect();
    for (number, comment) in after {
        if let Some(value) = array.get_mut(number) {
            let prefix = text_of(value.decor().prefix()).to_owned();
            value.decor_mut().set_prefix(format!(" {comment}{prefix}"));
        }
    }
    array.set_trailing_comma(!array.is_empty());
    array.set_trailing(format!("{same_line}{own_lines}\n"));
}

/// Splits the space before an entry into the comment that ends the line before, and those on lines of their own.
fn split(space: &str, follows: bool) -> (Option<String>, Vec<String>) {
    let mut lines = space.lines();
    let first = lines.next().unwrap_or_default().trim();
    let mut own: Vec<String> = lines.map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    match (first, follows) {
        ("", _) => (None, own),
        (comment, true) => (Some(comment.to_owned()), own),
        (comment, false) => {
            own.insert(0, comment.to_owned());
            (None, own)
        }
    }
}

fn inline(table: &mut InlineTable, width: usize) {
    let place = |key: &Key| PROGRAM_KEYS.iter().position(|known| *known == key.get()).unwrap_or(PROGRAM_KEYS.len());
    let has_comment = table.to_string().lines().count() > 1;
    if has_comment {
        return;
    }
    table.sort_values_by(|a, _, b, _| place(a).cmp(&place(b)));
    for (_, value) in table.iter_mut() {
        self::value(value, width);
    }
    table.fmt();
}
