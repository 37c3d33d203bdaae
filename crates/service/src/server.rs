//! The control server: clients in, and what they may see and do.
//!
//! * [`desk`]: what the server asks of the service, and who asks.
//! * [`feed`]: what the service tells clients unasked.
//! * `door`: who may come in, and what as.
//! * `session`: one client, from its first line to its last.
//! * `requests`: one request, checked and carried out.
//! * `fit`: replies that fit into a line.
//! * `outbox`: what one client is yet to be sent.
//! * `writer`: the thread that sends it.
//!
//! Two threads for each client, one to read and one to write, and one that watches that none takes too long. Invariants:
//! clients are limited in number, a client is limited in memory and time, and nothing that a client does or leaves undone
//! makes the service wait. Neighbours: `control` has the messages, `platform::ipc` the streams and who is at their end,
//! the daemon is the [`Desk`].

pub mod desk;
mod door;
pub mod feed;
mod fit;
mod outbox;
mod requests;
mod session;
mod writer;

pub use desk::{Change, Client, Desk, Query};
pub use door::{MAX_CLIENTS, MAX_CLIENTS_OF_OPERATORS, MAX_CLIENTS_OF_USER};
pub use feed::{Audience, Feed};

use crate::server::door::Door;
use platform::ipc::{Listener, Peer, Stopper, Stream};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a client may take for its first line.
pub const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long a client may take to read a reply.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long a client that is refused, or has said its last, may take to read what it was told.
pub const LINGER: Duration = Duration::from_secs(2);

/// How often it is looked whether a client takes too long.
const WATCH: Duration = Duration::from_millis(500);

/// A client's stream, and who is at its end.
pub struct Connection {
    /// What it sends.
    pub reader: Box<dyn Read + Send>,
    /// What it is sent. Dropping it does not end the stream; a write that does not proceed waits until [`Self::close`].
    pub writer: Box<dyn Write + Send>,
    /// Ends the stream, so that what waits for it returns.
    pub close: Box<dyn Fn() + Send + Sync>,
    /// Who it is.
    pub peer: Peer,
}

impl TryFrom<Stream> for Connection {
    type Error = io::Error;

    fn try_from(stream: Stream) -> io::Result<Self> {
        let peer = stream.peer()?;
        let (reader, writer, closer) = stream.split()?;
        Ok(Self { reader, writer, close: Box::new(move || closer.close()), peer })
    }
}

/// Serves clients. Clones are the same server.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

/// What the threads of a server share.
pub(crate) struct Shared {
    desk: Arc<dyn Desk>,
    feed: Feed,
    door: Door,
}

impl Server {
    /// Serves what `desk` has and `feed` tells.
    pub fn new(desk: Arc<dyn Desk>, feed: Feed) -> Self {
        Self { shared: Arc::new(Shared { desk, feed, door: Door::default() }) }
    }

    /// Serves one client on a thread of its own, which calls `connect` first: finding out who a client is may take time.
    ///
    /// # Errors
    /// When there are too many clients, and when the system has no thread for it.
    pub fn admit(&self, connect: impl FnOnce() -> io::Result<Connection> + Send + 'static) -> io::Result<()> {
        let Some(place) = self.shared.door.enter() else {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "too many clients"));
        };
        let shared = self.shared.clone();
        thread::Builder::new().name("client".to_owned()).spawn(move || {
            // Who is gone before we know who it is has nothing to be told.
            if let Ok(connection) = connect() {
                session::serve(&shared, place, connection);
            }
        })?;
        Ok(())
    }

    /// Ends the streams of clients that take too long, as of `now`.
    pub fn watch(&self, now: Instant) {
        self.shared.door.close_overdue(now);
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.shared.door.clients()
    }

    /// Ends all clients' streams, and lets nobody in any more.
    pub fn close(&self) {
        self.shared.door.shut();
    }

    /// Serves the clients that come to `listener`, until the result is dropped.
    pub fn listen(self, listener: Listener) -> io::Result<Listening> {
        let stopper = listener.stopper();
        let (end, ended) = channel::<()>();
        let is_ending = Arc::new(AtomicBool::new(false));
        let mut listening = Listening { server: self.clone(), stopper, end: Some(end), is_ending, threads: Vec::new() };
        let server = self.clone();
        let is_ending = listening.is_ending.clone();
        let accept = move || server.accept_all(&listener, &is_ending);
        listening.threads.push(thread::Builder::new().name("control".to_owned()).spawn(accept)?);
        let watch = move || {
            while ended.recv_timeout(WATCH) == Err(RecvTimeoutError::Timeout) {
                self.watch(Instant::now());
            }
        };
        listening.threads.push(thread::Builder::new().name("control watch".to_owned()).spawn(watch)?);
        Ok(listening)
    }

    fn accept_all(&self, listener: &Listener, is_ending: &AtomicBool) {
        // An error is about one client, or about a want of descriptors that passes; trying at once again would spin.
        const PAUSE: Duration = Duration::from_millis(100);
        loop {
            match listener.accept() {
                Ok(None) => return,
                Ok(Some(stream)) => door::admit_or_refuse(self, stream),
                Err(_) if is_ending.load(Ordering::Relaxed) => return,
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }
}

/// A server that listens. Dropping it ends the server and its clients.
pub struct Listening {
    server: Server,
    stopper: Stopper,
    end: Option<Sender<()>>,
    is_ending: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Listening {
    /// The server.
    pub fn server(&self) -> &Server {
        &self.server
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::Relaxed);
        self.end = None;
        self.stopper.stop();
        self.server.close();
        for thread in self.threads.drain(..) {
            // A panic was told when it happened.
            let _panicked = thread.join();
        }
    }
}
