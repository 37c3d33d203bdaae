//! What the programs that connect do. They say what they see, one JSON object a line.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

/// A program that has said everything stays, with its sockets, until it is killed; or this long.
const STAY: Duration = Duration::from_secs(120);
/// How often a talking program sends.
const TALK_EVERY: Duration = Duration::from_millis(300);
/// How long a datagram's echo may take.
const ECHO: Duration = Duration::from_secs(10);

/// Does what the words say.
pub fn run(words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["connect", address] => connect(address.parse()?),
        ["connect-for", address, ms] => connect_for(address.parse()?, ms.parse()?),
        ["connect-again", address] => loop {
            connect_once(address.parse()?);
        },
        ["talk", address] => talk(address.parse()?),
        ["send", address, count] => send(address.parse()?, count.parse()?),
        ["echo", address, bytes] => echo(address.parse()?, bytes.parse()?),
        ["listen", ip] => listen(ip.parse()?),
        ["receive", ip] => receive(ip.parse()?),
        _ => bail!("no such program: {words:?}"),
    }
}

fn say(what: Value) {
    println!("{what}");
    // Nobody listens any more.
    io::stdout().flush().ok();
}

fn stay() -> Result<()> {
    thread::sleep(STAY);
    Ok(())
}

/// Says how a call ended: `ok`, `code` of the error, and how long it took.
fn told<T>(what: &str, began: Instant, result: &io::Result<T>) -> Value {
    let code = result.as_ref().err().map(|error| error.raw_os_error().unwrap_or(-1));
    json!({ "what": what, "ok": result.is_ok(), "code": code, "ms": ms(began) })
}

/// Milliseconds since then.
pub fn ms(began: Instant) -> i64 {
    i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX)
}

fn connect(address: SocketAddr) -> Result<()> {
    let began = Instant::now();
    let stream = TcpStream::connect(address);
    say(told("connect", began, &stream));
    stay()
}

fn connect_once(address: SocketAddr) {
    let began = Instant::now();
    say(told("connect", began, &TcpStream::connect(address)));
}

/// Gives up after a time, which closes the socket; the process lives on.
fn connect_for(address: SocketAddr, patience_ms: u64) -> Result<()> {
    let began = Instant::now();
    say(told("connect", began, &TcpStream::connect_timeout(&address, Duration::from_millis(patience_ms))));
    stay()
}

/// Sends a line again and again, and says what comes back.
fn talk(address: SocketAddr) -> Result<()> {
    let began = Instant::now();
    let stream = TcpStream::connect(address);
    say(told("connect", began, &stream));
    let mut stream = stream?;
    let answers = stream.try_clone()?;
    thread::spawn(move || say_reads(answers));
    loop {
        thread::sleep(TALK_EVERY);
        let began = Instant::now();
        let sent = stream.write_all(b"echo\n");
        say(told("write", began, &sent));
        sent?;
    }
}

/// Says of each piece of data that it came.
fn say_reads(mut stream: TcpStream) {
    let mut room = [0; 64];
    while let Ok(bytes @ 1..) = stream.read(&mut room) {
        say(json!({ "what": "read", "bytes": bytes }));
    }
}

fn any_port(like: IpAddr) -> SocketAddr {
    let any: IpAddr = if like.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
    (any, 0).into()
}

fn send(address: SocketAddr, count: u32) -> Result<()> {
    let socket = UdpSocket::bind(any_port(address.ip()))?;
    for number in 0..count {
        let began = Instant::now();
        say(told("send", began, &socket.send_to(format!("tollgate {number}").as_bytes(), address)));
        thread::sleep(TALK_EVERY);
    }
    stay()
}

fn echo(address: SocketAddr, bytes: usize) -> Result<()> {
    let socket = UdpSocket::bind(any_port(address.ip()))?;
    socket.set_read_timeout(Some(ECHO))?;
    let sent: Vec<u8> = (0_u8..=250).cycle().take(bytes).collect();
    let began = Instant::now();
    say(told("send", began, &socket.send_to(&sent, address)));
    let mut room = vec![0; 65_536];
    let came = socket.recv_from(&mut room);
    let is_same = came.as_ref().is_ok_and(|(length, _)| room.get(..*length) == Some(&sent));
    say(json!({ "what": "echo", "ok": came.is_ok(), "same": is_same, "ms": ms(began) }));
    stay()
}

fn listen(ip: IpAddr) -> Result<()> {
    let listener = TcpListener::bind((ip, 0))?;
    say(json!({ "what": "listening", "port": listener.local_addr()?.port() }));
    loop {
        let (stream, _) = listener.accept()?;
        say(json!({ "what": "accepted" }));
        thread::spawn(move || say_reads(stream));
    }
}

fn receive(ip: IpAddr) -> Result<()> {
    let socket = UdpSocket::bind((ip, 0))?;
    say(json!({ "what": "listening", "port": socket.local_addr()?.port() }));
    let mut room = [0; 2048];
    loop {
        match socket.recv_from(&mut room) {
            Ok((length, _)) => {
                say(json!({ "what": "datagram", "text": String::from_utf8_lossy(&room[..length]) }));
            }
            // An earlier datagram was answered by ICMP: Windows tells here.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => return Err(error.into()),
        }
    }
}
