//! First packets that go out: UDP, ICMP.

use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;
use wire::settings::Holds;
use wire::verdict::Verdict;

use super::{Stage, UDP, V4, held_out, number};
use crate::gate::{Asked, Gate, PATIENCE, settings};
use crate::peer;
use crate::program::Program;
use crate::report::{Facts, Hypothesis, Story};

pub const STORIES: [Story; 5] = [
    Story {
        name: "datagram",
        question: "what does sendto say while its datagram is held, and does the datagram arrive once after the \
            permit?",
        needs_peer: false,
        hypotheses: &[
            Hypothesis::fine("once", "sendto succeeds at once, and the datagram arrives once", "Nothing to change."),
            Hypothesis::fine(
                "once-later",
                "sendto waits for the answer, succeeds, and the datagram arrives once",
                "Programs stand still while somebody decides: say so in docs/operations.md.",
            ),
            Hypothesis::fine(
                "once-with-error",
                "sendto fails, and the datagram arrives once",
                "Programs see an error for what was sent: say so in docs/operations.md, and consider leaving `udp` \
                    out of `[hold] outbound`.",
            ),
            Hypothesis::contradicts(
                "never",
                "it does not arrive",
                "Send injection does not work here: look at inject_failed; leave `udp` out of `[hold] outbound`; \
                    crates/nt/src/wfp/inject.rs.",
            ),
            Hypothesis::contradicts(
                "twice",
                "it arrives more than once",
                "The held packet was not absorbed, or an injected one is not known again (R23).",
            ),
        ],
        run: |_, facts| datagrams(facts, 1, Verdict::PERMIT),
        judge: |facts| match facts.number("arrived") {
            1 if facts.number("sent_ok") == 1 && facts.number("said_while_held") == 1 => "once",
            1 if facts.number("sent_ok") == 1 => "once-later",
            1 => "once-with-error",
            0 => "never",
            _ => "twice",
        },
    },
    Story {
        name: "more-datagrams",
        question: "is a second datagram to the same remote classified again while the first is held?",
        needs_peer: false,
        hypotheses: &[
            Hypothesis::fine(
                "joined",
                "one request, three packets kept, three arrive",
                "As built: further packets join (R15).",
            ),
            Hypothesis::fine(
                "one-kept",
                "one request, one packet kept, one or three arrive",
                "Further packets do not reach us while the first is held: joining is never used. Say so at R15.",
            ),
            Hypothesis::contradicts(
                "asked-again",
                "more than one request",
                "A flow is not known again by its endpoint: Key in crates/gate (R15).",
            ),
            Hypothesis::contradicts(
                "lost",
                "fewer arrive than were kept",
                "Kept packets are lost: inject_failed; crates/nt/src/wfp/inject.rs.",
            ),
        ],
        run: |_, facts| datagrams(facts, 3, Verdict::PERMIT),
        judge: |facts| match (facts.number("requests"), facts.number("arrived"), facts.number("packets_kept")) {
            (2.., _, _) => "asked-again",
            // Packets of other programs count, too.
            (1, 3, 3..) => "joined",
            (1, 1.., ..3) => "one-kept",
            _ => "lost",
        },
    },
    Story {
        name: "datagram-block",
        question: "what does sendto say of a datagram that is blocked, and of the next one?",
        needs_peer: false,
        hypotheses: &[
            Hypothesis::fine(
                "silent",
                "sendto succeeds, nothing arrives",
                "Say so in docs/operations.md: UDP that is blocked is lost silently.",
            ),
            Hypothesis::fine("error", "a sendto fails, nothing arrives", "Say the code in docs/operations.md."),
            Hypothesis::contradicts(
                "arrived",
                "a datagram arrives",
                "A block does not hold for datagrams: crates/driver/src/ale.",
            ),
        ],
        run: |_, facts| datagrams(facts, 3, Verdict::BLOCK),
        judge: |facts| match (facts.number("arrived"), facts.number("sent_ok")) {
            (1.., _) => "arrived",
            (_, 3) => "silent",
            _ => "error",
        },
    },
    Story {
        name: "payload",
        question: "are datagrams of any size whole after they were copied and injected (checksum offload, \
            fragments)?",
        needs_peer: true,
        hypotheses: &[
            Hypothesis::fine("whole", "1, 1472 and 4000 bytes come back as they were", "Nothing to change."),
            Hypothesis::contradicts(
                "broken",
                "one is lost or changed",
                "Checksum or length is wrong after the copy: packet.rs and inject.rs in crates/nt/src/wfp (R19).",
            ),
        ],
        run: payload,
        judge: |facts| if facts.number("whole") == number(SIZES.len()) { "whole" } else { "broken" },
    },
    Story {
        name: "ping",
        question: "does a ping that was held get its reply?",
        needs_peer: true,
        hypotheses: &[
            Hypothesis::fine("replied", "it was asked about once or twice, and ping succeeds", "Nothing to change."),
            Hypothesis::fine(
                "not-asked",
                "ICMP of ping is not classified at AUTH_CONNECT",
                "Say so in docs/operations.md.",
            ),
            Hypothesis::contradicts(
                "lost",
                "it was held, and no reply came",
                "Leave `icmp` out of `[hold]`; inject.rs in crates/nt/src/wfp.",
            ),
        ],
        run: ping,
        judge: |facts| match (facts.number("requests"), facts.is("replied")) {
            (0, _) => "not-asked",
            (_, true) => "replied",
            (_, false) => "lost",
        },
    },
];

