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

/// A watch. Dropping it ends it; nothing is told after that returns.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc;
    use tempfile::TempDir;

    const READY: &[u8] = b"{\"parameters\":{\"ready\":true},\"continues\":true}\0";
    const LOOKUP: &[u8] = b"{\"parameters\":{\"question\":[{\"class\":1,\"type\":1,\"name\":\"a.example\"}],\
        \"answer\":[{\"rr\":{\"key\":{\"class\":1,\"type\":1,\"name\":\"a.example\"},\"address\":[192,0,2,1]}}]}}\0";

    /// A monitor that takes a subscription and then says these things.
    fn monitor(says: Vec<&'static [u8]>) -> (TempDir, JoinHandle<UnixStream>) {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixListener::bind(folder.path().join("monitor")).unwrap();
        let thread = thread::spawn(move || {
            let (mut client, _) = socket.accept().unwrap();
            let mut subscription = Vec::new();
            BufReader::new(client.try_clone().unwrap()).read_until(0, &mut subscription).unwrap();
            assert_eq!(subscription, resolved::SUBSCRIBE);
            says.iter().for_each(|what| client.write_all(what).unwrap());
            client
        });
        (folder, thread)
    }

    fn watched(says: Vec<&'static [u8]>) -> (Result<Watch, NamesError>, mpsc::Receiver<Event>, UnixStream) {
        let (folder, thread) = monitor(says);
        let (sender, receiver) = mpsc::channel();
        let watch = watch_at(&folder.path().join("monitor"), move |event| sender.send(event).unwrap());
        (watch, receiver, thread.join().unwrap())
    }

    #[test]
    fn names_are_told_until_the_resolver_ends() {
        let (watch, events, client) = watched(vec![READY, b"nonsense\0", LOOKUP]);
        let _watch = watch.unwrap();
        let Event::Answer(answer) = events.recv().unwrap() else { panic!("no answer") };
        assert_eq!((answer.name.as_str(), answer.address.to_string().as_str()), ("a.example", "192.0.2.1"));
        drop(client);
        assert!(matches!(events.recv().unwrap(), Event::Ended(why) if why.contains("closed")));
        assert!(events.recv().is_err(), "nothing follows");
    }

    #[test]
    fn a_watch_that_is_dropped_tells_nothing_more() {
        let (watch, events, mut client) = watched(vec![READY]);
        drop(watch.unwrap());
        assert!(matches!(events.recv(), Ok(Event::Ended(_))));
        assert!(client.write_all(LOOKUP).is_err() || events.recv().is_err());
    }

    #[test]
    fn a_resolver_that_is_absent_or_refuses_is_an_error_that_says_so() {
        let absent = watch_at(Path::new("/nowhere/at/all"), |_| ());
        assert!(matches!(absent, Err(NamesError::NoSource(why)) if why.contains("systemd-resolved")));
        let (refused, ..) = watched(vec![b"{\"error\":\"org.varlink.service.PermissionDenied\"}\0"]);
        assert!(matches!(refused, Err(NamesError::AccessDenied(why)) if why.contains("PermissionDenied")));
    }

    #[test]
    fn a_message_without_end_ends_the_watch() {
        let endless: &'static [u8] = Box::leak(vec![b' '; MAX_MESSAGE + 1].into_boxed_slice());
        let (watch, events, _client) = watched(vec![READY, endless]);
        let _watch = watch.unwrap();
        assert!(matches!(events.recv().unwrap(), Event::Ended(why) if why.contains("too long")));
    }
}
