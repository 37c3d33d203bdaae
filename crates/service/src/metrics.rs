//! Prometheus metrics, on a loopback address.
//!
//! * [`ages`]: a histogram of durations that is counted without a lock.
//! * [`scrape`]: answers scrapes.
//!
//! Invariants: counting on the path of a decision is atomic additions only; everything else is read from
//! [`Status`] when somebody asks, so there is one truth. Neighbours: the daemon counts; `docs/log.md` lists the names.

pub mod ages;
pub mod scrape;

pub use scrape::Server;

use crate::export::Exporter;
use crate::metrics::ages::Ages;
use crate::sink::{Made, Sink};
use control::entry::{DefaultWhy, EnforcerWhy, Entry, Reason, Verdict};
use control::status::{Gate, Source, Status};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What is said before each name.
const PREFIX: &str = "tollgate";

/// Who decides: the values of the label `source`.
const SOURCES: [&str; 7] = ["rule", "answer", "timeout", "no_client", "default", "cached", "fallback"];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decided {
    verdict: &'static str,
    source: &'static str,
}

/// What is counted here, beyond what [`Status`] has.
pub struct Metrics {
    decisions: Family<Decided, Counter>,
    /// Those of `decisions`, found without a lock: by source, then verdict.
    by_source: [[Counter; 2]; SOURCES.len()],
    ages: Ages,
    answers: Ages,
    exporter: OnceLock<Arc<Exporter>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let decisions = Family::<Decided, Counter>::default();
        let by_source = SOURCES.map(|source| {
            ["permit", "block"].map(|verdict| decisions.get_or_create(&Decided { verdict, source }).clone())
        });
        Self { decisions, by_source, ages: Ages::default(), answers: Ages::default(), exporter: OnceLock::new() }
    }
}

impl Sink for Metrics {
    fn take(&self, made: &[Made]) {
        made.iter().for_each(|made| self.decided(&made.entry));
    }
}

impl Metrics {
    /// A decision was made.
    pub fn decided(&self, entry: &Entry) {
        let verdict = usize::from(entry.verdict == Verdict::Block);
        if let Some(counters) = self.by_source.get(source(&entry.reason)) {
            counters[verdict].inc();
        }
        self.ages.count(Duration::from_millis(entry.held_ms));
    }

    /// A prompt was answered that long after it was opened.
    pub fn answered(&self, after: Duration) {
        self.answers.count(after);
    }

    /// Tells what `exporter` dropped from now on; it is the only one.
    pub fn watch(&self, exporter: Arc<Exporter>) {
        // A second one is not ours to count.
        let _ = self.exporter.set(exporter);
    }

    /// The metrics as text, with what `status` has.
    pub fn text(&self, status: &Status) -> String {
        let dropped = self.exporter.get().map_or(0, |exporter| exporter.dropped());
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register("decisions", "Connections decided, by verdict and by who decided", self.decisions.clone());
        registry.register_with_unit("held", "How long connections were held", Unit::Seconds, self.ages.clone());
        let help = "How long prompts were open until somebody answered";
        registry.register_with_unit("prompt_answer", help, Unit::Seconds, self.answers.clone());
        for (name, help, count) in counters(status, dropped) {
            registry.register(name, help, ConstCounter::new(count));
        }
        for (name, help, value) in gauges(status) {
            registry.register(name, help, ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)));
        }
        registry.register(
            "ruleset",
            "The rules in force",
            Info::new([("revision", status.rules.revision.to_string())]),
        );
        registry.register("build", "The release", Info::new([("version", status.version.clone())]));
        let mut out = String::new();
        // Writing into memory does not fail.
        let _ = text::encode(&mut out, &registry);
        out
    }
}

fn counters(status: &Status, dropped: u64) -> [(&'static str, &'static str, u64); 9] {
    let counters = &status.counters;
    [
        ("stale", "Decisions that came too late", counters.stale),
        ("live_ended", "Connections that lived already, and were ended by what is in force now", counters.ended),
        ("reported", "Connections that the enforcement point decided alone", counters.reported),
        ("lost_reports", "Reports of those that were lost", counters.lost_reports),
        ("defaulted", "Decisions by default, in place of a person", counters.defaulted),
        ("prompts_opened", "Prompts opened", counters.prompts),
        ("prompts_answered", "Prompts answered", counters.answered),
        ("log_shed", "Entries not logged because the queue was full or a number was taken", counters.shed),
        ("export_dropped", "Entries not exported because their receiver was away or slow", dropped),
    ]
}

fn gauges(status: &Status) -> [(&'static str, &'static str, u64); 9] {
    let is_attached = matches!(status.gate, Gate::Attached { .. });
    let logs = matches!(status.log.state, Source::Works { .. });
    [
        ("waiting", "Connections that wait for a person", status.counters.waiting),
        ("prompts_open", "Open prompts", status.prompts),
        ("gate_attached", "1 when connections are held and rules decide", is_attached.into()),
        ("rules", "Rules in force", status.rules.count),
        (
            "rules_refused",
            "Errors in the files of rules, when those in force are older",
            status.rules.refused.len() as u64,
        ),
        ("log_working", "1 when entries are kept", logs.into()),
        ("log_bytes", "Size of the log", status.log.bytes),
        ("log_entries", "Entries in the log", status.log.entries),
        ("snoozed", "1 while prompts are snoozed", status.snoozed_until.is_some().into()),
    ]
}

/// Which of [`SOURCES`].
const fn source(reason: &Reason) -> usize {
    match reason {
        Reason::Rule { .. } => 0,
        Reason::Answer { .. } => 1,
        Reason::Default { why: DefaultWhy::TimedOut } => 2,
        Reason::Default { why: DefaultWhy::NoClient } => 3,
        Reason::Default { .. } => 4,
        Reason::Enforcer { why: EnforcerWhy::Cached } => 5,
        Reason::Enforcer { .. } => 6,
    }
}
