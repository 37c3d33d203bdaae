//! An answer for ever, as a rule.

use super::answers::Kept;
use control::entry::Name;
use rules::decision::RuleName;

/// An answer for ever: what a rule is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forever {
    /// What it covers and what it says.
    pub kept: Kept,
    /// The rule that asked.
    pub asked_by: Option<RuleName>,
    /// Why, in the person's words.
    pub note: Option<String>,
    /// The name of the remote that was shown.
    pub name: Option<Name>,
}
