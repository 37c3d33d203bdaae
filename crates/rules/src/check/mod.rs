//! What is wrong with rules that compile: rules that never decide, and rules whose order is an accident.
//!
//! * `shape`: what a rule matches; `pattern` and `hosts`: the parts of it.
//! * `index`: which rules may cover which.
//!
//! Invariants: sound, not complete: what is said to be so is so for every connection, and what cannot be told is not said.
//! Names count as sure: of a name that is a guess, a rule that permits never matches more than it does of one that is sure.
//! Rules that are not enabled or have expired take no part. Neighbours: `ruleset` has the rules, `cli` prints the findings.

mod hosts;
mod index;
mod pattern;
mod shape;

use crate::decision::RuleName;
use crate::language;
use crate::model::{Layer, Origin, Rule};
use crate::ruleset::{Environment, Ruleset};
use hosts::Sets;
use index::Index;
use serde::Serialize;
use shape::Shape;
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;

/// With how many others a rule is compared at most, when it is looked for one that disagrees with it, or stands between it
/// and one that does the same: the work grows with the number of rules, not with its square.
const MAX_COMPARISONS: usize = 2_000;

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// The rule it is about.
    pub rule: RuleName,
    /// Where that stands.
    pub at: Origin,
    /// The other rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<Other>,
    /// What it is.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// The other rule of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Other {
    /// Which.
    pub rule: RuleName,
    /// Where it stands.
    pub at: Origin,
}

/// What kind of thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A rule before it matches everything it matches: it never decides.
    Shadowed,
    /// It and another of the same priority match the same connections and say different things.
    Contradictory,
    /// Without it, a later rule does the same.
    Redundant,
    /// Nothing can match it.
    NeverMatches,
    /// It and another of the same priority overlap, and which comes first is said by file names alone.
    Tie,
    /// It is not enabled, or has expired. Nothing is wrong.
    Inactive,
}

impl Kind {
    /// Whether it is nothing to worry about.
    pub const fn is_note(self) -> bool {
        matches!(self, Self::Inactive)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Shadowed => "shadowed",
            Self::Contradictory => "contradictory",
            Self::Redundant => "redundant",
            Self::NeverMatches => "never matches",
            Self::Tie => "tie",
            Self::Inactive => "inactive",
        })
    }
}

/// Looks at rules at a moment, in seconds since 1970. Findings come in the order of the rules.
pub fn check(ruleset: &Ruleset, environment: &Environment, now: i64) -> Vec<Finding> {
    look(ruleset, environment, now).0
}

/// What [`check`] gives, and how many pairs of rules were compared.
fn look(ruleset: &Ruleset, environment: &Environment, now: i64) -> (Vec<Finding>, usize) {
    let sets = language::read(ruleset.files(), environment).map(|document| document.sets).unwrap_or_default();
    let sets = Sets::new(&sets);
    let mut findings = Vec::new();
    let mut shapes = Vec::new();
    for rule in ruleset.rules() {
        if let Some(why) = inactive(rule, now) {
            findings.push(finding(Kind::Inactive, rule, None, why, "remove it when it is no longer needed".to_owned()));
            continue;
        }
        let shape = Shape::new(rule, environment.paths, &sets);
        if shape.atoms.is_empty() {
            findings.push(never(rule, &sets));
        } else {
            shapes.push(shape);
        }
    }
    let search = Search::new(&shapes, &sets);
    for (place, shape) in shapes.iter().enumerate() {
        if shape.rule.name.layer == Layer::Floor {
            continue;
        }
        let found = search.shadowed(place).or_else(|| search.disagreement(place)).or_else(|| search.redundant(place));
        findings.extend(found);
    }
    let order: HashMap<&RuleName, usize> = ruleset.rules().iter().zip(0..).map(|(rule, at)| (&rule.name, at)).collect();
    findings.sort_by_key(|finding| order.get(&finding.rule).copied());
    (findings, search.comparisons.get())
}

fn inactive(rule: &Rule, now: i64) -> Option<String> {
    let expired = rule.expires.filter(|expires| expires.as_second() < now);
    match expired {
        _ if !rule.enabled => Some(format!("`{}` is not enabled", rule.name)),
        Some(expires) => Some(format!("`{}` expired at {expires}", rule.name)),
        None => None,
    }
}

fn never(rule: &Rule, sets: &Sets<'_>) -> Finding {
    let is_empty = !rule.remote.is_empty() && rule.remote.iter().all(|remote| sets.is_empty(&remote.host));
    let (why, help) = if is_empty {
        ("its set has no entries", "fill the set, or remove the rule")
    } else {
        ("its protocols, and the ports or protocols of its remote ends, exclude each other", "change one of them")
    };
    finding(Kind::NeverMatches, rule, None, format!("nothing can match `{}`: {why}", rule.name), help.to_owned())
}

