//! `steady.exe THREADS COUNT ADDRESS...`: connects COUNT times, THREADS at once, to each address in turn, and prints a line for
//! each: which address, when it began, when it ended, and how.
//!
//! Invariant: a line is printed for every connect, in no order, when all have ended; times are milliseconds since 1970.
//! Neighbours: `cargo xtask lab soak` reads them.

#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// One connect that has ended.
struct End {
    address: usize,
    began: u128,
    ended: u128,
    how: &'static str,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [threads, count, addresses @ ..] = arguments.as_slice() else {
        return Err("usage: steady THREADS COUNT ADDRESS...".into());
    };
    let (threads, count): (usize, usize) = (threads.parse()?, count.parse()?);
    let addresses: Vec<SocketAddr> = addresses.iter().map(|address| address.parse()).collect::<Result<_, _>>()?;
    let next = AtomicUsize::new(0);
    let one_after_the_other = || {
        let numbers =
            std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed)).take_while(|number| *number < count);
        numbers.map(|number| connect(number % addresses.len(), &addresses)).collect::<Vec<End>>()
    };
    let ends = thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(one_after_the_other)).collect();
        all.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")).collect::<Result<Vec<_>, _>>()
    })?;
    let mut out = std::io::stdout().lock();
    for End { address, began, ended, how } in ends.into_iter().flatten() {
        writeln!(out, "{address} {began} {ended} {how}")?;
    }
    Ok(())
}

fn connect(address: usize, addresses: &[SocketAddr]) -> End {
    let began = now();
    let how = match TcpStream::connect(addresses[address]).map_err(|error| error.kind()) {
        Ok(_) => "connected",
        Err(ErrorKind::PermissionDenied) => "denied",
        Err(_) => "failed",
    };
    End { address, began, ended: now(), how }
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis())
}
