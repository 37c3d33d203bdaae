//! `tollgate ask`: answer prompts.
//!
//! * `language`: what a person types, as an answer.
//! * `words`: a prompt as a person reads it.
//! * `conversation`: which prompt is spoken of, and what is said.
//!
//! Invariants: while this runs and follows, connections wait for its user, so it ends when its input does. Neighbours:
//! `tui` is the same, full screen.

mod conversation;
mod language;
mod words;

use crate::client::{Session, Where, unexpected};
use crate::failure::Failure;
use crate::output::printer::print;
use clap::ValueEnum;
use control::client::ClientError;
use control::entry::Verdict;
use control::prompt::{Answer, Hold, Target};
use control::protocol::{Event, Reply, Request};
use conversation::{Conversation, Step};
use jiff::Timestamp;
use serde_json::json;
use std::io::{self, BufRead};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// What to do.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tollgate ask                                    answer prompts as they come
  tollgate ask --list                             show the open ones
  tollgate ask --answer 7 permit --for 1h --to domain
  tollgate ask --answer 7 block --for forever --to everything --note \"no telemetry\"

While `tollgate ask` runs, what no rule decides waits for you; without it (or `tollgate tui`) the configured default \
decides at once. You answer for programs of your own user, an administrator for everybody's. An answer forever becomes \
a rule, so it takes an administrator.")]
pub struct Args {
    /// Show the open prompts, and end
    #[arg(long, conflicts_with = "answer")]
    list: bool,

    /// Answer this prompt, and end
    #[arg(long, value_name = "ID", requires = "verdict")]
    answer: Option<u64>,

    /// With --answer: permit or block
    #[arg(value_enum, requires = "answer")]
    verdict: Option<VerdictArg>,

    /// With --answer: for how long: once, process, a time such as 30m, 8h or 7d, or forever
    #[arg(long = "for", value_name = "TIME", default_value = "once", value_parser = language::hold, requires = "answer")]
    hold: Hold,

    /// With --answer: for what: the remote address and port, its domain, or everything of the program
    #[arg(long = "to", value_enum, default_value_t = TargetArg::Remote, requires = "answer")]
    target: TargetArg,

    /// With --answer: why, for the rule that an answer forever becomes
    #[arg(long, value_name = "TEXT", requires = "answer")]
    note: Option<String>,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// A verdict, as a word. The words say it; documentation of them would be printed as help.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum VerdictArg {
    Permit,
    Block,
}

/// A target, as a word.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum TargetArg {
    /// Its address, port and protocol
    Remote,
    /// The local port, whoever connects, when others begin
    Port,
    /// Its domain, and what is below
    Domain,
    /// Whatever the program connects to
    Everything,
}

/// Carries it out.
pub fn run(args: Args, server: &Where) -> Result<(), Failure> {
    let mut session = server.connect()?;
    if args.list {
        return list(&mut session, args.json);
    }
    match (args.answer, args.verdict) {
        (Some(prompt), Some(verdict)) => {
            let verdict = match verdict {
                VerdictArg::Permit => Verdict::Permit,
                VerdictArg::Block => Verdict::Block,
            };
            let target = match args.target {
                TargetArg::Remote => Target::Remote,
                TargetArg::Port => Target::Port,
                TargetArg::Domain => Target::Domain,
                TargetArg::Everything => Target::Everything,
            };
            let answer = Answer { verdict, hold: args.hold, target, note: args.note };
            answer_one(&mut session, prompt, answer, args.json)
        }
        _ => converse(session, args.json),
    }
}

fn list(session: &mut Session, json: bool) -> Result<(), Failure> {
    let prompts = match session.client.call(Request::Prompts)? {
        Reply::Prompts(prompts) => prompts,
        other => return Err(unexpected(&other)),
    };
    if json {
        for prompt in &prompts {
            print(&json!(prompt).to_string())?;
        }
        return Ok(());
    }
    let told: Vec<String> = prompts.iter().map(|prompt| words::prompt(prompt, Timestamp::now()).join("\n")).collect();
    let told = if told.is_empty() { "no open prompts".to_owned() } else { told.join("\n\n") };
    Ok(print(&told)?)
}

