//! The connection to the service: what the model wants done is asked, what happens is told, and when the service goes
//! away it is tried again for ever.
//!
//! Invariants: bounded queues, so that a model that is too slow makes the service leave events out, and count them;
//! a model is told of every answer it sent what became of it. Neighbours: `control::client` speaks, `platform::ipc` has the
//! stream, `clerk` gets the rules.

use super::clerk::{Files, Job, Task};
use super::message::{Effect, Message};
use control::client::{Caller, Client, ClientError, Events};
use control::filter::Filter;
use control::protocol::{ErrorKind, Event, MAX_ENTRIES, Refusal, Reply, Request};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select};
use jiff::{SignedDuration, Timestamp};
use rules::decision::Revision;
use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

/// How long it waits before it tries again: longer each time, to the last.
const DELAYS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(3), Duration::from_secs(5)];

/// A stream to the service.
pub struct Stream {
    /// What it says.
    pub reader: Box<dyn Read + Send>,
    /// What it is told.
    pub writer: Box<dyn Write + Send>,
    /// Ends both.
    pub close: Box<dyn FnOnce() + Send>,
}

/// Why there is no stream, or no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Why.
    pub why: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// What the link talks to besides the service.
pub struct Ends {
    /// To the model.
    pub messages: Sender<Message>,
    /// From the model.
    pub effects: Receiver<Effect>,
    /// To the clerk.
    pub jobs: Sender<Job>,
}

/// The model does not listen any more.
struct Unheard;

/// Keeps the connection until the model does not listen any more.
pub fn keep(mut dial: impl FnMut() -> Result<Stream, Trouble>, ends: &Ends) {
    let mut failures = 0;
    loop {
        let trouble = match dial() {
            Err(trouble) => trouble,
            Ok(stream) => {
                let began = Instant::now();
                let trouble = match session(stream, ends) {
                    Ok(error) => told(&error),
                    Err(Unheard) => return,
                };
                // One that held for a while is worth trying soon again.
                if began.elapsed() > DELAYS[DELAYS.len() - 1] {
                    failures = 0;
                }
                trouble
            }
        };
        let delay = DELAYS[failures.min(DELAYS.len() - 1)];
        failures += 1;
        let wait = SignedDuration::try_from(delay).unwrap_or(SignedDuration::ZERO);
        let retry = Timestamp::now().checked_add(wait).unwrap_or(Timestamp::MAX);
        if ends.messages.send(Message::Disconnected { why: trouble.why, help: trouble.help, retry }).is_err() {
            return;
        }
        let until = Instant::now() + delay;
        while let Ok(effect) = ends.effects.recv_deadline(until) {
            if refuse(effect, ends).is_err() {
                return;
            }
        }
        if Instant::now() < until {
            return;
        }
    }
}

/// One session, until it fails.
fn session(stream: Stream, ends: &Ends) -> Result<ClientError, Unheard> {
    let Stream { reader, writer, close } = stream;
    let client = match Client::connect(reader, writer) {
        Ok(client) => client,
        Err(error) => return Ok(error),
    };
    tell(ends, Message::Connected(client.welcome().clone()))?;
    let (caller, events) = client.split();
    thread::scope(|scope| {
        let (ended, end) = bounded(1);
        let listener = scope.spawn(move || {
            let error = listen(events, &ends.messages);
            // Nobody waits for it when the session ended for another reason.
            let _unheard = ended.send(error);
        });
        let outcome = ask(caller, ends, &end);
        close();
        // It cannot do without its stream.
        let _ended = listener.join();
        // What the listener saw is nearer to the cause.
        outcome.map(|error| end.try_recv().ok().flatten().unwrap_or(error))
    })
}

/// Tells what the service says, until it says no more.
fn listen(events: Events, messages: &Sender<Message>) -> Option<ClientError> {
    for event in events {
        let message = match event {
            Ok(Event::Entry(entry)) => Message::Entry(entry),
            Ok(Event::Missed(count)) => Message::Missed(count),
            Ok(Event::Prompt(prompt)) => Message::Prompt(prompt),
            Ok(Event::PromptClosed { id, closed }) => Message::PromptClosed { id, closed },
            Err(error) => return Some(error),
        };
        messages.send(message).ok()?;
    }
    None
}

/// Asks what the model wants to know, until the session ends.
fn ask(mut caller: Caller, ends: &Ends, end: &Receiver<Option<ClientError>>) -> Result<ClientError, Unheard> {
    let filter = Filter::default;
    for request in [
        Request::FollowPrompts,
        Request::FollowEntries { filter: filter() },
        Request::Entries { filter: filter(), after: None, before: None, limit: MAX_ENTRIES },
    ] {
        match caller.call(request) {
            Ok(Reply::Entries(entries)) => tell(ends, Message::Past(entries))?,
            Ok(_) => {}
            Err(ClientError::Refused(refusal)) => tell(ends, Message::Refused(*refusal))?,
            Err(error) => return Ok(error),
        }
    }
    let effects = &ends.effects;
    loop {
        let effect = select! {
            recv(effects) -> effect => effect.map_err(|_| Unheard)?,
            recv(end) -> error => return error.ok().flatten().ok_or(Unheard),
        };
        if let Err(error) = carry_out(effect, &mut caller, ends)? {
            return Ok(error);
        }
    }
}

