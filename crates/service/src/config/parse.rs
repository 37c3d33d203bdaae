//! Text to configuration.
//!
//! Neighbours: `section` takes a file apart.

use crate::config::section::{Section, Source};
use crate::config::{Ask, Config, Fallbacks, Hold, Limits, Log, Syslog};
use control::entry::Verdict;
use control::status::Unmatched;
use rules::source::Problem;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;
use wire::settings::{Fallback, Holds, Settings};
use wire::verdict::Scope;

/// The longest file, in bytes.
const MAX_FILE: u64 = 1 << 20;

const VERDICTS: [(&str, Verdict); 2] = [("permit", Verdict::Permit), ("block", Verdict::Block)];
const OUTBOUND: [(&str, Holds); 4] = [
    ("tcp", Holds::CONNECT_TCP),
    ("udp", Holds::CONNECT_UDP),
    ("icmp", Holds::CONNECT_ICMP),
    ("other", Holds::CONNECT_OTHER),
];
const INBOUND: [(&str, Holds); 4] = [
    ("tcp", Holds::ACCEPT_TCP),
    ("udp", Holds::ACCEPT_UDP),
    ("icmp", Holds::ACCEPT_ICMP),
    ("other", Holds::ACCEPT_OTHER),
];
const FALLBACKS: [(&str, Fallback); 3] =
    [("permit", Fallback::PERMIT), ("block", Fallback::BLOCK), ("last", Fallback::LAST)];

impl Config {
    /// Reads a file. One that is not there says nothing. Gives everything that is wrong.
    pub fn read(file: &Path) -> Result<Self, Vec<Problem>> {
        let name = file.to_string_lossy();
        let text = match read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => {
                let mut source = Source::new(&name, "");
                source.wrong(&(0..0), format!("it cannot be read: {error}"), None);
                return Err(source.problems);
            }
        };
        Self::parse(&name, &text)
    }

    /// Reads the text of a file that is called `file`. Gives everything that is wrong.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let mut source = Source::new(file, text);
        let config = parse(&mut source);
        if source.problems.is_empty() { Ok(config) } else { Err(source.problems) }
    }
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(file)?;
    if file.metadata()?.len() > MAX_FILE {
        return Err(io::Error::other(format!("it is longer than {MAX_FILE} bytes")));
    }
    file.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

fn parse(source: &mut Source<'_>) -> Config {
    let mut root = source.root();
    let usual = Config::default();
    let unmatched = [
        ("ask", Unmatched::Ask),
        ("learn", Unmatched::Learn),
        ("permit", Unmatched::Permit),
        ("block", Unmatched::Block),
    ];
    let remember = [("none", Scope::OPERATION), ("remote", Scope::REMOTE), ("program", Scope::PROGRAM)];
    let group = |text: &str| Some(text.to_owned()).filter(|name| !name.is_empty() && !name.contains('\0'));
    let config = Config {
        unmatched: root.word(source, "unmatched", &unmatched).unwrap_or(usual.unmatched),
        remember: root.word(source, "remember", &remember).unwrap_or(usual.remember),
        operators: root.text(source, "operators", "the name of a group", group).unwrap_or(usual.operators),
        names: root.flag(source, "names").unwrap_or(usual.names),
        hold: hold(source, &mut root, usual.hold),
        fallback: fallback(source, &mut root, usual.fallback),
        ask: ask(source, &mut root, usual.ask),
        limits: limits(source, &mut root, usual.limits),
        log: log(source, &mut root, usual.log),
        syslog: syslog(source, &mut root),
        metrics: metrics(source, &mut root),
    };
    root.end(source);
    config
}

