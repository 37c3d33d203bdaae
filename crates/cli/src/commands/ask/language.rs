//! What a person types, as an answer.
//!
//! `p`, `b 1h`, `permit forever domain`, `7 b e # no telemetry`: a verdict, and in any order how long and for what; what
//! is left out is what the prompt offers. Invariants: what is not understood answers nothing. Neighbours: `conversation`
//! knows which prompt.

use crate::args::{UNITS, seconds};
use control::entry::{Confidence, Verdict};
use control::prompt::{Answer, Hold, MAX_SECONDS, Prompt, Target};

/// What is typed, in a few words.
pub const HELP: &str = "\
p permit, b block; then, when it is not what is offered:
  how long   o once, r while the process runs, a time such as 30m or 8h, f forever
  for what   h here (this address and port), d its domain, e everything of the program;
             a anyone, when others connect: this port of ours, whoever reaches it
  why        # and a note
for example: p    b 1h    p f d    7 b e # no telemetry
l list, n next, ? this help, q quit";

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// An answer.
    Answer(Draft),
    /// Speak of the next prompt.
    Next,
    /// Show all prompts.
    List,
    /// Show [`HELP`].
    Help,
    /// End.
    Quit,
    /// Nothing: show the prompt again.
    Nothing,
}

/// An answer, as far as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// To which prompt; to the one that is spoken of when `None`.
    pub prompt: Option<u64>,
    verdict: Verdict,
    hold: Option<Hold>,
    target: Option<Target>,
    note: Option<String>,
}

impl Draft {
    /// The answer, with what `prompt` offers for what was not said.
    pub fn complete(self, prompt: &Prompt) -> Answer {
        Answer {
            verdict: self.verdict,
            hold: self.hold.unwrap_or(prompt.offer),
            target: self.target.unwrap_or_else(|| offered_target(prompt)),
            note: self.note,
        }
    }
}

/// What to offer first: the domain when the name is more than a guess, since addresses change; of what others begin the one
/// who is shown, for to let in everybody is another decision; never everything, unless nothing less covers what waits.
pub fn offered_target(prompt: &Prompt) -> Target {
    let is_sure = prompt.name.as_ref().is_some_and(|name| name.confidence > Confidence::Ambiguous);
    match prompt {
        Prompt { many: true, .. } => Target::Everything,
        Prompt { domain: Some(_), .. } if is_sure => Target::Domain,
        _ => Target::Remote,
    }
}

/// Reads a line.
pub fn read(line: &str) -> Result<Said, String> {
    let (words, note) = match line.split_once('#') {
        Some((words, note)) => (words, Some(note.trim().to_owned()).filter(|note| !note.is_empty())),
        None => (line, None),
    };
    let mut words = words.split_whitespace().peekable();
    let prompt = words.next_if(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
    let prompt = prompt.map(|number| number.parse().map_err(|_| format!("there is no prompt {number}"))).transpose()?;
    let verdict = match words.next() {
        None if prompt.is_none() => return Ok(Said::Nothing),
        None => return Err("say p or b after the number".to_owned()),
        Some("p" | "permit") => Verdict::Permit,
        Some("b" | "block") => Verdict::Block,
        Some("n" | "next") => return Ok(Said::Next),
        Some("l" | "list") => return Ok(Said::List),
        Some("?" | "help") => return Ok(Said::Help),
        Some("q" | "quit") => return Ok(Said::Quit),
        Some(other) => return Err(format!("what is \"{other}\"? p permits, b blocks, ? helps")),
    };
    let mut draft = Draft { prompt, verdict, hold: None, target: None, note };
    for word in words {
        let target = match word {
            "h" | "here" | "remote" => Some(Target::Remote),
            "d" | "domain" => Some(Target::Domain),
            "a" | "anyone" | "port" => Some(Target::Port),
            "e" | "everything" => Some(Target::Everything),
            _ => None,
        };
        let is_second = match target {
            Some(target) => draft.target.replace(target).is_some(),
            None => draft.hold.replace(short_hold(word)?).is_some(),
        };
        if is_second {
            return Err(format!("\"{word}\" is one too many"));
        }
    }
    Ok(Said::Answer(draft))
}

fn short_hold(word: &str) -> Result<Hold, String> {
    match word {
        "o" => Ok(Hold::Once),
        "r" => Ok(Hold::Process),
        "f" => Ok(Hold::Forever),
        word => hold(word).map_err(|_| format!("what is \"{word}\"? ? helps")),
    }
}

/// How long an answer holds, in whole words.
pub fn hold(text: &str) -> Result<Hold, String> {
    match text {
        "once" => Ok(Hold::Once),
        "process" => Ok(Hold::Process),
        "forever" => Ok(Hold::Forever),
        time => match seconds(time) {
            Some(seconds @ 1..=MAX_SECONDS) => Ok(Hold::Duration { seconds }),
            Some(_) => Err(format!("a time is 1s to {}d; or forever", MAX_SECONDS / 86_400)),
            None => Err(format!("give once, process, forever, or {UNITS}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draft(line: &str) -> Draft {
        match read(line) {
            Ok(Said::Answer(draft)) => draft,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_letter_is_an_answer_and_what_is_left_out_is_left_open() {
        let Draft { prompt, verdict, hold, target, note } = draft("p");
        assert_eq!((prompt, verdict, hold, target, note), (None, Verdict::Permit, None, None, None));
        assert_eq!(draft("block").verdict, Verdict::Block);
    }

    #[test]
    fn how_long_and_for_what_come_in_any_order_and_a_note_last() {
        let expected = draft("7 b 1h d # slow, and loud");
        assert_eq!(expected, draft("  7  block domain 1h#slow, and loud "));
        assert_eq!(expected.prompt, Some(7));
        assert_eq!(expected.hold, Some(Hold::Duration { seconds: 3_600 }));
        assert_eq!(expected.target, Some(Target::Domain));
        assert_eq!(expected.note.as_deref(), Some("slow, and loud"));
        assert_eq!(draft("p f e").hold, Some(Hold::Forever));
    }

    #[test]
    fn what_is_not_understood_answers_nothing_and_says_why() {
        for line in ["permitt", "p later", "p o f", "p d e", "7", "p 0s", "p 400d", "99999999999999999999 p", "y"] {
            assert!(read(line).is_err(), "{line}");
        }
        assert_eq!(read(""), Ok(Said::Nothing));
        assert_eq!(read(" # note "), Ok(Said::Nothing));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn any_line_is_read_or_refused(line in ".{0,80}") {
            if let Err(why) = read(&line) {
                prop_assert!(!why.is_empty());
            }
        }
    }
}
