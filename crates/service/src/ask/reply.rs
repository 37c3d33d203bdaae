//! An answer, checked and carried out.
//!
//! Rights: a person answers what is their own user's, and an administrator everything; for ever is for administrators,
//! and nobody answers for ever where a mandatory rule asks. Where program or user are unknown an answer holds once, because
//! nothing would tell the next connection's program from another.
//!
//! Invariants: a refused answer changes nothing; an answer releases what it covers in every prompt of its asker, and nothing
//! else; connections of the answered prompt that it does not cover move to new prompts, with the deadlines they have.
//! Neighbours: `coverage` says what is covered.

use super::Asks;
use super::answers::{Holds, Kept};
use super::changes::kind;
use super::coverage::{Aim, Coverage, Vouched};
use super::person::Person;
use super::prompts::Open;
use super::refused::AnswerRefused;
use super::rule::{Forever, is_link_local};
use super::waiting::{Considered, Decided};
use crate::clock::Now;
use crate::identity::Key;
use control::entry::Reason;
use control::prompt::{Answer, Closed, Hold, HoldKind};
use jiff::Timestamp;
use rules::decision::RuleName;
use rules::model::{Layer, Lifetime};
use std::sync::Arc;
use std::time::Duration;

/// The longest time an answer holds, in seconds: 366 days.
pub const MAX_SECONDS: u32 = 31_622_400;
/// The longest note, in characters.
pub const MAX_NOTE: usize = 500;
/// For how many processes one answer is kept: those whose connections it decides.
const MAX_PROCESSES: usize = 64;
/// How much of a person's name is kept, in characters.
const MAX_NAME: usize = 256;

/// What an answer did. The enforcement point has nothing to forget: a connection that is asked about is remembered for its
/// own operation only ([`rules::decision::Decision::scope`]).
#[derive(Debug)]
#[must_use = "programs wait for these verdicts"]
pub struct Answered<T> {
    /// Connections that have their verdict now.
    pub decided: Vec<Decided<T>>,
    /// What must be made to last before the person is told that it is done.
    pub lasting: Lasting,
}

/// What must be made to last.
#[derive(Clone, Debug, PartialEq)]
pub enum Lasting {
    /// Nothing.
    Nothing,
    /// The answers in force: write down [`Asks::snapshot`].
    Answers,
    /// A rule: add it to the `user` layer, put the rules in force and then call [`Asks::rule_in_force`]. Until then, or
    /// until the service ends, the answer decides by itself.
    Rule(Box<Forever>),
}

impl<T> Asks<T> {
    /// Answers a prompt.
    pub fn answer(&mut self, id: u64, answer: &Answer, by: &Person, now: Now) -> Result<Answered<T>, AnswerRefused> {
        let open = self.prompts.get(id).filter(|open| by.may_answer(open.owner()));
        let open = open.ok_or_else(|| self.why_not_open(id, by))?;
        let aim = check(id, open, answer, by)?;
        let (shown, asker) = (open.shown.clone(), open.key.asker.clone());
        let coverage = Coverage { asker, vouched: Vouched::of(&shown.identity), aim };
        let only = (answer.hold == Hold::Forever).then(|| shown.asked_by.clone());
        let name: Arc<str> = by.name.chars().take(MAX_NAME).collect::<String>().into();
        let decided = self.carry_out(id, answer, &coverage, only.as_ref(), &name, now);

        let keep = |hold| {
            let Coverage { asker, vouched, aim } = coverage.clone();
            Some(Kept {
                program: asker.path()?.clone(),
                user: asker.user?,
                vouched,
                direction: asker.direction,
                aim,
                verdict: answer.verdict,
                hold,
                by: name.clone(),
                prompt: id,
                given: now.wall,
            })
        };
        let (kept, lasting): (Vec<Option<Kept>>, Lasting) = match answer.hold {
            Hold::Once => (Vec::new(), Lasting::Nothing),
            Hold::Process => {
                let of = |pid, start_key| Key { pid, start_key };
                let mut keys = vec![of(shown.pid, shown.start_key)];
                keys.extend(decided.iter().map(|decided| of(decided.waiting.pid, decided.waiting.start_key)));
                let mut seen = std::collections::HashSet::new();
                keys.retain(|key| key.start_key != 0 && seen.insert(key.start_key));
                keys.truncate(MAX_PROCESSES);
                // What vouched for the program matters to no answer for a process, whose program cannot be replaced.
                let of_process = |Key { pid, start_key }| {
                    Some(Kept { vouched: Vouched::default(), ..keep(Holds::Process { start_key, pid })? })
                };
                (keys.into_iter().map(of_process).collect(), Lasting::Answers)
            }
            Hold::Duration { seconds } => {
                let end = now.wall.checked_add(Duration::from_secs(seconds.into())).unwrap_or(Timestamp::MAX);
                (vec![keep(Holds::Until { end, seconds })], Lasting::Answers)
            }
            Hold::Forever => {
                let kept = keep(Holds::Ruled { asked_by: shown.asked_by.clone() });
                let forever = kept.clone().map(|kept| Forever { kept, asked: shown, note: answer.note.clone() });
                (vec![kept], forever.map_or(Lasting::Nothing, |forever| Lasting::Rule(Box::new(forever))))
            }
        };
        for kept in kept.into_iter().flatten() {
            self.answers.keep(kept, now);
        }
        Ok(Answered { decided, lasting })
    }