fn hold(source: &mut Source<'_>, root: &mut Section<'_>, usual: Hold) -> Hold {
    let mut section = root.section(source, "hold");
    let all = |words: &[(&str, Holds)]| words.iter().fold(Holds::empty(), |all, (_, one)| all | *one);
    let mut what = usual.what;
    for (key, words) in [("outbound", &OUTBOUND), ("inbound", &INBOUND)] {
        if let Some(chosen) = section.words(source, key, words) {
            what = what.difference(all(words)) | chosen.into_iter().fold(Holds::empty(), Holds::union);
        }
    }
    if let Some(loopback) = section.flag(source, "loopback_inbound") {
        what.set(Holds::ACCEPT_LOOPBACK, loopback);
    }
    let limits = ["0K", "256M"];
    let bytes = |bytes: u64| u32::try_from(bytes).unwrap_or(*Settings::PACKET_BYTES.end());
    let packet_bytes = section.size(source, "packet_bytes", limits).map_or(usual.packet_bytes, bytes);
    let place = section.place("packet_bytes_per_connection");
    let each = section.size(source, "packet_bytes_per_connection", limits).map(bytes);
    if let (Some(place), Some(_)) = (place, each.filter(|each| *each > packet_bytes)) {
        let message = "`hold.packet_bytes_per_connection` is more than `hold.packet_bytes`, which is for all together";
        source.wrong(&place, message.to_owned(), Some(format!("`hold.packet_bytes` is {packet_bytes} bytes")));
    }
    section.end(source);
    let packet_bytes_per_connection = each.unwrap_or(usual.packet_bytes_per_connection).min(packet_bytes);
    Hold { what, packet_bytes, packet_bytes_per_connection }
}

fn fallback(source: &mut Source<'_>, root: &mut Section<'_>, usual: Fallbacks) -> Fallbacks {
    let mut section = root.section(source, "fallback");
    let fallback = Fallbacks {
        outbound: section.word(source, "outbound", &FALLBACKS).unwrap_or(usual.outbound),
        inbound: section.word(source, "inbound", &FALLBACKS).unwrap_or(usual.inbound),
    };
    section.end(source);
    fallback
}

fn ask(source: &mut Source<'_>, root: &mut Section<'_>, usual: Ask) -> Ask {
    let mut section = root.section(source, "ask");
    let ask = Ask {
        default: section.word(source, "default", &VERDICTS).unwrap_or(usual.default),
        timeout: section.time(source, "timeout", ["1s", "9m"]).unwrap_or(usual.timeout),
        snooze: section.word(source, "snooze", &VERDICTS).or(usual.snooze),
    };
    section.end(source);
    ask
}

fn limits(source: &mut Source<'_>, root: &mut Section<'_>, usual: Limits) -> Limits {
    let mut section = root.section(source, "limits");
    let held = section.number(source, "held", Settings::PENDED).unwrap_or(usual.held);
    let limits = Limits {
        held,
        held_per_process: section
            .number(source, "held_per_process", 1..=held)
            .unwrap_or(usual.held_per_process.min(held)),
        remembered: section.number(source, "remembered", Settings::CACHED).unwrap_or(usual.remembered),
    };
    section.end(source);
    limits
}

fn log(source: &mut Source<'_>, root: &mut Section<'_>, usual: Log) -> Log {
    let mut section = root.section(source, "log");
    let log = Log {
        enabled: section.flag(source, "enabled").unwrap_or(usual.enabled),
        path: section.path(source, "path"),
        keep: section.time(source, "keep", ["1h", "3660d"]).unwrap_or(usual.keep),
        bytes: section.size(source, "size", ["1M", "1024G"]).unwrap_or(usual.bytes),
    };
    section.end(source);
    log
}

fn syslog(source: &mut Source<'_>, root: &mut Section<'_>) -> Option<Syslog> {
    const ADDRESS: &str = "an address with a port, such as `192.0.2.1:514`";
    let address = |text: &str| text.parse::<SocketAddr>().ok();
    let mut section = root.section(source, "syslog");
    let places: Vec<_> =
        ["file", "socket", "udp", "tcp"].iter().filter_map(|key| Some((section.place(key)?, *key))).collect();
    for (place, key) in places.iter().skip(1) {
        let message = format!("`syslog.{key}` is one place too many: entries go to one");
        source.wrong(place, message, Some("leave one of them".to_owned()));
    }
    let file = section.path(source, "file").map(Syslog::File);
    let socket = section.path(source, "socket").map(Syslog::Socket);
    let udp = section.text(source, "udp", ADDRESS, address).map(Syslog::Udp);
    let tcp = section.text(source, "tcp", ADDRESS, address).map(Syslog::Tcp);
    section.end(source);
    file.or(socket).or(udp).or(tcp)
}

fn metrics(source: &mut Source<'_>, root: &mut Section<'_>) -> Option<SocketAddr> {
    const ADDRESS: &str = "an address of this machine's loopback with a port, such as `127.0.0.1:9599`: metrics tell what \
        programs do, and whoever reaches the port may read them";
    let mut section = root.section(source, "metrics");
    let address = |text: &str| text.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback());
    let listen = section.text(source, "listen", ADDRESS, address);
    section.end(source);
    listen
}
