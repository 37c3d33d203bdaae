//! The language: files of TOML and of sets in, rules and sets out, or everything that is wrong with them.
//!
//! * `reader`: TOML values with their places; `rule`: one rule; `set`: one set.
//! * `remote`, `path`, `text`: the texts in them; `wrong`: what is wrong with one.
//!
//! Invariants: nothing is read but what is given; every problem has a place; every length and number is bounded.
//! Neighbours: `ruleset` compiles what comes out.

pub mod path;
mod reader;
pub mod remote;
pub mod rule;
pub mod set;
pub mod text;
mod wrong;

use crate::floor;
use crate::model::{Host, Layer, Rule};
use crate::ruleset::Environment;
use crate::source::{Problem, SourceFile};
use hashbrown::HashMap;
use ipnet::{Ipv4Subnets, Ipv6Subnets};
use reader::{Problems, Reader};
use rule::Parsed;
use set::Set;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use toml::de::DeValue;
pub use wrong::Wrong;

/// How many files a ruleset may have.
pub const MAX_FILES: usize = 4096;
/// How many bytes the files may have together.
pub const MAX_BYTES: usize = 128 << 20;
/// How many bytes a file of rules may have.
pub const MAX_RULE_FILE_BYTES: usize = 32 << 20;
/// How many rules there may be.
pub const MAX_RULES: usize = 100_000;
/// How many names and prefixes all hosts in rules and sets may come to. A range of addresses is up to 254 prefixes.
pub const MAX_PREFIXES: usize = 4_000_000;
/// The folder of sets.
pub const SETS: &str = "sets";

/// What the files say.
#[derive(Debug, Default)]
pub struct Document {
    /// The rules, in the order in which they are walked.
    pub rules: Vec<Rule>,
    /// The sets, by name.
    pub sets: BTreeMap<Arc<str>, Set>,
}

/// Reads all files, and the floor.
pub fn read(files: &[SourceFile], environment: &Environment) -> Result<Document, Vec<Problem>> {
    let floor = floor::file(environment);
    let mut problems = Problems::default();
    let mut sets: BTreeMap<Arc<str>, Set> = set::built_in().into();
    let mut parsed = Vec::new();
    let mut entries = 0;
    check_sizes(files, &mut problems);
    let mut places = Vec::new();
    for file in files {
        match place(&file.path) {
            Ok(place) => places.push((file, place)),
            Err(wrong) => problems.about(&file.path, wrong),
        }
    }
    places.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
    for (file, place) in &places {
        if let Place::Set(name) = place {
            let mut reader = Reader::new(file, &mut problems);
            if sets.contains_key(*name) {
                reader.wrong_at(
                    0,
                    Wrong::new(format!("the set `{name}` is built in or given twice")).help("rename the file"),
                );
            }
            let set = set::read(&mut reader, &mut entries);
            sets.insert((*name).into(), set);
        }
    }
    for (file, place) in &places {
        if let Place::Layer(layer) = place {
            rules(&mut Reader::new(file, &mut problems), environment, *layer, &mut parsed);
        }
    }
    rules(&mut Reader::new(&floor, &mut problems), environment, Layer::Floor, &mut parsed);
    check_together(&parsed, files, &sets, &mut problems);
    let problems = problems.into_sorted();
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut rules: Vec<Rule> = parsed.into_iter().map(|parsed| parsed.rule).collect();
    rules.sort_by(|a, b| {
        let key = |rule: &Rule| (rule.name.layer, rule.priority);
        key(a).cmp(&key(b)).then_with(|| (&a.origin.file, a.origin.line).cmp(&(&b.origin.file, b.origin.line)))
    });
    Ok(Document { rules, sets })
}

/// What a file is, by its path.
enum Place<'a> {
    Layer(Layer),
    Set(&'a str),
}

/// `LAYER/NAME.toml` or `sets/NAME.txt`.
fn place(path: &str) -> Result<Place<'_>, Wrong> {
    let folders = || {
        let wrong = Wrong::new(format!("`{}` is not in a folder of rules", text::excerpt(path)));
        wrong.help("mandatory/NAME.toml, user/NAME.toml, default/NAME.toml or sets/NAME.txt")
    };
    let (folder, name) = path.split_once('/').ok_or_else(folders)?;
    let stem = |ending: &str| {
        let stem = name.strip_suffix(ending).ok_or_else(|| {
            let wrong = Wrong::new(format!("`{}` does not end with `{ending}`", text::excerpt(path)));
            wrong.help("keep other files elsewhere")
        })?;
        text::id(stem).map(|()| stem)
    };
    if folder == SETS {
        return stem(".txt").map(Place::Set);
    }
    let layer = Layer::ALL.into_iter().find(|layer| layer.name() == folder).ok_or_else(folders)?;
    if layer == Layer::Floor {
        return Err(Wrong::new("the floor is built in").help("a rule of mandatory/ comes right after it"));
    }
    stem(".toml").map(|_| Place::Layer(layer))
}

