//! A policy that changes, and what other products decide.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use wire::settings::Holds;
use wire::verdict::Verdict;

use super::{Stage, V4, held_out, listener, number};
use crate::gate::{Asked, Gate, settings};
use crate::peer;
use crate::program::Program;
use crate::report::{Facts, Hypothesis, Story};

pub const STORIES: [Story; 3] = [
    Story {
        name: "live",
        question: "does a new policy reach a connection that lives, and does a block end it?",
        needs_peer: false,
        hypotheses: &[
            Hypothesis::fine(
                "blocked",
                "the driver asks about it, and after the block nothing more arrives",
                "Nothing to change (R16).",
            ),
            Hypothesis::contradicts(
                "passes",
                "it is asked about and blocked, and data goes on",
                "A block at a reauthorize does not end this flow: docs/security.md must say so; else it has to be \
                    ended at a transport or stream layer.",
            ),
            Hypothesis::contradicts(
                "not-asked",
                "nothing is asked",
                "Adding and removing a filter does not make the engine ask again about it (loopback alone? run it \
                    with --peer): docs/decisions/0010, crates/driver/src/filtering.rs.",
            ),
        ],
        run: live,
        judge: |facts| match (facts.is("asked"), facts.is("data_after_block")) {
            (false, _) => "not-asked",
            (true, false) => "blocked",
            (true, true) => "passes",
        },
    },
    Story {
        name: "rule-while-held",
        question: "does another product's rule change, while a connect is held, do it any harm?",
        needs_peer: false,
        hypotheses: &[
            Hypothesis::fine("held-on", "one request; it connects after the permit", "Nothing to change (R10, R11)."),
            Hypothesis::contradicts(
                "decided",
                "it connects before the permit",
                "The engine gives up what is held when filters change: crates/gate, foreign reauthorizes.",
            ),
            Hypothesis::contradicts(
                "broken",
                "more than one request, or it does not connect",
                "crates/gate, foreign reauthorizes (R11).",
            ),
        ],
        run: rule_while_held,
        judge: |facts| match (facts.is("connected_early"), facts.number("requests"), facts.is("connected")) {
            (true, _, _) => "decided",
            (false, 1, true) => "held-on",
            _ => "broken",
        },
    },
    Story {
        name: "foreign-block",
        question: "who wins when the Windows Firewall blocks what Tollgate permits, and is Tollgate asked at all?",
        needs_peer: true,
        hypotheses: &[
            Hypothesis::fine(
                "asked-and-blocked",
                "a request comes, is permitted, and the connect fails",
                "A permit in the log is no connection: docs/log.md must say so. See `unclaimed`, too.",
            ),
            Hypothesis::fine(
                "not-asked",
                "no request, and the connect fails",
                "A hard block before us ends it; nothing to change.",
            ),
            Hypothesis::contradicts(
                "connected",
                "it connects",
                "Our permit overrules a block: the action right (R27). Is the firewall on?",
            ),
        ],
        run: foreign_block,
        judge: |facts| match (facts.is("connected"), facts.number("requests")) {
            (true, _) => "connected",
            (false, 0) => "not-asked",
            (false, _) => "asked-and-blocked",
        },
    },
];

/// How long data may take that is on its way.
const DATA: Duration = Duration::from_secs(3);

fn live(stage: &Stage, facts: &mut Facts) -> Result<()> {
    let mut gate = Gate::attach(settings(Holds::CONNECT_TCP))?;
    let listener = Program::start(&["listen", &V4.to_string()])?;
    let address = match stage.peer {
        Some(peer) => format!("{peer}:{}", peer::PORT),
        None => format!("{V4}:{}", listener.says()?["port"]),
    };
    let talker = Program::start(&["talk", &address])?;
    let asked = gate.next(held_out)?;
    gate.answer(&asked, Verdict::PERMIT)?;
    if talker.says()?["ok"] != true {
        bail!("it did not connect");
    }
    // A first piece of data has gone.
    talker.says()?;
    let before = gate.stats()?;
    gate.new_epoch()?;
    let question = gate.next_within(Duration::from_secs(10), Asked::is_live);
    if let Some(question) = &question {
        gate.answer(question, Verdict::BLOCK)?;
    }
    // Until the block is in force data may go on.
    thread::sleep(Duration::from_secs(2));
    let after = gate.stats()?;
    // Writes succeed as long as the send buffer has room: what counts is what is read, there or, echoed, here.
    let receives = if stage.peer.is_none() { &listener } else { &talker };
    drain(receives);
    let mut pieces = 0;
    let until = Instant::now() + DATA;
    while Instant::now() < until
        && let Some(word) = receives.says_within(until - Instant::now())
    {
        pieces += i64::from(word["what"] == "read");
    }
    facts.note("asked", question.is_some());
    facts.note("live_asked", number(after.live_asked.wrapping_sub(before.live_asked)));
    facts.note("rechecked", number(after.rechecked.wrapping_sub(before.rechecked)));
    facts.note("pieces_after_block", pieces);
    facts.note("data_after_block", pieces > 0);
    Ok(())
}

