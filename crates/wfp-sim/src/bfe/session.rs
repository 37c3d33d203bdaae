//! Sessions: who speaks to the engine (learn.microsoft.com "FWPM_SESSION0", "Object Management").
//!
//! Invariant: a session ends in one order: its open transaction is undone, the objects of a dynamic session are deleted in one
//! transaction, the handle is gone.

use super::lifetime::Lifetime;
use super::transaction::{Access, Txn};
use super::{Bfe, Result, State};
use crate::machine::Machine;
use nt_sys::fwpm::FWPM_SESSION_FLAG_DYNAMIC;
use nt_sys::status::*;
use nt_sys::types::GUID;
use std::sync::Arc;

/// How long a session waits for the lock when it does not say: `txnWaitTimeoutInMSec` of zero.
const DEFAULT_WAIT_MS: u32 = 15_000;

/// Codes with which opening fails while the engine does not run. Which one Windows gives is not documented.
const NOT_RUNNING: [i32; 3] = [
    0xC002_0012_u32.cast_signed(), // RPC_NT_UNKNOWN_IF
    0xC002_0017_u32.cast_signed(), // RPC_NT_SERVER_UNAVAILABLE
    0xC002_0036_u32.cast_signed(), // EPT_NT_NOT_REGISTERED
];

/// Who opened a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Kernel,
    /// A process, by id.
    User(u32),
}

/// A session as the caller asked for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SessionSpec {
    pub key: GUID,
    pub flags: u32,
    pub wait_ms: u32,
}

/// An open session.
pub(super) struct Session {
    key: GUID,
    pub is_dynamic: bool,
    pub owner: Owner,
    pub wait_ms: u32,
    pub txn: Option<Txn>,
    /// Its transaction was aborted under it, and it does not know yet.
    pub was_aborted: bool,
}

impl Bfe {
    pub fn open(&self, machine: &Machine, owner: Owner, spec: &SessionSpec) -> Result<u64> {
        let mut state = self.state();
        if !state.service.is_running() {
            drop(state);
            let pick = machine.draw() as usize % NOT_RUNNING.len();
            return Err(NOT_RUNNING[pick]);
        }
        if spec.flags & !FWPM_SESSION_FLAG_DYNAMIC != 0 {
            return Err(STATUS_FWP_INVALID_FLAGS);
        }
        let has_key = spec.key != GUID::default();
        if has_key && state.sessions.values().any(|session| session.key == spec.key) {
            return Err(STATUS_FWP_ALREADY_EXISTS);
        }
        let handle = machine.new_handle();
        state.sessions.insert(
            handle,
            Session {
                key: spec.key,
                is_dynamic: spec.flags & FWPM_SESSION_FLAG_DYNAMIC != 0,
                owner,
                wait_ms: if spec.wait_ms == 0 { DEFAULT_WAIT_MS } else { spec.wait_ms },
                txn: None,
                was_aborted: false,
            },
        );
        Ok(handle)
    }

    pub fn close(&self, machine: &Machine, handle: u64) -> Result<()> {
        let (is_open, was_ended, is_dynamic) = {
            let mut state = self.state();
            let session = state.sessions.get(&handle);
            let found = (session.is_some(), session.is_some_and(|session| session.is_dynamic));
            (found.0, state.dead_sessions.remove(&handle), found.1)
        };
        if was_ended {
            return Ok(());
        }
        if !is_open {
            machine.bugcheck("V-OBJ-04", format!("engine handle {handle:#x} closed twice, or never opened"));
        }
        self.roll_back(machine, handle);
        if is_dynamic {
            self.delete_dynamic(machine, handle);
        }
        self.state().sessions.remove(&handle);
        Ok(())
    }

    /// Ends every session of a process, as its death does.
    pub fn close_all_of(&self, machine: &Machine, pid: u32) {
        for handle in self.sessions_where(|session| session.owner == Owner::User(pid)) {
            // The handle is open, so closing it cannot fail.
            let _ = self.close(machine, handle);
        }
    }

    /// Sessions of drivers that are still open.
    pub fn kernel_sessions(&self) -> usize {
        self.sessions_where(|session| session.owner == Owner::Kernel).len() + self.state().dead_sessions.len()
    }

    fn sessions_where(&self, chosen: impl Fn(&Session) -> bool) -> Vec<u64> {
        let state = self.state();
        state.sessions.iter().filter(|(_, session)| chosen(session)).map(|(handle, _)| *handle).collect()
    }

    fn delete_dynamic(&self, machine: &Machine, handle: u64) {
        if self.acquire(machine, handle, Access::ReadWrite).is_err() {
            return;
        }
        {
            let mut state = self.state();
            if let Ok(txn) = state.txn(handle) {
                let is_own = |lifetime: Lifetime| lifetime == Lifetime::Dynamic(handle);
                let filters = txn.work.filters.values().filter(|filter| is_own(filter.common.lifetime));
                txn.removed.extend(filters.map(Arc::clone));
                txn.work = txn.work.only(|common| !is_own(common.lifetime));
            }
        }
        // The transaction is open and its own; committing cannot fail.
        let _ = self.commit(machine, handle);
    }
}

impl State {
    pub(super) fn session(&mut self, handle: u64) -> Result<&mut Session> {
        self.sessions.get_mut(&handle).ok_or(STATUS_INVALID_HANDLE)
    }
}
