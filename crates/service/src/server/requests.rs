//! One request, checked and carried out.
//!
//! Invariants: what a role may not do is refused here, before the desk hears of it; of a prompt that a client may not
//! see it learns nothing, not even that there is one. What a refusal repeats of a request is short. Neighbours: `session`
//! reads the lines, the [`Desk`] does the work.

use crate::server::desk::{Change, Client, Desk, Query};
use crate::server::feed::{Feed, as_seen_by};
use crate::server::fit::{Keep, fit, line};
use crate::server::outbox::{Event, Outbox};
use control::entry::Direction;
use control::filter::Filter;
use control::prompt::{Answer, Closed, Hold, HoldKind, MAX_NOTE, MAX_SECONDS, Prompt, Target};
use control::protocol::{
    Call, ErrorKind, MAX_ENTRIES, MAX_REVIEWED, REQUESTS, Refusal, Reply, Request, Role, ServerLine,
};
use control::status::{MAX_SNOOZE, Snooze};
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::Arc;

/// How much of what a client sent a refusal repeats, in characters.
const REPEATED: usize = 200;

/// What it takes to serve one client.
pub(crate) struct Requests<'a> {
    pub(crate) desk: &'a dyn Desk,
    pub(crate) feed: &'a Feed,
    pub(crate) client: &'a Arc<Client>,
    pub(crate) outbox: &'a Arc<Outbox>,
}

/// A call, as far as it can be read when its request is unknown.
#[derive(Deserialize)]
struct Head<'a> {
    id: u64,
    #[serde(rename = "do", borrow)]
    name: Cow<'a, str>,
}

impl Requests<'_> {
    /// Answers a line. `Err`: it is not a call, so what comes after it makes no sense either.
    pub(crate) fn answer(&self, text: &[u8]) -> Result<Vec<u8>, Refusal> {
        let head: Head = serde_json::from_slice(text).map_err(|error| not_a_call(&error.to_string()))?;
        let id = head.id;
        if id == 0 {
            return Err(not_a_call("the number 0 is for lines that have none"));
        }
        let outcome = parse(&head, text).and_then(|request| self.carry_out(request)).map(|mut reply| {
            fit_into_line(&mut reply);
            reply
        });
        Ok(match outcome {
            Ok(reply) => line(id, &ServerLine::Reply { id, reply }),
            Err(mut error) => {
                error.problems = fit(error.problems, Keep::First);
                line(id, &ServerLine::Error { id, error })
            }
        })
    }

    fn carry_out(&self, request: Request) -> Result<Reply, Refusal> {
        match request {
            Request::Status => Ok(Reply::Status(Box::new(self.desk.status()))),
            Request::Entries { filter, after, before, limit } => {
                let query = Query { filter, after, before, limit: limit.min(MAX_ENTRIES) };
                let keep = if after.is_some() { Keep::First } else { Keep::Last };
                Ok(Reply::Entries(fit(self.desk.entries(&query)?, keep)))
            }
            Request::FollowEntries { filter } => Ok(self.follow_entries(&filter)),
            Request::FollowPrompts => Ok(self.follow_prompts()),
            Request::Prompts => Ok(Reply::Prompts(fit(self.visible_prompts(), Keep::First))),
            Request::Answer { prompt, answer } => self.answer_prompt(prompt, answer),
            Request::Snooze(snooze) => self.snooze(snooze),
            Request::Ruleset { revision } => {
                let (revision, files) = self.desk.ruleset(revision.as_ref())?;
                let all = files.len();
                let files = fit(files, Keep::First);
                let left_out = u32::try_from(all - files.len()).unwrap_or(u32::MAX);
                Ok(Reply::Ruleset { revision, files, left_out })
            }
            Request::Reload => self.change(&Change::Reload, "read rules again", || self.desk.reload(self.client)),
            Request::Proposals => Ok(Reply::Proposals(fit(self.desk.proposals()?, Keep::First))),
            Request::Review { ids, adopt } => self.review(ids, adopt),
        }
    }

    fn follow_entries(&self, filter: &Filter) -> Reply {
        self.feed.follow_entries(self.client, filter, self.outbox);
        Reply::Done
    }

    fn follow_prompts(&self) -> Reply {
        self.desk.prompts(&mut |prompts| {
            self.feed.follow_prompts(self.client, self.outbox);
            for prompt in prompts.iter().filter_map(|prompt| as_seen_by(self.client, prompt)) {
                self.outbox.offer(Event::Prompt(Box::new(prompt)));
            }
        });
        self.desk.audience_changed();
        Reply::Done
    }

    fn visible_prompts(&self) -> Vec<Prompt> {
        let mut visible = Vec::new();
        self.desk.prompts(&mut |prompts| {
            visible = prompts.iter().filter_map(|prompt| as_seen_by(self.client, prompt)).collect();
        });
        visible
    }

    fn answer_prompt(&self, id: u64, answer: Answer) -> Result<Reply, Refusal> {
        let prompt = self.visible_prompts().into_iter().find(|prompt| prompt.id == id);
        let prompt = prompt.ok_or_else(|| no_prompt(id, self.feed.how_closed(self.client, id)))?;
        let change = Change::Answer { prompt: id, answer: answer.clone() };
        let outcome = check_answer(self.client.role, &prompt, &answer).and_then(|()| {
            let answered = self.desk.answer(self.client, id, answer);
            // Somebody may have been faster.
            answered.map_err(|error| match (error.kind, self.feed.how_closed(self.client, id)) {
                (ErrorKind::NotFound, Some(closed)) => no_prompt(id, Some(closed)),
                _ => error,
            })
        });
        self.desk.audit(self.client, &change, outcome.as_ref().err());
        outcome.map(|()| Reply::Done)
    }

    fn snooze(&self, snooze: Snooze) -> Result<Reply, Refusal> {
        if snooze.seconds > MAX_SNOOZE {
            let message = format!("a snooze is for at most {} hours", MAX_SNOOZE / 3_600);
            return Err(Refusal::new(ErrorKind::BadRequest, message));
        }
        self.change(&Change::Snooze(snooze), "snooze prompts", || self.desk.snooze(self.client, snooze))
    }

    fn review(&self, ids: Vec<String>, adopt: bool) -> Result<Reply, Refusal> {
        if ids.len() > MAX_REVIEWED {
            let message = format!("{} proposals at once are too many", ids.len());
            return Err(Refusal::new(ErrorKind::BadRequest, message).with_help(format!("at most {MAX_REVIEWED}")));
        }
        let change = Change::Review { ids: ids.clone(), adopt };
        self.change(&change, "review proposed rules", || self.desk.review(self.client, &ids, adopt))
    }

    /// Does what only administrators may.
    fn change(
        &self,
        change: &Change,
        what: &str,
        carry_out: impl FnOnce() -> Result<(), Refusal>,
    ) -> Result<Reply, Refusal> {
        let outcome = match self.client.role {
            Role::Administrator => carry_out(),
            Role::Operator => Err(for_administrators(what)),
        };
        self.desk.audit(self.client, change, outcome.as_ref().err());
        outcome.map(|()| Reply::Done)
    }
}