fn drain(program: &Program) {
    while program.says_within(Duration::ZERO).is_some() {}
}

/// A rule of the Windows Firewall, removed when dropped.
struct Rule;

const RULE: &str = "name=Tollgate experiment";

impl Rule {
    /// Blocks, for this program, a remote port.
    fn block(port: u16) -> Result<Self> {
        let program = format!("program={}", std::env::current_exe()?.display());
        let port = format!("remoteport={port}");
        let words = ["add", "rule", RULE, "dir=out", "action=block", "protocol=TCP", &port, &program];
        if !netsh(&words)? {
            bail!("netsh could not add a rule: is this prompt elevated?");
        }
        Ok(Self)
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        if !netsh(&["delete", "rule", RULE]).unwrap_or(false) {
            eprintln!("remove it by hand: netsh advfirewall firewall delete rule \"{RULE}\"");
        }
    }
}

fn netsh(words: &[&str]) -> Result<bool> {
    let mut command = Command::new("netsh");
    command.args(["advfirewall", "firewall"]).args(words).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.status()?.success())
}

fn rule_while_held(_: &Stage, facts: &mut Facts) -> Result<()> {
    let gate = Gate::attach(settings(Holds::CONNECT_TCP))?;
    let before = gate.stats()?.foreign_reauthorized;
    let (_listener, address) = listener()?;
    let program = Program::start(&["connect", &address])?;
    let asked = gate.next(held_out)?;
    // A port that nobody uses: the rule changes nothing but the filters.
    drop(Rule::block(9)?);
    let early = program.says_within(Duration::from_secs(2));
    gate.answer(&asked, Verdict::PERMIT)?;
    let said = early.clone().or_else(|| program.says_within(DATA)).unwrap_or_default();
    facts.note("connected_early", early.is_some());
    facts.note("connected", said["ok"] == true);
    facts.note("requests", number(gate.count(held_out)));
    facts.note("foreign_reauthorized", number(gate.stats()?.foreign_reauthorized.wrapping_sub(before)));
    Ok(())
}

fn foreign_block(stage: &Stage, facts: &mut Facts) -> Result<()> {
    let gate = Gate::attach(settings(Holds::CONNECT_TCP))?;
    let before = gate.stats()?;
    let _rule = Rule::block(peer::PORT)?;
    // A connect of this process is exempt from Tollgate, not from the firewall; the program's is neither.
    let program = Program::start(&["connect", &format!("{}:{}", stage.peer()?, peer::PORT)])?;
    if let Some(asked) = gate.next_within(DATA, held_out) {
        gate.answer(&asked, Verdict::PERMIT)?;
    }
    let said = program.says_within(Duration::from_secs(30)).unwrap_or_default();
    let after = gate.stats_when(|stats| stats.pended == 0)?;
    facts.note("requests", number(gate.count(held_out)));
    facts.note("connected", said["ok"] == true);
    facts.note("code", said["code"].clone());
    facts.note("claimed", number(after.claimed.wrapping_sub(before.claimed)));
    facts.note("unclaimed", number(after.unclaimed.wrapping_sub(before.unclaimed)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(name: &str, seen: &[&'static str], requests: i64) -> &'static str {
        let mut facts = Facts::default();
        seen.iter().for_each(|name| facts.note(name, true));
        facts.note("requests", requests);
        (STORIES.iter().find(|story| story.name == name).unwrap().judge)(&facts)
    }

    #[test]
    fn a_live_flow_that_is_not_asked_about_or_goes_on_contradicts() {
        assert_eq!(judge("live", &["asked"], 0), "blocked");
        assert_eq!(judge("live", &["asked", "data_after_block"], 0), "passes");
        assert_eq!(judge("live", &["data_after_block"], 0), "not-asked");
    }

    #[test]
    fn what_is_held_stays_held_when_rules_of_others_change() {
        assert_eq!(judge("rule-while-held", &["connected"], 1), "held-on");
        assert_eq!(judge("rule-while-held", &["connected", "connected_early"], 1), "decided");
        assert_eq!(judge("rule-while-held", &["connected"], 2), "broken");
    }

    #[test]
    fn a_block_of_others_wins() {
        assert_eq!(judge("foreign-block", &[], 1), "asked-and-blocked");
        assert_eq!(judge("foreign-block", &[], 0), "not-asked");
        assert_eq!(judge("foreign-block", &["connected"], 1), "connected");
    }
}