fn finding(kind: Kind, rule: &Rule, other: Option<&Rule>, message: String, help: String) -> Finding {
    let other = other.map(|other| Other { rule: other.name.clone(), at: other.origin.clone() });
    Finding { kind, rule: rule.name.clone(), at: rule.origin.clone(), other, message, help }
}

/// Whether two rules do the same when they match.
fn same_outcome(a: &Rule, b: &Rule) -> bool {
    a.action == b.action && a.lifetime == b.lifetime && a.log == b.log
}

struct Search<'a> {
    shapes: &'a [Shape<'a>],
    sets: &'a Sets<'a>,
    index: Index<'a>,
    /// The places of the rules of one layer, in order.
    peers: HashMap<(Layer, Peer<'a>), Vec<usize>>,
    /// How many pairs were compared.
    comparisons: Cell<usize>,
}

/// Rules of one layer, by what they are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Peer<'a> {
    /// All of them.
    All,
    /// Those about programs with that file name.
    Named(&'a str),
    /// Those about any program, or about programs not by file name.
    Unnamed,
}

impl<'a> Search<'a> {
    fn new(shapes: &'a [Shape<'a>], sets: &'a Sets<'a>) -> Self {
        let mut index = Index::default();
        let mut peers: HashMap<_, Vec<usize>> = HashMap::new();
        for (place, shape) in shapes.iter().enumerate() {
            index.insert(place, shape);
            let mut groups: Vec<Peer<'_>> = file_names(shape).into_iter().map(Peer::Named).collect();
            groups.dedup();
            groups.extend(if groups.is_empty() { &[Peer::All, Peer::Unnamed][..] } else { &[Peer::All] });
            for group in groups {
                peers.entry((shape.rule.name.layer, group)).or_default().push(place);
            }
        }
        Self { shapes, sets, index, peers, comparisons: Cell::new(0) }
    }

    /// An earlier rule that matches everything this one does.
    fn shadowed(&self, place: usize) -> Option<Finding> {
        let shape = &self.shapes[place];
        let mut earlier = self.index.candidates(shape);
        earlier.retain(|other| *other < place);
        earlier.sort_unstable();
        let other_shape =
            earlier.into_iter().map(|other| &self.shapes[other]).find(|other| other.covers(shape, self.sets))?;
        let (rule, other) = (shape.rule, other_shape.rule);
        let in_layer = other.name.layer == rule.name.layer;
        let are_peers = in_layer && rule.priority == other.priority;
        if are_peers && rule.action != other.action && shape.covers(other_shape, self.sets) {
            return Some(self.contradiction(rule, other, "the same connections"));
        }
        let message =
            format!("`{}` never decides: `{}` comes first and matches all that it matches", rule.name, other.name);
        let help = match (same_outcome(rule, other), in_layer) {
            (true, _) => "remove it: the other does the same".to_owned(),
            (false, true) => "give it a lower priority than the other, or remove it".to_owned(),
            (false, false) => format!("remove it: what `{}` says first, no later layer changes", other.name.layer),
        };
        Some(finding(Kind::Shadowed, rule, Some(other), message, help))
    }

    fn contradiction(&self, rule: &Rule, other: &Rule, what: &str) -> Finding {
        let message = format!(
            "`{}` ({}) and `{}` ({}) match {what} at the same priority; the second wins because it stands first",
            rule.name, rule.action, other.name, other.action
        );
        let help = "give the one that should win a lower priority".to_owned();
        finding(Kind::Contradictory, rule, Some(other), message, help)
    }

    /// An earlier rule of the same priority that overlaps and does something else, unless the order shows what is meant: an
    /// exception that stands before its rule in the same file.
    fn disagreement(&self, place: usize) -> Option<Finding> {
        let priority = self.shapes[place].rule.priority;
        let mut left = MAX_COMPARISONS;
        let found = self.alike(place).into_iter().filter_map(|group| {
            let first = group.partition_point(|other| self.shapes[*other].rule.priority < priority);
            let mut earlier = group.iter().skip(first).take_while(|other| **other < place);
            earlier.find_map(|other| Some((*other, self.disagree(place, *other, &mut left)?)))
        });
        found.min_by_key(|(other, _)| *other).map(|(_, finding)| finding)
    }

    /// The rules of its layer that may match something that this one matches, in lists that are in order.
    fn alike(&self, place: usize) -> Vec<&[usize]> {
        let shape = &self.shapes[place];
        let names = file_names(shape);
        let groups: Vec<Peer<'_>> = match names.is_empty() {
            true => vec![Peer::All],
            // Those of the same program, and those that are not about a program by its file name.
            false => names.into_iter().map(Peer::Named).chain([Peer::Unnamed]).collect(),
        };
        let list = |group| self.peers.get(&(shape.rule.name.layer, group)).map(Vec::as_slice);
        groups.into_iter().filter_map(list).collect()
    }

    /// Whether one more pair may be compared, of those that are `left`.
    fn may_compare(&self, left: &mut usize) -> bool {
        let may = *left > 0;
        *left = left.saturating_sub(1);
        self.comparisons.set(self.comparisons.get() + usize::from(may));
        may
    }

    fn disagree(&self, place: usize, other: usize, left: &mut usize) -> Option<Finding> {
        let (shape, other) = (&self.shapes[place], &self.shapes[other]);
        let rule = shape.rule;
        if same_outcome(rule, other.rule) {
            return None;
        }
        if !self.may_compare(left) || !shape.overlaps(other, self.sets) {
            return None;
        }
        let same_action = rule.action == other.rule.action;
        let is_exception = shape.covers(other, self.sets);
        if !is_exception && !same_action {
            return Some(self.contradiction(rule, other.rule, "some of the same connections"));
        }
        // In one file the order is there to be read.
        if rule.origin.file == other.rule.origin.file {
            return None;
        }
        let message = format!(
            "`{}` and `{}` overlap at the same priority; the second wins because of the name of its file",
            rule.name, other.rule.name
        );
        let help = "give the one that should win a lower priority".to_owned();
        Some(finding(Kind::Tie, rule, Some(other.rule), message, help))
    }

    /// A later rule of the same layer that does the same for everything this one matches, with nothing else in between. What
    /// other layers say is not looked at: they are other people's, and may change.
    fn redundant(&self, place: usize) -> Option<Finding> {
        let shape = &self.shapes[place];
        let rule = shape.rule;
        let mut later = self.index.candidates(shape);
        later.retain(|other| {
            let other_rule = self.shapes[*other].rule;
            *other > place && other_rule.name.layer == rule.name.layer && same_outcome(rule, other_rule)
        });
        later.sort_unstable();
        let by = later.into_iter().find(|other| self.shapes[*other].covers(shape, self.sets))?;
        let mut left = MAX_COMPARISONS;
        for group in self.alike(place) {
            let first = group.partition_point(|other| *other <= place);
            for between in group.iter().skip(first).take_while(|other| **other < by) {
                let between = &self.shapes[*between];
                let is_apart =
                    same_outcome(rule, between.rule) || (self.may_compare(&mut left) && between.is_disjoint(shape));
                if !is_apart {
                    return None;
                }
            }
        }
        let other = self.shapes[by].rule;
        let message =
            format!("`{}` changes nothing: `{}` does the same for all that it matches", rule.name, other.name);
        Some(finding(Kind::Redundant, rule, Some(other), message, "remove it".to_owned()))
    }
}

