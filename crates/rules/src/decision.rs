//! What a ruleset concludes about one connection.
//!
//! Neighbours: `ruleset` makes these, `service` carries them out.

use crate::facts::Needs;
use crate::model::{Action, Layer, Lifetime};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use wire::verdict::Scope;

/// The answer to "may it?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Decided.
    Decided(Decision),
    /// A rule that stands before any that matches turns on facts that are still being looked up. Ask again when they are
    /// known, or given up.
    Needs(Needs),
}

/// A decision, and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Permit, block or ask.
    pub action: Action,
    /// How widely the enforcement point may remember it without ever deciding another connection differently than these
    /// rules would. [`Scope::OPERATION`] for `ask`.
    pub scope: Scope,
    /// How long an answer holds. For `ask`: what to offer first.
    pub lifetime: Lifetime,
    /// Whether it goes into the log.
    pub log: bool,
    /// The rule that made it; `None` when none matched, which is then an `ask`.
    pub because: Option<RuleName>,
}

/// Names a rule: its layer and its id in there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleName {
    /// The layer.
    pub layer: Layer,
    /// The key of its table: unique in the layer.
    pub id: Arc<str>,
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.layer, self.id)
    }
}

/// Names the contents of a ruleset: equal contents, equal revision. The first 12 hexadecimal digits of a SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub Arc<str>);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
