//! What was seen, which hypothesis it fits, and what follows.
//!
//! Invariant: an experiment ends in one [`Finding`]; only a hypothesis says whether something contradicts Tollgate.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

/// What one experiment saw: names and values, in the order in which they were seen.
#[derive(Debug, Default)]
pub struct Facts(Vec<(&'static str, Value)>);

impl Facts {
    /// Notes something. What is noted again replaces what was.
    pub fn note(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value.into()));
    }

    /// A number; 0 when it was not noted.
    pub fn number(&self, name: &str) -> i64 {
        self.value(name).and_then(Value::as_i64).unwrap_or_default()
    }

    /// Whether it was noted as true.
    pub fn is(&self, name: &str) -> bool {
        self.value(name) == Some(&Value::Bool(true))
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn to_json(&self) -> Value {
        Value::Object(self.0.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<Map<_, _>>())
    }
}

/// Whether Tollgate can live with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bears {
    /// Nothing has to change.
    Fine,
    /// Something that Tollgate relies on is not so.
    Contradicts,
}

/// One possible answer.
#[derive(Debug)]
pub struct Hypothesis {
    /// Its short name.
    pub key: &'static str,
    /// What is seen if it holds.
    pub expects: &'static str,
    /// Whether Tollgate bears it.
    pub bears: Bears,
    /// What depends on it: which setting or file to change, or to leave.
    pub then: &'static str,
}

impl Hypothesis {
    /// An answer that Tollgate bears.
    pub const fn fine(key: &'static str, expects: &'static str, then: &'static str) -> Self {
        Self { key, expects, bears: Bears::Fine, then }
    }

    /// An answer that contradicts what Tollgate relies on.
    pub const fn contradicts(key: &'static str, expects: &'static str, then: &'static str) -> Self {
        Self { key, expects, bears: Bears::Contradicts, then }
    }
}

/// One question and how to settle it.
pub struct Story {
    /// What it is called on the command line.
    pub name: &'static str,
    /// The question.
    pub question: &'static str,
    /// Whether it needs a second machine.
    pub needs_peer: bool,
    /// Every possible answer.
    pub hypotheses: &'static [Hypothesis],
    /// Looks.
    pub run: fn(&crate::stories::Stage, &mut Facts) -> anyhow::Result<()>,
    /// Says which answer it is: a `key` of `hypotheses`.
    pub judge: fn(&Facts) -> &'static str,
}

