//! The client's side of a session.
//!
//! [`Client`] is for one thread: what it subscribed to waits while a call is under way. [`Client::split`] is for two: one
//! receives, the other calls. Invariants: no thread of its own; whatever the service sends, memory is bounded and the
//! worst is an error. Neighbours: `platform` has the stream.

use crate::line::{LineError, Lines, encode};
use crate::protocol::{Call, Event, Greeting, Hello, Refusal, Reply, Request, VERSION, Welcome};
use serde::Deserialize;
use serde_json::Value;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// How many events wait at most while [`Client::call`] is under way; more are lost, and counted.
const WAITING_EVENTS: usize = 4_096;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The service refused.
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),
    /// The service ended the session.
    #[error("the service ended the connection")]
    Closed,
    /// The connection failed.
    #[error("the connection to the service failed")]
    Io(#[from] io::Error),
    /// The service said what makes no sense.
    #[error("the service said what this program does not understand: {0}")]
    Nonsense(String),
}

impl From<LineError> for ClientError {
    fn from(error: LineError) -> Self {
        match error {
            LineError::Cut => Self::Closed,
            LineError::Io(error) if is_end(&error) => Self::Closed,
            LineError::Io(error) => Self::Io(error),
            LineError::TooLong => Self::Nonsense(error.to_string()),
        }
    }
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

type Input = Lines<Box<dyn Read + Send>>;
type Output = Box<dyn Write + Send>;

/// A session, for one thread.
pub struct Client {
    welcome: Welcome,
    input: Input,
    output: Output,
    last: u64,
    waiting: VecDeque<Event>,
    missed: u64,
}

impl Client {
    /// Begins a session over the two halves of a stream.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the service speaks another version, or does not let this user in.
    pub fn connect(reader: Box<dyn Read + Send>, mut writer: Box<dyn Write + Send>) -> Result<Self, ClientError> {
        // A service that refuses at the door may be gone before it reads this; what it said still arrives.
        let said = send(&mut writer, &Hello { tollgate: VERSION });
        let mut input = Lines::new(reader);
        let line = match input.next_line() {
            Ok(Some(line)) => line,
            Ok(None) | Err(_) if said.is_err() => return Err(said.err().map_or(ClientError::Closed, Into::into)),
            Ok(None) => return Err(ClientError::Closed),
            Err(error) => return Err(error.into()),
        };
        let greeting = serde_json::from_slice(line).map_err(nonsense)?;
        match greeting {
            Greeting::Welcome(welcome) => {
                said?;
                Ok(Self { welcome, input, output: writer, last: 0, waiting: VecDeque::new(), missed: 0 })
            }
            Greeting::Refusal { error, .. } => Err(ClientError::Refused(Box::new(error))),
        }
    }

    /// What the service said about this client.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Asks, and waits for the answer.
    pub fn call(&mut self, request: Request) -> Result<Reply, ClientError> {
        self.last += 1;
        let id = self.last;
        send(&mut self.output, &Call { id, request })?;
        loop {
            match receive(&mut self.input)? {
                Received::Answer { id: answered, outcome } if answered == id => return outcome,
                Received::Answer { id: 0, outcome: Err(error) } => return Err(error),
                Received::Answer { id, .. } => return Err(ClientError::Nonsense(format!("an answer to call {id}"))),
                Received::Event(event) => self.keep(event),
            }
        }
    }

    /// What this client subscribed to, as it comes. Blocks; ends with the first error, which is [`ClientError::Closed`]
    /// when the service ends.
    pub fn events(&mut self) -> impl Iterator<Item = Result<Event, ClientError>> {
        let mut failed = false;
        std::iter::from_fn(move || {
            let event = (!failed).then(|| self.next_event())?;
            failed = event.is_err();
            Some(event)
        })
    }

    /// For two threads. The [`Caller`] gets its answers while another thread takes from [`Events`].
    pub fn split(self) -> (Caller, Events) {
        let (answer, answers) = sync_channel(1);
        let caller = Caller { output: self.output, last: self.last, answers };
        let events = Events { input: self.input, waiting: self.waiting, missed: self.missed, answer, failed: false };
        (caller, events)
    }

