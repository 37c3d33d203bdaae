//! One client, from its first line to its last.
//!
//! Invariants: calls are answered one after another, so a client has one under way and the rest wait in its stream;
//! however a session ends, what it followed ends with it and whoever waits for its answers is told. Neighbours: `door`
//! lets it in, `requests` carries calls out, `writer` sends.

use crate::server::desk::Client;
use crate::server::door::{Place, refusal};
use crate::server::outbox::Outbox;
use crate::server::requests::Requests;
use crate::server::{Connection, HANDSHAKE, Shared, fit, writer};
use control::line::{LineError, Lines, encode};
use control::protocol::{ErrorKind, Greeting, Hello, MAX_LINE, Refusal, ServerLine, VERSION, Welcome};
use std::io::Read;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// Serves a client until it ends, or is ended.
pub(crate) fn serve(shared: &Shared, place: Place, connection: Connection) {
    let Connection { reader, writer, close, peer } = connection;
    let close: Arc<dyn Fn() + Send + Sync> = Arc::from(close);
    let outbox = Arc::new(Outbox::default());
    if !place.watch(&close, &outbox, Instant::now() + HANDSHAKE) {
        return close();
    }
    let sending = {
        let (outbox, close) = (outbox.clone(), close.clone());
        thread::Builder::new().name("client writer".to_owned()).spawn(move || {
            if writer::send_all(&outbox, writer).is_err() {
                outbox.close();
                close();
            }
        })
    };
    let Ok(sending) = sending else { return close() };
    let mut session = Session { shared, place, close, outbox, sending: Some(sending), client: None };
    let mut lines = Lines::new(reader);
    match session.place.admit(&peer).and_then(|client| session.greet(&client, &mut lines)) {
        Ok(true) => session.serve_calls(&mut lines),
        Ok(false) => {}
        Err(error) => session.say(&refusal(error)),
    }
}

struct Session<'a> {
    shared: &'a Shared,
    place: Place,
    close: Arc<dyn Fn() + Send + Sync>,
    outbox: Arc<Outbox>,
    sending: Option<JoinHandle<()>>,
    client: Option<Arc<Client>>,
}

impl Session<'_> {
    /// Exchanges first lines. `false`: the client is gone.
    fn greet<R: Read>(&mut self, client: &Arc<Client>, lines: &mut Lines<R>) -> Result<bool, Refusal> {
        let line = match lines.next_line() {
            Ok(Some(line)) => line,
            Err(LineError::TooLong) => return Err(too_long()),
            Ok(None) | Err(_) => return Ok(false),
        };
        let hello: Hello = serde_json::from_slice(line).map_err(|_| {
            let help = format!(r#"begin with {{"tollgate":{VERSION}}}"#);
            Refusal::new(ErrorKind::BadRequest, "the first line is not a greeting").with_help(help)
        })?;
        if hello.tollgate != VERSION {
            let theirs = hello.tollgate;
            let message = format!("the client speaks version {theirs} and the service speaks version {VERSION}");
            return Err(
                Refusal::new(ErrorKind::Version, message).with_help("use the client that came with the service")
            );
        }
        self.place.welcome();
        self.client = Some(client.clone());
        let user = client.user_name().to_owned();
        self.say(&Greeting::Welcome(Welcome { tollgate: VERSION, role: client.role, user }));
        Ok(true)
    }

    fn serve_calls<R: Read>(&self, lines: &mut Lines<R>) {
        let Some(client) = &self.client else { return };
        let desk = &*self.shared.desk;
        let requests = Requests { desk, feed: &self.shared.feed, client, outbox: &self.outbox };
        loop {
            let answered = match lines.next_line() {
                Ok(Some(line)) => requests.answer(line),
                Err(LineError::TooLong) => Err(too_long()),
                Ok(None) | Err(LineError::Cut | LineError::Io(_)) => return,
            };
            match answered {
                Ok(reply) => {
                    if !self.outbox.reply(reply) {
                        return;
                    }
                }
                Err(error) => {
                    self.outbox.reply(fit::line(0, &ServerLine::Error { id: 0, error }));
                    return;
                }
            }
        }
    }

    fn say(&self, greeting: &Greeting) {
        if let Ok(line) = encode(greeting) {
            self.outbox.reply(line);
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if let Some(client) = &self.client
            && self.shared.feed.leave(client)
        {
            self.shared.desk.audience_changed();
        }
        // What it was told last still leaves, if it reads.
        self.place.linger(Instant::now());
        self.outbox.close();
        if let Some(sending) = self.sending.take() {
            // A panic was told when it happened.
            let _panicked = sending.join();
        }
        (self.close)();
    }
}

fn too_long() -> Refusal {
    Refusal::new(ErrorKind::BadRequest, format!("a line is longer than {MAX_LINE} bytes"))
}
