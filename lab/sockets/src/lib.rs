//! What the hook in a program and the emulated engine in the driver host say to each other.
//!
//! The hook sees an AFD call ([`afd`]), reads the address in it ([`address`]) and sends a [`Question`] to `\\.\WfpLab`;
//! the engine's device keeps the call until the filter engine has decided and replies with an [`Answer`].
//! Invariants: everything here is plain bytes of fixed length, so both sides may be built at different times and a
//! buffer that is not exactly right is refused; no call into any operating system.
//! Neighbours: `lab/hook` asks, `lab/fwpkclnt` answers, `lab/launch` uses the other codes.

#![no_std]
#![forbid(unsafe_code)]

pub mod address;
pub mod afd;
mod question;

pub use address::Address;
pub use question::{Answer, Operation, Question};

/// The device every image of the lab talks to.
pub const DEVICE_PATH: &str = r"\\.\WfpLab";

/// Codes of the device. `METHOD_BUFFERED`, any access: the lab has no secrets.
pub mod ioctl {
    const FILE_DEVICE_UNKNOWN: u32 = 0x22;

    /// A [`Question`](crate::Question) in, an [`Answer`](crate::Answer) out, when the engine has decided.
    pub const ASK: u32 = code(0x900);
    /// Nothing in, the state of engine and kernel as JSON out.
    pub const SNAPSHOT: u32 = code(0x901);
    /// One word in: what to do to the engine, see [`super::Control`].
    pub const CONTROL: u32 = code(0x902);

    const fn code(function: u32) -> u32 {
        (FILE_DEVICE_UNKNOWN << 16) | (function << 2)
    }
}

/// What a person or a test can make the engine do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The base filtering engine stops: drivers hear of it, management calls fail.
    StopEngine,
    /// The base filtering engine runs again.
    StartEngine,
    /// A policy change: live flows are authorized again.
    Reauthorize,
}

impl Control {
    /// Every control with the word a person types for it.
    pub const ALL: [(&str, Self); 3] =
        [("stop-engine", Self::StopEngine), ("start-engine", Self::StartEngine), ("reauthorize", Self::Reauthorize)];

    /// The control a word names.
    #[must_use]
    pub fn from_word(word: &[u8]) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| name.as_bytes() == word).map(|&(_, control)| control)
    }
}
