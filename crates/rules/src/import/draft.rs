//! A rule on its way to text.
//!
//! Invariants: strings are quoted by `toml_edit`, so that nothing in a foreign file can end a string or begin a rule; ids are
//! unique in their file.

use super::Skipped;
use std::collections::HashSet;
use toml_edit::{Array, DocumentMut, Item, Table, Value};

/// A rule: what is empty is not written.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub id: String,
    pub action: &'static str,
    pub priority: i32,
    pub disabled: bool,
    pub program: Vec<String>,
    pub parent: Vec<String>,
    pub user: Vec<String>,
    pub command_line: Vec<String>,
    pub direction: Option<&'static str>,
    pub protocol: Vec<String>,
    pub remote: Vec<String>,
    pub local_port: Vec<String>,
    pub interface: Vec<String>,
    pub when: Option<String>,
    pub quiet: bool,
    pub note: Option<String>,
}

impl Draft {
    fn table(&self) -> Table {
        let mut table = Table::new();
        table.insert("action", self.action.into());
        if self.priority != 0 {
            table.insert("priority", i64::from(self.priority).into());
        }
        if self.disabled {
            table.insert("enabled", false.into());
        }
        insert(&mut table, "program", &self.program);
        insert(&mut table, "parent", &self.parent);
        insert(&mut table, "user", &self.user);
        insert(&mut table, "command_line", &self.command_line);
        if let Some(direction) = self.direction {
            table.insert("direction", direction.into());
        }
        insert(&mut table, "protocol", &self.protocol);
        insert(&mut table, "remote", &self.remote);
        insert(&mut table, "local_port", &self.local_port);
        insert(&mut table, "interface", &self.interface);
        if let Some(when) = &self.when {
            table.insert("when", when.as_str().into());
        }
        if self.quiet {
            table.insert("log", false.into());
        }
        if let Some(note) = &self.note {
            table.insert("note", note.as_str().into());
        }
        table
    }
}

fn insert(table: &mut Table, key: &str, values: &[String]) {
    match values {
        [] => {}
        [one] => {
            table.insert(key, one.as_str().into());
        }
        many => {
            table.insert(key, Item::Value(Value::Array(many.iter().collect::<Array>())));
        }
    }
}

/// The file of these rules, in canonical form; gives them unique ids.
pub fn file(origin: &str, drafts: &mut [Draft], skipped: &[Skipped]) -> String {
    let mut taken = HashSet::new();
    let mut rules = Table::new();
    rules.set_implicit(true);
    for draft in drafts.iter_mut() {
        draft.id = unique(&draft.id, |id| taken.contains(id));
        taken.insert(draft.id.clone());
        rules.insert(&draft.id, Item::Table(draft.table()));
    }
    let mut document = DocumentMut::new();
    document.insert("rule", Item::Table(rules));
    let mut head = format!("# From {origin}.\n");
    for Skipped { name, why } in skipped {
        head.push_str(&format!("# Left out: {}: {}\n", one_line(name), one_line(why)));
    }
    format!("{head}\n{}", document.to_string().trim_start())
}

/// A name that is not taken: `name`, `name-2`, `name-3`.
pub fn unique(name: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut candidate = name.to_owned();
    let mut number = 2_u32;
    while taken(&candidate) {
        candidate = format!("{name}-{number}");
        number += 1;
    }
    candidate
}

/// The longest name that [`slug`] gives.
const MAX_SLUG: usize = 48;

/// Makes a name of any text: lower-case letters, digits and single `-`; `rule` when nothing is left.
pub fn slug(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if name.len() == MAX_SLUG {
            break;
        }
    }
    name.truncate(name.trim_end_matches('-').len());
    if name.is_empty() { "rule".to_owned() } else { name }
}

/// Text for a comment: without ends of lines and other controls, and not endless.
pub fn one_line(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
