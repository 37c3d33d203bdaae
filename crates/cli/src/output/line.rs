//! How one thing looks: a line for a person, or a JSON object.
//!
//! Invariants: pure; a line is one line whatever a program is called, because characters that would control a terminal
//! are escaped. Neighbours: `narrator` chooses.

use jiff::Zoned;
use platform::paths::{self, Volumes};
use serde::Serialize;
use service::connection::Connection;
use service::decide::{Decision, Mode};
use service::session::{Fate, Report, Summary};
use wire::request::{self, Direction, RequestFlags};
use wire::verdict::Verdict;

/// A connection with what became of it.
pub struct Seen<'a> {
    /// When.
    pub time: &'a Zoned,
    /// The connection.
    pub connection: &'a Connection,
    /// The verdict.
    pub verdict: Verdict,
    /// Why, in words.
    pub because: String,
    /// Whether we decided it, and in time.
    pub whose: Whose,
}

/// Who decided a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// We did.
    Ours(Fate),
    /// The driver did.
    Drivers,
}

impl<'a> Seen<'a> {
    /// One that we decided.
    pub fn decided(time: &'a Zoned, connection: &'a Connection, decision: &Decision, fate: Fate) -> Self {
        let because = decision.because.to_string();
        Self { time, connection, verdict: decision.verdict, because, whose: Whose::Ours(fate) }
    }

    /// One that was reported.
    pub fn reported(time: &'a Zoned, report: &'a Report) -> Self {
        let because = match report.because {
            request::Because::CACHED => "cached verdict".to_owned(),
            request::Because::FALLBACK => "fallback".to_owned(),
            request::Because::LOOPBACK => "inbound half of loopback".to_owned(),
            request::Because::LIMIT => "fallback, limit reached".to_owned(),
            other => format!("{other:?}"),
        };
        Self { time, connection: &report.connection, verdict: report.verdict, because, whose: Whose::Drivers }
    }

    /// Whether it lived before it was decided.
    fn is_live(&self) -> bool {
        self.connection.flags.contains(RequestFlags::LIVE)
    }

    /// For a person.
    pub fn to_line(&self) -> String {
        let connection = self.connection;
        let name = match paths::file_name(&connection.program) {
            "" => "?".to_owned(),
            name => printable(name),
        };
        let because = printable(&self.because);
        let why = match self.whose {
            Whose::Ours(Fate::Accepted) if self.is_live() => format!("{because}: it lived already, and is ended"),
            Whose::Ours(Fate::Accepted) => because,
            Whose::Ours(Fate::Stale) => format!("{because}, but too late: the driver had answered"),
            Whose::Drivers => format!("reported: {because}"),
        };
        let verdict = verdict(self.verdict).to_uppercase();
        let (protocol, remote) = (connection.protocol, remote(connection));
        format!(
            "{}  {verdict:<6}  {name:<16}  {protocol:<5}  {remote:<22}  pid {:<5}  {why}",
            self.time.strftime("%H:%M:%S%.3f"),
            connection.process_id
        )
    }

    /// For a program.
    pub fn to_json(&self, volumes: &Volumes) -> String {
        #[derive(Serialize)]
        struct Object<'a> {
            event: &'a str,
            time: String,
            verdict: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            stale: Option<bool>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            live: bool,
            because: &'a str,
            program: Option<String>,
            pid: u64,
            user: Option<&'a str>,
            loopback: bool,
            direction: &'a str,
            protocol: String,
            local_address: String,
            local_port: Option<u16>,
            remote_address: String,
            remote_port: Option<u16>,
            waited_ms: u32,
        }
        let connection = self.connection;
        let (event, stale) = match self.whose {
            Whose::Ours(fate) => ("decision", Some(fate == Fate::Stale)),
            Whose::Drivers => ("report", None),
        };
        let port = |port| connection.protocol.has_ports().then_some(port);
        to_json(&Object {
            event,
            time: self.time.timestamp().to_string(),
            verdict: verdict(self.verdict),
            stale,
            live: self.is_live(),
            because: &self.because,
            program: (!connection.program.is_empty()).then(|| volumes.display(&connection.program)),
            pid: connection.process_id,
            user: (!connection.user.is_empty()).then_some(&connection.user),
            loopback: connection.flags.contains(RequestFlags::LOOPBACK),
            direction: if connection.direction == Direction::INBOUND { "inbound" } else { "outbound" },
            protocol: connection.protocol.to_string(),
            local_address: connection.local.ip().to_string(),
            local_port: port(connection.local.port()),
            remote_address: connection.remote.ip().to_string(),
            remote_port: port(connection.remote.port()),
            waited_ms: connection.waited_ms,
        })
    }
}