/// Less than a packet, the most of one, more than one.
const SIZES: [usize; 3] = [1, 1472, 4000];
/// How long a datagram may take that is on its way.
const ARRIVING: Duration = Duration::from_secs(2);

fn is_udp_out(asked: &Asked) -> bool {
    held_out(asked) && asked.request.protocol == UDP
}

/// What a program said about its sends.
#[derive(Default)]
struct Sent {
    said: i64,
    ok: i64,
    slowest_ms: i64,
    codes: Vec<Value>,
}

impl Sent {
    /// Hears of one send, if it is told in time.
    fn hear(&mut self, sender: &Program, patience: Duration) -> bool {
        let Some(word) = sender.says_within(patience) else { return false };
        self.said += 1;
        self.ok += i64::from(word["ok"] == true);
        self.slowest_ms = self.slowest_ms.max(word["ms"].as_i64().unwrap_or_default());
        self.codes.push(word["code"].clone());
        true
    }
}

fn datagrams(facts: &mut Facts, count: i64, verdict: Verdict) -> Result<()> {
    let gate = Gate::attach(settings(Holds::CONNECT_UDP))?;
    let receiver = Program::start(&["receive", &V4.to_string()])?;
    let address = format!("{V4}:{}", receiver.says()?["port"]);
    let before = gate.stats()?;
    let sender = Program::start(&["send", &address, &count.to_string()])?;
    let asked = gate.next(is_udp_out)?;
    // All of them are sent before the answer.
    let mut sent = Sent::default();
    while sent.said < count && sent.hear(&sender, ARRIVING) {}
    facts.note("said_while_held", sent.said);
    let kept = gate.stats()?.packets_kept.wrapping_sub(before.packets_kept);
    gate.answer(&asked, verdict)?;
    // Where a send waits for its answer the others follow now, and a block is asked about again.
    let until = Instant::now() + PATIENCE;
    while sent.said < count && Instant::now() < until {
        if let Some(again) = gate.next_within(Duration::ZERO, is_udp_out) {
            gate.answer(&again, verdict)?;
        }
        sent.hear(&sender, Duration::from_millis(100));
    }
    let mut arrived = 0;
    while receiver.says_within(ARRIVING).is_some() {
        arrived += 1;
    }
    let after = gate.stats()?;
    facts.note("sent_ok", sent.ok);
    facts.note("codes", sent.codes);
    facts.note("slowest_ms", sent.slowest_ms);
    facts.note("requests", number(gate.count(is_udp_out)));
    facts.note("packets_kept", number(kept));
    facts.note("packets_released", number(after.packets_released.wrapping_sub(before.packets_released)));
    facts.note("packets_refused", number(after.packets_refused.wrapping_sub(before.packets_refused)));
    facts.note("inject_failed", number(after.inject_failed.wrapping_sub(before.inject_failed)));
    facts.note("arrived", arrived);
    Ok(())
}

