//! One decision, rule by rule.
//!
//! Walks every rule in order and tests it whole, without the index that decides: slow, and a second way to the same
//! decision, which tests compare. Neighbours: `index` decides; `cli` shows this.

use crate::decision::{Judgement, Revision, RuleName};
use crate::facts::{Flow, Identity, Needs};
pub use crate::index::conditions::Condition;
use crate::index::conditions::Place;
use crate::index::{nothing_matched, with_plain_name};
use crate::model::{Action, Origin};
use crate::ruleset::Ruleset;
use serde::{Serialize, Serializer};
use std::sync::Arc;

/// How a decision came about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The ruleset.
    pub revision: Revision,
    /// The rules that were considered, in order; the last is the one that decided, if one did.
    pub steps: Vec<Step>,
    /// How many more rules before it did not match: they are for other programs, are not enabled, or came after the first
    /// [`MAX_STEPS`].
    pub others: usize,
    /// What was decided: the same as [`Ruleset::decide`] says.
    #[serde(serialize_with = "serialize_judgement")]
    pub judgement: Judgement,
}

/// One rule that was considered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The rule.
    pub rule: RuleName,
    /// Where it stands.
    pub origin: Origin,
    /// What it does.
    pub action: Action,
    /// What became of it.
    #[serde(flatten)]
    pub result: StepResult,
}

/// What became of a rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum StepResult {
    /// All its conditions hold.
    Matched,
    /// It turns on facts that are still being looked up.
    Needs {
        /// Which.
        needs: Vec<&'static str>,
    },
    /// A condition does not hold.
    Failed {
        /// The first that does not.
        condition: Condition,
        /// Why an expression could not be evaluated.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

/// How many rules an explanation tells, unless it is to tell all.
pub const MAX_STEPS: usize = 1000;

impl Ruleset {
    /// Explains a decision. `all`: tells also the rules for other programs, and those that are not enabled.
    pub fn explain(&self, identity: &Identity, flow: &Flow<'_>, all: bool) -> Explanation {
        let standings = self.index.standings(Arc::new(identity.clone()));
        with_plain_name(flow, |flow| {
            let place = Place::new(flow);
            let mut steps = Vec::new();
            let mut others = 0;
            let mut judgement = Judgement::Decided(nothing_matched());
            let mut enabled = 0..;
            for rule in self.rules() {
                let place_in_order = rule.enabled.then(|| enabled.next()).flatten();
                let result = match place_in_order {
                    Some(at) => self.index.walk_one(at, &standings, &place),
                    None => Err((Condition::Enabled, None)),
                };
                let is_other = matches!(result, Err((Condition::Program | Condition::Enabled, _)));
                if !all && (is_other || (result.is_err() && steps.len() >= MAX_STEPS)) {
                    others += 1;
                    continue;
                }
                let step =
                    |result| Step { rule: rule.name.clone(), origin: rule.origin.clone(), action: rule.action, result };
                match result {
                    Err((condition, error)) => steps.push(step(StepResult::Failed { condition, error })),
                    Ok(needs) if needs.is_empty() => {
                        steps.push(step(StepResult::Matched));
                        let at = place_in_order.expect("a rule that matches is enabled");
                        judgement = Judgement::Decided(self.index.decision(at, &standings, &place));
                        break;
                    }
                    Ok(needs) => {
                        steps.push(step(StepResult::Needs { needs: names(needs) }));
                        judgement = Judgement::Needs(needs);
                        break;
                    }
                }
            }
            Explanation { revision: self.revision().clone(), steps, others, judgement }
        })
    }
}

/// The names of facts.
fn names(needs: Needs) -> Vec<&'static str> {
    let all = [(Needs::PROCESS, "process"), (Needs::HASH, "hash"), (Needs::PUBLISHER, "publisher")];
    all.into_iter().filter(|(one, _)| needs.contains(*one)).map(|(_, name)| name).collect()
}

/// A judgement, as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Shown<'a> {
    Decided { action: Action, lifetime: String, scope: &'static str, log: bool, because: Option<&'a RuleName> },
    Needs(Vec<&'static str>),
}

fn serialize_judgement<S: Serializer>(judgement: &Judgement, serializer: S) -> Result<S::Ok, S::Error> {
    use wire::verdict::Scope;
    let shown = match judgement {
        Judgement::Decided(decision) => Shown::Decided {
            action: decision.action,
            lifetime: decision.lifetime.to_string(),
            scope: match decision.scope {
                Scope::PROGRAM => "program",
                Scope::REMOTE => "remote",
                _ => "operation",
            },
            log: decision.log,
            because: decision.because.as_ref(),
        },
        Judgement::Needs(needs) => Shown::Needs(names(*needs)),
    };
    shown.serialize(serializer)
}
