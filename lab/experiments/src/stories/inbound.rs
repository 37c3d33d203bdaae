//! What comes in: loopback's inbound half, connections and datagrams of another machine.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use wire::request::{Because, Direction};
use wire::settings::Holds;
use wire::verdict::Verdict;

use super::{Stage, V4, held_in, held_out, number};
use crate::gate::{Asked, Gate, PATIENCE, settings};
use crate::peer;
use crate::program::Program;
use crate::report::{Facts, Hypothesis, Story};

pub const STORIES: [Story; 5] = [
    Story {
        name: "loopback",
        question: "is loopback asked about when it goes out, and reported when it comes in?",
        needs_peer: false,
        hypotheses: &[
            Hypothesis::fine(
                "as-built",
                "one held request out, a report `loopback` in, and it connects",
                "Nothing to change.",
            ),
            Hypothesis::fine(
                "no-report",
                "one held request out, nothing in, and it connects",
                "Loopback is not classified where it comes in: the counters say less than docs/operations.md.",
            ),
            Hypothesis::contradicts(
                "broken",
                "it does not connect, or is asked about twice",
                "crates/driver/src/ale, loopback (R38).",
            ),
        ],
        run: |_, facts| loopback(facts, Holds::USUAL),
        judge: |facts| match (facts.is("accepted"), facts.number("held_in"), facts.number("reported_in")) {
            (true, 0, 1..) => "as-built",
            (true, 0, 0) => "no-report",
            _ => "broken",
        },
    },
    Story {
        name: "loopback-held",
        question: "can the inbound half of loopback be held (receive injection)?",
        needs_peer: false,
        hypotheses: &[
            Hypothesis::fine(
                "works",
                "it is held, permitted, and connects",
                "`hold.loopback_inbound` may be recommended; R25 in docs/rules-of-wfp.md can be replaced by what \
                    was seen.",
            ),
            Hypothesis::fine(
                "refused",
                "inject_failed rises",
                "Nothing to change: it is off unless the settings say so (R25). Say in docs/operations.md that it \
                    does not work.",
            ),
            Hypothesis::fine(
                "lost",
                "it is held and permitted, and does not connect",
                "The same, and nobody is told: refuse `hold.loopback_inbound` in the configuration.",
            ),
            Hypothesis::fine(
                "not-held",
                "it is not held",
                "Loopback is not classified where it comes in: remove `hold.loopback_inbound`.",
            ),
        ],
        run: |_, facts| loopback(facts, Holds::all()),
        judge: |facts| match (facts.number("held_in"), facts.is("accepted"), facts.number("inject_failed")) {
            (0, _, _) => "not-held",
            (_, true, _) => "works",
            (_, false, 1..) => "refused",
            (_, false, _) => "lost",
        },
    },
    Story {
        name: "accept",
        question: "can an inbound connection be held for 3.5 seconds, and are its retransmitted SYNs known again?",
        needs_peer: true,
        hypotheses: &[
            Hypothesis::fine(
                "held",
                "one request, and the peer is connected after the permit",
                "Nothing to change: the kept SYN is injected, later ones are absorbed.",
            ),
            Hypothesis::contradicts(
                "asked-again",
                "more than one request",
                "A retransmitted SYN is taken for another connection: the key endpoint in \
                    crates/nt/src/wfp/authorize.rs.",
            ),
            Hypothesis::contradicts(
                "lost",
                "one request, and the peer is not connected",
                "Receive injection of a SYN does not work: leave `tcp` out of `[hold] inbound`; inject.rs in \
                    crates/nt/src/wfp.",
            ),
            Hypothesis::contradicts(
                "not-asked",
                "no request",
                "Is the Windows Firewall closed for this program? Else AUTH_RECV_ACCEPT is not reached.",
            ),
        ],
        run: |stage, facts| accept(stage, facts, Verdict::PERMIT),
        judge: |facts| match (facts.number("requests"), facts.is("peer_connected")) {
            (0, _) => "not-asked",
            (1, true) => "held",
            (1, false) => "lost",
            _ => "asked-again",
        },
    },
    Story {
        name: "accept-block",
        question: "what does the other machine see of a connection that is blocked after it was held?",
        needs_peer: true,
        hypotheses: &[
            Hypothesis::fine(
                "nothing",
                "its connect does not end before its own time is over, or is reset",
                "Say in docs/operations.md which of both, by peer_ms.",
            ),
            Hypothesis::contradicts(
                "connected",
                "it is connected",
                "A block does not hold: the retransmitted SYN was let in. crates/gate, RECV_ACCEPT.",
            ),
            Hypothesis::contradicts("not-asked", "no request", "See `accept`."),
        ],
        run: |stage, facts| accept(stage, facts, Verdict::BLOCK),
        judge: |facts| match (facts.number("requests"), facts.is("peer_connected")) {
            (0, _) => "not-asked",
            (_, true) => "connected",
            _ => "nothing",
        },
    },
    Story {
        name: "datagram-in",
        question: "does an inbound datagram that was held arrive once, and with it those that came meanwhile?",
        needs_peer: true,
        hypotheses: &[
            Hypothesis::fine("once", "one request, three datagrams, each once", "Nothing to change."),
            Hypothesis::contradicts(
                "lost",
                "fewer than three arrive",
                "Receive injection: inject_failed; leave `udp` out of `[hold] inbound`; inject.rs and packet.rs in \
                    crates/nt/src/wfp (R18).",
            ),
            Hypothesis::contradicts(
                "twice",
                "more than three arrive, or more than one request",
                "An injected packet is not known again (R23), or a flow is not (R15).",
            ),
            Hypothesis::contradicts("not-asked", "no request", "Is the Windows Firewall closed for this program?"),
        ],
        run: datagram_in,
        judge: |facts| match (facts.number("requests"), facts.number("arrived")) {
            (0, _) => "not-asked",
            (1, 3) => "once",
            (1, 0..3) => "lost",
            _ => "twice",
        },
    },
];

