//! Who may come in, and what as.
//!
//! Invariants: there is a place for every client, and no more clients than places; some places are kept for
//! administrators, so that operators cannot lock them out. Neighbours: `session` takes a place, `super` watches.

use crate::server::desk::Client;
use crate::server::outbox::Outbox;
use crate::server::{Connection, LINGER, PATIENCE, Server};
use control::line::encode;
use control::protocol::{ErrorKind, Greeting, Refusal, Role, VERSION};
use platform::ipc::{OPERATORS, Peer, Stream};
use rules::facts::User;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How many clients there are at most.
pub const MAX_CLIENTS: usize = 64;

/// How many of them are not administrators at most.
pub const MAX_CLIENTS_OF_OPERATORS: usize = 56;

/// How many clients one user has at most.
pub const MAX_CLIENTS_OF_USER: usize = 16;

/// The clients that are in.
#[derive(Clone, Default)]
pub(crate) struct Door {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    last: u64,
    shut: bool,
    places: HashMap<u64, Occupied>,
}

#[derive(Default)]
struct Occupied {
    client: Option<Arc<Client>>,
    line: Option<Line>,
    /// When its stream is ended, whatever happens.
    until: Option<Instant>,
}

/// What ends a client's stream.
#[derive(Clone)]
struct Line {
    close: Arc<dyn Fn() + Send + Sync>,
    outbox: Arc<Outbox>,
}

/// The place of one client. Dropping it makes room for another.
pub(crate) struct Place {
    door: Door,
    number: u64,
}

impl Door {
    /// A place, if there is one.
    pub(crate) fn enter(&self) -> Option<Place> {
        let mut state = self.lock();
        if state.shut || state.places.len() >= MAX_CLIENTS {
            return None;
        }
        state.last += 1;
        let number = state.last;
        state.places.insert(number, Occupied::default());
        Some(Place { door: self.clone(), number })
    }

    pub(crate) fn clients(&self) -> usize {
        self.lock().places.len()
    }

    pub(crate) fn close_overdue(&self, now: Instant) {
        let is_overdue = |place: &Occupied| {
            place.until.is_some_and(|until| now >= until)
                || place
                    .line
                    .as_ref()
                    .and_then(|line| line.outbox.reply_since())
                    .is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE)
        };
        let overdue: Vec<Line> = self
            .lock()
            .places
            .values()
            .filter(|place| is_overdue(place))
            .filter_map(|place| place.line.clone())
            .collect();
        for line in overdue {
            line.end();
        }
    }

    /// Ends all streams and lets nobody in.
    pub(crate) fn shut(&self) {
        let mut state = self.lock();
        state.shut = true;
        let lines: Vec<Line> = state.places.values().filter_map(|place| place.line.clone()).collect();
        drop(state);
        for line in lines {
            line.end();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn end(&self) {
        self.outbox.close();
        (self.close)();
    }
}

impl Place {
    /// From now on the stream is ended when a reply is not read in time, and at `until` in any case. `false`: the door
    /// was shut meanwhile.
    pub(crate) fn watch(&self, close: &Arc<dyn Fn() + Send + Sync>, outbox: &Arc<Outbox>, until: Instant) -> bool {
        let mut state = self.door.lock();
        if state.shut {
            return false;
        }
        if let Some(place) = state.places.get_mut(&self.number) {
            place.line = Some(Line { close: close.clone(), outbox: outbox.clone() });
            place.until = Some(until);
        }
        true
    }

    /// The client said who it is.
    pub(crate) fn welcome(&self) {
        self.set_until(None);
    }

    /// The client has said its last, or is refused.
    pub(crate) fn linger(&self, now: Instant) {
        self.set_until(Some(now + LINGER));
    }

    /// Makes the peer a client, if it may be one.
    pub(crate) fn admit(&self, peer: &Peer) -> Result<Arc<Client>, Refusal> {
        let role = role(peer)?;
        let user = User { id: peer.user_id.as_str().into(), name: peer.user_name.as_deref().map(Into::into) };
        let client = Arc::new(Client { number: self.number, pid: peer.pid.into(), user, role });
        let mut state = self.door.lock();
        let others = || state.places.values().filter_map(|place| place.client.as_ref());
        if others().filter(|other| other.user.id == client.user.id).count() >= MAX_CLIENTS_OF_USER {
            let message = format!("{} has {MAX_CLIENTS_OF_USER} clients already", client.user_name());
            return Err(Refusal::new(ErrorKind::Busy, message).with_help("end one of them"));
        }
        if role != Role::Administrator
            && others().filter(|other| other.role != Role::Administrator).count() >= MAX_CLIENTS_OF_OPERATORS
        {
            return Err(too_many());
        }
        if let Some(place) = state.places.get_mut(&self.number) {
            place.client = Some(client.clone());
        }
        Ok(client)
    }

    fn set_until(&self, until: Option<Instant>) {
        if let Some(place) = self.door.lock().places.get_mut(&self.number) {
            place.until = until;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.door.lock().places.remove(&self.number);
    }
}

/// What the peer may do.
fn role(peer: &Peer) -> Result<Role, Refusal> {
    if peer.is_administrator {
        return Ok(Role::Administrator);
    }
    if peer.is_operator {
        return Ok(Role::Operator);
    }
    let who = peer.user_name.as_deref().unwrap_or(&peer.user_id);
    let message = format!("{who} is neither an administrator nor in the operators' group");
    let help = format!("run this as administrator, or let an administrator add {who} to the group \"{OPERATORS}\"");
    Err(Refusal::new(ErrorKind::Denied, message).with_help(help))
}

fn too_many() -> Refusal {
    Refusal::new(ErrorKind::Busy, "too many clients are connected").with_help("try again when some have ended")
}

/// The first line to a client that is refused.
pub(crate) fn refusal(error: Refusal) -> Greeting {
    Greeting::Refusal { tollgate: VERSION, error }
}

/// Lets a client in, or tells it that there is no room.
pub(crate) fn admit_or_refuse(server: &Server, stream: Stream) {
    if server.clients() >= MAX_CLIENTS {
        // So short a line has room in a new stream; who it is does not matter.
        let told = stream.split().and_then(|(_, mut writer, closer)| {
            let line = encode(&refusal(too_many())).map_err(io::Error::other)?;
            let told = writer.write_all(&line).and_then(|()| writer.flush());
            closer.close();
            told
        });
        // It may be gone already.
        drop(told);
        return;
    }
    // Without a thread for it there is nobody to tell it.
    drop(server.admit(move || Connection::try_from(stream)));
}
