//! The service, as the control server asks it.
//!
//! Invariants: a client is told that something is done when it is in force and on the disk. Neighbours: `server` has checked
//! who asks; `memory` writes down what must last.

use crate::ask::person::Person;
use crate::ask::refused::AnswerRefused;
use crate::ask::reply::Lasting;
use crate::ask::rule::Forever;
use crate::daemon::core::Core;
use crate::daemon::memory::MemoryError;
use crate::journal::Event;
use crate::policy::Read;
use crate::server::{Change, Client, Desk, Query};
use control::entry::{Entry, Verdict};
use control::prompt::{Answer, Prompt};
use control::protocol::{ErrorKind, Proposal, Refusal, Role};
use control::status::{Snooze, Status};
use rules::decision::Revision;
use rules::source::{Problem, SourceFile};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How long a question to the log waits for entries that are yet to be written.
const FLUSH: Duration = Duration::from_millis(500);

/// Who answers prompts: the number under which the people know each, by user id; `None` for administrators.
pub type Audience = BTreeMap<Option<Arc<str>>, u64>;

impl Desk for Core {
    fn status(&self) -> Status {
        Core::status(self)
    }

    fn entries(&self, query: &Query) -> Result<Vec<Entry>, Refusal> {
        let log = self.log.as_ref().ok_or_else(|| no_log("the log is turned off in the configuration"))?;
        let Query { filter, after, before, limit } = query;
        if before.is_none() {
            // What was decided before the question is in the answer. A log that cannot be written answers as it is.
            let _is_written = log.flush(FLUSH);
        }
        log.reader().entries(filter, *after, *before, *limit).map_err(|error| failed(&error))
    }

    fn prompts(&self, look: &mut dyn FnMut(&[Prompt])) {
        let now = self.gate.clock.now();
        self.gate.with_asks(now, |asks| look(&asks.prompts_for(&administrator(), now)));
    }

    fn audience_changed(&self) {
        let mut known = self.audience.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = self.feed.audience();
        let users = wanted.users.iter().cloned().map(Some);
        let wanted: Vec<Option<Arc<str>>> = users.chain(wanted.administrator.then_some(None)).collect();
        let now = self.gate.clock.now();
        for who in &wanted {
            let number = known.values().max().map_or(0, |highest| highest + 1);
            if !known.contains_key(who) {
                known.insert(who.clone(), number);
                let person = who.as_ref().map_or_else(administrator, operator);
                self.gate.with_asks(now, |asks| asks.follow(number, person));
            }
        }
        let mut gone = Vec::new();
        known.retain(|who, number| {
            let stays = wanted.contains(who);
            if !stays {
                gone.push(*number);
            }
            stays
        });
        // Before anybody else may be given one of these numbers.
        let unfollow = |number: u64| self.gate.with_asks(now, |asks| asks.unfollow(number, now));
        let released = gone.into_iter().flat_map(unfollow).collect();
        drop(known);
        self.gate.release(released);
    }

    fn answer(&self, client: &Client, prompt: u64, answer: Answer) -> Result<(), Refusal> {
        let now = self.gate.clock.now();
        let person = Person {
            id: client.user.id.clone(),
            name: client.user_name().into(),
            administrator: client.role == Role::Administrator,
        };
        let (opened, answered) = self.gate.with_asks(now, |asks| {
            let opened = asks.prompts_for(&person, now).iter().find(|open| open.id == prompt).map(|open| open.opened);
            (opened, asks.answer(prompt, &answer, &person, now))
        });
        let answered = answered.map_err(|refused| answer_refused(&refused))?;
        if let Some(opened) = opened {
            // A wall clock that was set back meanwhile tells nothing.
            self.metrics.answered(Duration::try_from(now.wall.duration_since(opened)).unwrap_or_default());
        }
        self.gate.release(answered.decided);
        match answered.lasting {
            Lasting::Nothing => Ok(()),
            Lasting::Answers => self.memory.write_answers(&self.gate).map_err(|error| not_written(&error)),
            Lasting::Rule(forever) => self.add_rule(prompt, &forever),
        }
    }

    fn snooze(&self, _client: &Client, snooze: Snooze) -> Result<(), Refusal> {
        let now = self.gate.clock.now();
        let verdict = snooze.verdict.or(self.gate.config.load().ask.snooze);
        let snoozed = self.gate.with_asks(now, |asks| asks.snooze(Snooze { verdict, ..snooze }, now));
        snoozed.map_err(|error| refusal(ErrorKind::BadRequest, &error, None))
    }

