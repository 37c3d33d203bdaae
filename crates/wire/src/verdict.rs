//! The service's answers, and what became of each.

use crate::open_enum::open_enum;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Names one request. Slot and generation, so an id is never used twice; `0` is no request.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RequestId(pub u64);

open_enum! {
    /// Permit or block.
    pub enum Verdict: u8 {
        /// The connection may proceed.
        PERMIT = 1,
        /// The connection may not proceed.
        BLOCK = 2,
    }
}

open_enum! {
    /// How widely the driver remembers a verdict.
    pub enum Scope: u8 {
        /// This operation only: nothing is remembered.
        OPERATION = 0,
        /// This program to this remote address and port, with this protocol and direction. Nothing is remembered about an
        /// IPv6 link-local address, which is another host on another link.
        REMOTE = 1,
        /// This program, whatever it connects to, in this direction.
        PROGRAM = 2,
    }
}

/// The answer to one request.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Answer {
    /// The request that is answered.
    pub request: RequestId,
    /// The answer.
    pub verdict: Verdict,
    /// How widely to remember it.
    pub scope: Scope,
    /// Zero.
    pub reserved: u16,
    /// How long to remember it, in milliseconds; 0 until the epoch changes. Ignored for [`Scope::OPERATION`].
    pub lifetime_ms: u32,
}

const _: () = assert!(size_of::<Answer>() == 16);

impl Answer {
    /// An answer that is not remembered.
    pub const fn once(request: RequestId, verdict: Verdict) -> Self {
        Self { request, verdict, scope: Scope::OPERATION, reserved: 0, lifetime_ms: 0 }
    }

    /// Whether verdict, scope and reserved bits have known values.
    pub const fn is_valid(&self) -> bool {
        self.verdict.is_known() && self.scope.is_known() && self.reserved == 0
    }
}

/// Stands before the answers of one `SUBMIT_VERDICTS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct AnswersHead {
    /// How many [`Answer`]s follow: 1 to [`MAX_ANSWERS`].
    pub count: u32,
    /// Zero.
    pub reserved: u32,
}

/// How many answers one call may carry.
pub const MAX_ANSWERS: u32 = 1024;

open_enum! {
    /// What became of one answer.
    pub enum Outcome: u8 {
        /// It decided its operation.
        ACCEPTED = 1,
        /// Its request is gone: answered before, past its deadline, closed, or of another attachment.
        STALE = 2,
        /// The answer made no sense (unknown verdict or scope, reserved bits); its request still waits.
        MALFORMED = 3,
    }
}

/// Stands before the [`Outcome`]s, one byte each, in the order of the answers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct OutcomesHead {
    /// How many outcomes follow.
    pub count: u32,
    /// How many of them are [`Outcome::ACCEPTED`].
    pub accepted: u32,
}
