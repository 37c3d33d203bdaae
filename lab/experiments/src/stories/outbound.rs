//! Outbound TCP connects: held, answered, refused, forgotten.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use wire::settings::Holds;
use wire::verdict::{Outcome, Verdict};

use super::{Stage, TCP, held_out, listener, number};
use crate::gate::{Gate, settings};
use crate::program::Program;
use crate::report::{Facts, Hypothesis, Story};

pub const STORIES: [Story; 5] = [
    Story {
        name: "inline",
        question: "does the reauthorize that follows a completion run inside the call that completes?",
        needs_peer: false,
        hypotheses: &[
            Hypothesis::fine(
                "inline",
                "the verdict is claimed when the answer's call returns, each time",
                "Nothing to change: both orders are handled (R7, R8).",
            ),
            Hypothesis::fine(
                "later",
                "claimed rises, but not always before the call returns",
                "Nothing to change: both orders are handled (R7, R8). The record must outlive the completion: it \
                    does.",
            ),
            Hypothesis::contradicts(
                "never",
                "connects fail, or no verdict is claimed",
                "The permit is not found by its endpoint: see Key in crates/gate and authorize.rs in crates/nt.",
            ),
        ],
        run: inline,
        judge: |facts| match (facts.number("connected"), facts.number("inline"), facts.number("claimed")) {
            (connected, inline, _) if connected == ROUNDS && inline == ROUNDS => "inline",
            (connected, _, claimed) if connected == ROUNDS && claimed >= ROUNDS => "later",
            _ => "never",
        },
    },
    Story {
        name: "connect-error",
        question: "what does a program see of a connect that is blocked after it was held?",
        needs_peer: false,
        hypotheses: &[
            Hypothesis::fine(
                "access-denied",
                "the error is WSAEACCES, 10013",
                "What the documentation says (README, docs/tui.md).",
            ),
            Hypothesis::fine(
                "another-error",
                "it fails with another code",
                "Say that code in the documentation and in docs/lab.md; lab/hook/src/sockets.rs then answers with \
                    it, too.",
            ),
            Hypothesis::contradicts(
                "connected",
                "it succeeds",
                "A block after a hold does not hold: look at the reauthorize in crates/driver/src/ale.",
            ),
        ],
        run: connect_error,
        judge: |facts| match (facts.is("connected"), facts.number("code")) {
            (true, _) => "connected",
            (false, 10_013) => "access-denied",
            _ => "another-error",
        },
    },
    Story {
        name: "request",
        question: "what is known of a connection, and does the start key tell processes apart?",
        needs_peer: false,
        hypotheses: &[
            Hypothesis::fine(
                "all",
                "process id, start keys that differ, path, user and local address are there",
                "Nothing to change.",
            ),
            Hypothesis::contradicts(
                "some",
                "one of them is missing",
                "The fact that is missing: values and metadata in crates/nt/src/wfp/authorize.rs; start keys in \
                    crates/nt, PsGetProcessStartKey (R35).",
            ),
        ],
        run: request,
        judge: |facts| {
            let all = ["process_id_is_right", "start_keys_differ", "path_and_user", "local_address"];
            if all.iter().all(|fact| facts.is(fact)) { "all" } else { "some" }
        },
    },
    Story {
        name: "deadline",
        question: "is a connect that nobody answers released by the fallback at its deadline?",
        needs_peer: false,
        hypotheses: &[
            Hypothesis::fine(
                "released",
                "it connects after one second, by the door `deadline`; the late answer is stale",
                "Nothing to change.",
            ),
            Hypothesis::contradicts(
                "kept",
                "it does not",
                "The driver's timer does not run: crates/driver/src/delivery.rs.",
            ),
        ],
        run: deadline,
        judge: |facts| {
            let released =
                facts.is("connected") && facts.number("by_deadline") >= 1 && facts.is("late_answer_is_stale");
            if released && (900..5_000).contains(&facts.number("ms")) { "released" } else { "kept" }
        },
    },
    Story {
        name: "detach",
        question: "are connects released by the fallback when the service's handle goes away?",
        needs_peer: false,
        hypotheses: &[
            Hypothesis::fine("released", "it connects at once, by the door `detach`", "Nothing to change."),
            Hypothesis::contradicts(
                "kept",
                "it does not",
                "IRP_MJ_CLEANUP does not release: crates/driver/src/control.rs.",
            ),
        ],
        run: detach,
        judge: |facts| if facts.is("connected") && facts.number("by_detach") >= 1 { "released" } else { "kept" },
    },
];

/// How often `inline` looks.
const ROUNDS: i64 = 20;

fn inline(_: &Stage, facts: &mut Facts) -> Result<()> {
    let gate = Gate::attach(settings(Holds::CONNECT_TCP))?;
    let (_listener, address) = listener()?;
    let start = gate.stats()?.claimed;
    let (mut inline, mut connected) = (0, 0);
    for _ in 0..ROUNDS {
        let program = Program::start(&["connect", &address])?;
        let asked = gate.next(held_out)?;
        let before = gate.stats()?.claimed;
        gate.answer(&asked, Verdict::PERMIT)?;
        inline += i64::from(gate.stats()?.claimed > before);
        connected += i64::from(program.says()?["ok"] == true);
    }
    let stats = gate.stats_when(|stats| number(stats.claimed.wrapping_sub(start)) >= ROUNDS)?;
    facts.note("rounds", ROUNDS);
    facts.note("inline", inline);
    facts.note("claimed", number(stats.claimed.wrapping_sub(start)));
    facts.note("connected", connected);
    facts.note("unclaimed", stats.unclaimed);
    facts.note("orphaned", stats.orphaned);
    Ok(())
}

