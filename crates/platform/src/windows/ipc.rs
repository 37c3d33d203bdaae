//! x
use crate::ipc::Peer;
use std::io::{self, Read, Write};
/// Where the service listens unless told otherwise.
pub fn default_endpoint() -> &'static str {
    r"\\.\pipe\Tollgate.Control"
}
/// A pipe that clients connect to.
#[derive(Debug)]
pub struct Listener;
/// Makes [`Listener::accept`] return.
#[derive(Clone, Debug)]
pub struct Stopper;
/// A connected pipe.
#[derive(Debug)]
pub struct Stream;
/// Ends a stream.
#[derive(Clone, Debug)]
pub struct Closer;
/// Listens
pub fn listen(_endpoint: &str, _operators: Option<&str>) -> io::Result<Listener> {
    Err(io::ErrorKind::Unsupported.into())
}
/// Connects
pub fn connect(_endpoint: &str) -> io::Result<Stream> {
    Err(io::ErrorKind::Unsupported.into())
}
impl Listener {
    /// Waits
    pub fn accept(&self) -> io::Result<Option<Stream>> {
        Ok(None)
    }
    /// Stopper
    pub fn stopper(&self) -> Stopper {
        Stopper
    }
}
impl Stopper {
    /// Does it.
    pub fn stop(&self) {}
}
impl Stream {
    /// Peer
    pub fn peer(&self) -> io::Result<Peer> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Split
    #[expect(clippy::type_complexity, reason = "three values, each named by the documentation")]
    pub fn split(self) -> io::Result<(Box<dyn Read + Send>, Box<dyn Write + Send>, Closer)> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
impl Closer {
    /// Does it.
    pub fn close(&self) {}
}
