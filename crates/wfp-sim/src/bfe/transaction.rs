//! Transactions: one writer or many readers (learn.microsoft.com "Object Management", "Transactions").
//!
//! Every call that changes something runs in a transaction: the session's own, or an implicit one around the call. Both wait
//! for the same lock, and give up after the session's time.
//!
//! Invariants: nothing of a transaction is seen outside before it commits; an aborted one leaves no trace, and every filter
//! whose addition a callout heard of is taken back from it.

use super::notify::Notice;
use super::object::Filter;
use super::session::Owner;
use super::store::Store;
use super::{Bfe, Result, State};
use crate::machine::Machine;
use crate::sync::SharedLock;
use nt_sys::fwpm::FWPM_TXN_READ_ONLY;
use nt_sys::status::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// `txnWaitTimeoutInMSec` of a session that waits for ever.
const FOREVER: u32 = u32::MAX;

/// How long a user-mode session may hold the lock.
const USER_HOLD_MS: u64 = 60 * 60 * 1000;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    ReadOnly,
    ReadWrite,
}

/// An open transaction.
pub(super) struct Txn {
    access: Access,
    since_ms: u64,
    pub work: Store,
    pub added: Vec<Arc<Filter>>,
    pub removed: Vec<Arc<Filter>>,
}

/// Whether a call opened its transaction itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Explicit,
    Implicit,
}

impl Bfe {
    pub fn begin(&self, machine: &Machine, session: u64, flags: u32) -> Result<()> {
        let access = match flags {
            0 => Access::ReadWrite,
            FWPM_TXN_READ_ONLY => Access::ReadOnly,
            _ => return Err(STATUS_FWP_INVALID_FLAGS),
        };
        self.acquire(machine, session, access)
    }

    pub fn commit(&self, machine: &Machine, session: u64) -> Result<()> {
        let notices = {
            let mut state = self.state_for(machine, session)?;
            let txn = state.take_txn(session)?;
            if txn.access == Access::ReadWrite { state.apply(machine, txn) } else { Vec::new() }
        };
        self.deliver(machine, notices);
        Ok(())
    }

    pub fn abort(&self, machine: &Machine, session: u64) -> Result<()> {
        let txn = self.state_for(machine, session)?.take_txn(session)?;
        self.deliver(machine, Notice::undo(txn));
        Ok(())
    }

    /// Undoes the session's transaction if there is one.
    pub(super) fn roll_back(&self, machine: &Machine, session: u64) {
        let txn = self.state().take_txn(session);
        if let Ok(txn) = txn {
            self.deliver(machine, Notice::undo(txn));
        }
    }

    /// Changes the objects in the session's transaction, or in an implicit one.
    pub(super) fn change<R>(
        &self,
        machine: &Machine,
        session: u64,
        change: impl FnOnce(&mut Txn, &Author) -> Result<R>,
    ) -> Result<R> {
        let scope = self.enter(machine, session)?;
        let result = {
            let mut state = self.state();
            let author = state.author(session);
            author.and_then(|author| change(state.txn(session)?, &author))
        };
        self.leave(machine, session, scope, result.is_ok());
        result
    }

    /// Looks at the objects as the session sees them.
    pub(super) fn look<R>(&self, machine: &Machine, session: u64, look: impl FnOnce(&Store) -> Result<R>) -> Result<R> {
        let scope = {
            let mut state = self.state_for(machine, session)?;
            if state.session(session)?.txn.is_some() { Scope::Explicit } else { Scope::Implicit }
        };
        if scope == Scope::Implicit {
            self.acquire(machine, session, Access::ReadOnly)?;
        }
        let result = {
            let mut state = self.state();
            state.txn(session).and_then(|txn| look(&txn.work))
        };
        self.leave(machine, session, scope, true);
        result
    }

    /// Makes sure that the session may write.
    pub(super) fn enter(&self, machine: &Machine, session: u64) -> Result<Scope> {
        let access = {
            let mut state = self.state_for(machine, session)?;
            state.session(session)?.txn.as_ref().map(|txn| txn.access)
        };
        match access {
            Some(Access::ReadWrite) => Ok(Scope::Explicit),
            Some(Access::ReadOnly) => Err(STATUS_FWP_INCOMPATIBLE_TXN),
            None => self.acquire(machine, session, Access::ReadWrite).map(|()| Scope::Implicit),
        }
    }

    /// Ends an implicit transaction.
    pub(super) fn leave(&self, machine: &Machine, session: u64, scope: Scope, keep: bool) {
        if scope == Scope::Implicit {
            // The implicit transaction is open, so neither can fail.
            let _ = if keep { self.commit(machine, session) } else { self.abort(machine, session) };
        }
    }

