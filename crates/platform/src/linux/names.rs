//! The monitor of systemd-resolved, which tells every lookup of this machine, but not who asked.
//!
//! Neighbours: `windows::names` is the twin, with the same names; `names::resolved` reads the messages.

use crate::names::resolved::{self, MAX_MESSAGE, Message};
use crate::names::{Event, NamesError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long the resolver may take to say that it will tell.
const PATIENCE: Duration = Duration::from_secs(5);

/// A watch. Dropping it ends it; nothing is told afterwards.
#[derive(Debug)]
pub struct Watch {
    socket: UnixStream,
    reader: Option<JoinHandle<()>>,
}

/// Tells `sink`, from a thread of its own, each name that is resolved from now on. A sink that takes long makes the
/// resolver drop us.
pub fn watch(sink: impl FnMut(Event) + Send + 'static) -> Result<Watch, NamesError> {
    watch_at(Path::new(resolved::SOCKET), sink)
}

fn watch_at(path: &Path, mut sink: impl FnMut(Event) + Send + 'static) -> Result<Watch, NamesError> {
    let mut socket = UnixStream::connect(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            NamesError::NoSource("systemd-resolved does not run here, or is older than release 253".to_owned())
        }
        io::ErrorKind::PermissionDenied => NamesError::AccessDenied("systemd-resolved refuses".to_owned()),
        _ => NamesError::Os { call: "connecting to systemd-resolved", source },
    })?;
    let os = |source| NamesError::Os { call: "subscribing at systemd-resolved", source };
    socket.set_write_timeout(Some(PATIENCE)).map_err(os)?;
    socket.write_all(resolved::SUBSCRIBE).map_err(os)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(os)?;
    let mut messages = BufReader::new(socket.try_clone().map_err(os)?);
    // The first message says that it will tell, or why not.
    match next(&mut messages).map_err(os)? {
        Message::Answers(_) => {}
        Message::Error(why) => return Err(NamesError::AccessDenied(format!("systemd-resolved refuses ({why})"))),
        Message::Nonsense => {
            let why = "systemd-resolved answered what this release does not understand";
            return Err(NamesError::NoSource(why.to_owned()));
        }
    }
    socket.set_read_timeout(None).map_err(os)?;
    let reader = thread::Builder::new().name("names".to_owned()).spawn(move || {
        let why = loop {
            match next(&mut messages) {
                Ok(Message::Answers(answers)) => answers.into_iter().for_each(|answer| sink(Event::Answer(answer))),
                // One message of a newer release is no reason to miss the others.
                Ok(Message::Nonsense) => {}
                Ok(Message::Error(why)) => break why,
                Err(error) => break error.to_string(),
            }
        };
        sink(Event::Ended(format!("systemd-resolved tells no more: {why}")));
    });
    Ok(Watch { socket, reader: Some(reader.map_err(os)?) })
}

fn next(messages: &mut impl BufRead) -> io::Result<Message> {
    let mut message = Vec::new();
    let read = messages.take(MAX_MESSAGE as u64).read_until(0, &mut message)?;
    match message.pop() {
        Some(0) => Ok(resolved::parse(&message)),
        _ if read == MAX_MESSAGE => Err(io::Error::other("a message is too long")),
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection")),
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Fails only when the resolver closed it already.
        let _closed = self.socket.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            // A sink that panicked has nothing to say here.
            let _ended = reader.join();
        }
    }
}