fn parse(head: &Head, text: &[u8]) -> Result<Request, Refusal> {
    if !REQUESTS.contains(&&*head.name) {
        let message = format!("there is no request \"{}\"", shorten(&head.name));
        return Err(
            Refusal::new(ErrorKind::BadRequest, message).with_help(format!("there are: {}", REQUESTS.join(", ")))
        );
    }
    serde_json::from_slice(text).map(|call: Call| call.request).map_err(|error| {
        let message = format!("the request \"{}\" is not understood: {}", head.name, shorten(&error.to_string()));
        Refusal::new(ErrorKind::BadRequest, message)
    })
}

fn not_a_call(why: &str) -> Refusal {
    let message = format!("the line is not a call: {}", shorten(why));
    Refusal::new(ErrorKind::BadRequest, message).with_help(r#"a call is like {"id":1,"do":"status"}"#)
}

fn check_answer(role: Role, prompt: &Prompt, answer: &Answer) -> Result<(), Refusal> {
    let bad = |message: String| Err(Refusal::new(ErrorKind::BadRequest, message));
    if let Hold::Duration { seconds } = answer.hold
        && !(1..=MAX_SECONDS).contains(&seconds)
    {
        return bad(format!("an answer holds for 1 to {MAX_SECONDS} seconds, or forever"));
    }
    if answer.note.as_ref().is_some_and(|note| note.chars().count() > MAX_NOTE) {
        return bad(format!("a note has at most {MAX_NOTE} characters"));
    }
    if answer.target == Target::Domain && prompt.domain.is_none() {
        return bad(format!("prompt {} has no domain; answer for its remote or for everything", prompt.id));
    }
    if answer.target == Target::Port && prompt.direction == Direction::Out {
        return bad(format!(
            "prompt {} is about what this machine begins; answer for its remote or for everything",
            prompt.id
        ));
    }
    let kind = HoldKind::from(answer.hold);
    if prompt.holds.contains(&kind) {
        return Ok(());
    }
    if kind == HoldKind::Forever && role != Role::Administrator {
        return Err(for_administrators("answer forever, which makes a rule,")
            .with_help("answer for a time, or ask an administrator"));
    }
    let message = format!("prompt {} cannot be answered that way: the rule that asks does not allow it", prompt.id);
    Err(Refusal::new(ErrorKind::Denied, message).with_help("answer for a shorter time"))
}

fn no_prompt(id: u64, closed: Option<Closed>) -> Refusal {
    let message = match closed {
        Some(Closed::Answered { user, verdict }) => format!("prompt {id} was answered: {verdict}, by {user}"),
        Some(Closed::Expired) => format!("prompt {id} has expired: nobody answered in time"),
        Some(Closed::Ruled) => format!("prompt {id} is closed: rules decide it now"),
        None => format!("there is no prompt {id} for you"),
    };
    Refusal::new(ErrorKind::NotFound, message)
}

fn for_administrators(what: &str) -> Refusal {
    Refusal::new(ErrorKind::Denied, format!("only an administrator may {what}").trim_end_matches(',').to_owned())
        .with_help("do it as administrator")
}

fn fit_into_line(reply: &mut Reply) {
    if let Reply::Status(status) = reply {
        status.rules.refused = fit(std::mem::take(&mut status.rules.refused), Keep::First);
    }
}

/// The beginning of what a client sent.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(REPEATED) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