/// Time for two retransmissions of a SYN, after one and three seconds.
const HELD: Duration = Duration::from_millis(3_500);

fn loopback(facts: &mut Facts, hold: Holds) -> Result<()> {
    let gate = Gate::attach(settings(hold))?;
    let before = gate.stats()?.inject_failed;
    let listener = Program::start(&["listen", &V4.to_string()])?;
    let port = listener.says()?["port"].as_u64().unwrap_or_default();
    let connecting = Program::start(&["connect", &format!("{V4}:{port}")])?;
    let out = gate.next(held_out)?;
    gate.answer(&out, Verdict::PERMIT)?;
    if hold.contains(Holds::ACCEPT_LOOPBACK)
        && let Some(asked) = gate.next_within(Duration::from_secs(3), held_in)
    {
        gate.answer(&asked, Verdict::PERMIT)?;
    }
    let said = connecting.says_within(PATIENCE * 2).unwrap_or_default();
    facts.note("connected", said["ok"] == true);
    facts.note("code", said["code"].clone());
    facts.note("ms", said["ms"].clone());
    facts.note("accepted", said["ok"] == true && listener.says_within(Duration::from_secs(2)).is_some());
    // Reports come behind requests.
    thread::sleep(Duration::from_millis(500));
    let of_ours = |asked: &Asked| u64::from(asked.request.local_port) == port;
    let is_report = |asked: &Asked| asked.request.because == Because::LOOPBACK && of_ours(asked);
    facts.note("held_out", number(gate.count(held_out)));
    facts.note("held_in", number(gate.count(held_in)));
    facts.note(
        "reported_in",
        number(gate.count(|asked| asked.request.direction == Direction::INBOUND && is_report(asked))),
    );
    facts.note("inject_failed", number(gate.stats()?.inject_failed.wrapping_sub(before)));
    Ok(())
}

fn accept(stage: &Stage, facts: &mut Facts, verdict: Verdict) -> Result<()> {
    let gate = Gate::attach(settings(Holds::ACCEPT_TCP))?;
    let before = gate.stats()?;
    let listener = Program::start(&["listen", "0.0.0.0"])?;
    let port = &listener.says()?["port"];
    let mut answer = peer::ask(stage.peer()?, &format!("connect {port}"))?;
    if let Some(asked) = gate.next_within(PATIENCE, held_in) {
        thread::sleep(HELD);
        facts.note("requests_before_the_answer", number(gate.count(held_in)));
        gate.answer(&asked, verdict)?;
    }
    let (word, ms) = peer::answer(&mut answer)?;
    let after = gate.stats()?;
    facts.note("requests", number(gate.count(held_in)));
    facts.note("peer_connected", word == "connected");
    facts.note("peer_ms", ms);
    facts.note("accepted", listener.says_within(Duration::from_secs(2)).is_some());
    facts.note("packets_kept", number(after.packets_kept.wrapping_sub(before.packets_kept)));
    facts.note("packets_refused", number(after.packets_refused.wrapping_sub(before.packets_refused)));
    facts.note("inject_failed", number(after.inject_failed.wrapping_sub(before.inject_failed)));
    Ok(())
}

fn datagram_in(stage: &Stage, facts: &mut Facts) -> Result<()> {
    let gate = Gate::attach(settings(Holds::ACCEPT_UDP))?;
    let before = gate.stats()?;
    let receiver = Program::start(&["receive", "0.0.0.0"])?;
    let port = &receiver.says()?["port"];
    let mut answer = peer::ask(stage.peer()?, &format!("send {port} 3"))?;
    let asked = gate.next_within(PATIENCE, held_in);
    peer::answer(&mut answer)?;
    if let Some(asked) = asked {
        gate.answer(&asked, Verdict::PERMIT)?;
    }
    let mut arrived = 0;
    while receiver.says_within(Duration::from_secs(2)).is_some() {
        arrived += 1;
    }
    let after = gate.stats()?;
    facts.note("requests", number(gate.count(held_in)));
    facts.note("arrived", arrived);
    facts.note("packets_kept", number(after.packets_kept.wrapping_sub(before.packets_kept)));
    facts.note("inject_failed", number(after.inject_failed.wrapping_sub(before.inject_failed)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(name: &str, requests: &'static str, count: i64, did: &'static str, is_so: bool) -> &'static str {
        let mut facts = Facts::default();
        facts.note(requests, count);
        facts.note(did, is_so);
        (STORIES.iter().find(|story| story.name == name).unwrap().judge)(&facts)
    }

    #[test]
    fn a_retransmitted_syn_that_is_asked_about_contradicts() {
        assert_eq!(judge("accept", "requests", 1, "peer_connected", true), "held");
        assert_eq!(judge("accept", "requests", 3, "peer_connected", true), "asked-again");
        assert_eq!(judge("accept", "requests", 1, "peer_connected", false), "lost");
        assert_eq!(judge("accept-block", "requests", 3, "peer_connected", false), "nothing");
        assert_eq!(judge("accept-block", "requests", 1, "peer_connected", true), "connected");
    }

    #[test]
    fn loopback_is_held_at_both_ends_only_where_that_is_asked_for() {
        assert_eq!(judge("loopback", "reported_in", 1, "accepted", true), "as-built");
        assert_eq!(judge("loopback", "held_in", 1, "accepted", true), "broken");
        assert_eq!(judge("loopback-held", "held_in", 1, "accepted", true), "works");
        assert_eq!(judge("loopback-held", "held_in", 1, "accepted", false), "lost");
    }
}