/// The file names of the programs of a rule, when every program that it names has one.
fn file_names<'a>(shape: &Shape<'a>) -> Vec<&'a str> {
    shape.program.iter().map(|pattern| pattern.file_name()).collect::<Option<Vec<_>>>().unwrap_or_default()
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, at, other, message, help, .. } = self;
        write!(f, "{}:{}: {kind}: {message}", at.file, at.line)?;
        if let Some(Other { rule, at }) = other {
            write!(f, "\n  {}:{}: `{rule}` is here", at.file, at.line)?;
        }
        write!(f, "\n  help: {help}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceFile;
    use std::fmt::Write;

    /// How many pairs are compared in that many rules, each for a program, or each for a domain, before one for all.
    fn comparisons(rules: usize, is_by_program: bool) -> usize {
        let mut text = String::new();
        for number in 0..rules {
            let (action, kind) = if number.is_multiple_of(2) { ("permit", 1) } else { ("block", 2) };
            let what = match is_by_program {
                true => format!("program = \"/opt/{kind}/p{number}\""),
                false => format!("remote = \"d{number}.example\""),
            };
            writeln!(text, "[rule.r{number}]\naction = \"{action}\"\n{what}").unwrap();
        }
        text.push_str("[rule.rest]\naction = \"permit\"\npriority = 1\n");
        let file = SourceFile { path: "user/a.toml".into(), text: text.into() };
        let ruleset = Ruleset::compile(&[file], &Environment::default()).unwrap();
        let (findings, comparisons) = look(&ruleset, &Environment::default(), 0);
        assert!(findings.iter().all(|finding| finding.kind == Kind::Redundant), "{findings:?}");
        assert!(!findings.is_empty());
        comparisons
    }

    #[test]
    fn rules_for_programs_are_compared_with_those_of_the_same_program() {
        let (few, many) = (comparisons(1_000, true), comparisons(4_000, true));
        assert!(many <= few * 4 + 100, "{few} {many}");
    }

    #[test]
    fn no_rule_is_compared_with_more_than_so_many() {
        for rules in [1_000, 3_000] {
            assert!(comparisons(rules, false) <= rules * 2 * MAX_COMPARISONS, "{rules}");
        }
    }
}