    /// Opens a transaction once the lock is free.
    pub(super) fn acquire(&self, machine: &Machine, session: u64, access: Access) -> Result<()> {
        let start_ms = machine.host.now_ms();
        loop {
            let now_ms = machine.host.now_ms();
            let wait_ms = {
                let mut state = self.state_for(machine, session)?;
                if state.session(session)?.txn.is_some() {
                    return Err(STATUS_FWP_TXN_IN_PROGRESS);
                }
                if state.lock_for(session, access) {
                    let work = state.committed.clone();
                    let txn = Txn { access, since_ms: now_ms, work, added: Vec::new(), removed: Vec::new() };
                    state.session(session)?.txn = Some(txn);
                    return Ok(());
                }
                state.session(session)?.wait_ms
            };
            if wait_ms != FOREVER && now_ms - start_ms >= u64::from(wait_ms) {
                return Err(STATUS_FWP_TIMEOUT);
            }
            machine.host.wait_ms(1);
        }
    }

    /// The state, after transactions that were held too long have been undone; tells a session once that its own was.
    fn state_for(&self, machine: &Machine, session: u64) -> Result<std::sync::MutexGuard<'_, State>> {
        let now_ms = machine.host.now_ms();
        let overdue: Vec<Txn> = {
            let mut state = self.state();
            state.overdue(now_ms).into_iter().filter_map(|handle| state.take_txn(handle).ok()).collect()
        };
        for txn in overdue {
            self.deliver(machine, Notice::undo(txn));
        }
        let mut state = self.state();
        if std::mem::take(&mut state.session(session)?.was_aborted) {
            return Err(STATUS_FWP_TXN_ABORTED);
        }
        Ok(state)
    }
}

/// Who changes something.
pub(super) struct Author {
    pub session: u64,
    pub is_dynamic: bool,
}

impl Author {
    /// The session, where new objects are to die with it.
    pub fn dynamic(&self) -> Option<u64> {
        self.is_dynamic.then_some(self.session)
    }
}

impl State {
    pub(super) fn author(&mut self, session: u64) -> Result<Author> {
        let is_dynamic = self.session(session)?.is_dynamic;
        Ok(Author { session, is_dynamic })
    }

    pub(super) fn txn(&mut self, session: u64) -> Result<&mut Txn> {
        self.session(session)?.txn.as_mut().ok_or(STATUS_FWP_NO_TXN_IN_PROGRESS)
    }

    fn lock_for(&mut self, session: u64, access: Access) -> bool {
        let is_free = self.writer.is_none() && (access == Access::ReadOnly || self.readers == 0);
        match access {
            _ if !is_free => {}
            Access::ReadOnly => self.readers += 1,
            Access::ReadWrite => self.writer = Some(session),
        }
        is_free
    }

    fn take_txn(&mut self, session: u64) -> Result<Txn> {
        let txn = self.session(session)?.txn.take().ok_or(STATUS_FWP_NO_TXN_IN_PROGRESS)?;
        match txn.access {
            Access::ReadOnly => self.readers -= 1,
            Access::ReadWrite => self.writer = None,
        }
        Ok(txn)
    }

    /// Marks user-mode writers that held the lock for too long, and names them.
    fn overdue(&mut self, now_ms: u64) -> Vec<u64> {
        let mut overdue = Vec::new();
        for (handle, session) in &mut self.sessions {
            let is_user = session.owner != Owner::Kernel;
            let held_ms = session.txn.as_ref().map_or(0, |txn| now_ms.saturating_sub(txn.since_ms));
            if is_user && held_ms >= USER_HOLD_MS {
                session.was_aborted = true;
                overdue.push(*handle);
            }
        }
        overdue
    }

    /// Makes a transaction's work the truth.
    fn apply(&mut self, machine: &Machine, txn: Txn) -> Vec<Notice> {
        let layers: BTreeSet<u16> = txn.added.iter().chain(&txn.removed).map(|filter| filter.layer).collect();
        self.committed = txn.work;
        self.publish(machine, layers);
        Notice::committed(txn.added, txn.removed)
    }

    /// Publishes the committed filters of `layers`.
    pub(super) fn publish(&mut self, machine: &Machine, layers: BTreeSet<u16>) {
        self.epochs += 1;
        let seed = machine.config.seed;
        let tie = move |id: u64| (seed ^ id).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        let is_running = self.service.is_running();
        let policy = machine.policy().rebuilt(&self.committed, is_running, layers.into_iter(), self.epochs, &tie);
        *machine.policy.exclusive() = Arc::new(policy);
    }
}
