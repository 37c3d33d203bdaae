//! The link and the clerk against a service made of pipes.

use super::desk::{entries, entry, prompts, status};
use crate::tui::clerk;
use crate::tui::link::{Ends, Stream, Trouble, keep};
use crate::tui::message::{Effect, Message};
use crate::tui::trace::{Part, Trace};
use control::entry::Verdict;
use control::line::{Lines, encode};
use control::prompt::{Answer, Hold, Target};
use control::protocol::{Call, ErrorKind, Event, Greeting, Hello, Refusal, Reply, Request, Role, ServerLine, Welcome};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use rules::ruleset::{Environment, Ruleset};
use rules::source::SourceFile;
use std::io::{PipeReader, PipeWriter, Write, pipe};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The service's end of a session.
struct Service {
    input: Lines<PipeReader>,
    output: PipeWriter,
}

impl Service {
    fn say(&mut self, line: &impl serde::Serialize) {
        self.output.write_all(&encode(line).unwrap()).unwrap();
    }

    fn greet(&mut self) {
        let hello: Hello = serde_json::from_slice(self.input.next_line().unwrap().unwrap()).unwrap();
        let user = "root".to_owned();
        self.say(&Greeting::Welcome(Welcome { tollgate: hello.tollgate, role: Role::Administrator, user }));
        for _ in 0..2 {
            let id = self.next().0;
            self.say(&ServerLine::Reply { id, reply: Reply::Done });
        }
        let (id, request) = self.next();
        assert!(matches!(request, Request::Entries { .. }), "{request:?}");
        self.say(&ServerLine::Reply { id, reply: Reply::Entries(entries()) });
    }

    fn next(&mut self) -> (u64, Request) {
        let call: Call = serde_json::from_slice(self.input.next_line().unwrap().unwrap()).unwrap();
        (call.id, call.request)
    }
}

/// A link whose dialling is answered by us.
struct Linked {
    calls: Receiver<Service>,
    messages: Receiver<Message>,
    effects: Sender<Effect>,
}

fn linked() -> Linked {
    let (called, calls) = unbounded();
    let (messages, inbox) = bounded(100);
    let (effects, wanted) = bounded(10);
    let (jobs, work) = bounded(10);
    let done = messages.clone();
    thread::spawn(move || clerk::work(Environment::default(), &work, &done));
    let ends = Ends { messages, effects: wanted, jobs };
    let dial = move || {
        let gone = |_| Trouble { why: "nothing listens".to_owned(), help: None };
        let ((reader, output), (input, writer)) = (pipe().map_err(gone)?, pipe().map_err(gone)?);
        called
            .send(Service { input: Lines::new(input), output })
            .map_err(|_| Trouble { why: "over".to_owned(), help: None })?;
        // The service's end closes the pipes.
        Ok(Stream { reader: Box::new(reader), writer: Box::new(writer), close: Box::new(|| {}) })
    };
    thread::spawn(move || keep(dial, &ends));
    Linked { calls, messages: inbox, effects }
}

impl Linked {
    fn next(&self) -> Message {
        self.messages.recv_timeout(Duration::from_secs(30)).unwrap()
    }

    fn service(&self) -> Service {
        let mut service = self.calls.recv_timeout(Duration::from_secs(30)).unwrap();
        service.greet();
        assert!(matches!(self.next(), Message::Connected(_)));
        assert!(matches!(self.next(), Message::Past(past) if past.len() == 7));
        service
    }
}

#[test]
fn a_session_tells_what_happens_and_asks_what_is_wanted() {
    let linked = linked();
    let mut service = linked.service();
    service.say(&ServerLine::Event { event: Event::Prompt(Box::new(prompts().remove(0))) });
    assert!(matches!(linked.next(), Message::Prompt(_)));
    service.say(&ServerLine::Event { event: Event::Missed(4) });
    assert!(matches!(linked.next(), Message::Missed(4)));

    linked.effects.send(Effect::AskStatus).unwrap();
    let (id, _) = service.next();
    service.say(&ServerLine::Reply { id, reply: Reply::Status(Box::new(status())) });
    assert!(matches!(linked.next(), Message::Status(_)));

    let answer = Answer { verdict: Verdict::Permit, hold: Hold::Once, target: Target::Remote, note: None };
    linked.effects.send(Effect::Answer { prompt: 11, answer: answer.clone() }).unwrap();
    let (id, request) = service.next();
    assert_eq!(request, Request::Answer { prompt: 11, answer });
    service.say(&ServerLine::Error { id, error: Refusal::new(ErrorKind::Denied, "not yours") });
    assert!(matches!(linked.next(), Message::Answered { prompt: 11, outcome: Err(_) }));
}