/// Reads the rules of a file.
fn rules(reader: &mut Reader<'_>, environment: &Environment, layer: Layer, parsed: &mut Vec<Parsed>) {
    if reader.file.text.len() > MAX_RULE_FILE_BYTES {
        let wrong = Wrong::new(format!("the file has more than {MAX_RULE_FILE_BYTES} bytes"));
        return reader.wrong_at(0, wrong.help("move addresses and names to a set"));
    }
    let (document, is_whole) = reader.document();
    for (key, value) in document.get_ref() {
        if key.get_ref() != "rule" {
            reader.unknown_key(key, &["rule"], "a file of rules, which has tables `[rule.ID]`");
            continue;
        }
        let DeValue::Table(by_id) = value.get_ref() else {
            reader.mismatch::<()>("rule", value, "tables `[rule.ID]`");
            continue;
        };
        for (id, value) in by_id {
            let at = id.span().start;
            if let Err(wrong) = text::id(id.get_ref()) {
                reader.wrong_at(at, wrong);
            }
            match value.get_ref() {
                DeValue::Table(table) => {
                    parsed.push(rule::rule(reader, environment, (layer, id.get_ref(), at), table, is_whole));
                }
                _ if rule::KEYS.contains(&id.get_ref().as_ref()) => {
                    let wrong = Wrong::new(format!("`{}` stands in `[rule]`, which is no rule", id.get_ref()));
                    reader.wrong_at(at, wrong.help("a rule has an id: `[rule.my-rule]`"));
                }
                _ => drop(reader.mismatch::<()>(id.get_ref(), value, "a table `[rule.ID]`")),
            }
        }
    }
}

fn check_sizes(files: &[SourceFile], problems: &mut Problems) {
    let Some(last) = files.last() else { return };
    if files.len() > MAX_FILES {
        problems.about(&last.path, Wrong::new(format!("there are more than {MAX_FILES} files")));
    }
    if files.iter().map(|file| file.text.len()).sum::<usize>() > MAX_BYTES {
        problems.about(&last.path, Wrong::new(format!("the files have more than {MAX_BYTES} bytes together")));
    }
}

/// What shows only when all files are read: ids that are given twice in a layer, sets that are missing, too many rules.
fn check_together(parsed: &[Parsed], files: &[SourceFile], sets: &BTreeMap<Arc<str>, Set>, problems: &mut Problems) {
    let mut first_by_name = HashMap::with_capacity(parsed.len());
    let note = |problems: &mut Problems, parsed: &Parsed, at: usize, wrong: Wrong| {
        // To find the line takes a walk through the file.
        if problems.is_full() {
            return;
        }
        let file = files.iter().find(|file| file.path == parsed.rule.origin.file);
        if let Some(file) = file {
            Reader::new(file, problems).wrong_at(at, wrong);
        }
    };
    for one in parsed {
        if let Some(first) = first_by_name.insert(&one.rule.name, &one.rule.origin) {
            let wrong = Wrong::new(format!("the rule `{}` is there twice", one.rule.name));
            note(problems, one, one.at, wrong.help(format!("also in {}:{}", first.file, first.line)));
        }
        for (name, at) in &one.sets {
            if !sets.contains_key(name) {
                let wrong = Wrong::new(format!("there is no set `@{name}`")).known(name, sets.keys().map(|k| &**k));
                let wrong = if wrong.help.is_none() { wrong.help(format!("a file {SETS}/{name}.txt")) } else { wrong };
                note(problems, one, *at, wrong);
            }
        }
    }
    let in_rules = parsed.iter().flat_map(|one| one.rule.remote.iter().map(|remote| &remote.host));
    let in_sets = sets.values().flat_map(|set| &set.hosts);
    // Ends early: what is too much is not counted to its end.
    let many = in_rules
        .chain(in_sets)
        .try_fold(0_usize, |sum, host| Some(sum + prefixes(host)).filter(|sum| *sum <= MAX_PREFIXES));
    if let (None, Some(file)) = (many, files.first()) {
        let wrong = Wrong::new(format!("all hosts together come to more than {MAX_PREFIXES} names and prefixes"));
        problems.about(&file.path, wrong.help("a range that is no prefix is many prefixes"));
    }
    if let Some(past) = parsed.get(MAX_RULES) {
        note(problems, past, past.at, Wrong::new(format!("there are more than {MAX_RULES} rules")));
    }
}

/// How many names and prefixes a host comes to.
fn prefixes(host: &Host) -> usize {
    match host {
        Host::Range(IpAddr::V4(first), IpAddr::V4(last)) => Ipv4Subnets::new(*first, *last, 0).count(),
        Host::Range(IpAddr::V6(first), IpAddr::V6(last)) => Ipv6Subnets::new(*first, *last, 0).count(),
        _ => 1,
    }
}
