//! The question of the hook and the engine's answer, byte by byte.

use crate::address::{Address, array};

/// Which authorization the socket call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A `connect`, of any protocol.
    Connect,
    /// A send to an address from a socket that is not connected.
    Send,
}

/// One socket call, as the hook saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// What the program is doing.
    pub operation: Operation,
    /// The IP protocol.
    pub protocol: u8,
    /// The socket's handle in the asking process: with the process id, the name of the endpoint.
    pub endpoint: u64,
    /// Where to.
    pub remote: Address,
    /// Where from, if the socket is bound.
    pub local: Option<Address>,
}

impl Question {
    /// Bytes of [`Self::to_bytes`].
    pub const LEN: usize = 64;
    const VERSION: u16 = 1;
    const REMOTE: usize = 16;
    const LOCAL: usize = Self::REMOTE + Address::LEN;

    /// The question as the device reads it.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0..2].copy_from_slice(&Self::VERSION.to_le_bytes());
        bytes[2] = match self.operation {
            Operation::Connect => 1,
            Operation::Send => 2,
        };
        bytes[3] = self.protocol;
        bytes[8..16].copy_from_slice(&self.endpoint.to_le_bytes());
        bytes[Self::REMOTE..Self::LOCAL].copy_from_slice(&self.remote.to_bytes());
        if let Some(local) = self.local {
            bytes[Self::LOCAL..].copy_from_slice(&local.to_bytes());
        }
        bytes
    }

    /// The inverse of [`Self::to_bytes`]; `None` for anything it does not produce.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != Self::LEN || u16::from_le_bytes(array(bytes, 0)?) != Self::VERSION {
            return None;
        }
        Some(Self {
            operation: match bytes[2] {
                1 => Operation::Connect,
                2 => Operation::Send,
                _ => return None,
            },
            protocol: bytes[3],
            endpoint: u64::from_le_bytes(array(bytes, 8)?),
            remote: Address::from_bytes(&array(bytes, Self::REMOTE)?)?,
            local: Address::from_bytes(&array(bytes, Self::LOCAL)?),
        })
    }
}

/// What the engine decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The call may proceed.
    Permit,
    /// The call fails with `WSAEACCES`.
    Block,
    /// The call succeeds and the packet is gone: a callout has absorbed it.
    Lose,
}

impl Answer {
    /// Bytes of [`Self::to_bytes`].
    pub const LEN: usize = 4;

    /// The answer as the hook reads it.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        match self {
            Self::Permit => [1, 0, 0, 0],
            Self::Block => [2, 0, 0, 0],
            Self::Lose => [3, 0, 0, 0],
        }
    }

    /// The inverse of [`Self::to_bytes`].
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Option<Self> {
        match bytes {
            [1, 0, 0, 0] => Some(Self::Permit),
            [2, 0, 0, 0] => Some(Self::Block),
            [3, 0, 0, 0] => Some(Self::Lose),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn question() -> Question {
        Question {
            operation: Operation::Send,
            protocol: 17,
            endpoint: 0x1F4,
            remote: Address { ip: Ipv6Addr::LOCALHOST.into(), port: 53, scope: 3 },
            local: None,
        }
    }

    #[test]
    fn a_question_survives_the_way_to_the_engine() {
        let unbound = question();
        assert_eq!(Question::from_bytes(&unbound.to_bytes()), Some(unbound));
        let bound = Question {
            operation: Operation::Connect,
            local: Some(Address { ip: Ipv4Addr::LOCALHOST.into(), port: 5000, scope: 0 }),
            ..unbound
        };
        assert_eq!(Question::from_bytes(&bound.to_bytes()), Some(bound));
    }

    #[test]
    fn a_malformed_question_is_refused() {
        let good = question().to_bytes();
        assert_eq!(Question::from_bytes(&good[..63]), None);
        for (offset, what) in [(0, "version"), (2, "operation"), (16, "family")] {
            let mut bad = good;
            bad[offset] = 0xEE;
            assert_eq!(Question::from_bytes(&bad), None, "{what}");
        }
    }

    #[test]
    fn an_answer_survives_the_way_to_the_hook() {
        for answer in [Answer::Permit, Answer::Block, Answer::Lose] {
            assert_eq!(Answer::from_bytes(answer.to_bytes()), Some(answer));
        }
        assert_eq!(Answer::from_bytes([0; 4]), None);
    }
}
