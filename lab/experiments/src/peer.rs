//! The second machine: connects and sends to the first one when asked, and echoes datagrams.
//!
//! A request is one line over TCP, its answer too: `connect PORT`, `send PORT COUNT`, `echo`. Anything else is read and
//! not answered. Neighbours: `stories` asks.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::programs::ms;

/// The port, of TCP and UDP.
pub const PORT: u16 = 7117;
/// How long a connect to the first machine may take: its system sends about four SYNs in this time.
const CONNECT: Duration = Duration::from_secs(20);
/// Between two datagrams.
const SEND_EVERY: Duration = Duration::from_millis(300);

/// Serves until it is ended.
pub fn serve() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    let datagrams = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    thread::spawn(move || echo(&datagrams));
    println!("serving at port {PORT}, TCP and UDP; Ctrl-C ends it");
    accept(&listener);
    Ok(())
}

fn accept(listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        thread::spawn(move || attend(stream));
    }
}

fn echo(socket: &UdpSocket) {
    let mut room = vec![0; 65_536];
    loop {
        if let Ok((length, from)) = socket.recv_from(&mut room) {
            // A datagram that cannot be sent back is lost, as datagrams are.
            socket.send_to(&room[..length], from).ok();
        }
    }
}

fn attend(stream: TcpStream) -> Result<()> {
    let who = stream.peer_addr()?.ip();
    let mut answers = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        if let Some(answer) = obey(&line?, who) {
            writeln!(answers, "{answer}")?;
        }
    }
    Ok(())
}

fn obey(line: &str, who: IpAddr) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["echo"] => Some("echo".to_owned()),
        ["connect", port] => {
            let began = Instant::now();
            let to = SocketAddr::new(who, port.parse().ok()?);
            let word = match TcpStream::connect_timeout(&to, CONNECT) {
                Ok(_) => "connected",
                Err(_) => "failed",
            };
            Some(format!("{word} {}", ms(began)))
        }
        ["send", port, count] => {
            let to = SocketAddr::new(who, port.parse().ok()?);
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
            for number in 0..count.parse::<u32>().ok()? {
                socket.send_to(format!("tollgate {number}").as_bytes(), to).ok()?;
                thread::sleep(SEND_EVERY);
            }
            Some("sent".to_owned())
        }
        _ => None,
    }
}

/// Asks the peer for something; the answer is read from the stream when it is wanted.
pub fn ask(peer: IpAddr, what: &str) -> Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect((peer, PORT)).context("cannot connect to the peer")?;
    stream.set_read_timeout(Some(CONNECT + CONNECT))?;
    writeln!(stream, "{what}")?;
    Ok(BufReader::new(stream))
}

/// The peer's answer: a word, and a number or 0.
pub fn answer(stream: &mut BufReader<TcpStream>) -> Result<(String, i64)> {
    let mut line = String::new();
    stream.read_line(&mut line).context("the peer does not answer")?;
    Ok(read(&line))
}

fn read(line: &str) -> (String, i64) {
    let mut words = line.split_whitespace();
    let word = words.next().unwrap_or_default().to_owned();
    (word, words.next().and_then(|number| number.parse().ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_connects_where_it_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let said = obey(&format!("connect {port}"), [127, 0, 0, 1].into()).unwrap();
        assert_eq!(read(&said).0, "connected");
        assert!(listener.accept().is_ok());
    }

    #[test]
    fn a_peer_sends_as_many_datagrams_as_it_is_told() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(obey(&format!("send {port} 2"), [127, 0, 0, 1].into()).as_deref(), Some("sent"));
        let mut room = [0; 64];
        for text in ["tollgate 0", "tollgate 1"] {
            let length = socket.recv(&mut room).unwrap();
            assert_eq!(&room[..length], text.as_bytes());
        }
    }

    #[test]
    fn what_a_peer_does_not_understand_it_does_not_answer() {
        assert_eq!(obey("tollgate", [127, 0, 0, 1].into()), None);
        assert_eq!(obey("connect x", [127, 0, 0, 1].into()), None);
    }

    #[test]
    fn an_answer_is_a_word_and_a_number() {
        assert_eq!(read("connected 12\n"), ("connected".to_owned(), 12));
        assert_eq!(read(""), (String::new(), 0));
    }
}
