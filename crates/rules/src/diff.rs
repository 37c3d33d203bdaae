//! What is different between two rulesets.
//!
//! A rule is the same rule when its layer and id are the same; one that is gone from a layer and new in another is moved.
//! Invariants: lists of alternatives have no order, so that only their members count. Neighbours: `cases` says what differs
//! in effect.

use crate::cases::{Case, Outcome, run};
use crate::decision::RuleName;
use crate::language::SETS;
use crate::model::{Action, Origin, ProgramPattern, Rule, protocol_name};
use crate::ruleset::Ruleset;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use wire::request::Direction;

/// How many entries of a set are named; the rest is counted.
const MAX_NAMED: usize = 20;

/// What is different.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Rules, in the order of the second ruleset, those that are gone last.
    pub rules: Vec<RuleChange>,
    /// Sets, by name.
    pub sets: Vec<SetChange>,
}

impl Difference {
    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.sets.is_empty()
    }
}

/// What became of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleChange {
    /// The rule, as the second ruleset names it if it is there.
    pub rule: RuleName,
    /// What became of it.
    pub change: Change,
    /// Where it stood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Origin>,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Origin>,
    /// What is different in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// What became of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It says something else.
    Changed,
    /// It says the same in another layer or file, or before or after other rules of its priority.
    Moved,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::Moved => "moved",
        })
    }
}

/// What is different in a key of a rule. Of a list only the members that are not in the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// The key.
    pub field: &'static str,
    /// What it said; nothing when it was not given.
    pub before: Vec<String>,
    /// What it says.
    pub after: Vec<String>,
}

/// What is different in a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetChange {
    /// Its name.
    pub set: String,
    /// How many entries are new.
    pub added: usize,
    /// How many entries are gone.
    pub removed: usize,
    /// The first of both, with `+` or `-`.
    pub entries: Vec<String>,
}

/// Compares two rulesets.
pub fn diff(before: &Ruleset, after: &Ruleset) -> Difference {
    Difference { rules: rules(before.rules(), after.rules()), sets: sets(before, after) }
}

fn rules(before: &[Arc<Rule>], after: &[Arc<Rule>]) -> Vec<RuleChange> {
    let index = |rules: &[Arc<Rule>]| -> HashMap<RuleName, usize> {
        rules.iter().enumerate().map(|(place, rule)| (rule.name.clone(), place)).collect()
    };
    let (old, new) = (index(before), index(after));
    // Those that are gone from one layer and new in another.
    let mut homeless: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, rule) in before.iter().enumerate().filter(|(_, rule)| !new.contains_key(&rule.name)) {
        homeless.entry(&rule.name.id).or_default().push(place);
    }
    let pairs: Vec<Option<usize>> = after
        .iter()
        .map(|rule| old.get(&rule.name).copied().or_else(|| homeless.get_mut(&*rule.name.id)?.pop()))
        .collect();
    let out_of_order = out_of_order(&pairs, before, after);
    let mut changes = Vec::new();
    for (place, (rule, pair)) in after.iter().zip(&pairs).enumerate() {
        let Some(old) = pair.and_then(|pair| before.get(pair)) else {
            changes.push(change(Change::Added, None, Some(rule), Vec::new()));
            continue;
        };
        let fields = field_changes(old, rule);
        let is_moved =
            old.name.layer != rule.name.layer || old.origin.file != rule.origin.file || out_of_order.contains(&place);
        if !fields.is_empty() {
            changes.push(change(Change::Changed, Some(old), Some(rule), fields));
        } else if is_moved {
            changes.push(change(Change::Moved, Some(old), Some(rule), fields));
        }
    }
    let kept: BTreeSet<usize> = pairs.into_iter().flatten().collect();
    let gone = before.iter().enumerate().filter(|(place, _)| !kept.contains(place));
    changes.extend(gone.map(|(_, rule)| change(Change::Removed, Some(rule), None, Vec::new())));
    changes
}

