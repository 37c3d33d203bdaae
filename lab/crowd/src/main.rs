//! `crowd.exe ADDRESS COUNT`: connects COUNT times at once and prints what became of it.
//!
//! No program that one can fetch opens a thousand connections that all wait. Invariant: every connect has a thread of its
//! own, because under the hook a connect that is held keeps its thread.
//! Neighbours: `cargo xtask lab test` reads the one line it prints.

#![forbid(unsafe_code)]

use std::error::Error;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// A thread only connects.
const STACK: usize = 64 * 1024;

/// How one connect ended, and when.
struct End {
    kind: Result<(), ErrorKind>,
    at_ms: u128,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("usage: crowd ADDRESS COUNT".into());
    };
    let (address, count): (SocketAddr, usize) = (address.parse()?, count.parse()?);
    let threads: Vec<_> = (0..count)
        .map(|_| thread::Builder::new().stack_size(STACK).spawn(move || connect(address)))
        .collect::<Result<_, _>>()?;
    let ends: Vec<End> =
        threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")).collect::<Result<_, _>>()?;
    let of = |kind| ends.iter().filter(|end| end.kind == kind).count();
    let (connected, denied) = (of(Ok(())), of(Err(ErrorKind::PermissionDenied)));
    let last = ends.iter().map(|end| end.at_ms).max().unwrap_or_default();
    println!("{connected} connected, {denied} denied, {} failed, last at {last}", count - connected - denied);
    Ok(())
}

fn connect(address: SocketAddr) -> End {
    let kind = TcpStream::connect(address).map(drop).map_err(|error| error.kind());
    let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis());
    End { kind, at_ms }
}