#[test]
fn a_service_that_goes_away_is_found_again() {
    let linked = linked();
    let mut service = linked.service();
    let answer = Answer { verdict: Verdict::Permit, hold: Hold::Once, target: Target::Remote, note: None };
    linked.effects.send(Effect::Answer { prompt: 11, answer }).unwrap();
    service.next();
    drop(service);
    assert!(matches!(linked.next(), Message::Answered { prompt: 11, outcome: Err(_) }), "the person is told");
    assert!(matches!(linked.next(), Message::Disconnected { why, .. } if why.contains("ended")));
    linked.service();
}

#[test]
fn a_service_that_speaks_another_version_says_so() {
    let linked = linked();
    let mut service = linked.calls.recv_timeout(Duration::from_secs(30)).unwrap();
    let error = Refusal::new(ErrorKind::Version, "this service speaks version 9").with_help("update tollgate");
    service.say(&Greeting::Refusal { tollgate: 9, error });
    let Message::Disconnected { why, help, .. } = linked.next() else { panic!("no message") };
    assert_eq!((&*why, help.as_deref()), ("this service speaks version 9", Some("update tollgate")));
}

#[test]
fn a_decision_is_explained_by_the_rules_of_its_revision() {
    let text = "# Tools.\n[rule.git]\naction = \"permit\"\nprogram = \"git\"\nremote = \".example.com:443\"\n\n\
        [rule.no-curl]\naction = \"block\"\nprogram = \"curl\"\n";
    let files = vec![SourceFile { path: "user/tools.toml".into(), text: text.into() }];
    let revision = Ruleset::compile(&files, &Environment::default()).unwrap().revision().clone();
    let linked = linked();
    let mut service = linked.service();
    let mut asked = entries().remove(0);
    asked.revision = revision.clone();
    linked.effects.send(Effect::Explain(Arc::new(asked))).unwrap();
    let (id, request) = service.next();
    assert_eq!(request, Request::Ruleset { revision: Some(revision.clone()) });
    let reply = || Reply::Ruleset { revision: revision.clone(), files: files.clone(), left_out: 0 };
    service.say(&ServerLine::Reply { id, reply: reply() });
    let Message::Explained { entry: 101, trace: Trace::Ready(lines) } = linked.next() else { panic!("not explained") };
    let decisive = lines.iter().find(|line| line.part == Part::Decisive).unwrap();
    assert_eq!(decisive.text, "user/git (user/tools.toml:2) matches: permit");
    assert!(!lines.iter().any(|line| line.text.contains("otherwise")), "{lines:?}");

    linked.effects.send(Effect::LoadRules).unwrap();
    let (id, _) = service.next();
    service.say(&ServerLine::Reply { id, reply: reply() });
    let Message::Rules(Ok(loaded)) = linked.next() else { panic!("no rules") };
    let git = loaded.rows.iter().find(|row| &*row.name.id == "git").unwrap();
    assert_eq!(git.what, "git; to .example.com:443");
    assert!(git.text.starts_with("# Tools.\n[rule.git]") && git.text.ends_with("443\""), "{}", git.text);

    linked.effects.send(Effect::CheckRules).unwrap();
    let (id, _) = service.next();
    service.say(&ServerLine::Reply { id, reply: reply() });
    assert!(matches!(linked.next(), Message::Checked(Trace::Ready(_))));

    let other = entry(1, 0, "/usr/bin/git", "192.0.2.80:443", None, entries()[0].reason.clone());
    linked.effects.send(Effect::Explain(Arc::new(other))).unwrap();
    let (id, _) = service.next();
    service
        .say(&ServerLine::Error { id, error: Refusal::new(ErrorKind::NotFound, "that revision is not kept any more") });
    assert!(matches!(linked.next(), Message::Explained { trace: Trace::Failed(why), .. } if why.contains("not kept")));
}