fn change(
    change: Change,
    before: Option<&Arc<Rule>>,
    after: Option<&Arc<Rule>>,
    fields: Vec<FieldChange>,
) -> RuleChange {
    let rule = after.or(before).expect("a change is of a rule").name.clone();
    let origin = |rule: &Arc<Rule>| rule.origin.clone();
    RuleChange { rule, change, before: before.map(origin), after: after.map(origin), fields }
}

/// The places of rules that stand before or after others of their layer and priority where they did not: all but a longest
/// sequence whose order is kept.
fn out_of_order(pairs: &[Option<usize>], before: &[Arc<Rule>], after: &[Arc<Rule>]) -> BTreeSet<usize> {
    let mut groups: BTreeMap<(crate::model::Layer, i32), Vec<(usize, usize)>> = BTreeMap::new();
    for (place, pair) in pairs.iter().enumerate() {
        let (Some(pair), Some(rule)) = (pair, after.get(place)) else { continue };
        if before.get(*pair).is_some_and(|old| old.priority == rule.priority && old.name.layer == rule.name.layer) {
            groups.entry((rule.name.layer, rule.priority)).or_default().push((place, *pair));
        }
    }
    groups.into_values().flat_map(|group| not_in_longest_rise(&group)).collect()
}

/// Of pairs in the order of their first: the firsts of those not in a longest sequence in which the second rises, too.
fn not_in_longest_rise(pairs: &[(usize, usize)]) -> Vec<usize> {
    // `tails[n]`: the pair that ends the sequence of length n+1 with the lowest end.
    let mut tails: Vec<usize> = Vec::new();
    let mut previous: Vec<Option<usize>> = Vec::new();
    for (at, (_, value)) in pairs.iter().enumerate() {
        let length = tails.partition_point(|tail| pairs[*tail].1 < *value);
        previous.push(length.checked_sub(1).map(|shorter| tails[shorter]));
        if length == tails.len() {
            tails.push(at);
        } else {
            tails[length] = at;
        }
    }
    let mut kept = BTreeSet::new();
    let mut at = tails.last().copied();
    while let Some(place) = at {
        kept.insert(place);
        at = previous[place];
    }
    pairs.iter().enumerate().filter(|(at, _)| !kept.contains(at)).map(|(_, (place, _))| *place).collect()
}

fn field_changes(before: &Rule, after: &Rule) -> Vec<FieldChange> {
    let (old, new) = (fields(before), fields(after));
    let only_in = |a: &[String], b: &[String]| a.iter().filter(|value| !b.contains(value)).cloned().collect::<Vec<_>>();
    old.into_iter()
        .zip(new)
        .map(|((field, old), (_, new))| FieldChange { field, before: only_in(&old, &new), after: only_in(&new, &old) })
        .filter(|change| !change.before.is_empty() || !change.after.is_empty())
        .collect()
}

/// Every key of a rule but its place, as text.
pub fn fields(rule: &Rule) -> Vec<(&'static str, Vec<String>)> {
    // Without `..`, so that a new key cannot be left out.
    let Rule {
        name: _,
        origin: _,
        action,
        priority,
        enabled,
        expires,
        program,
        parent,
        user,
        command_line,
        direction,
        protocol,
        remote,
        local_port,
        interface,
        when,
        lifetime,
        log,
        note,
    } = rule;
    fn texts<T: fmt::Display>(values: &[T]) -> Vec<String> {
        values.iter().map(T::to_string).collect()
    }
    let programs = |patterns: &[ProgramPattern]| patterns.iter().map(program_text).collect();
    let ports = local_port.iter().map(|range| match range.start() == range.end() {
        true => range.start().to_string(),
        false => format!("{}-{}", range.start(), range.end()),
    });
    let protocols = protocol.iter().map(|number| protocol_name(*number).map_or(number.to_string(), str::to_owned));
    let direction = direction.map(|direction| if direction == Direction::INBOUND { "in" } else { "out" }.to_owned());
    vec![
        ("action", vec![action.to_string()]),
        ("priority", vec![priority.to_string()]),
        ("enabled", vec![enabled.to_string()]),
        ("program", programs(program)),
        ("parent", programs(parent)),
        ("user", texts(user)),
        ("command_line", texts(command_line)),
        ("direction", direction.into_iter().collect()),
        ("protocol", protocols.collect()),
        ("remote", texts(remote)),
        ("local_port", ports.collect()),
        ("interface", texts(interface)),
        ("when", when.iter().map(ToString::to_string).collect()),
        ("for", vec![lifetime.to_string()]),
        ("expires", expires.iter().map(ToString::to_string).collect()),
        ("log", vec![log.to_string()]),
        ("note", note.iter().map(ToString::to_string).collect()),
    ]
}

