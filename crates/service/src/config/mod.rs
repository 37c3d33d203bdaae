//! The configuration: what the service does, apart from rules.
//!
//! Neighbours: `parse` reads a file; `daemon` carries it out.

use control::entry::Verdict;
use control::status::Unmatched;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use wire::settings::Fallback;
use wire::verdict::Scope;

/// The configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `unmatched`: what is done with connections that no rule decides, or for which a rule says `ask`.
    pub unmatched: Unmatched,
    /// `remember`: how widely the enforcement point remembers verdicts at most.
    pub remember: Scope,
    /// `operators`: the group whose members may read, and answer their own prompts (Linux).
    pub operators: String,
    /// `names`: whether name lookups are listened to.
    pub names: bool,
    /// `[fallback]`: what the enforcement point answers without us.
    pub fallback: Fallbacks,
    /// `[ask]`: prompts.
    pub ask: Ask,
    /// `[limits]`: how much may wait.
    pub limits: Limits,
    /// `[log]`: the log.
    pub log: Log,
    /// `[syslog]`: where entries go as RFC 5424 messages; nowhere when `None`.
    pub syslog: Option<Syslog>,
    /// `metrics.listen`: a loopback address that Prometheus scrapes; none when `None`.
    pub metrics: Option<SocketAddr>,
}

/// What the enforcement point answers without us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallbacks {
    /// `outbound`.
    pub outbound: Fallback,
    /// `inbound`.
    pub inbound: Fallback,
}

/// Prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// `default`: when nobody answers, or is there to.
    pub default: Verdict,
    /// `timeout`: how long a connection waits for a person: 1 second to 9 minutes.
    pub timeout: Duration,
    /// `snooze`: while prompts are snoozed, and the one who did so said nothing else; `default` when `None`.
    pub snooze: Option<Verdict>,
    /// `linger`: how long a prompt that nobody answered stays to be answered for the next attempt: up to an hour.
    pub linger: Duration,
}

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `held`: how many connections the enforcement point may hold.
    pub held: u32,
    /// `held_per_process`: how many of them may belong to one process.
    pub held_per_process: u32,
    /// `remembered`: how many verdicts the enforcement point may remember.
    pub remembered: u32,
    /// `prompts`: how many prompts may be open.
    pub prompts: u32,
    /// `waiting_per_prompt`: how many connections may wait for one prompt.
    pub waiting_per_prompt: u32,
    /// `clients`: how many clients may be connected.
    pub clients: u32,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `enabled`: whether entries are kept.
    pub enabled: bool,
    /// `path`: its file; `log.db` in the directory of state when `None`.
    pub path: Option<PathBuf>,
    /// `keep_days`: how long entries are kept.
    pub keep: Duration,
    /// `keep_bytes`: how large it may grow.
    pub bytes: u64,
}

/// Where entries go as RFC 5424 messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Syslog {
    /// `file`: appended to a file, a message a line.
    File(PathBuf),
    /// `socket`: a datagram socket of this machine, such as `/dev/log` (not on Windows).
    Socket(PathBuf),
    /// `udp`: datagrams to an address.
    Udp(SocketAddr),
    /// `tcp`: a stream to an address, framed by length (RFC 6587).
    Tcp(SocketAddr),
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Config {
    fn default() -> Self {
        Self {
            unmatched: Unmatched::Ask,
            remember: Scope::OPERATION,
            operators: "tollgate".to_owned(),
            names: true,
            fallback: Fallbacks { outbound: Fallback::PERMIT, inbound: Fallback::PERMIT },
            ask: Ask {
                default: Verdict::Permit,
                timeout: Duration::from_secs(30),
                snooze: None,
                linger: Duration::from_secs(5 * 60),
            },
            limits: Limits {
                held: 4_096,
                held_per_process: 1_024,
                remembered: 16_384,
                prompts: 64,
                waiting_per_prompt: 256,
                clients: 32,
            },
            log: Log { enabled: true, path: None, keep: DAY * 30, bytes: 512 << 20 },
            syslog: None,
            metrics: None,
        }
    }
}
