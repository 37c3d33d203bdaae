//! Connection to decision: pure, and the only place where it is made.
//!
//! Invariants: an exemption beats the mode; what is remembered never permits more than what was decided. Neighbours:
//! `exempt` has the exceptions, `session` carries decisions out.

use crate::connection::Connection;
use crate::exempt::{Exemption, Exemptions};
use std::fmt;
use wire::verdict::{Answer, Scope, Verdict};

/// One word for everything that is not exempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Permit.
    Permit,
    /// Block.
    Block,
}

impl Mode {
    /// The verdict this mode gives.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Permit => Verdict::PERMIT,
            Self::Block => Verdict::BLOCK,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Permit => "permit",
            Self::Block => "block",
        })
    }
}

/// What was concluded about one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Permit or block.
    pub verdict: Verdict,
    /// How widely the driver remembers it.
    pub scope: Scope,
    /// Why.
    pub because: Because,
}

/// Why a decision is as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// The mode says so.
    Mode(Mode),
    /// It is exempt.
    Exempt(Exemption),
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(mode) => write!(f, "mode {mode}"),
            Self::Exempt(Exemption::Program(text)) => write!(f, "exempt {text}"),
            Self::Exempt(Exemption::NameResolution) => f.write_str("exempt name resolution"),
        }
    }
}

impl Decision {
    /// The answer that carries it to the driver. Remembered ones hold until the epoch changes.
    pub fn answer(&self, connection: &Connection) -> Answer {
        Answer { scope: self.scope, ..Answer::once(connection.id, self.verdict) }
    }
}

/// All that decides.
#[derive(Clone, Debug)]
pub struct Policy {
    /// For what is not exempt.
    pub mode: Mode,
    /// How widely the driver shall remember what is decided.
    pub remember: Scope,
    /// What is exempt.
    pub exemptions: Exemptions,
}

impl Policy {
    /// Decides one connection.
    pub fn decide(&self, connection: &Connection) -> Decision {
        let (verdict, because) = match self.exemptions.find(connection) {
            Some(exemption) => (Verdict::PERMIT, Because::Exempt(exemption)),
            None => (self.mode.verdict(), Because::Mode(self.mode)),
        };
        Decision { verdict, scope: self.scope(connection), because }
    }

    /// How widely a decision about `connection` may be remembered.
    fn scope(&self, connection: &Connection) -> Scope {
        if connection.whole_program().is_none() {
            // To the driver, all programs that it does not know may be one.
            Scope::OPERATION
        } else if self.remember == Scope::PROGRAM && self.exemptions.is_resolver(connection) {
            // What is decided for one of its ports does not hold for the others.
            Scope::REMOTE
        } else {
            self.remember
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Protocol;
    use platform::paths::Volumes;
    use wire::request::{Direction, RequestFlags};
    use wire::verdict::RequestId;

    const NODE: &str = r"\device\harddiskvolume1\tools\node.exe";
    const SVCHOST: &str = r"\device\harddiskvolume1\windows\system32\svchost.exe";

    fn policy(mode: Mode, remember: Scope) -> Policy {
        let volumes = Volumes::new([('C', r"\Device\HarddiskVolume1")]);
        let mut exemptions = Exemptions::new(volumes, Some(r"C:\Windows\System32"));
        exemptions.add("curl.exe").unwrap();
        Policy { mode, remember, exemptions }
    }

    fn tcp(program: &str, remote: &str) -> Connection {
        Connection {
            id: RequestId(9),
            process_id: 4,
            program: program.to_owned(),
            user: String::new(),
            direction: Direction::OUTBOUND,
            protocol: Protocol::TCP,
            local: "0.0.0.0:0".parse().unwrap(),
            remote: remote.parse().unwrap(),
            flags: RequestFlags::HELD,
            waited_ms: 0,
        }
    }

    #[test]
    fn the_mode_decides_what_is_not_exempt() {
        for mode in [Mode::Permit, Mode::Block] {
            let decision = policy(mode, Scope::OPERATION).decide(&tcp(NODE, "203.0.113.7:443"));
            let expected = Decision { verdict: mode.verdict(), scope: Scope::OPERATION, because: Because::Mode(mode) };
            assert_eq!(decision, expected);
        }
    }

    #[test]
    fn an_exemption_is_permitted_in_either_mode() {
        for mode in [Mode::Permit, Mode::Block] {
            let policy = policy(mode, Scope::OPERATION);
            let curl = policy.decide(&tcp(r"\device\harddiskvolume2\curl.exe", "203.0.113.7:443"));
            assert_eq!((curl.verdict, curl.because.to_string()), (Verdict::PERMIT, "exempt curl.exe".to_owned()));
            let dns = policy.decide(&tcp(SVCHOST, "9.9.9.9:53"));
            assert_eq!((dns.verdict, dns.because.to_string()), (Verdict::PERMIT, "exempt name resolution".to_owned()));
        }
    }

    #[test]
    fn an_answer_carries_verdict_and_scope() {
        let connection = tcp(NODE, "203.0.113.7:443");
        let answer = policy(Mode::Block, Scope::PROGRAM).decide(&connection).answer(&connection);
        let expected = Answer { scope: Scope::PROGRAM, ..Answer::once(RequestId(9), Verdict::BLOCK) };
        assert_eq!(answer, expected);
        assert!(answer.is_valid());
    }

    #[test]
    fn the_resolver_is_never_remembered_as_a_program() {
        let policy = policy(Mode::Block, Scope::PROGRAM);
        assert_eq!(policy.decide(&tcp(SVCHOST, "9.9.9.9:53")).scope, Scope::REMOTE);
        let update = policy.decide(&tcp(SVCHOST, "203.0.113.7:443"));
        assert_eq!((update.verdict, update.scope), (Verdict::BLOCK, Scope::REMOTE));
    }

    #[test]
    fn an_unknown_program_is_not_remembered() {
        let decision = policy(Mode::Block, Scope::PROGRAM).decide(&tcp("", "203.0.113.7:443"));
        assert_eq!((decision.verdict, decision.scope), (Verdict::BLOCK, Scope::OPERATION));
    }
}