fn program_text(pattern: &ProgramPattern) -> String {
    let ProgramPattern { path, sha256, publisher, package, service } = pattern;
    let parts = [
        ("path", path.as_ref().map(ToString::to_string)),
        ("sha256", sha256.as_ref().map(ToString::to_string)),
        ("publisher", publisher.as_ref().map(ToString::to_string)),
        ("package", package.as_ref().map(ToString::to_string)),
        ("service", service.as_ref().map(ToString::to_string)),
    ];
    let parts: Vec<(&str, String)> = parts.into_iter().filter_map(|(key, text)| Some((key, text?))).collect();
    match parts.as_slice() {
        [("path", path)] => path.clone(),
        parts => parts.iter().map(|(key, text)| format!("{key} {text}")).collect::<Vec<_>>().join(", "),
    }
}

fn sets(before: &Ruleset, after: &Ruleset) -> Vec<SetChange> {
    let (old, new) = (entries(before), entries(after));
    let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    let none = BTreeSet::new();
    let changes = names.into_iter().map(|name| {
        let (old, new) = (old.get(name).unwrap_or(&none), new.get(name).unwrap_or(&none));
        let added: Vec<String> = new.difference(old).map(|entry| format!("+{entry}")).collect();
        let removed: Vec<String> = old.difference(new).map(|entry| format!("-{entry}")).collect();
        SetChange {
            set: name.to_owned(),
            added: added.len(),
            removed: removed.len(),
            entries: added.into_iter().take(MAX_NAMED).chain(removed.into_iter().take(MAX_NAMED)).collect(),
        }
    });
    changes.filter(|change| change.added + change.removed > 0).collect()
}

/// The lines of each set, without comments.
fn entries(ruleset: &Ruleset) -> BTreeMap<&str, BTreeSet<&str>> {
    ruleset
        .files()
        .iter()
        .filter_map(|file| {
            let name = file.path.strip_prefix(SETS)?.strip_prefix('/')?;
            let entries = file.text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
            let entries = entries.filter(|entry| !entry.is_empty()).collect();
            Some((name.strip_suffix(".txt").unwrap_or(name), entries))
        })
        .collect()
}

/// A case that two rulesets decide differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DecisionChange {
    /// What the case is about.
    pub title: String,
    /// Where it stands.
    pub origin: Origin,
    /// What the first says.
    pub before: Said,
    /// What the second says.
    pub after: Said,
}

/// What a ruleset says about a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Said {
    /// Permit, block or ask.
    pub action: Action,
    /// The rule that says it.
    pub because: Option<RuleName>,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.because {
            Some(rule) => write!(f, "{} by {rule}", self.action),
            None => write!(f, "{} because no rule matches", self.action),
        }
    }
}

/// The cases whose action is different; what they expect is not looked at.
pub fn decisions(before: &Ruleset, after: &Ruleset, cases: &[Case], now: i64) -> Vec<DecisionChange> {
    let said = |outcome: &Outcome| Said { action: outcome.got, because: outcome.because.clone() };
    run(before, cases, now)
        .iter()
        .zip(&run(after, cases, now))
        .filter(|(before, after)| before.got != after.got)
        .map(|(before, after)| DecisionChange {
            title: before.title.clone(),
            origin: before.origin.clone(),
            before: said(before),
            after: said(after),
        })
        .collect()
}