/// How an experiment ended.
pub enum Outcome {
    /// With an answer.
    Answer(&'static Hypothesis),
    /// It could not be run here.
    Skipped(&'static str),
    /// It went wrong before there was an answer.
    Failed(String),
}

/// An experiment that has ended.
pub struct Finding {
    pub story: &'static Story,
    pub facts: Facts,
    pub outcome: Outcome,
    /// Whether the driver's counters balance afterwards; `None` when they could not be read.
    pub balances: Option<bool>,
}

impl Finding {
    /// Judges what was seen.
    pub fn judge(story: &'static Story, facts: Facts, balances: Option<bool>) -> Self {
        let key = (story.judge)(&facts);
        let outcome = match story.hypotheses.iter().find(|hypothesis| hypothesis.key == key) {
            Some(hypothesis) => Outcome::Answer(hypothesis),
            None => Outcome::Failed(format!("{key} is no hypothesis of {}", story.name)),
        };
        Self { story, facts, outcome, balances }
    }

    /// Whether it contradicts what Tollgate relies on.
    pub fn contradicts(&self) -> bool {
        self.balances == Some(false)
            || matches!(&self.outcome, Outcome::Answer(hypothesis) if hypothesis.bears == Bears::Contradicts)
    }

    fn to_json(&self) -> Value {
        let (outcome, then) = match &self.outcome {
            Outcome::Answer(answer) => (answer.key.to_owned(), answer.then.to_owned()),
            Outcome::Skipped(why) => ("skipped".to_owned(), (*why).to_owned()),
            Outcome::Failed(why) => ("failed".to_owned(), why.clone()),
        };
        json!({ "experiment": self.story.name, "outcome": outcome, "contradicts": self.contradicts(),
            "balances": self.balances, "seen": self.facts.to_json(), "then": then })
    }

    fn print(&self) {
        println!("{}: {}", self.story.name, self.story.question);
        for (name, value) in &self.facts.0 {
            println!("    {name} = {value}");
        }
        for one in self.story.hypotheses {
            println!("  - {} if {}", one.key, one.expects);
        }
        match &self.outcome {
            Outcome::Answer(answer) => {
                let word = if answer.bears == Bears::Fine { "fine" } else { "CONTRADICTS" };
                println!("  = {}: {word}. {}", answer.key, answer.then);
            }
            Outcome::Skipped(why) => println!("  = skipped: {why}"),
            Outcome::Failed(why) => println!("  = FAILED: {why}"),
        }
        match self.balances {
            Some(true) => println!("  counters balance\n"),
            Some(false) => println!("  COUNTERS DO NOT BALANCE: an operation or packet was lost\n"),
            None => println!("  counters unknown\n"),
        }
    }
}

/// All experiments of one run.
pub struct Report {
    json: bool,
    contradictions: Vec<&'static str>,
    failed: Vec<&'static str>,
    skipped: usize,
    fine: usize,
}

impl Report {
    /// None yet.
    pub fn new(json: bool) -> Self {
        Self { json, contradictions: Vec::new(), failed: Vec::new(), skipped: 0, fine: 0 }
    }

    /// Prints one and counts it.
    pub fn add(&mut self, finding: Finding) {
        if self.json {
            println!("{}", finding.to_json());
        } else {
            finding.print();
        }
        if finding.contradicts() {
            self.contradictions.push(finding.story.name);
        }
        match finding.outcome {
            Outcome::Failed(_) => self.failed.push(finding.story.name),
            Outcome::Skipped(_) => self.skipped += 1,
            Outcome::Answer(_) if !finding.contradicts() => self.fine += 1,
            Outcome::Answer(_) => {}
        }
    }

    /// Prints the sums and gives the exit code.
    pub fn end(&self) -> ExitCode {
        let (contradict, failed) = (self.contradictions.join(", "), self.failed.join(", "));
        if self.json {
            let sums = json!({ "fine": self.fine, "skipped": self.skipped, "contradict": self.contradictions,
                "failed": self.failed });
            println!("{sums}");
        } else {
            println!("{} fine, {} skipped; contradict: [{contradict}]; failed: [{failed}]", self.fine, self.skipped);
        }
        match (self.contradictions.is_empty(), self.failed.is_empty()) {
            (false, _) => ExitCode::from(3),
            (true, false) => ExitCode::FAILURE,
            (true, true) => ExitCode::SUCCESS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYPOTHESES: [Hypothesis; 2] =
        [Hypothesis::fine("yes", "n is 1", "keep it"), Hypothesis::contradicts("no", "it is not", "change it")];
    static STORY: Story = Story {
        name: "story",
        question: "?",
        needs_peer: false,
        hypotheses: &HYPOTHESES,
        run: |_, _| Ok(()),
        judge: |facts| if facts.number("n") == 1 { "yes" } else { "no" },
    };

    fn seen(n: i64) -> Facts {
        let mut facts = Facts::default();
        facts.note("n", n);
        facts
    }

    #[test]
    fn a_finding_contradicts_by_its_hypothesis_or_by_its_counters() {
        assert!(!Finding::judge(&STORY, seen(1), Some(true)).contradicts());
        assert!(!Finding::judge(&STORY, seen(1), None).contradicts());
        assert!(Finding::judge(&STORY, seen(2), Some(true)).contradicts());
        assert!(Finding::judge(&STORY, seen(1), Some(false)).contradicts());
    }

    #[test]
    fn a_finding_in_json_says_what_was_seen_and_what_follows() {
        let found = Finding::judge(&STORY, seen(2), Some(true)).to_json();
        assert_eq!(found["outcome"], "no");
        assert_eq!(found["seen"]["n"], 2);
        assert_eq!(found["then"], "change it");
        assert_eq!(found["contradicts"], true);
    }

    #[test]
    fn what_is_noted_again_replaces_what_was() {
        let mut facts = seen(1);
        facts.note("n", 3);
        facts.note("yes", true);
        assert_eq!((facts.number("n"), facts.number("m")), (3, 0));
        assert!(facts.is("yes") && !facts.is("n"));
    }
}
