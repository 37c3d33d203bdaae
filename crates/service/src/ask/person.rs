//! Who is at the other end of a client, and what they may do.
//!
//! Invariants: a person sees and answers what belongs to their own user; an administrator, everything. A prompt whose user
//! is unknown belongs to nobody. Neighbours: the control server tells who a client is, `prompts` asks here.

use std::sync::Arc;

/// A person, as the system vouches for them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Person {
    /// The user id, as in [`rules::facts::User::id`].
    pub id: Arc<str>,
    /// What people call them: what logs and rules say who answered.
    pub name: Arc<str>,
    /// Whether they may change policy.
    pub administrator: bool,
}

impl Person {
    /// Whether they may see and answer prompts of this user.
    pub fn may_answer(&self, owner: Option<&Arc<str>>) -> bool {
        self.administrator || owner.is_some_and(|owner| *owner == self.id)
    }
}
