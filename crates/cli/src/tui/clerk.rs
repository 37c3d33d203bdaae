//! Compiles and explains rules, away from the thread that draws and from the one that answers prompts.
//!
//! Invariants: what it says about a decision rests on what was recorded with it, and on the rules of its revision.
//! Neighbours: `link` brings the files, `rules` does the work, `view` shows it.

use super::message::Message;
use super::ruleset::{Loaded, Row};
use super::trace::{Part, Trace, TraceLine};
use super::wording;
use crate::commands::rules::source::style_of;
use control::entry::{Entry, Reason, Verdict};
use control::protocol::Refusal;
use crossbeam_channel::{Receiver, Sender};
use jiff::Timestamp;
use rules::check::check;
use rules::decision::{Judgement, Revision};
use rules::explain::{Condition, Step, StepResult};
use rules::floor;
use rules::model::{Action, ProgramPattern, Rule};
use rules::ruleset::{Environment, PathStyle, Ruleset};
use rules::source::SourceFile;
use std::fmt::Display;
use std::sync::Arc;
use wire::request::Direction;

/// How many findings of a check are told.
const MAX_FINDINGS: usize = 1_000;

/// How many problems of rules that do not compile are told.
const MAX_PROBLEMS: usize = 3;

/// How many characters of a rule's conditions a list tells.
const MAX_WHAT: usize = 300;

/// What to do, with the files it is about.
pub struct Job {
    /// What to do.
    pub task: Task,
    /// The files, or why there are none.
    pub files: Result<Files, Refusal>,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Task {
    /// List the rules.
    List,
    /// Check them.
    Check,
    /// Explain a decision by them.
    Explain(Arc<Entry>),
}

/// The files of a ruleset.
#[derive(Clone, Debug)]
pub struct Files {
    /// Its revision.
    pub revision: Revision,
    /// The files.
    pub files: Vec<SourceFile>,
    /// How many did not fit into a message.
    pub left_out: u32,
}

/// Does jobs until nobody sends any.
pub fn work(environment: Environment, jobs: &Receiver<Job>, messages: &Sender<Message>) {
    let mut clerk = Clerk { environment, compiled: None };
    for job in jobs {
        if messages.send(clerk.answer(job)).is_err() {
            return;
        }
    }
}

struct Clerk {
    environment: Environment,
    /// The last ruleset, which the next job is often about, too, and for which paths it is.
    compiled: Option<(PathStyle, Result<Ruleset, String>)>,
}

impl Clerk {
    fn answer(&mut self, Job { task, files }: Job) -> Message {
        let files = files.map_err(|refusal| match refusal.help {
            Some(help) => format!("{}; {help}", refusal.message),
            None => refusal.message,
        });
        let now = Timestamp::now();
        // A decision is explained by the rules of its machine, which its paths tell.
        let style = match &task {
            Task::Explain(entry) => entry.identity.program.path.as_deref().map(style_of),
            Task::List | Task::Check => None,
        };
        let style = style.unwrap_or(self.environment.paths);
        let result = files.map(|files| self.compile(&files, style));
        let environment = &self.environment;
        let compiled = match (&result, &self.compiled) {
            (Ok(()), Some((_, Ok(ruleset)))) => Ok(ruleset),
            (Err(why), _) | (Ok(()), Some((_, Err(why)))) => Err(why.clone()),
            (Ok(()), None) => Err("the rules were not compiled".to_owned()),
        };
        match task {
            Task::List => Message::Rules(compiled.map(|ruleset| list(ruleset, environment, now))),
            Task::Check => Message::Checked(trace(compiled.map(|ruleset| findings(ruleset, environment, now)))),
            Task::Explain(entry) => {
                let trace = trace(compiled.map(|ruleset| explain(ruleset, &entry)));
                Message::Explained { entry: entry.id, trace }
            }
        }
    }

