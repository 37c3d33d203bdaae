//! What the service tells clients unasked: new entries, prompts that open, change and close.
//!
//! Invariants: telling never waits; a follower that is too slow loses events and is told how many. A prompt goes to
//! those clients alone that may answer it. Neighbours: the daemon tells, `session` makes a client follow.

use crate::server::desk::Client;
use crate::server::outbox::{Event, Outbox};
use crate::sink::{Made, Sink};
use arc_swap::ArcSwap;
use control::filter::Filter;
use control::prompt::{Closed, Hold, HoldKind, Prompt};
use control::protocol::Role;
use rules::facts::User;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Those who follow. Clones are the same feed.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    followers: Arc<ArcSwap<Followers>>,
    /// The prompts that were closed last, with whose they were.
    closed: Arc<Mutex<VecDeque<ClosedPrompt>>>,
}

#[derive(Clone, Debug)]
struct ClosedPrompt {
    id: u64,
    owner: Option<User>,
    closed: Closed,
}

/// How many closed prompts are remembered, to tell those who answer too late.
const REMEMBERED: usize = 256;

#[derive(Clone, Debug, Default)]
struct Followers {
    entries: Vec<(Arc<Client>, Filter, Arc<Outbox>)>,
    prompts: Vec<(Arc<Client>, Arc<Outbox>)>,
}

/// Who is there to answer prompts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    /// Whether an administrator is, who answers for everybody.
    pub administrator: bool,
    /// Which users are, by id.
    pub users: Vec<Arc<str>>,
}

impl Audience {
    /// Whether somebody is there who may answer for a process of `owner`.
    pub fn answers_for(&self, owner: Option<&User>) -> bool {
        self.administrator || owner.is_some_and(|owner| !owner.id.is_empty() && self.users.contains(&owner.id))
    }
}

impl Feed {
    /// Who is there to answer prompts, now.
    pub fn audience(&self) -> Audience {
        let followers = self.followers.load();
        let mut audience = Audience::default();
        for (client, _) in &followers.prompts {
            match client.role {
                Role::Administrator => audience.administrator = true,
                Role::Operator if audience.users.contains(&client.user.id) => {}
                Role::Operator => audience.users.push(client.user.id.clone()),
            }
        }
        audience
    }

    /// A prompt was opened, or changed.
    pub fn prompt(&self, prompt: &Prompt) {
        for (client, outbox) in &self.followers.load().prompts {
            if let Some(prompt) = as_seen_by(client, prompt) {
                outbox.offer(Event::Prompt(Box::new(prompt)));
            }
        }
    }

    /// A prompt is closed. `owner` is the user of its process.
    pub fn closed(&self, id: u64, owner: Option<&User>, closed: &Closed) {
        let mut remembered = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.truncate(REMEMBERED - 1);
        remembered.push_front(ClosedPrompt { id, owner: owner.cloned(), closed: closed.clone() });
        drop(remembered);
        for (client, outbox) in &self.followers.load().prompts {
            if client.may_answer(owner) {
                outbox.offer(Event::Closed { id, closed: closed.clone() });
            }
        }
    }

    /// What became of a prompt, if it is closed and `client` might have answered it.
    pub(crate) fn how_closed(&self, client: &Client, id: u64) -> Option<Closed> {
        let remembered = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let prompt = remembered.iter().find(|prompt| prompt.id == id)?;
        client.may_answer(prompt.owner.as_ref()).then(|| prompt.closed.clone())
    }

    pub(crate) fn follow_entries(&self, client: &Arc<Client>, filter: &Filter, outbox: &Arc<Outbox>) {
        self.change(|followers| {
            followers.entries.retain(|(known, ..)| known.number != client.number);
            followers.entries.push((client.clone(), filter.clone(), outbox.clone()));
        });
    }

    pub(crate) fn follow_prompts(&self, client: &Arc<Client>, outbox: &Arc<Outbox>) {
        self.change(|followers| {
            followers.prompts.retain(|(known, _)| known.number != client.number);
            followers.prompts.push((client.clone(), outbox.clone()));
        });
    }

    /// Ends what `client` follows. Says whether it answered prompts.
    pub(crate) fn leave(&self, client: &Client) -> bool {
        let answered = self.followers.load().prompts.iter().any(|(known, _)| known.number == client.number);
        self.change(|followers| {
            followers.entries.retain(|(known, ..)| known.number != client.number);
            followers.prompts.retain(|(known, _)| known.number != client.number);
        });
        answered
    }

    fn change(&self, change: impl Fn(&mut Followers)) {
        self.followers.rcu(|followers| {
            let mut followers = Followers::clone(followers);
            change(&mut followers);
            followers
        });
    }
}

impl Sink for Feed {
    fn take(&self, made: &[Made]) {
        let followers = self.followers.load();
        for (_, filter, outbox) in &followers.entries {
            for Made { entry, .. } in made.iter().filter(|made| made.log && filter.takes(&made.entry)) {
                outbox.offer(Event::Entry(entry.clone()));
            }
        }
    }
}

/// A prompt as `client` gets it; `None` when it may not see it.
pub(crate) fn as_seen_by(client: &Client, prompt: &Prompt) -> Option<Prompt> {
    if !client.may_answer(prompt.identity.user.as_ref()) {
        return None;
    }
    let mut prompt = prompt.clone();
    if client.role != Role::Administrator {
        prompt.holds.retain(|hold| *hold != HoldKind::Forever);
        if prompt.offer == Hold::Forever {
            prompt.offer = if prompt.holds.contains(&HoldKind::Process) { Hold::Process } else { Hold::Once };
        }
    }
    Some(prompt)
}