fn answer_one(session: &mut Session, prompt: u64, answer: Answer, json: bool) -> Result<(), Failure> {
    let said = if json {
        json!({ "prompt": prompt, "answer": answer }).to_string()
    } else {
        format!("prompt {prompt}: {}", words::answer(&answer))
    };
    match session.client.call(Request::Answer { prompt, answer })? {
        Reply::Done => Ok(print(&said)?),
        other => Err(unexpected(&other)),
    }
}

/// What can happen while prompts are answered.
enum Happening {
    Event(Result<Event, ClientError>),
    /// What the person typed; `None` at the end of input.
    Line(Option<String>),
}

fn converse(session: Session, json: bool) -> Result<(), Failure> {
    /// How much may wait until it is dealt with.
    const WAITING: usize = 64;
    let welcome = session.client.welcome().clone();
    let (mut caller, events) = session.client.split();
    let (happen, happenings) = sync_channel(WAITING);
    start("events", happen.clone(), events.map(Happening::Event))?;
    start("lines", happen, lines())?;
    // The thread above receives the answer to this one, too.
    caller.call(Request::FollowPrompts)?;
    let mut conversation = Conversation::new(&welcome);
    if !json {
        print(&conversation.begin())?;
    }
    loop {
        let now = Timestamp::now();
        let steps = match wait(&happenings, conversation.wake(now), now) {
            None => conversation.handle_time(Timestamp::now()),
            Some(Happening::Event(Err(error))) => return Err(error.into()),
            Some(Happening::Event(Ok(event))) => {
                if json {
                    print(&json!(event).to_string())?;
                }
                conversation.handle_event(Timestamp::now(), event)
            }
            Some(Happening::Line(None)) => return Ok(()),
            Some(Happening::Line(Some(line))) => conversation.handle_line(Timestamp::now(), &line),
        };
        for step in steps {
            match step {
                Step::Say(_) if json => {}
                Step::Say(text) => print(&text)?,
                Step::End => return Ok(()),
                Step::Answer { prompt, answer } => {
                    let outcome = caller.call(Request::Answer { prompt, answer: answer.clone() });
                    tell(prompt, &answer, outcome, json)?;
                }
            }
        }
    }
}

/// Tells what came of an answer. A refusal of one ends nothing.
fn tell(prompt: u64, answer: &Answer, outcome: Result<Reply, ClientError>, json: bool) -> Result<(), Failure> {
    let said = match outcome {
        Ok(_) if json => json!({ "prompt": prompt, "answer": answer }),
        Ok(_) => return Ok(print(&format!("{prompt}: {}", words::answer(answer)))?),
        Err(ClientError::Refused(refusal)) if json => json!({ "prompt": prompt, "error": refusal }),
        Err(ClientError::Refused(refusal)) => {
            Failure::from(*refusal).explain();
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    Ok(print(&said.to_string())?)
}

/// What happens next; `None`: nothing until `wake`.
fn wait(happenings: &Receiver<Happening>, wake: Option<Timestamp>, now: Timestamp) -> Option<Happening> {
    let patience = wake.map(|wake| Duration::try_from(wake.duration_since(now)).unwrap_or(Duration::ZERO));
    let happening = match patience {
        Some(patience) => happenings.recv_timeout(patience),
        None => happenings.recv().map_err(|_| RecvTimeoutError::Disconnected),
    };
    match happening {
        Ok(happening) => Some(happening),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => Some(Happening::Line(None)),
    }
}

/// What is typed, and the end of it.
fn lines() -> impl Iterator<Item = Happening> + Send {
    let lines = io::BufReader::new(io::stdin()).lines();
    lines.map_while(Result::ok).map(Some).chain([None]).map(Happening::Line)
}

fn start(
    name: &str,
    happen: SyncSender<Happening>,
    happenings: impl Iterator<Item = Happening> + Send + 'static,
) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        for happening in happenings {
            if happen.send(happening).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}