    fn ruleset(&self, revision: Option<&Revision>) -> Result<(Revision, Vec<SourceFile>), Refusal> {
        let rules = self.rules();
        let in_force = rules.ruleset.revision();
        if revision.is_none_or(|revision| revision == in_force) {
            return Ok((in_force.clone(), rules.ruleset.files().to_vec()));
        }
        let revision = revision.unwrap_or(in_force);
        let log = self.log.as_ref().ok_or_else(|| no_log("the log is turned off, and only it keeps old rules"))?;
        let files = log.reader().ruleset(revision).map_err(|error| failed(&error))?;
        let unknown = || Refusal {
            kind: ErrorKind::NotFound,
            message: format!("the log does not keep the rules of revision {revision}"),
            help: None,
            problems: Vec::new(),
        };
        files.map(|files| (revision.clone(), files)).ok_or_else(unknown)
    }

    fn reload(&self, _client: &Client) -> Result<(), Refusal> {
        Core::reload(self).map_err(bad_rules)
    }

    fn proposals(&self) -> Result<Vec<Proposal>, Refusal> {
        Ok(self.gate.with_asks(self.gate.clock.now(), |asks| asks.learned().proposals()))
    }

    fn review(&self, _client: &Client, ids: &[String], adopt: bool) -> Result<(), Refusal> {
        if adopt {
            self.memory.adopt(ids, &self.gate).map_err(|error| not_written(&error))?;
            self.put_in_force()?;
        }
        self.memory.forget(ids, &self.gate).map_err(|error| not_written(&error))
    }

    fn audit(&self, client: &Client, change: &Change, refused: Option<&Refusal>) {
        let what = match change {
            Change::Answer { prompt, answer } => {
                format!("{} for prompt {prompt}, {:?}, {:?}", verb(answer.verdict), answer.hold, answer.target)
            }
            Change::Snooze(snooze) => format!("snooze for {} s", snooze.seconds),
            Change::Reload => "reload".to_owned(),
            Change::Review { ids, adopt: true } => format!("adopt {}", ids.join(", ")),
            Change::Review { ids, adopt: false } => format!("drop {}", ids.join(", ")),
        };
        let refused = refused.map(|refused| refused.message.clone());
        self.tell(&Event::Changed { who: client.user_name().to_owned(), what, refused });
    }
}

impl Core {
    /// Makes an answer for ever a rule. Until that is in force, the answer decides by itself.
    fn add_rule(&self, prompt: u64, forever: &Forever) -> Result<(), Refusal> {
        let rules = self.rules();
        self.memory.add_rule(forever, &rules.ruleset).map_err(|error| not_written(&error))?;
        self.put_in_force()?;
        self.gate.with_asks(self.gate.clock.now(), |asks| asks.rule_in_force(prompt));
        Ok(())
    }

    /// Puts rules in force that were written just now.
    fn put_in_force(&self) -> Result<(), Refusal> {
        let read = self.gate.policy.read(self.gate.clock.now());
        self.rules_read(&read);
        match read {
            Read::Refused(problems) => Err(bad_rules(problems)),
            Read::InForce | Read::Same => Ok(()),
        }
    }
}

fn administrator() -> Person {
    Person { id: "".into(), name: "administrators".into(), administrator: true }
}

fn operator(id: &Arc<str>) -> Person {
    Person { id: id.clone(), name: id.clone(), administrator: false }
}

fn verb(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Permit => "permit",
        Verdict::Block => "block",
    }
}

fn refusal(kind: ErrorKind, error: &dyn std::error::Error, help: Option<&str>) -> Refusal {
    Refusal { kind, message: error.to_string(), help: help.map(str::to_owned), problems: Vec::new() }
}

fn answer_refused(refused: &AnswerRefused) -> Refusal {
    refusal(refused.kind(), refused, refused.help())
}

fn failed(error: &dyn std::error::Error) -> Refusal {
    refusal(ErrorKind::Failed, error, None)
}

fn not_written(error: &MemoryError) -> Refusal {
    match error {
        MemoryError::Learn(crate::ask::learn::LearnError::NotFound(_)) => refusal(ErrorKind::NotFound, error, None),
        _ => refusal(ErrorKind::Failed, error, Some("what was answered holds until the service ends")),
    }
}

fn no_log(message: &str) -> Refusal {
    Refusal { kind: ErrorKind::NotFound, message: message.to_owned(), help: None, problems: Vec::new() }
}

fn bad_rules(problems: Vec<Problem>) -> Refusal {
    let message = "the rules have errors, and those in force stay".to_owned();
    Refusal { kind: ErrorKind::BadRules, message, help: Some("correct them, then reload".to_owned()), problems }
}
