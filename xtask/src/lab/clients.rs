//! What unmodified programs do when they are told to connect, and what they say of it.
//!
//! Invariant: an attempt is judged by the program's own words; a server's count and the driver's counters are for the
//! caller to compare.
//! Neighbours: `programs` fetches them, `server` answers them.

use std::fmt;
use std::net::SocketAddr;

use anyhow::Result;

use super::server::VERSION;
use super::session::{Exec, Lab};
use super::wine::{Output, Running, windows_path};
use super::{Program, tollgate};

/// Says who it is, then fetches a page; prints it, or the code of the error.
const FETCH: &str = "const [url] = process.argv.slice(1);
console.log('pid ' + process.pid);
require('http').get(url, answer => answer.on('data', data => console.log('read ' + data)))
  .on('error', error => console.log(error.code + ' ' + error.syscall));";
/// The same in a child of its own.
const FETCH_IN_CHILD: &str = "const [script, url] = process.argv.slice(1);
require('child_process').spawnSync(process.execPath, ['-e', script, url], { stdio: 'inherit' });";
/// Sends a packet; prints the answer, the code of the error, or after a while that there is no answer.
const SEND: &str = "const [port, host, kind] = process.argv.slice(1);
const socket = require('dgram').createSocket(kind);
const say = text => { console.log(text); process.exit(); };
socket.on('message', data => say('read ' + data));
socket.send('x', +port, host, error => error ? say(error.code + ' send') : setTimeout(() => say('nothing'), 5000));";

/// What became of an attempt, in the program's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It connected and read what the server sent.
    Data,
    /// `WSAEACCES` (10013), as its runtime calls that.
    Denied(&'static str),
    /// Anything else.
    Other(String),
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data => f.write_str("connected, data read"),
            Self::Denied(words) => write!(f, "refused, {words}"),
            Self::Other(words) => write!(f, "neither: {words}"),
        }
    }
}

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Node.js.
    Node,
    /// Node.js, started by cmd.exe.
    CmdNode,
    /// Node.js, started by Node.js.
    NodeNode,
    /// The Go tool.
    Go,
}

impl Client {
    /// The program that connects, as Tollgate prints it.
    pub fn program(self) -> &'static str {
        match self {
            Self::Node | Self::CmdNode | Self::NodeNode => "node.exe",
            Self::Go => "go.exe",
        }
    }

    /// The same behind the program that starts it.
    pub fn chain(self) -> &'static str {
        match self {
            Self::Node => "node.exe",
            Self::CmdNode => "cmd.exe > node.exe",
            Self::NodeNode => "node.exe > node.exe",
            Self::Go => "go.exe",
        }
    }

    /// Has it connect; waits for its end.
    pub fn connect(self, lab: &Lab, to: SocketAddr) -> Result<Attempt> {
        Ok(Attempt::of(&self.exec(lab, to)?.run(tollgate::TIMEOUT)?))
    }

    /// Has it connect, and does not wait.
    pub fn start(self, lab: &Lab, to: SocketAddr) -> Result<Waiting> {
        Ok(Waiting(self.exec(lab, to)?.spawn()?))
    }

    fn exec(self, lab: &Lab, to: SocketAddr) -> Result<Exec<'_>> {
        let url = format!("http://{to}");
        let node = windows_path(&lab.program(Program::Node)?);
        Ok(match self {
            Self::Node => lab.exec(node).args(["-e", FETCH, &url]),
            Self::CmdNode => lab.exec("cmd").args(["/c", &node, "-e", &one_line(FETCH), &url]),
            Self::NodeNode => lab.exec(node).args(["-e", FETCH_IN_CHILD, FETCH, &url]),
            Self::Go => {
                let go = lab.exec(windows_path(&lab.program(Program::Go)?));
                go.args(["list", "-m", "-versions", "a.test/b"])
                    .env("GOPROXY", &url)
                    .env("GOFLAGS", "-mod=mod")
                    .env("GONOSUMDB", "*")
                    .env("GOTOOLCHAIN", "local")
            }
        })
    }
}

/// An attempt that has ended.
#[derive(Debug)]
pub struct Attempt {
    /// What became of it.
    pub seen: Seen,
    /// The process that connected, where it says so.
    pub pid: Option<u32>,
}

impl Attempt {
    /// One that could not be made, or that had to be ended.
    pub fn failed(error: &anyhow::Error) -> Self {
        Self { seen: Seen::Other(one_line(&format!("{error:#}"))), pid: None }
    }

    fn of(output: &Output) -> Self {
        let words = format!("{}{}", output.stdout, output.stderr);
        let pid = words.lines().find_map(|line| line.strip_prefix("pid ")?.trim().parse().ok());
        let seen = if words.contains(VERSION) {
            Seen::Data
        } else if words.contains("EACCES") {
            Seen::Denied("EACCES")
        } else if words.contains("connectex: Access denied.") {
            Seen::Denied("Access denied")
        } else {
            Seen::Other(words.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        Self { seen, pid }
    }
}

/// An attempt that may be held.
#[derive(Debug)]
pub struct Waiting(Running);

impl Waiting {
    /// Waits for its end.
    pub fn wait(self) -> Result<Attempt> {
        Ok(Attempt::of(&self.0.wait(tollgate::TIMEOUT)?))
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> Result<bool> {
        self.0.is_running()
    }

    /// Ends the program as the task manager would.
    pub fn kill(mut self) -> Result<()> {
        self.0.kill()
    }
}

/// Has Node.js send a packet; gives what it prints.
pub fn send(lab: &Lab, to: SocketAddr) -> Result<String> {
    let kind = if to.is_ipv4() { "udp4" } else { "udp6" };
    let (port, host) = (to.port().to_string(), to.ip().to_string());
    let node = lab.program(Program::Node)?;
    Ok(lab.run_hooked(&node, &["-e", SEND, &port, &host, kind], tollgate::TIMEOUT)?.stdout)
}

/// Without what a command interpreter, or a reader, would take for the end.
fn one_line(script: &str) -> String {
    script.replace('\n', " ")
}