/// The first line.
pub fn attached(version: u16, mode: Mode, exemptions: usize) -> String {
    let plural = if exemptions == 1 { "" } else { "s" };
    format!("attached to the driver (version {version}), mode {mode}, {exemptions} exemption{plural}")
}

/// The first line, for a program.
pub fn attached_json(version: u16, mode: Mode, exemptions: usize) -> String {
    #[derive(Serialize)]
    struct Object {
        event: &'static str,
        driver_version: u16,
        mode: String,
        exemptions: usize,
    }
    to_json(&Object { event: "attached", driver_version: version, mode: mode.to_string(), exemptions })
}

/// The last line.
pub fn detached(summary: &Summary) -> String {
    let Summary { permitted, blocked, exempt, ended, stale, reported, lost_reports } = summary;
    let lost = if *lost_reports > 0 { format!(" ({lost_reports} more lost)") } else { String::new() };
    let ended = if *ended > 0 { format!(", {ended} live ended") } else { String::new() };
    format!(
        "detached: {permitted} permitted, {blocked} blocked, {exempt} exempt{ended}, {stale} stale, {reported} reported{lost}"
    )
}

/// The last line, for a program.
pub fn detached_json(summary: &Summary) -> String {
    #[derive(Serialize)]
    struct Object {
        event: &'static str,
        permitted: u64,
        blocked: u64,
        exempt: u64,
        ended: u64,
        stale: u64,
        reported: u64,
        lost_reports: u64,
    }
    let Summary { permitted, blocked, exempt, ended, stale, reported, lost_reports } = *summary;
    to_json(&Object { event: "detached", permitted, blocked, exempt, ended, stale, reported, lost_reports })
}

/// That some of something (`line`, `report`) were not shown.
pub fn lost(what: &str, count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural} lost")
}

/// The same, for a program.
pub fn lost_json(what: &str, count: u64) -> String {
    #[derive(Serialize)]
    struct Object<'a> {
        event: &'static str,
        what: &'a str,
        count: u64,
    }
    to_json(&Object { event: "lost", what, count })
}

/// The objects here have text keys and no maps of their own, so that they always serialize.
fn to_json(object: &impl Serialize) -> String {
    serde_json::to_string(object).unwrap_or_default()
}

fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::PERMIT => "permit".to_owned(),
        Verdict::BLOCK => "block".to_owned(),
        Verdict(other) => format!("verdict {other}"),
    }
}

fn remote(connection: &Connection) -> String {
    if connection.protocol.has_ports() { connection.remote.to_string() } else { connection.remote.ip().to_string() }
}

