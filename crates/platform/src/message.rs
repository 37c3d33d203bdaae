//! The bytes of the conversation: what goes into each call and how its answer is read.
//!
//! Every implementation of [`Enforcer`](crate::enforcer::Enforcer) that moves bytes uses these, so that what is accepted
//! as an answer is decided once. Invariants: nothing is believed that the lengths do not support. Neighbours: `wire`
//! lays the messages out, `enforcer` names the results.

use crate::enforcer::{Attached, EnforcerError, Forgotten};
use wire::command::{Forget, ForgetHead};
use wire::hello::{Capabilities, Hello, HelloOutcome, HelloReply};
use wire::settings::Settings;
use wire::stats::Stats;
use wire::verdict::{Answer, AnswersHead, Outcome, OutcomesHead};
use zerocopy::{FromBytes, IntoBytes};

/// The input of `HELLO`, in the name of this process.
pub fn hello(settings: &Settings) -> Hello {
    Hello { version: wire::VERSION, reserved: [0; 3], process_id: std::process::id().into(), settings: *settings }
}

/// Room for the answer to `HELLO`.
pub const HELLO_REPLY_BYTES: usize = size_of::<HelloReply>();

/// Reads the answer to `HELLO`. Of another version only the first eight bytes are known.
pub fn read_hello(reply: &[u8]) -> Result<Attached, EnforcerError> {
    let bad = || EnforcerError::BadReply { call: "HELLO", got: reply.len() };
    let (outcome, rest) = HelloOutcome::read_from_prefix(reply).map_err(|_| bad())?;
    if outcome == HelloOutcome::VERSION_MISMATCH {
        let (driver, _) = u16::read_from_prefix(rest).map_err(|_| bad())?;
        return Err(EnforcerError::VersionMismatch { service: wire::VERSION, driver });
    }
    let (reply, _) = HelloReply::read_from_prefix(reply).map_err(|_| bad())?;
    match outcome {
        HelloOutcome::ATTACHED if reply.driver_version == wire::VERSION => Ok(Attached {
            version: reply.driver_version,
            capabilities: Capabilities::from_bits_truncate(reply.capabilities),
            max_parked: reply.max_parked,
        }),
        HelloOutcome::BUSY => Err(EnforcerError::Busy { process_id: reply.attached_process_id }),
        _ => Err(bad()),
    }
}

/// The input of `SUBMIT_VERDICTS`.
pub fn submit(answers: &[Answer]) -> Vec<u8> {
    let head = AnswersHead { count: u32::try_from(answers.len()).unwrap_or(u32::MAX), reserved: 0 };
    [head.as_bytes(), answers.as_bytes()].concat()
}

/// Room for the answer to `SUBMIT_VERDICTS`.
pub fn outcomes_bytes(answers: &[Answer]) -> usize {
    size_of::<OutcomesHead>() + answers.len()
}

/// Reads the answer to `SUBMIT_VERDICTS` with `answers`.
pub fn read_outcomes(reply: &[u8], answers: &[Answer]) -> Result<Vec<Outcome>, EnforcerError> {
    let bad = || EnforcerError::BadReply { call: "SUBMIT_VERDICTS", got: reply.len() };
    let (head, outcomes) = OutcomesHead::read_from_prefix(reply).map_err(|_| bad())?;
    if head.count as usize != answers.len() || outcomes.len() != answers.len() {
        return Err(bad());
    }
    let outcomes: Vec<Outcome> = outcomes.iter().copied().map(Outcome).collect();
    if outcomes.iter().all(|outcome| outcome.is_known()) { Ok(outcomes) } else { Err(bad()) }
}

/// The input of `FORGET`.
pub fn forget(what: Forgotten<'_>) -> Vec<u8> {
    let (what, path) = match what {
        Forgotten::All => (Forget::ALL, &[][..]),
        Forgotten::Program(path) => (Forget::PROGRAM, path),
    };
    let head = ForgetHead { what, path_bytes: u32::try_from(path.len()).unwrap_or(u32::MAX) };
    [head.as_bytes(), path].concat()
}

/// Room for the answer to `STATS`.
pub const STATS_BYTES: usize = size_of::<Stats>();