    fn next_event(&mut self) -> Result<Event, ClientError> {
        if let Some(event) = take_waiting(&mut self.waiting, &mut self.missed) {
            return Ok(event);
        }
        match receive(&mut self.input)? {
            Received::Event(event) => Ok(event),
            Received::Answer { id: 0, outcome: Err(error) } => Err(error),
            Received::Answer { id, .. } => Err(ClientError::Nonsense(format!("an answer to call {id}"))),
        }
    }

    fn keep(&mut self, event: Event) {
        if self.waiting.len() < WAITING_EVENTS {
            self.waiting.push_back(event);
        } else {
            self.missed += 1;
        }
    }
}

/// The thread that asks.
pub struct Caller {
    output: Output,
    last: u64,
    answers: Receiver<(u64, Result<Reply, ClientError>)>,
}

impl Caller {
    /// Asks, and waits for the answer, which the thread with [`Events`] receives.
    pub fn call(&mut self, request: Request) -> Result<Reply, ClientError> {
        self.last += 1;
        send(&mut self.output, &Call { id: self.last, request })?;
        match self.answers.recv() {
            Ok((id, outcome)) if id == self.last || id == 0 => outcome,
            Ok((id, _)) => Err(ClientError::Nonsense(format!("an answer to call {id}"))),
            Err(_) => Err(ClientError::Closed),
        }
    }
}

/// The thread that receives: an iterator that ends with its first error.
pub struct Events {
    input: Input,
    waiting: VecDeque<Event>,
    missed: u64,
    answer: SyncSender<(u64, Result<Reply, ClientError>)>,
    failed: bool,
}

impl Iterator for Events {
    type Item = Result<Event, ClientError>;

    /// Waits for the next event.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let event = self.receive();
        self.failed = event.is_err();
        Some(event)
    }
}

impl Events {
    fn receive(&mut self) -> Result<Event, ClientError> {
        loop {
            if let Some(event) = take_waiting(&mut self.waiting, &mut self.missed) {
                return Ok(event);
            }
            let (id, outcome) = match receive(&mut self.input)? {
                Received::Event(event) => return Ok(event),
                Received::Answer { id, outcome } => (id, outcome),
            };
            match self.answer.try_send((id, outcome)) {
                // A caller that is gone wants no answer.
                Ok(()) | Err(TrySendError::Disconnected(_)) => {}
                Err(TrySendError::Full(_)) => return Err(ClientError::Nonsense(format!("an answer to call {id}"))),
            }
        }
    }
}

fn take_waiting(waiting: &mut VecDeque<Event>, missed: &mut u64) -> Option<Event> {
    waiting.pop_front().or_else(|| match std::mem::take(missed) {
        0 => None,
        missed => Some(Event::Missed(missed)),
    })
}

/// A line of the service, sorted.
enum Received {
    Answer { id: u64, outcome: Result<Reply, ClientError> },
    Event(Event),
}

/// A line of the service, as it is on the wire: one of the three.
#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    id: u64,
    reply: Option<Reply>,
    error: Option<Refusal>,
    event: Option<Event>,
}

fn receive(input: &mut Input) -> Result<Received, ClientError> {
    loop {
        let line = input.next_line()?.ok_or(ClientError::Closed)?;
        match serde_json::from_slice(line) {
            Ok(Raw { event: Some(event), .. }) => return Ok(Received::Event(event)),
            Ok(Raw { id, reply: Some(reply), .. }) => return Ok(Received::Answer { id, outcome: Ok(reply) }),
            Ok(Raw { id, error: Some(error), .. }) => {
                return Ok(Received::Answer { id, outcome: Err(ClientError::Refused(Box::new(error))) });
            }
            Ok(Raw { .. }) => return Err(ClientError::Nonsense("neither a reply nor an event".to_owned())),
            // A newer service of the same version may tell of what we do not know.
            Err(_) if serde_json::from_slice::<Value>(line).is_ok_and(|line| line.get("event").is_some()) => {}
            Err(error) => return Err(nonsense(error)),
        }
    }
}

fn send<T: serde::Serialize>(output: &mut Output, message: &T) -> Result<(), ClientError> {
    let line = encode(message).map_err(|error| match error {
        LineError::TooLong => ClientError::Io(io::Error::new(io::ErrorKind::InvalidInput, error.to_string())),
        error => error.into(),
    })?;
    output.write_all(&line).and_then(|()| output.flush()).map_err(|error| LineError::Io(error).into())
}

fn nonsense(error: serde_json::Error) -> ClientError {
    ClientError::Nonsense(error.to_string())
}
