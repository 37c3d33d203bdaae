//! Answers scrapes: `GET /metrics` over HTTP/1.1, one after the other.
//!
//! There is one page, a handful of scrapers and one request a connection, so this is a hundred lines of the standard
//! library and no HTTP crate: the asynchronous ones bring a runtime, and the small blocking ones a pool of threads and no
//! deadline for a whole request. Invariants: loopback addresses only, also in `Host`, so that no page in a browser reads
//! it through a name of its own; a request is at most [`MAX_HEAD`] bytes within [`PATIENCE`], then the next one's turn.
//! Neighbours: [`Metrics`] makes the text.

use crate::metrics::Metrics;
use control::status::Status;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a request may be.
const MAX_HEAD: usize = 8_192;

/// How long a scraper may take to ask, and again to take the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// <https://prometheus.io/docs/specs/om/open_metrics_spec/>
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Tells how the service does.
pub type Asked = Arc<dyn Fn() -> Status + Send + Sync>;

/// Answers scrapes; ends when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    is_ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens at `address`.
    ///
    /// # Errors
    /// When it is not a loopback address, or not free.
    pub fn start(address: SocketAddr, metrics: Arc<Metrics>, asked: Asked) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            let why = format!("metrics are told to this machine only: {address} is no loopback address");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let is_ending = Arc::new(AtomicBool::new(false));
        let ends = is_ending.clone();
        let thread = std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
            for scraper in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                match scraper {
                    // A scraper that goes away is its own affair.
                    Ok(scraper) => drop(answer(scraper, &metrics, &asked)),
                    // Too many open files, for one: they will be fewer.
                    Err(_) => std::thread::sleep(Duration::from_millis(100)),
                }
            }
        })?;
        Ok(Self { address, is_ending, thread: Some(thread) })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::Relaxed);
        // Wakes it up.
        let woken = TcpStream::connect_timeout(&self.address, PATIENCE);
        if let Some(thread) = self.thread.take().filter(|_| woken.is_ok()) {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn answer(mut scraper: TcpStream, metrics: &Metrics, asked: &Asked) -> io::Result<()> {
    scraper.set_write_timeout(Some(PATIENCE))?;
    let (status, body) = match read_head(&mut scraper)?.as_deref().map(judge) {
        Some(Ok(())) => ("200 OK", metrics.text(&asked())),
        Some(Err(refused)) => (refused, String::new()),
        None => ("431 Request Header Fields Too Large", String::new()),
    };
    let allow = if status.starts_with("405") { "Allow: GET\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {OPEN_METRICS}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n",
        body.len()
    );
    scraper.write_all(head.as_bytes())?;
    scraper.write_all(body.as_bytes())
}

/// The request up to its empty line; `None` when it is too long.
fn read_head(scraper: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let until = Instant::now() + PATIENCE;
    let mut head = Vec::new();
    let mut piece = [0; 1_024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        scraper.set_read_timeout(Some(left))?;
        match scraper.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => head.extend_from_slice(&piece[..read]),
        }
        if head.len() > MAX_HEAD {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

/// Whether the request is one for us; else the status to answer.
fn judge(head: &[u8]) -> Result<(), &'static str> {
    let bad = "400 Bad Request";
    let head = std::str::from_utf8(head).map_err(|_| bad)?;
    let mut lines = head.split("\r\n");
    let mut request = lines.next().unwrap_or_default().split(' ');
    let (method, target, version) = (request.next(), request.next(), request.next());
    if !version.is_some_and(|version| version.starts_with("HTTP/1.")) {
        return Err(bad);
    }
    let host = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, host)| host.trim());
    match (method, target.map(|target| target.split('?').next().unwrap_or_default())) {
        _ if !host.is_none_or(is_this_machine) => Err("403 Forbidden"),
        (Some("GET"), Some("/metrics")) => Ok(()),
        (Some("GET"), _) => Err("404 Not Found"),
        _ => Err("405 Method Not Allowed"),
    }
}

fn is_this_machine(host: &str) -> bool {
    let ip = |text: &str| text.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    host.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
        || ip(host.trim_start_matches('[').trim_end_matches(']'))
        || name.eq_ignore_ascii_case("localhost")
}
