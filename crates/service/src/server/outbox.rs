//! What one client is yet to be sent.
//!
//! Replies and events leave in one order. Invariants: bounded: one reply and [`EVENTS`] events; an event never waits for
//! the client: what does not fit is lost and counted, and the client is told how many at that very place. Entries leave
//! room for prompts, so that a flood of the ones does not hide the others. Neighbours: `feed` and `session` fill it,
//! `writer` empties it.

use control::entry::Entry;
use control::prompt::{Closed, Prompt};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How many events wait at most.
pub const EVENTS: usize = 2_048;

/// How many of them are entries at most.
pub const ENTRIES: usize = 1_536;

/// Something to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Parcel {
    /// A whole line, its end included: a reply.
    Reply(Vec<u8>),
    /// Something that happened.
    Event(Event),
    /// So many events were lost here.
    Missed(u64),
}

/// Something that happened. It becomes text only on the thread that sends it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// A decision.
    Entry(Arc<Entry>),
    /// A prompt was opened, or changed.
    Prompt(Box<Prompt>),
    /// A prompt is closed.
    Closed { id: u64, closed: Closed },
}

/// The queue of one client.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    parcels: VecDeque<Parcel>,
    /// Events lost since the last parcel.
    missed: u64,
    /// Since when a reply is under way.
    reply_since: Option<Instant>,
    /// No more comes in; what is here still leaves.
    closed: bool,
}

impl Outbox {
    /// Sends `event`, or counts it as lost.
    pub(crate) fn offer(&self, event: Event) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        let room = if matches!(event, Event::Entry(_)) { ENTRIES } else { EVENTS };
        if state.parcels.len() >= room {
            state.missed += 1;
            return;
        }
        let missed = std::mem::take(&mut state.missed);
        if missed > 0 {
            state.parcels.push_back(Parcel::Missed(missed));
        }
        state.parcels.push_back(Parcel::Event(event));
        drop(state);
        self.changed.notify_all();
    }

    /// Sends a reply, after the one before it has left. `false`: the client is gone.
    pub(crate) fn reply(&self, line: Vec<u8>) -> bool {
        let mut state = self.lock();
        while state.reply_since.is_some() && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return false;
        }
        state.parcels.push_back(Parcel::Reply(line));
        state.reply_since = Some(Instant::now());
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Waits for something to send, and gives all there is. `None`: there will be no more.
    pub(crate) fn take(&self) -> Option<VecDeque<Parcel>> {
        let mut state = self.lock();
        while state.parcels.is_empty() && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut parcels = std::mem::take(&mut state.parcels);
        let missed = std::mem::take(&mut state.missed);
        if missed > 0 {
            parcels.push_back(Parcel::Missed(missed));
        }
        (!parcels.is_empty()).then_some(parcels)
    }

    /// The reply that was under way has left.
    pub(crate) fn reply_left(&self) {
        self.lock().reply_since = None;
        self.changed.notify_all();
    }

    /// Since when a reply is under way.
    pub(crate) fn reply_since(&self) -> Option<Instant> {
        self.lock().reply_since
    }

    /// Takes no more; what is here still leaves.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
