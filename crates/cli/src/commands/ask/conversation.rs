//! Which prompt is spoken of, and what is said.
//!
//! One prompt at a time, oldest first; the others are counted. Invariants: pure: events, lines and time come in, steps go
//! out; a line without a number is about the prompt that was shown last, and about none when that is gone: what a
//! person types never decides what they have not read. Neighbours: the command carries the steps out.

use super::language::{self, HELP, Said};
use super::words;
use control::prompt::{Answer, Prompt};
use control::protocol::{Event, Role, Welcome};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// How many prompts are kept at most; the service has fewer.
const KEPT: usize = 4_096;

/// For how long after a prompt that was spoken of is gone a line without a number may have been meant for it.
const SETTLES: SignedDuration = SignedDuration::from_secs(3);

/// When a prompt that is spoken of is mentioned again, in seconds before its deadline.
const REMINDERS: [u64; 2] = [10, 5];

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Say this.
    Say(String),
    /// Answer a prompt.
    Answer {
        /// Which.
        prompt: u64,
        /// The answer.
        answer: Answer,
    },
    /// End.
    End,
}

/// The state of a conversation.
pub struct Conversation {
    as_whom: String,
    open: BTreeMap<u64, Prompt>,
    /// The prompt that was shown last, and for which seconds before its deadline it was mentioned again.
    shown: Option<(u64, u64)>,
    /// The prompt that was answered last, here.
    answered: Option<u64>,
    /// The prompt that was spoken of and that others closed, and when.
    gone: Option<(u64, Timestamp)>,
}

impl Conversation {
    /// With nothing open.
    pub fn new(welcome: &Welcome) -> Self {
        let whose = match welcome.role {
            Role::Administrator => "everybody's prompts",
            Role::Operator => "prompts of your own programs",
        };
        let as_whom = format!("answering {whose} as {}", welcome.user);
        Self { as_whom, open: BTreeMap::new(), shown: None, answered: None, gone: None }
    }

    /// What is said first.
    pub fn begin(&self) -> String {
        format!("{}; ? helps, q quits\nwaiting for prompts", self.as_whom)
    }

