//! How long an object lives, and what it may therefore refer to (learn.microsoft.com "Object Management").

use nt_sys::types::GUID;

/// How long an object lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Always.
    BuiltIn,
    /// Until it is deleted, over restarts.
    Persistent,
    /// Stored like a persistent one; in force only while the engine does not run.
    BootTime,
    /// Until it is deleted or the engine stops.
    Static,
    /// Until it is deleted or the session ends.
    Dynamic(u64),
}

impl Lifetime {
    /// Of an object that `session` adds.
    pub fn of(is_persistent: bool, dynamic_session: Option<u64>) -> Self {
        match dynamic_session {
            Some(session) => Self::Dynamic(session),
            None if is_persistent => Self::Persistent,
            None => Self::Static,
        }
    }

    pub fn outlives_restart(self) -> bool {
        matches!(self, Self::BuiltIn | Self::Persistent | Self::BootTime)
    }
}

/// Whether an object may refer to another without ever outliving it.
pub(super) fn may_refer(from: Lifetime, from_provider: Option<GUID>, to: Lifetime, to_provider: Option<GUID>) -> bool {
    match (from, to) {
        (_, Lifetime::BuiltIn) => true,
        (Lifetime::Dynamic(session), Lifetime::Dynamic(other)) => session == other,
        (Lifetime::Dynamic(_), _) => true,
        (Lifetime::Static, to) => !matches!(to, Lifetime::Dynamic(_)),
        (Lifetime::Persistent | Lifetime::BootTime, Lifetime::Persistent) => from_provider == to_provider,
        (Lifetime::Persistent | Lifetime::BootTime | Lifetime::BuiltIn, _) => false,
    }
}