fn carry_out(effect: Effect, caller: &mut Caller, ends: &Ends) -> Result<Result<(), ClientError>, Unheard> {
    let (request, lost) = match effect {
        Effect::AskStatus => (Request::Status, None),
        Effect::Answer { prompt, answer } => {
            let lost = Message::Answered { prompt, outcome: Err(unsure()) };
            (Request::Answer { prompt, answer }, Some(lost))
        }
        Effect::Snooze(snooze) => (Request::Snooze(snooze), Some(Message::Snoozed(Err(unsure())))),
        Effect::LoadRules => return rules(None, Task::List, caller, ends),
        Effect::CheckRules => return rules(None, Task::Check, caller, ends),
        Effect::Explain(entry) => return rules(Some(entry.revision.clone()), Task::Explain(entry), caller, ends),
        Effect::Bell | Effect::Quit => return Ok(Ok(())),
    };
    let message = match caller.call(request.clone()) {
        Ok(Reply::Status(status)) => Some(Message::Status(status)),
        Ok(_) => done(&request, Ok(())),
        Err(ClientError::Refused(refusal)) => done(&request, Err(*refusal)),
        Err(error) => {
            lost.map_or(Ok(()), |lost| tell(ends, lost))?;
            return Ok(Err(error));
        }
    };
    message.map_or(Ok(()), |message| tell(ends, message))?;
    Ok(Ok(()))
}

fn done(request: &Request, outcome: Result<(), Refusal>) -> Option<Message> {
    match (request, outcome) {
        (Request::Answer { prompt, .. }, outcome) => Some(Message::Answered { prompt: *prompt, outcome }),
        (Request::Snooze(_), outcome) => Some(Message::Snoozed(outcome)),
        (_, Err(refusal)) => Some(Message::Refused(refusal)),
        (_, Ok(())) => None,
    }
}

fn rules(
    revision: Option<Revision>,
    task: Task,
    caller: &mut Caller,
    ends: &Ends,
) -> Result<Result<(), ClientError>, Unheard> {
    let files = match caller.call(Request::Ruleset { revision }) {
        Ok(Reply::Ruleset { revision, files, left_out }) => Ok(Files { revision, files, left_out }),
        Ok(_) => Err(Refusal::new(ErrorKind::Failed, "the service answered something else than rules")),
        Err(ClientError::Refused(refusal)) => Err(*refusal),
        Err(error) => return Ok(Err(error)),
    };
    match ends.jobs.try_send(Job { task, files }) {
        Ok(()) => Ok(Ok(())),
        Err(TrySendError::Full(job)) => {
            let why = "still busy with what was asked before: ask again in a moment";
            tell(ends, failed(job.task, why)).map(Ok)
        }
        Err(TrySendError::Disconnected(_)) => Err(Unheard),
    }
}

/// Nothing can be done without a service.
fn refuse(effect: Effect, ends: &Ends) -> Result<(), Unheard> {
    let refusal = || Refusal::new(ErrorKind::Failed, "there is no service").with_help("nothing was changed");
    let message = match effect {
        Effect::Answer { prompt, .. } => Message::Answered { prompt, outcome: Err(refusal()) },
        Effect::Snooze(_) => Message::Snoozed(Err(refusal())),
        Effect::LoadRules => failed(Task::List, "there is no service"),
        Effect::CheckRules => failed(Task::Check, "there is no service"),
        Effect::Explain(entry) => failed(Task::Explain(entry), "there is no service"),
        Effect::AskStatus | Effect::Bell | Effect::Quit => return Ok(()),
    };
    tell(ends, message)
}

fn failed(task: Task, why: &str) -> Message {
    use super::trace::Trace;
    match task {
        Task::List => Message::Rules(Err(why.to_owned())),
        Task::Check => Message::Checked(Trace::Failed(why.to_owned())),
        Task::Explain(entry) => Message::Explained { entry: entry.id, trace: Trace::Failed(why.to_owned()) },
    }
}

fn unsure() -> Refusal {
    Refusal::new(ErrorKind::Failed, "the service went away before it said whether that is in force")
        .with_help("see what it says when it is back")
}

fn tell(ends: &Ends, message: Message) -> Result<(), Unheard> {
    ends.messages.send(message).map_err(|_| Unheard)
}

fn told(error: &ClientError) -> Trouble {
    match error {
        ClientError::Refused(refusal) => Trouble { why: refusal.message.clone(), help: refusal.help.clone() },
        ClientError::Closed => Trouble { why: "the service ended the connection".to_owned(), help: None },
        ClientError::Io(error) => Trouble { why: format!("the connection failed: {error}"), help: None },
        ClientError::Nonsense(_) => {
            Trouble { why: error.to_string(), help: Some("update both to the same version".to_owned()) }
        }
    }
}