    fn compile(&mut self, files: &Files, style: PathStyle) {
        if matches!(&self.compiled, Some((of, Ok(ruleset))) if *of == style && *ruleset.revision() == files.revision) {
            return;
        }
        let environment = Environment { paths: style, ..self.environment.clone() };
        let compiled = Ruleset::compile(&files.files, &environment).map_err(|problems| match files.left_out {
            0 => {
                let told: Vec<String> = problems.iter().take(MAX_PROBLEMS).map(ToString::to_string).collect();
                format!("this program cannot read the rules of the service: {}", told.join("; "))
            }
            left_out => format!(
                "the rules are too large to be sent whole ({left_out} files left out): `tollgate rules` on the \
                service's machine reads them from the disk"
            ),
        });
        self.compiled = Some((style, compiled));
    }
}

fn trace(lines: Result<Vec<TraceLine>, String>) -> Trace {
    lines.map_or_else(Trace::Failed, Trace::Ready)
}

fn line(part: Part, text: impl Into<String>) -> TraceLine {
    TraceLine { part, text: text.into() }
}

fn list(ruleset: &Ruleset, environment: &Environment, now: Timestamp) -> Loaded {
    let floor = floor::file(environment);
    let rows = ruleset.rules().iter().map(|rule| {
        let file = ruleset.files().iter().chain([&floor]).find(|file| file.path == rule.origin.file);
        let idle = match rule.expires {
            _ if !rule.enabled => Some("it is not enabled".to_owned()),
            Some(expires) if expires <= now => Some(format!("it expired at {expires}")),
            _ => None,
        };
        Arc::new(Row {
            name: rule.name.clone(),
            action: rule.action,
            idle,
            what: conditions(rule),
            origin: format!("{}:{}", rule.origin.file, rule.origin.line),
            text: file.map(|file| written(&file.text, rule.origin.line)).unwrap_or_default(),
        })
    });
    Loaded { revision: ruleset.revision().clone(), rows: rows.collect() }
}

/// The text of the rule whose head is in a line (from 1): the comment above it, and all until the next table.
fn written(text: &str, head: u32) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let head = usize::try_from(head).unwrap_or(0).saturating_sub(1).min(lines.len());
    let above = lines[..head].iter().rev().take_while(|line| line.trim_start().starts_with('#')).count();
    let title = lines.get(head).map_or("", |line| line.trim().trim_matches(['[', ']']));
    let below = lines.iter().skip(head + 1);
    let below = below.take_while(|line| {
        let table = line.trim_start().strip_prefix('[');
        table.is_none_or(|table| table.strip_prefix(title).is_some_and(|rest| rest.starts_with('.')))
    });
    let end = (head + 1 + below.count()).min(lines.len());
    let mut lines = &lines[head - above..end];
    // The comment above the next rule is of that one.
    while let [rest @ .., last] = lines
        && (last.trim().is_empty() || last.trim_start().starts_with('#'))
        && rest.len() > above
    {
        lines = rest;
    }
    lines.join("\n")
}

