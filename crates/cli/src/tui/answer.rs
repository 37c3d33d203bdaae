//! The answer to a prompt, while a person makes it.
//!
//! Two keys at least: one opens the form with a sensible choice, Enter sends it. Invariants: only what the prompt offers
//! can be chosen; the prompt it is for never changes. Neighbours: `prompts` keeps it, `view::prompts` shows it.

use super::input::Input;
use control::entry::{Confidence, Direction, Verdict};
use control::prompt::{Answer, Hold, HoldKind, Prompt, Target};
use crossterm::event::{KeyCode, KeyEvent};

/// The durations that are always offered, in seconds.
const DURATIONS: [u32; 4] = [300, 3_600, 28_800, 86_400];

/// An answer that is being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The prompt, as it was when the form was opened.
    pub prompt: Prompt,
    /// The verdict.
    pub verdict: Verdict,
    /// How long it holds.
    pub hold: HoldKind,
    /// The durations to choose from, in seconds.
    pub durations: Vec<u32>,
    /// Which of them.
    pub duration: usize,
    /// What it is for.
    pub target: Target,
    /// Why.
    pub note: Input,
    /// What keys are about.
    pub focus: Focus,
    /// What became of the prompt meanwhile.
    pub gone: Option<String>,
}

/// What keys are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// How long.
    Hold,
    /// Which duration.
    Duration,
    /// For what.
    Target,
    /// Why.
    Note,
}

/// What a key did to a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on.
    Open,
    /// The person left it.
    Left,
    /// The answer is made.
    Made(Answer),
}

impl Form {
    /// A form for `prompt`, with what is offered first chosen.
    pub fn new(prompt: Prompt, verdict: Verdict) -> Self {
        let mut durations = DURATIONS.to_vec();
        let (hold, offered) = match prompt.offer {
            Hold::Once => (HoldKind::Once, None),
            Hold::Process => (HoldKind::Process, None),
            Hold::Duration { seconds } => (HoldKind::Duration, Some(seconds)),
            Hold::Forever => (HoldKind::Forever, None),
        };
        if let Some(seconds) = offered.filter(|seconds| !durations.contains(seconds)) {
            durations.push(seconds);
            durations.sort_unstable();
        }
        let duration = durations.iter().position(|seconds| offered.unwrap_or(DURATIONS[0]) == *seconds).unwrap_or(0);
        let hold =
            if prompt.holds.contains(&hold) { hold } else { prompt.holds.first().copied().unwrap_or(HoldKind::Once) };
        let target = first_target(&prompt);
        let (note, focus) = (Input::default(), Focus::Hold);
        Self { prompt, verdict, hold, durations, duration, target, note, focus, gone: None }
    }

    /// Whether `target` means something here.
    pub fn offers(&self, target: Target) -> bool {
        match target {
            Target::Remote => !self.prompt.many,
            Target::Domain => !self.prompt.many && self.prompt.domain.is_some(),
            Target::Port => !self.prompt.many && self.prompt.direction == Direction::In,
            Target::Everything => true,
        }
    }