fn payload(stage: &Stage, facts: &mut Facts) -> Result<()> {
    let gate = Gate::attach(settings(Holds::CONNECT_UDP))?;
    let address = format!("{}:{}", stage.peer()?, peer::PORT);
    let mut whole = 0;
    for size in SIZES {
        let sender = Program::start(&["echo", &address, &size.to_string()])?;
        let asked = gate.next(is_udp_out)?;
        thread::sleep(Duration::from_millis(300));
        gate.answer(&asked, Verdict::PERMIT)?;
        sender.says()?;
        whole += i64::from(sender.says()?["same"] == true);
    }
    facts.note("whole", whole);
    facts.note("inject_failed", gate.stats()?.inject_failed);
    Ok(())
}

fn ping(stage: &Stage, facts: &mut Facts) -> Result<()> {
    let peer: IpAddr = stage.peer()?;
    let gate = Gate::attach(settings(Holds::CONNECT_ICMP))?;
    let mut ping =
        Command::new("ping").args(["-n", "2", "-w", "5000", &peer.to_string()]).stdout(Stdio::null()).spawn()?;
    let is_ping = |asked: &Asked| held_out(asked) && asked.request.protocol != UDP && asked.request.remote_ip() == peer;
    if let Some(asked) = gate.next_within(Duration::from_secs(5), is_ping) {
        thread::sleep(Duration::from_millis(500));
        gate.answer(&asked, Verdict::PERMIT)?;
    }
    facts.note("replied", ping.wait()?.success());
    facts.note("requests", number(gate.count(is_ping)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(name: &str, seen: &[(&'static str, i64)]) -> &'static str {
        let mut facts = Facts::default();
        seen.iter().for_each(|(name, count)| facts.note(name, *count));
        (STORIES.iter().find(|story| story.name == name).unwrap().judge)(&facts)
    }

    #[test]
    fn a_datagram_arrives_once_never_or_twice() {
        let seen = |arrived, sent_ok, while_held| {
            judge("datagram", &[("arrived", arrived), ("sent_ok", sent_ok), ("said_while_held", while_held)])
        };
        assert_eq!((seen(1, 1, 1), seen(1, 1, 0), seen(1, 0, 1)), ("once", "once-later", "once-with-error"));
        assert_eq!((seen(0, 1, 1), seen(2, 1, 1)), ("never", "twice"));
    }

    #[test]
    fn further_datagrams_join_or_are_the_systems_affair_but_are_not_asked_about() {
        let seen = |requests, kept, arrived| {
            judge("more-datagrams", &[("requests", requests), ("packets_kept", kept), ("arrived", arrived)])
        };
        assert_eq!(seen(1, 3, 3), "joined");
        assert_eq!(seen(1, 5, 3), "joined");
        assert_eq!(seen(1, 1, 1), "one-kept");
        assert_eq!(seen(2, 3, 3), "asked-again");
        assert_eq!(seen(1, 3, 2), "lost");
    }

    #[test]
    fn a_blocked_datagram_that_arrives_contradicts() {
        assert_eq!(judge("datagram-block", &[("sent_ok", 3)]), "silent");
        assert_eq!(judge("datagram-block", &[("sent_ok", 1)]), "error");
        assert_eq!(judge("datagram-block", &[("sent_ok", 3), ("arrived", 1)]), "arrived");
    }
}
