//! Where lines go: files and sockets.
//!
//! Invariants: a line arrives whole or not at all, but over TCP perhaps twice: what was cut by a broken connection is
//! sent again on the next one. Nothing waits longer than [`PATIENCE`]. Neighbours: `exporter` opens again and again.

use crate::config;
use crate::export::Format;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

#[cfg(unix)]
use std::os::unix::net::UnixDatagram;

/// How long a connection, or a receiver, is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The port of syslog over UDP (RFC 5426), and by custom over TCP.
const PORT: u16 = 514;

/// Where entries are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Appended to a file, a line each.
    File(PathBuf),
    /// A datagram each, to `host:port`.
    Udp(String),
    /// To `host:port`: syslog by octet counting (RFC 6587, 3.4.1), the others a line each.
    Tcp(String),
    /// A datagram each, to a local socket such as `/dev/log`.
    Unix(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

impl From<&config::Syslog> for Target {
    fn from(configured: &config::Syslog) -> Self {
        match configured {
            config::Syslog::File(path) => Self::File(path.clone()),
            config::Syslog::Socket(path) => Self::Unix(path.clone()),
            config::Syslog::Udp(address) => Self::Udp(address.to_string()),
            config::Syslog::Tcp(address) => Self::Tcp(address.to_string()),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is none of udp://HOST:PORT, tcp://HOST:PORT, unix:///PATH");
        let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
        let ends_with_port =
            rest.rsplit_once(':').is_some_and(|(host, port)| port.parse::<u16>().is_ok() && !host.is_empty());
        let is_bare_v6 = rest.parse::<Ipv6Addr>().is_ok();
        let address = match rest {
            "" => return Err(bad()),
            _ if is_bare_v6 => format!("[{rest}]:{PORT}"),
            _ if ends_with_port => rest.to_owned(),
            _ => format!("{rest}:{PORT}"),
        };
        match scheme {
            "udp" => Ok(Self::Udp(address)),
            "tcp" => Ok(Self::Tcp(address)),
            "unix" if rest.starts_with('/') => Ok(Self::Unix(rest.into())),
            _ => Err(bad()),
        }
    }
}

impl Target {
    /// Opens it for lines of `format`.
    pub fn open(&self, format: Format) -> io::Result<Open> {
        let way = match self {
            Self::File(path) => Way::File(BufWriter::new(OpenOptions::new().append(true).create(true).open(path)?)),
            Self::Udp(address) => Way::Udp(first(address, |to| {
                let any: SocketAddr =
                    if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
                let socket = UdpSocket::bind(any)?;
                socket.connect(to)?;
                Ok(socket)
            })?),
            Self::Tcp(address) => {
                let stream = first(address, |to| TcpStream::connect_timeout(&to, PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                Way::Tcp(stream, format == Format::Syslog)
            }
            Self::Unix(path) => unix(path)?,
        };
        Ok(Open(way))
    }
}

#[cfg(unix)]
fn unix(path: &PathBuf) -> io::Result<Way> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(Way::Unix(socket))
}

#[cfg(not(unix))]
fn unix(_: &PathBuf) -> io::Result<Way> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no local datagram sockets"))
}

/// What the first address of `host:port` that works gives.
fn first<T>(address: &str, open: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let mut error = io::Error::new(io::ErrorKind::NotFound, format!("{address} has no address"));
    for to in address.to_socket_addrs()? {
        match open(to) {
            Ok(opened) => return Ok(opened),
            Err(refused) => error = refused,
        }
    }
    Err(error)
}

/// An open target.
#[derive(Debug)]
pub struct Open(Way);

#[derive(Debug)]
enum Way {
    File(BufWriter<File>),
    Udp(UdpSocket),
    /// Whether octets are counted.
    Tcp(TcpStream, bool),
    #[cfg(unix)]
    Unix(UnixDatagram),
}

impl Open {
    /// Sends one line, given without its end.
    pub fn send(&mut self, line: &str) -> io::Result<()> {
        match &mut self.0 {
            Way::File(file) => file.write_all(line.as_bytes()).and_then(|()| file.write_all(b"\n")),
            Way::Udp(socket) => socket.send(line.as_bytes()).map(drop),
            Way::Tcp(stream, counts) => {
                see_that_it_stands(stream)?;
                let framed = if *counts { format!("{} {line}", line.len()) } else { format!("{line}\n") };
                stream.write_all(framed.as_bytes())
            }
            #[cfg(unix)]
            Way::Unix(socket) => socket.send(line.as_bytes()).map(drop),
        }
    }

    /// Sees that everything sent is on its way.
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Way::File(file) => file.flush(),
            _ => Ok(()),
        }
    }
}

/// Fails when the receiver closed its side: the system would take what is written next, and lose it.
fn see_that_it_stands(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false)?;
    match peeked {
        Ok(0) => Err(io::ErrorKind::ConnectionAborted.into()),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}