/// The conditions of a rule, in short.
fn conditions(rule: &Rule) -> String {
    let mut parts = Vec::new();
    let mut add = |key: &str, values: Vec<String>| {
        if !values.is_empty() {
            parts.push(if key.is_empty() { values.join(", ") } else { format!("{key} {}", values.join(", ")) });
        }
    };
    add("", rule.program.iter().map(program).collect());
    add("started by", rule.parent.iter().map(program).collect());
    add("user", texts(&rule.user));
    add("command", texts(&rule.command_line));
    let direction = rule.direction.map(|direction| if direction == Direction::INBOUND { "in" } else { "out" });
    add("", direction.map(str::to_owned).into_iter().collect());
    add("", rule.protocol.iter().map(|number| wording::protocol(*number)).collect());
    add("to", texts(&rule.remote));
    let port = |ports: &std::ops::RangeInclusive<u16>| match (ports.start(), ports.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    add("local port", rule.local_port.iter().map(port).collect());
    add("on", texts(&rule.interface));
    add("when", rule.when.iter().map(ToString::to_string).collect());
    let what = if parts.is_empty() { "everything".to_owned() } else { parts.join("; ") };
    what.chars().take(MAX_WHAT).collect()
}

fn texts(values: &[impl Display]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn program(pattern: &ProgramPattern) -> String {
    let parts = [
        pattern.path.as_ref().map(ToString::to_string),
        pattern.sha256.as_ref().map(|hash| format!("sha256 {}", hash.get(..12).unwrap_or(hash))),
        pattern.publisher.as_ref().map(|publisher| format!("publisher {publisher}")),
        pattern.package.as_ref().map(|package| format!("package {package}")),
        pattern.service.as_ref().map(|service| format!("service {service}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

fn findings(ruleset: &Ruleset, environment: &Environment, now: Timestamp) -> Vec<TraceLine> {
    let findings = check(ruleset, environment, now.as_second());
    if findings.is_empty() {
        return vec![line(Part::Heading, "Nothing: every rule can decide, and none contradicts another.")];
    }
    let mut lines = Vec::new();
    for finding in findings.iter().take(MAX_FINDINGS) {
        let at = format!("{}:{}", finding.at.file, finding.at.line);
        lines.push(line(Part::Heading, format!("{} is {} ({at})", finding.rule, finding.kind)));
        lines.push(line(Part::Plain, finding.message.clone()));
        if let Some(other) = &finding.other {
            lines.push(line(Part::Plain, format!("{} is at {}:{}", other.rule, other.at.file, other.at.line)));
        }
        lines.push(line(Part::Plain, format!("help: {}", finding.help)));
        lines.push(line(Part::Plain, ""));
    }
    if findings.len() > MAX_FINDINGS {
        lines.push(line(Part::Heading, format!("and {} more: `tollgate rules check`", findings.len() - MAX_FINDINGS)));
    }
    lines
}

fn explain(ruleset: &Ruleset, entry: &Entry) -> Vec<TraceLine> {
    let explanation = ruleset.explain(&entry.identity, &entry.flow(), false);
    let mut lines = vec![line(Part::Heading, format!("Rules of revision {}, in their order", explanation.revision))];
    if explanation.others > 0 {
        lines.push(line(Part::Plain, format!("{} for other programs, or not enabled", explanation.others)));
    }
    lines.extend(explanation.steps.iter().map(step));
    lines.push(line(Part::Plain, ""));
    let said = match &explanation.judgement {
        Judgement::Decided(decision) => {
            let because =
                decision.because.as_ref().map_or("because no rule matches".to_owned(), |rule| format!("by {rule}"));
            lines.push(line(Part::Heading, format!("The rules say {}, {because}.", decision.action)));
            Some(decision.action)
        }
        Judgement::Needs(_) => {
            lines.push(line(Part::Heading, "The rules turn on facts that were not recorded."));
            None
        }
    };
    if let Reason::Rule { .. } = entry.reason {
        let agrees = matches!(
            (said, entry.verdict),
            (Some(Action::Permit), Verdict::Permit) | (Some(Action::Block), Verdict::Block)
        );
        if !agrees {
            let differs = format!(
                "But it was decided otherwise: {}. Something else was known then.",
                wording::verdict(entry.verdict)
            );
            lines.push(line(Part::Decisive, differs));
        }
    } else {
        lines.push(line(
            Part::Decisive,
            format!("Then {}: {}.", wording::why_long(entry), wording::verdict(entry.verdict)),
        ));
    }
    lines
}

fn step(step: &Step) -> TraceLine {
    let Step { rule, origin, action, result } = step;
    let head = format!("{rule} ({}:{})", origin.file, origin.line);
    match result {
        StepResult::Matched => line(Part::Decisive, format!("{head} matches: {action}")),
        StepResult::Needs { needs } => {
            line(Part::Decisive, format!("{head} turns on what was not known: {}", needs.join(", ")))
        }
        StepResult::Failed { condition, error } => {
            let error = error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
            line(Part::Plain, format!("{head}: not by its {}{error}", key(*condition)))
        }
    }
}

/// A condition by its key in the file.
fn key(condition: Condition) -> &'static str {
    match condition {
        Condition::Enabled => "enabled",
        Condition::Program => "program",
        Condition::Parent => "parent",
        Condition::User => "user",
        Condition::CommandLine => "command_line",
        Condition::Direction => "direction",
        Condition::Protocol => "protocol",
        Condition::Remote => "remote",
        Condition::LocalPort => "local_port",
        Condition::Interface => "interface",
        Condition::Expires => "expires",
        Condition::When => "when",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# For everybody.\n\n# Git.\n[rule.git]\naction = \"permit\"\n\n[rule.git.program]\npath = \"git\"\n\n\
        # No more.\n[rule.rest]\naction = \"block\"\n";

    #[test]
    fn a_rule_is_shown_as_written_with_its_comment_and_nothing_of_the_next() {
        let git = "# Git.\n[rule.git]\naction = \"permit\"\n\n[rule.git.program]\npath = \"git\"";
        assert_eq!(written(TEXT, 4), git);
        assert_eq!(written(TEXT, 11), "# No more.\n[rule.rest]\naction = \"block\"");
        assert_eq!(written(TEXT, 400), "");
        assert_eq!(written("", 1), "");
    }
}