fn connect_error(_: &Stage, facts: &mut Facts) -> Result<()> {
    let gate = Gate::attach(settings(Holds::CONNECT_TCP))?;
    let (_listener, address) = listener()?;
    let program = Program::start(&["connect", &address])?;
    let asked = gate.next(held_out)?;
    gate.answer(&asked, Verdict::BLOCK)?;
    let said = program.says()?;
    facts.note("connected", said["ok"] == true);
    facts.note("code", said["code"].clone());
    facts.note("ms", said["ms"].clone());
    // As runtimes that do not block connect: the error comes by another way.
    let program = Program::start(&["connect-for", &address, "10000"])?;
    let asked = gate.next(held_out)?;
    gate.answer(&asked, Verdict::BLOCK)?;
    let said = program.says()?;
    facts.note("nonblocking_code", said["code"].clone());
    if said["ok"] == true {
        facts.note("connected", true);
    }
    Ok(())
}

fn request(_: &Stage, facts: &mut Facts) -> Result<()> {
    let gate = Gate::attach(settings(Holds::CONNECT_TCP))?;
    let (_listener, address) = listener()?;
    let mut keys = Vec::new();
    for _ in 0..2 {
        let program = Program::start(&["connect", &address])?;
        let asked = gate.next(held_out)?;
        let request = asked.request;
        facts.note("process_id_is_right", request.process_id == program.id());
        facts.note("path_and_user", asked.is_named);
        facts.note("local_address", request.local_ip().is_loopback());
        facts.note("local_port", request.local_port);
        facts.note("interface_luid", request.interface_luid);
        facts.note("compartment", request.compartment);
        facts.note("protocol_is_tcp", request.protocol == TCP);
        keys.push(request.process_start_key);
        gate.answer(&asked, Verdict::PERMIT)?;
        program.says()?;
    }
    facts.note("start_keys", keys.iter().map(|key| format!("{key:#x}")).collect::<Vec<_>>());
    facts.note("start_keys_differ", !keys.contains(&0) && keys.first() != keys.last());
    Ok(())
}

fn deadline(_: &Stage, facts: &mut Facts) -> Result<()> {
    let mut short = settings(Holds::CONNECT_TCP);
    short.deadline_ms = 1_000;
    let gate = Gate::attach(short)?;
    let before = gate.stats()?.doors.deadline;
    let (_listener, address) = listener()?;
    let program = Program::start(&["connect", &address])?;
    let asked = gate.next(held_out)?;
    let said = program.says()?;
    facts.note("connected", said["ok"] == true);
    facts.note("ms", said["ms"].clone());
    facts.note("by_deadline", number(gate.stats()?.doors.deadline.wrapping_sub(before)));
    facts.note("late_answer_is_stale", gate.answer(&asked, Verdict::BLOCK)? == Outcome::STALE);
    Ok(())
}

fn detach(_: &Stage, facts: &mut Facts) -> Result<()> {
    let gate = Gate::attach(settings(Holds::CONNECT_TCP))?;
    let before = gate.stats()?.doors.detach;
    let (_listener, address) = listener()?;
    let program = Program::start(&["connect", &address])?;
    gate.next(held_out)?;
    thread::sleep(Duration::from_millis(300));
    drop(gate);
    let said = program.says()?;
    facts.note("connected", said["ok"] == true);
    facts.note("ms", said["ms"].clone());
    facts.note("by_detach", number(platform::open()?.stats()?.doors.detach.wrapping_sub(before)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::report::Facts;
    use crate::stories::all;

    fn judge(name: &str, seen: &[(&'static str, serde_json::Value)]) -> &'static str {
        let mut facts = Facts::default();
        seen.iter().for_each(|(name, value)| facts.note(name, value.clone()));
        (all().find(|story| story.name == name).unwrap().judge)(&facts)
    }

    #[test]
    fn one_claim_that_comes_later_is_not_inline() {
        let connected = ("connected", 20.into());
        assert_eq!(judge("inline", &[connected.clone(), ("inline", 20.into()), ("claimed", 20.into())]), "inline");
        assert_eq!(judge("inline", &[connected.clone(), ("inline", 19.into()), ("claimed", 20.into())]), "later");
        assert_eq!(judge("inline", &[connected, ("inline", 0.into()), ("claimed", 19.into())]), "never");
    }

    #[test]
    fn a_connect_that_succeeds_after_a_block_contradicts_whatever_the_other_said() {
        assert_eq!(judge("connect-error", &[("code", 10_013.into()), ("connected", false.into())]), "access-denied");
        assert_eq!(judge("connect-error", &[("code", 10_060.into())]), "another-error");
        assert_eq!(judge("connect-error", &[("code", 10_013.into()), ("connected", true.into())]), "connected");
    }

    #[test]
    fn a_deadline_is_neither_early_nor_very_late() {
        let seen = |ms: i64| {
            let late = ("late_answer_is_stale", true.into());
            judge("deadline", &[("connected", true.into()), ("by_deadline", 1.into()), late, ("ms", ms.into())])
        };
        assert_eq!((seen(100), seen(1_050), seen(20_000)), ("kept", "released", "kept"));
    }
}
