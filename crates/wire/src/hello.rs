//! The first message: who are you, which version do you speak, what is the policy.

use crate::open_enum::open_enum;
use crate::settings::Settings;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The service's greeting. `version` stays at offset 0 in every version.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Hello {
    /// The version the service speaks.
    pub version: u16,
    /// Zero.
    pub reserved: [u16; 3],
    /// The service's process id; must be the caller's own.
    pub process_id: u64,
    /// The policy to start with.
    pub settings: Settings,
}

const _: () = assert!(size_of::<Hello>() == 48);

open_enum! {
    /// How the driver took a [`Hello`].
    pub enum HelloOutcome: u16 {
        /// The caller's handle is now the attached service.
        ATTACHED = 1,
        /// The versions differ; both are in the reply.
        VERSION_MISMATCH = 2,
        /// Another service is attached; its process id is in the reply.
        BUSY = 3,
    }
}

bitflags::bitflags! {
    /// What this driver can do.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Capabilities: u32 {
        /// Outbound operations are held, as [`crate::settings::Holds`] says; their first packets are kept.
        const HOLD_CONNECT = 1;
        /// The same for inbound operations.
        const HOLD_ACCEPT = 2;
        /// Live flows are asked about when what is known about them is not valid any more.
        const ASK_LIVE = 4;
    }
}

/// The driver's answer. The first eight bytes keep their place in every version.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct HelloReply {
    /// How it went.
    pub outcome: HelloOutcome,
    /// The version the driver speaks.
    pub driver_version: u16,
    /// The version the driver read.
    pub service_version: u16,
    /// Zero.
    pub reserved: u16,
    /// [`Capabilities`], as bits.
    pub capabilities: u32,
    /// How many `NEXT_REQUESTS` calls one handle may park.
    pub max_parked: u32,
    /// The process id of the attached service: the caller's, or the one that is in the way.
    pub attached_process_id: u64,
}

const _: () = assert!(size_of::<HelloReply>() == 24);