    /// Why a prompt cannot be answered that is not open, or not this person's.
    fn why_not_open(&self, id: u64, by: &Person) -> AnswerRefused {
        let gone = self.changes.find_closed(id).filter(|gone| by.may_answer(gone.owner.as_ref()));
        match gone.map(|gone| &gone.closed) {
            Some(Closed::Answered { user, verdict }) => {
                AnswerRefused::AlreadyAnswered { prompt: id, user: user.clone(), verdict: *verdict }
            }
            Some(Closed::Expired) => AnswerRefused::Expired(id),
            Some(Closed::Ruled) => AnswerRefused::Ruled(id),
            None => AnswerRefused::NotFound(id),
        }
    }

    /// Releases what is covered, closes what has nothing left to ask, and moves the rest. `only`: where this rule asks.
    fn carry_out(
        &mut self,
        answered: u64,
        answer: &Answer,
        coverage: &Coverage,
        only: Option<&Option<RuleName>>,
        name: &Arc<str>,
        now: Now,
    ) -> Vec<Decided<T>> {
        let concerns = |open: &Open<T>| {
            open.key.asker == coverage.asker && only.is_none_or(|asked_by| *asked_by == open.key.asked_by)
        };
        let ids: Vec<u64> = self.prompts.iter().filter(|(_, open)| concerns(open)).map(|(id, _)| id).collect();
        let reason = Reason::Answer { prompt: answered, user: name.clone() };
        let (mut decided, mut rest) = (Vec::new(), Vec::new());
        for id in ids {
            let covered = self.prompts.take(id, |waiting| coverage.covers(waiting));
            let shown = self.prompts.get(id).is_some_and(|open| coverage.covers(&open.shown));
            let closes = id == answered || shown && (answer.hold != Hold::Once || !covered.is_empty());
            if closes && let Some(open) = self.prompts.close(id) {
                self.counts.answered += 1;
                self.tell_closed(id, &open, Closed::Answered { user: name.clone(), verdict: answer.verdict });
                rest.extend(open.waiting);
            } else if !covered.is_empty() {
                self.settle(id, now);
            }
            decided.extend(covered.into_iter().map(|waiting| waiting.decided(answer.verdict, reason.clone())));
        }
        for waiting in rest {
            if let Considered::Decided(by_default) = self.ask(waiting, now) {
                decided.push(by_default);
            }
        }
        decided
    }
}

/// Whether this answer may be given; what its target means.
fn check<T>(id: u64, open: &Open<T>, answer: &Answer, by: &Person) -> Result<Aim, AnswerRefused> {
    let target = if open.domain().is_none() && answer.target == control::prompt::Target::Domain {
        None
    } else {
        Aim::of(&open.shown, answer.target)
    };
    let aim = target.ok_or(match answer.target {
        control::prompt::Target::Port => AnswerRefused::NoPort(id),
        _ => AnswerRefused::NoDomain(id),
    })?;
    if let Some(note) = &answer.note
        && let length = note.chars().count()
        && length > MAX_NOTE
    {
        return Err(AnswerRefused::LongNote(length));
    }
    match answer.hold {
        Hold::Duration { seconds } if !(1..=MAX_SECONDS).contains(&seconds) => {
            return Err(AnswerRefused::BadDuration(seconds));
        }
        Hold::Forever if matches!(&aim, Aim::Remote { end, .. } if is_link_local(end.ip())) => {
            return Err(AnswerRefused::LinkLocal);
        }
        _ => {}
    }
    if holds(open, by.administrator).contains(&kind(answer.hold)) {
        return Ok(aim);
    }
    Err(match (answer.hold, &open.key.asked_by) {
        (Hold::Once, _) => AnswerRefused::NothingWaits(id),
        _ if open.key.asker.path().is_none() => AnswerRefused::Unknown,
        (Hold::Forever, _) if !by.administrator => AnswerRefused::NeedsAdministrator,
        (Hold::Forever, Some(rule)) => AnswerRefused::Mandatory(rule.clone()),
        _ => AnswerRefused::NoProcess,
    })
}

/// How long an answer to this prompt may hold.
pub(super) fn holds<T>(open: &Open<T>, administrator: bool) -> Vec<HoldKind> {
    let is_known = open.key.asker.path().is_some();
    let may_overrule = |rule: &RuleName| !matches!(rule.layer, Layer::Floor | Layer::Mandatory);
    let allowed = [
        (HoldKind::Once, !open.waiting.is_empty()),
        (HoldKind::Process, is_known && open.shown.start_key != 0),
        (HoldKind::Duration, is_known),
        (HoldKind::Forever, is_known && administrator && open.key.asked_by.as_ref().is_none_or(may_overrule)),
    ];
    allowed.into_iter().filter_map(|(kind, allowed)| allowed.then_some(kind)).collect()
}

/// What to offer first, of what is allowed.
pub(super) fn offer(lifetime: Lifetime, holds: &[HoldKind]) -> Hold {
    let offer = match lifetime {
        Lifetime::Once => Hold::Once,
        Lifetime::Process => Hold::Process,
        Lifetime::For(time) => Hold::Duration { seconds: u32::try_from(time.as_secs()).unwrap_or(MAX_SECONDS) },
        Lifetime::Forever => Hold::Forever,
    };
    if holds.contains(&kind(offer)) { offer } else { Hold::Once }
}