/// `text` on one line, with everything that would control a terminal or turn the direction of text escaped.
pub fn printable(text: &str) -> String {
    // Invisible characters and overrides of direction: UAX #9, and the zero-width ones beside them.
    let is_plain = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().map(|c| if is_plain(c) { c.to_string() } else { c.escape_default().to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::connection::Protocol;
    use service::decide::Because;
    use wire::verdict::{RequestId, Scope};

    fn node() -> Connection {
        Connection {
            id: RequestId(1),
            process_id: 1234,
            program: r"\device\harddiskvolume3\tools\node.exe".to_owned(),
            user: "S-1-5-18".to_owned(),
            direction: Direction::OUTBOUND,
            protocol: Protocol::TCP,
            local: "192.0.2.1:50000".parse().unwrap(),
            remote: "203.0.113.7:443".parse().unwrap(),
            flags: RequestFlags::HELD,
            waited_ms: 2,
        }
    }

    fn time() -> Zoned {
        "2026-11-22T12:03:55.12+00:00[UTC]".parse().unwrap()
    }

    fn permit() -> Decision {
        Decision { verdict: Verdict::PERMIT, scope: Scope::OPERATION, because: Because::Mode(Mode::Permit) }
    }

    #[test]
    fn a_decision_is_one_aligned_line() {
        let line = Seen::decided(&time(), &node(), &permit(), Fate::Accepted).to_line();
        let expected = "12:03:55.120  PERMIT  node.exe          tcp    203.0.113.7:443         pid 1234   mode permit";
        assert_eq!(line, expected);
    }

    #[test]
    fn a_decision_that_came_too_late_says_so() {
        let line = Seen::decided(&time(), &node(), &permit(), Fate::Stale).to_line();
        assert!(line.ends_with("  mode permit, but too late: the driver had answered"), "{line}");
    }

    #[test]
    fn a_report_is_marked_and_names_no_port_where_there_is_none() {
        let connection = Connection {
            protocol: Protocol(58),
            remote: "[2001:db8::1]:1".parse().unwrap(),
            program: String::new(),
            ..node()
        };
        let report = Report { connection, verdict: Verdict::BLOCK, because: request::Because::LIMIT };
        let line = Seen::reported(&time(), &report).to_line();
        let expected = "12:03:55.120  BLOCK   ?                 icmp6  2001:db8::1             pid 1234   reported: fallback, limit reached";
        assert_eq!(line, expected);
    }

    #[test]
    fn a_program_name_cannot_control_the_terminal() {
        let connection = Connection { program: "\\device\\x\\a\u{1b}[2J\n.exe".to_owned(), ..node() };
        let line = Seen::decided(&time(), &connection, &permit(), Fate::Accepted).to_line();
        assert!(line.contains(r"a\u{1b}[2J\n.exe"), "{line}");
        assert!(!line.contains(char::is_control), "{line}");
    }

    #[test]
    fn a_decision_is_one_json_object() {
        let volumes = Volumes::new([('C', r"\Device\HarddiskVolume3")]);
        let json = Seen::decided(&time(), &node(), &permit(), Fate::Accepted).to_json(&volumes);
        let expected = concat!(
            r#"{"event":"decision","time":"2026-11-22T12:03:55.12Z","verdict":"permit","stale":false,"#,
            r#""because":"mode permit","program":"C:\\tools\\node.exe","pid":1234,"user":"S-1-5-18","#,
            r#""loopback":false,"direction":"outbound","protocol":"tcp","local_address":"192.0.2.1","local_port":50000,"#,
            r#""remote_address":"203.0.113.7","remote_port":443,"waited_ms":2}"#,
        );
        assert_eq!(json, expected);
    }

    #[test]
    fn a_report_in_json_is_not_stale_or_fresh_and_may_lack_program_and_port() {
        let connection = Connection { protocol: Protocol(1), program: String::new(), ..node() };
        let report = Report { connection, verdict: Verdict::PERMIT, because: request::Because::CACHED };
        let json = Seen::reported(&time(), &report).to_json(&Volumes::default());
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["event"], "report");
        assert_eq!(json.get("stale"), None);
        assert_eq!(json["program"], serde_json::Value::Null);
        assert_eq!(json["remote_port"], serde_json::Value::Null);
        assert_eq!(json["because"], "cached verdict");
    }

    #[test]
    fn the_first_line_says_version_mode_and_exemptions() {
        assert_eq!(attached(1, Mode::Block, 2), "attached to the driver (version 1), mode block, 2 exemptions");
        assert_eq!(attached(1, Mode::Permit, 1), "attached to the driver (version 1), mode permit, 1 exemption");
        let expected = r#"{"event":"attached","driver_version":1,"mode":"block","exemptions":2}"#;
        assert_eq!(attached_json(1, Mode::Block, 2), expected);
    }

    #[test]
    fn the_last_line_says_what_was_done() {
        let mut summary =
            Summary { permitted: 5, blocked: 4, exempt: 3, ended: 0, stale: 2, reported: 1, lost_reports: 0 };
        assert_eq!(detached(&summary), "detached: 5 permitted, 4 blocked, 3 exempt, 2 stale, 1 reported");
        summary.ended = 7;
        assert!(detached(&summary).contains("3 exempt, 7 live ended, 2 stale"));
        summary.lost_reports = 9;
        assert!(detached(&summary).ends_with("1 reported (9 more lost)"));
        let json: serde_json::Value = serde_json::from_str(&detached_json(&summary)).unwrap();
        assert_eq!((&json["stale"], &json["lost_reports"]), (&2.into(), &9.into()));
    }
}
