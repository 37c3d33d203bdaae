//! Servers on the loopback addresses that Windows programs connect to.
//!
//! Invariant: a server counts what reaches it, so that "blocked" can be told from "failed in some other way".

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;

/// How often a server looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

/// What a client reads after it has connected or sent.
pub const GREETING: &str = "hello from the lab";

/// What a page says: the one version of the one module of a Go module proxy.
pub const VERSION: &str = "v1.2.3";
/// How long a client may take to ask for a page.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// A server; dropping it ends it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    reached: Arc<AtomicUsize>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers every request for a page with the same page.
    pub fn http(ip: IpAddr) -> Result<Self> {
        let listener = TcpListener::bind((ip, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self::start(address, move || {
            let (mut stream, _) = listener.accept()?;
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(ASK_TIMEOUT))?;
            // A request for a page fits into one segment; a client that sends none has reached us all the same.
            stream.read(&mut [0; 4096]).map_err(|_| ErrorKind::ConnectionAborted)?;
            write!(stream, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n{VERSION}\n")
        }))
    }

    /// Greets every TCP connection and closes it.
    pub fn tcp(ip: IpAddr) -> Result<Self> {
        let listener = TcpListener::bind((ip, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self::start(address, move || {
            let (mut stream, _) = listener.accept()?;
            stream.set_nonblocking(false)?;
            stream.write_all(GREETING.as_bytes())
        }))
    }

    /// Answers every UDP packet.
    pub fn udp(ip: IpAddr) -> Result<Self> {
        Self::udp_at(ip, 0)
    }

    /// The same at a given port.
    pub fn udp_at(ip: IpAddr, port: u16) -> Result<Self> {
        let socket = UdpSocket::bind((ip, port))?;
        socket.set_read_timeout(Some(LOOK))?;
        let address = socket.local_addr()?;
        Ok(Self::start(address, move || {
            let (_, from) = socket.recv_from(&mut [0; 2048])?;
            socket.send_to(GREETING.as_bytes(), from).map(|_| ())
        }))
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections or packets have reached it.
    pub fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }

    fn start(address: SocketAddr, serve: impl Fn() -> io::Result<()> + Send + 'static) -> Self {
        let reached = Arc::new(AtomicUsize::new(0));
        let end = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (reached, end) = (Arc::clone(&reached), Arc::clone(&end));
            move || {
                while !end.load(Ordering::SeqCst) {
                    match serve() {
                        Ok(()) => {
                            reached.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(LOOK),
                        // A client that has gone already has still reached us.
                        Err(_) => {
                            reached.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            }
        });
        Self { address, reached, end, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
