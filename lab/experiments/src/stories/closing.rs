//! Sockets that go away while their connect is held, and while it is answered.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use wire::settings::Holds;
use wire::verdict::{Outcome, Verdict};

use super::{Stage, held_out, listener, number};
use crate::gate::{Gate, settings};
use crate::program::Program;
use crate::programs::ms;
use crate::report::{Facts, Hypothesis, Story};

const CLOSED: Hypothesis = Hypothesis::fine(
    "closure",
    "each leaves by the door `closure`, and its answer is stale",
    "Nothing to change: the closure layer speaks while an operation is held (R32).",
);
const NOT_CLOSED: Hypothesis = Hypothesis::fine(
    "late",
    "its answer is accepted: no closure was indicated before it",
    "The closure waits for the held operation. Nothing crashes; say so at R32, and consider answering gone \
        processes at once in crates/gate.",
);
const LOST: Hypothesis = Hypothesis::contradicts(
    "lost",
    "counters do not add up, or it stays held",
    "crates/driver/src/closures.rs and R32.",
);

pub const STORIES: [Story; 3] = [
    Story {
        name: "kill-while-held",
        question: "what becomes of a held connect whose process is killed, and is completing it then harmless?",
        needs_peer: false,
        hypotheses: &[CLOSED, NOT_CLOSED, LOST],
        run: kill,
        judge,
    },
    Story {
        name: "close-while-held",
        question: "the same, when a process that lives on closes the socket",
        needs_peer: false,
        hypotheses: &[CLOSED, NOT_CLOSED, LOST],
        run: close,
        judge,
    },
    Story {
        name: "close-races-answer",
        question: "does the machine bear answers and closing sockets at the same moment, and may a closure's \
            classify be held by a callout of type CALLOUT_UNKNOWN?",
        needs_peer: false,
        hypotheses: &[
            Hypothesis::fine(
                "held",
                "closures_held rose, and nothing stayed held",
                "A CALLOUT_UNKNOWN callout may pend a closure. Nothing to change.",
            ),
            Hypothesis::fine(
                "not-met",
                "closures_held is the same",
                "The race was not met. Run it again under Driver Verifier; nothing is settled about closures that \
                    are held.",
            ),
            LOST,
        ],
        run: race,
        judge: |facts| match (facts.number("rounds"), facts.number("still_held"), facts.number("closures_held")) {
            (rounds, 0, 1..) if rounds > 0 => "held",
            (rounds, 0, 0) if rounds > 0 => "not-met",
            _ => "lost",
        },
    },
];

const KILLS: i64 = 10;
const RACES: i64 = 100;
/// How long a closure may take that is on its way.
const CLOSING: Duration = Duration::from_secs(3);

fn judge(facts: &Facts) -> &'static str {
    let rounds = facts.number("rounds");
    if rounds == 0 || facts.number("still_held") > 0 {
        "lost"
    } else if facts.number("closed") == rounds && facts.number("stale") == rounds {
        "closure"
    } else if facts.number("closed") + facts.number("accepted") >= rounds {
        "late"
    } else {
        "lost"
    }
}

fn kill(_: &Stage, facts: &mut Facts) -> Result<()> {
    leave(facts, &["connect"], Program::kill)
}

fn close(_: &Stage, facts: &mut Facts) -> Result<()> {
    // The program closes its socket after a second by itself.
    leave(facts, &["connect-for", "1000"], |program| {
        program.says_within(CLOSING);
    })
}

fn leave(facts: &mut Facts, words: &[&str], go: impl Fn(&mut Program)) -> Result<()> {
    let gate = Gate::attach(settings(Holds::CONNECT_TCP))?;
    let (_listener, address) = listener()?;
    let start = gate.stats()?;
    let (mut stale, mut accepted, mut slowest) = (0, 0, 0);
    let mut line = vec![words[0], &address];
    line.extend(&words[1..]);
    for _ in 0..KILLS {
        let mut program = Program::start(&line)?;
        let asked = gate.next(held_out)?;
        let before = gate.stats()?.doors.closure;
        go(&mut program);
        let began = Instant::now();
        while gate.stats()?.doors.closure == before && began.elapsed() < CLOSING {
            thread::sleep(Duration::from_millis(10));
        }
        slowest = slowest.max(ms(began));
        match gate.answer(&asked, Verdict::PERMIT)? {
            Outcome::STALE => stale += 1,
            Outcome::ACCEPTED => accepted += 1,
            _ => {}
        }
    }
    let stats = gate.stats_when(|stats| stats.pended == 0)?;
    facts.note("rounds", KILLS);
    facts.note("closed", number(stats.doors.closure.wrapping_sub(start.doors.closure)));
    facts.note("slowest_closure_ms", slowest);
    facts.note("stale", stale);
    facts.note("accepted", accepted);
    facts.note("unclaimed", number(stats.unclaimed.wrapping_sub(start.unclaimed)));
    facts.note("still_held", stats.pended);
    Ok(())
}

fn race(_: &Stage, facts: &mut Facts) -> Result<()> {
    let gate = Gate::attach(settings(Holds::CONNECT_TCP))?;
    let (_listener, address) = listener()?;
    let start = gate.stats()?;
    for round in 0..RACES {
        let mut program = Program::start(&["connect", &address])?;
        let asked = gate.next(held_out)?;
        let verdict = if round % 2 == 0 { Verdict::PERMIT } else { Verdict::BLOCK };
        thread::scope(|scope| {
            let killer = scope.spawn(|| program.kill());
            let answered = gate.answer(&asked, verdict);
            // A panic of it has been printed.
            killer.join().ok();
            answered
        })?;
    }
    let stats = gate.stats_when(|stats| stats.pended == 0)?;
    facts.note("rounds", RACES);
    facts.note("closed", number(stats.doors.closure.wrapping_sub(start.doors.closure)));
    facts.note("answered", number(stats.doors.verdict.wrapping_sub(start.doors.verdict)));
    facts.note("closures_held", number(stats.closures_held.wrapping_sub(start.closures_held)));
    facts.note("orphaned", number(stats.orphaned.wrapping_sub(start.orphaned)));
    facts.note("still_held", stats.pended);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(closed: i64, stale: i64, accepted: i64, still_held: i64) -> &'static str {
        let mut facts = Facts::default();
        let counts = [("closed", closed), ("stale", stale), ("accepted", accepted), ("still_held", still_held)];
        counts.into_iter().for_each(|(name, count)| facts.note(name, count));
        facts.note("rounds", 10);
        judge(&facts)
    }

    #[test]
    fn a_closure_before_the_answer_makes_the_answer_stale() {
        assert_eq!(seen(10, 10, 0, 0), "closure");
        assert_eq!(seen(0, 0, 10, 0), "late");
        assert_eq!(seen(4, 4, 6, 0), "late");
    }

    #[test]
    fn what_left_by_no_door_is_lost() {
        assert_eq!(seen(9, 10, 0, 0), "lost");
        assert_eq!(seen(10, 10, 0, 1), "lost");
    }
}