    /// When [`Self::handle_time`] has something to say.
    pub fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        let (deadline, next) = self.reminder()?;
        let wake = deadline.saturating_sub(SignedDuration::from_secs(next.cast_signed())).unwrap_or(now);
        Some(wake.max(now))
    }

    /// Something happened.
    pub fn handle_event(&mut self, now: Timestamp, event: Event) -> Vec<Step> {
        match event {
            Event::Prompt(prompt) => self.handle_prompt(now, *prompt),
            Event::PromptClosed { id, closed } => {
                if self.open.remove(&id).is_none() {
                    return Vec::new();
                }
                let mut steps = vec![Step::Say(format!("{id}: {}", words::closed(&closed)))];
                if self.shown.is_some_and(|(shown, _)| shown == id) {
                    self.shown = None;
                    self.gone = (self.answered != Some(id)).then_some((id, now));
                    steps.extend(self.show_next(now, 0));
                }
                steps
            }
            Event::Missed(missed) => {
                vec![Step::Say(format!(
                    "{missed} events were lost on the way; `tollgate ask --list` shows what is open"
                ))]
            }
            Event::Entry(_) => Vec::new(),
        }
    }

    /// A line was typed.
    pub fn handle_line(&mut self, now: Timestamp, line: &str) -> Vec<Step> {
        let said = match language::read(line) {
            Ok(said) => said,
            Err(why) => return vec![Step::Say(why)],
        };
        match said {
            Said::Quit => vec![Step::End],
            Said::Help => vec![Step::Say(HELP.to_owned())],
            Said::List => self.list(now),
            Said::Nothing => self.show_next(now, self.shown.map_or(0, |(id, _)| id)),
            Said::Next => self.show_next(now, self.shown.map_or(0, |(id, _)| id + 1)),
            Said::Answer(draft) => {
                let Some(id) = draft.prompt.or(self.shown.map(|(id, _)| id)) else {
                    return vec![Step::Say("there is no prompt to answer".to_owned())];
                };
                if let Some((gone, when)) = self.gone.take().filter(|_| draft.prompt.is_none())
                    && now < when.saturating_add(SETTLES).unwrap_or(when)
                {
                    return vec![Step::Say(format!(
                        "{gone} was just closed; nothing is answered. This would be for {id}: say it again"
                    ))];
                }
                self.answered = Some(id);
                match self.open.get(&id) {
                    Some(prompt) => vec![Step::Answer { prompt: id, answer: draft.complete(prompt) }],
                    None => vec![Step::Say(format!("there is no prompt {id} now"))],
                }
            }
        }
    }

    /// Time has passed.
    pub fn handle_time(&mut self, now: Timestamp) -> Vec<Step> {
        let Some((deadline, next)) = self.reminder() else { return Vec::new() };
        let left = words::seconds_left(deadline, now);
        if left > next {
            return Vec::new();
        }
        let Some((id, reminded)) = &mut self.shown else { return Vec::new() };
        *reminded = next;
        let then = self.open.get(id).map(|prompt| prompt.default.to_string()).unwrap_or_default();
        if left == 0 { Vec::new() } else { vec![Step::Say(format!("{id}: {left} s left, then {then}"))] }
    }

    fn handle_prompt(&mut self, now: Timestamp, prompt: Prompt) -> Vec<Step> {
        let id = prompt.id;
        if !self.open.contains_key(&id) && self.open.len() >= KEPT {
            return Vec::new();
        }
        let before = self.open.insert(id, prompt);
        match (self.shown, before) {
            (None, _) => self.show_next(now, 0),
            (Some((shown, _)), Some(before)) if shown == id => self.tell_change(now, &before),
            (Some(_), Some(_)) => Vec::new(),
            // Not at each: many may come at once.
            (Some(_), None) if (self.open.len() - 1).is_power_of_two() => {
                vec![Step::Say(format!("{} more wait; n shows the next", self.open.len() - 1))]
            }
            (Some(_), None) => Vec::new(),
        }
    }

    /// The prompt that is spoken of changed: more wait, or nobody any more.
    fn tell_change(&mut self, now: Timestamp, before: &Prompt) -> Vec<Step> {
        let Some((id, reminded)) = &mut self.shown else { return Vec::new() };
        let Some(prompt) = self.open.get(id) else { return Vec::new() };
        if prompt.deadline > before.deadline {
            *reminded = u64::MAX;
        }
        if (prompt.waiting == 0) == (before.waiting == 0) {
            return Vec::new();
        }
        vec![Step::Say(format!("{id}: waiting: {}", words::waiting(prompt, now)))]
    }

    /// Shows the first prompt from number `from` on; after the last, the first of all.
    fn show_next(&mut self, now: Timestamp, from: u64) -> Vec<Step> {
        let Some((id, prompt)) = self.open.range(from..).next().or_else(|| self.open.iter().next()) else {
            self.shown = None;
            return vec![Step::Say("waiting for prompts".to_owned())];
        };
        self.shown = Some((*id, u64::MAX));
        let mut lines = vec![String::new()];
        lines.extend(words::prompt(prompt, now));
        let others = self.open.len() - 1;
        lines.push(if others == 0 { "p/b/?".to_owned() } else { format!("p/b/? ({others} more: n)") });
        vec![Step::Say(lines.join("\n"))]
    }

    fn list(&self, now: Timestamp) -> Vec<Step> {
        if self.open.is_empty() {
            return vec![Step::Say("no open prompts".to_owned())];
        }
        self.open.values().map(|prompt| Step::Say(format!("\n{}", words::prompt(prompt, now).join("\n")))).collect()
    }

    /// The deadline of the prompt that is spoken of, and at how many seconds before it to mention it next.
    fn reminder(&self) -> Option<(Timestamp, u64)> {
        let (id, reminded) = self.shown?;
        let deadline = self.open.get(&id)?.deadline?;
        let next = REMINDERS.into_iter().find(|seconds| *seconds < reminded)?;
        Some((deadline, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::entry::{Confidence, Direction, Name, Verdict};
    use control::prompt::{Closed, Hold, HoldKind, Target};
    use rules::facts::{Identity, Program, User};

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn prompt(id: u64) -> Prompt {
        Prompt {
            id,
            identity: Identity {
                program: Program { path: Some("/usr/bin/git".into()), ..Program::default() },
                user: Some(User { id: "1000".into(), name: Some("alice".into()) }),
                command_line: Some("git fetch \u{1b}[2J\u{202e}".into()),
                ..Identity::default()
            }
            .into(),
            pid: 4242,
            direction: Direction::Out,
            protocol: 6,
            local: ([10, 0, 0, 1], 50_000).into(),
            remote: ([192, 0, 2, 7], 443).into(),
            name: Some(Name { text: "git.example.com".into(), confidence: Confidence::OwnProcess }),
            domain: Some("example.com".into()),
            many: false,
            asked_by: None,
            default: Verdict::Block,
            waiting: 1,
            deadline: Some(at(20)),
            opened: START,
            holds: vec![HoldKind::Once, HoldKind::Process, HoldKind::Duration],
            offer: Hold::Process,
        }
    }

    fn conversation() -> Conversation {
        let welcome = Welcome { tollgate: 1, role: Role::Operator, user: "alice".to_owned() };
        Conversation::new(&welcome)
    }

    fn opens(conversation: &mut Conversation, prompt: Prompt) -> Vec<Step> {
        conversation.handle_event(START, Event::Prompt(Box::new(prompt)))
    }

    fn said(steps: &[Step]) -> String {
        let say = |step: &Step| match step {
            Step::Say(text) => text.clone(),
            other => panic!("{other:?}"),
        };
        steps.iter().map(say).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_prompt_is_shown_with_who_where_and_how_long_yet() {
        let said = said(&opens(&mut conversation(), prompt(7)));
        let expected = r"
prompt 7: /usr/bin/git wants to connect to git.example.com at 192.0.2.7:443 (tcp)
  process    4242 of alice
  as         git fetch \u{1b}[2J\u{202e}
  name       git.example.com, which this process looked up
  waiting    1 connection; in 20 s: block
  offered    `p` or `b` is for this domain, while the process runs
p/b/?";
        assert_eq!(said, expected);
    }

    #[test]
    fn a_letter_answers_what_was_shown_with_what_is_offered() {
        let mut conversation = conversation();
        opens(&mut conversation, prompt(7));
        let answer = Answer { verdict: Verdict::Permit, hold: Hold::Process, target: Target::Domain, note: None };
        assert_eq!(conversation.handle_line(START, "p"), [Step::Answer { prompt: 7, answer }]);
    }

    #[test]
    fn a_letter_never_answers_a_prompt_that_was_not_shown() {
        let mut conversation = conversation();
        opens(&mut conversation, prompt(7));
        opens(&mut conversation, prompt(8));
        let Step::Answer { prompt: answered, .. } = conversation.handle_line(START, "b")[0] else { panic!() };
        assert_eq!(answered, 7);
        conversation.handle_event(START, Event::PromptClosed { id: 7, closed: Closed::Expired });
        conversation.handle_event(START, Event::PromptClosed { id: 8, closed: Closed::Expired });
        assert_eq!(said(&conversation.handle_line(START, "b")), "there is no prompt to answer");
        assert_eq!(said(&conversation.handle_line(START, "8 b")), "there is no prompt 8 now");
    }

    #[test]
    fn when_another_answers_it_is_said_who_and_the_next_is_shown() {
        let mut conversation = conversation();
        opens(&mut conversation, prompt(7));
        assert_eq!(said(&opens(&mut conversation, prompt(8))), "1 more wait; n shows the next");
        let closed = Closed::Answered { user: "root".into(), verdict: Verdict::Block };
        let said = said(&conversation.handle_event(START, Event::PromptClosed { id: 7, closed }));
        assert!(said.starts_with("7: root answered: block\n\nprompt 8: "), "{said}");
    }

    #[test]
    fn a_letter_that_was_meant_for_a_prompt_that_another_just_closed_does_not_answer_the_next() {
        let mut conversation = conversation();
        opens(&mut conversation, prompt(7));
        opens(&mut conversation, prompt(8));
        conversation.handle_event(START, Event::PromptClosed { id: 7, closed: Closed::Ruled });
        let said = said(&conversation.handle_line(at(1), "p"));
        assert_eq!(said, "7 was just closed; nothing is answered. This would be for 8: say it again");
        assert!(matches!(conversation.handle_line(at(1), "p")[..], [Step::Answer { prompt: 8, .. }]));
        // Whoever closed it here knows that it is the next one's turn.
        conversation.handle_event(at(2), Event::PromptClosed { id: 8, closed: Closed::Ruled });
        opens(&mut conversation, prompt(9));
        assert!(matches!(conversation.handle_line(at(2), "p")[..], [Step::Answer { prompt: 9, .. }]));
    }

    #[test]
    fn the_time_that_is_left_is_said_again_near_its_end() {
        let mut conversation = conversation();
        opens(&mut conversation, prompt(7));
        assert_eq!(conversation.wake(START), Some(at(10)));
        assert!(conversation.handle_time(at(9)).is_empty());
        assert_eq!(said(&conversation.handle_time(at(10))), "7: 10 s left, then block");
        assert_eq!(conversation.wake(at(10)), Some(at(15)));
        assert_eq!(said(&conversation.handle_time(at(16))), "7: 4 s left, then block");
        assert_eq!(conversation.wake(at(16)), None);
    }

    #[test]
    fn when_nobody_waits_any_more_it_is_said_that_an_answer_still_counts() {
        let mut conversation = conversation();
        opens(&mut conversation, prompt(7));
        let late = Prompt { waiting: 0, deadline: None, ..prompt(7) };
        let said = said(&opens(&mut conversation, late));
        assert_eq!(said, "7: waiting: nobody any more; an answer holds for the next attempt");
        assert!(matches!(conversation.handle_line(START, "p")[..], [Step::Answer { prompt: 7, .. }]));
    }

    #[test]
    fn prompts_are_walked_and_listed() {
        let mut conversation = conversation();
        for id in [7, 8] {
            opens(&mut conversation, prompt(id));
        }
        assert!(said(&conversation.handle_line(START, "n")).contains("prompt 8"));
        assert!(said(&conversation.handle_line(START, "n")).contains("prompt 7"));
        assert!(said(&conversation.handle_line(START, "")).contains("prompt 7"));
        assert_eq!(conversation.handle_line(START, "l").len(), 2);
        assert_eq!(conversation.handle_line(START, "q"), [Step::End]);
    }
}
