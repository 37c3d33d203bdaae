//! The configuration: what the service does, apart from rules. One TOML file; every key may be left out.
//!
//! | key | what | values | default |
//! |---|---|---|---|
//! | `unmatched` | connections that no rule decides, or for which a rule says `ask` | `ask`, `learn`, `permit`, `block` | `ask` |
//! | `remember` | how widely the driver may remember verdicts | `none`, `remote`, `program` | `none` |
//! | `operators` | * the group whose members may look, and answer their own prompts | a name | `tollgate` |
//! | `names` | * whether to listen to name lookups | `true`, `false` | `true` |
//! | `hold.outbound`, `hold.inbound` | what the driver holds; the rest its memory and its fallback answer at once | a list of `tcp`, `udp`, `icmp`, `other` | all |
//! | `hold.loopback_inbound` | whether it holds the inbound half of connections within this machine, too | `true`, `false` | `false` |
//! | `hold.packet_bytes` | how much of packets it keeps for held operations | 0K to 256M | `8M` |
//! | `hold.packet_bytes_per_connection` | how much of it for one | 0K to `packet_bytes` | `128K` |
//! | `fallback.outbound`, `.inbound` | what the driver answers without the service | `permit`, `block`, `last` | `permit` |
//! | `ask.default` | when nobody answers, or is there to | `permit`, `block` | `permit` |
//! | `ask.timeout` | how long a connection waits for a person | 1s to 9m | `30s` |
//! | `ask.snooze` | while prompts are snoozed | `permit`, `block` | as `ask.default` |
//! | `limits.held` | how many connections the driver may hold | 1 to 131,072 | 4,096 |
//! | `limits.held_per_process` | how many of them of one process | 1 to `held` | 1,024 |
//! | `limits.remembered` | how many verdicts the driver may remember | 0 to 2,097,152 | 16,384 |
//! | `log.enabled` | * whether entries are kept | `true`, `false` | `true` |
//! | `log.path` | * the log's file | a full path | `log.db` in the directory of state |
//! | `log.keep` | * how long entries are kept | 1h to 3,660d | `30d` |
//! | `log.size` | * how large the log may grow | 1M to 1024G | `512M` |
//! | `syslog.file`, `.socket`, `.udp`, `.tcp` | * where entries go as RFC 5424 messages; one of them | a full path; an address with port | nowhere |
//! | `metrics.listen` | * where Prometheus scrapes | a loopback address with port | nowhere |
//!
//! A `*` marks what is read at a start only. Invariants: a file with anything wrong in it is refused as a whole, with
//! everything that is wrong. Neighbours: `parse` reads a file; `daemon` carries it out.

mod parse;
mod section;

use control::entry::Verdict;
use control::status::Unmatched;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use wire::settings::{Fallback, Holds, Settings};
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
    /// `[hold]`: what the enforcement point holds.
    pub hold: Hold,
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

/// What the enforcement point holds, and how much it may keep for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// `outbound`, `inbound`, `loopback_inbound`: the kinds of operations. The others are answered at once, and reported.
    pub what: Holds,
    /// `packet_bytes`: how many bytes of packets may be kept in all.
    pub packet_bytes: u32,
    /// `packet_bytes_per_connection`: how many of them for one operation.
    pub packet_bytes_per_connection: u32,
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
    /// `timeout`: how long a connection waits for a person.
    pub timeout: Duration,
    /// `snooze`: while prompts are snoozed, and the one who did so said nothing else; `default` when `None`.
    pub snooze: Option<Verdict>,
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
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `enabled`: whether entries are kept.
    pub enabled: bool,
    /// `path`: its file; `log.db` in the directory of state when `None`.
    pub path: Option<PathBuf>,
    /// `keep`: how long entries are kept.
    pub keep: Duration,
    /// `size`: how large it may grow, in bytes.
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
            hold: Hold {
                what: Settings::INITIAL.holds(),
                packet_bytes: Settings::INITIAL.max_packet_bytes,
                packet_bytes_per_connection: Settings::INITIAL.max_packet_bytes_per_operation,
            },
            fallback: Fallbacks { outbound: Fallback::PERMIT, inbound: Fallback::PERMIT },
            ask: Ask { default: Verdict::Permit, timeout: Duration::from_secs(30), snooze: None },
            limits: Limits { held: 4_096, held_per_process: 1_024, remembered: 16_384 },
            log: Log { enabled: true, path: None, keep: DAY * 30, bytes: 512 << 20 },
            syslog: None,
            metrics: None,
        }
    }
}