/// Reads the answer to `STATS`. The version comes first in every version, so a mismatch is told as one.
pub fn read_stats(reply: &[u8]) -> Result<Stats, EnforcerError> {
    let bad = || EnforcerError::BadReply { call: "STATS", got: reply.len() };
    let (driver, _) = u16::read_from_prefix(reply).map_err(|_| bad())?;
    if driver != wire::VERSION {
        return Err(EnforcerError::VersionMismatch { service: wire::VERSION, driver });
    }
    Stats::read_from_bytes(reply).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::command::{Command, HelloCommand};
    use wire::ioctl;
    use wire::verdict::{RequestId, Verdict};

    fn reply(outcome: HelloOutcome) -> HelloReply {
        HelloReply {
            outcome,
            driver_version: wire::VERSION,
            service_version: wire::VERSION,
            reserved: 0,
            capabilities: Capabilities::HOLD_CONNECT.bits(),
            max_parked: 64,
            attached_process_id: 77,
        }
    }

    #[test]
    fn the_driver_parses_what_is_sent() {
        let greeting = hello(&Settings::INITIAL);
        let parsed = Command::parse(ioctl::HELLO, greeting.as_bytes(), HELLO_REPLY_BYTES);
        assert_eq!(parsed, Ok(Command::Hello(HelloCommand::Ours(greeting))));

        let answers = [Answer::once(RequestId(5), Verdict::PERMIT), Answer::once(RequestId(6), Verdict::BLOCK)];
        let sent = submit(&answers);
        let Ok(Command::SubmitVerdicts(parsed)) =
            Command::parse(ioctl::SUBMIT_VERDICTS, &sent, outcomes_bytes(&answers))
        else {
            panic!("{sent:?} is not a SUBMIT_VERDICTS")
        };
        assert!(parsed.iter().eq(answers));

        assert_eq!(Command::parse(ioctl::FORGET, &forget(Forgotten::All), 0), Ok(Command::ForgetAll));
        let path = b"a\0";
        let parsed = forget(Forgotten::Program(path));
        assert_eq!(Command::parse(ioctl::FORGET, &parsed, 0), Ok(Command::ForgetProgram(path)));
    }

    #[test]
    fn a_version_mismatch_is_read_from_eight_bytes() {
        let mut other = reply(HelloOutcome::VERSION_MISMATCH);
        other.driver_version = 9;
        for len in [8, HELLO_REPLY_BYTES] {
            let read = read_hello(&other.as_bytes()[..len]);
            assert!(
                matches!(read, Err(EnforcerError::VersionMismatch { service: wire::VERSION, driver: 9 })),
                "{read:?}"
            );
        }
    }

    #[test]
    fn another_attached_service_is_named() {
        let read = read_hello(reply(HelloOutcome::BUSY).as_bytes());
        assert!(matches!(read, Err(EnforcerError::Busy { process_id: 77 })), "{read:?}");
    }

    #[test]
    fn a_reply_that_is_short_or_unknown_blames_the_driver() {
        let attached = reply(HelloOutcome::ATTACHED);
        assert_eq!(read_hello(attached.as_bytes()).map(|attached| attached.max_parked).ok(), Some(64));
        for len in 0..HELLO_REPLY_BYTES {
            assert!(matches!(read_hello(&attached.as_bytes()[..len]), Err(EnforcerError::BadReply { .. })), "{len}");
        }
        let unknown = reply(HelloOutcome(99));
        assert!(matches!(read_hello(unknown.as_bytes()), Err(EnforcerError::BadReply { .. })));
    }

    #[test]
    fn outcomes_must_be_as_many_as_answers_and_known() {
        let answers = [Answer::once(RequestId(5), Verdict::PERMIT), Answer::once(RequestId(6), Verdict::BLOCK)];
        let head = OutcomesHead { count: 2, accepted: 1 };
        let reply = |tail: &[u8]| [head.as_bytes(), tail].concat();
        let good = reply(&[Outcome::ACCEPTED.0, Outcome::STALE.0]);
        assert_eq!(read_outcomes(&good, &answers).ok(), Some(vec![Outcome::ACCEPTED, Outcome::STALE]));
        for bad in [&[1][..], &[1, 2, 2], &[1, 0]] {
            let read = read_outcomes(&reply(bad), &answers);
            assert!(matches!(read, Err(EnforcerError::BadReply { .. })), "{bad:?}");
        }
        assert!(matches!(read_outcomes(&good, &answers[..1]), Err(EnforcerError::BadReply { .. })));
    }

    #[test]
    fn counters_of_another_version_are_a_version_mismatch() {
        let stats = Stats { version: wire::VERSION, held: 3, ..Stats::default() };
        assert_eq!(read_stats(stats.as_bytes()).map(|stats| stats.held).ok(), Some(3));
        assert!(matches!(read_stats(&stats.as_bytes()[1..]), Err(EnforcerError::VersionMismatch { .. })));
        assert!(matches!(read_stats(&stats.as_bytes()[..STATS_BYTES - 1]), Err(EnforcerError::BadReply { .. })));
        let newer = Stats { version: 9, ..stats };
        let read = read_stats(&newer.as_bytes()[..8]);
        assert!(matches!(read, Err(EnforcerError::VersionMismatch { driver: 9, .. })), "{read:?}");
    }
}