    /// The answer, as chosen now.
    pub fn answer(&self) -> Answer {
        let hold = match self.hold {
            HoldKind::Once => Hold::Once,
            HoldKind::Process => Hold::Process,
            HoldKind::Duration => Hold::Duration { seconds: self.durations[self.duration] },
            HoldKind::Forever => Hold::Forever,
        };
        let note = Some(self.note.text()).filter(|note| !note.trim().is_empty());
        Answer { verdict: self.verdict, hold, target: self.target, note }
    }

    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent) -> Outcome {
        if self.focus == Focus::Note {
            match key.code {
                // Enter ends the note, and nothing else: a note must not send what was not read again.
                KeyCode::Enter | KeyCode::Esc | KeyCode::Tab | KeyCode::Down | KeyCode::BackTab | KeyCode::Up => {
                    self.focus = Focus::Target;
                }
                _ => drop(self.note.key(key)),
            }
            return Outcome::Open;
        }
        match (key.code, self.focus) {
            (KeyCode::Esc | KeyCode::Char('q'), _) => return Outcome::Left,
            (KeyCode::Enter, _) if self.gone.is_some() => return Outcome::Left,
            (KeyCode::Enter, _) => return Outcome::Made(self.answer()),
            (KeyCode::Char('p'), _) => self.verdict = Verdict::Permit,
            (KeyCode::Char('b'), _) => self.verdict = Verdict::Block,
            (KeyCode::Char('n'), _) => self.focus = Focus::Note,
            (KeyCode::Char('d'), Focus::Duration) => self.step(1),
            (KeyCode::Char('d'), Focus::Target) => self.aim(Target::Domain),
            (KeyCode::Char('o'), _) => self.keep(HoldKind::Once),
            (KeyCode::Char('c'), _) => self.keep(HoldKind::Process),
            (KeyCode::Char('d'), Focus::Hold) => self.keep(HoldKind::Duration),
            (KeyCode::Char('f'), _) => self.keep(HoldKind::Forever),
            (KeyCode::Char('r'), _) => self.aim(Target::Remote),
            (KeyCode::Char('a'), _) => self.aim(Target::Port),
            (KeyCode::Char('e'), _) => self.aim(Target::Everything),
            (KeyCode::Char(digit @ '1'..='9'), Focus::Hold | Focus::Duration) => self.pick(digit),
            (KeyCode::Tab | KeyCode::Down | KeyCode::Char('j'), _) => self.walk(true),
            (KeyCode::BackTab | KeyCode::Up | KeyCode::Char('k'), _) => self.walk(false),
            (KeyCode::Left | KeyCode::Char('h'), _) => self.step(-1),
            (KeyCode::Right | KeyCode::Char('l'), _) => self.step(1),
            _ => {}
        }
        Outcome::Open
    }

    fn keep(&mut self, hold: HoldKind) {
        if self.prompt.holds.contains(&hold) {
            self.hold = hold;
            self.focus = if hold == HoldKind::Duration { Focus::Duration } else { Focus::Target };
        }
    }

    fn aim(&mut self, target: Target) {
        if self.offers(target) {
            self.target = target;
            self.focus = Focus::Target;
        }
    }

    fn pick(&mut self, digit: char) {
        let which = digit as usize - '1' as usize;
        if self.prompt.holds.contains(&HoldKind::Duration) && which < self.durations.len() {
            self.hold = HoldKind::Duration;
            self.duration = which;
            self.focus = Focus::Target;
        }
    }

    fn walk(&mut self, down: bool) {
        let duration = if self.hold == HoldKind::Duration { Focus::Duration } else { Focus::Hold };
        self.focus = match (self.focus, down) {
            (Focus::Hold, true) if duration == Focus::Duration => Focus::Duration,
            (Focus::Hold | Focus::Duration, true) => Focus::Target,
            (Focus::Target, true) => Focus::Note,
            (Focus::Note, true) | (Focus::Duration, false) => Focus::Hold,
            (Focus::Hold, false) => Focus::Note,
            (Focus::Target, false) => duration,
            (Focus::Note, false) => Focus::Target,
        };
    }

    fn step(&mut self, by: isize) {
        match self.focus {
            Focus::Hold => self.hold = turn(&self.prompt.holds, self.hold, by),
            Focus::Duration => {
                self.duration =
                    self.duration.wrapping_add_signed(by + self.durations.len() as isize) % self.durations.len()
            }
            Focus::Target => {
                let all = [Target::Remote, Target::Domain, Target::Port, Target::Everything];
                let offered: Vec<Target> = all.into_iter().filter(|target| self.offers(*target)).collect();
                self.target = turn(&offered, self.target, by);
            }
            Focus::Note => {}
        }
    }
}

/// What to offer first: the domain when the name is more than a guess, since addresses change; of what others begin the one
/// who is shown, for to let in everybody is another decision; never everything, unless nothing less covers what waits.
fn first_target(prompt: &Prompt) -> Target {
    let sure = prompt.name.as_ref().is_some_and(|name| name.confidence > Confidence::Ambiguous);
    match prompt {
        Prompt { many: true, .. } => Target::Everything,
        Prompt { domain: Some(_), .. } if sure => Target::Domain,
        _ => Target::Remote,
    }
}

/// The next of a list, or the one before, around its ends.
fn turn<T: Copy + PartialEq>(list: &[T], from: T, by: isize) -> T {
    let at = list.iter().position(|one| *one == from).unwrap_or(0);
    let next = at.wrapping_add_signed(by + list.len() as isize).checked_rem(list.len()).unwrap_or(0);
    list.get(next).copied().unwrap_or(from)
}
