//! Which entries, as a person says it.

use crate::args::seconds;
use control::entry::{Direction, Verdict};
use control::filter::Filter;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use service::export::protocol_text;

/// Which entries.
#[derive(Debug, clap::Args)]
pub struct Question {
    /// Whose program path has this text
    #[arg(long, value_name = "TEXT")]
    program: Option<String>,

    /// Of this user: a name, a SID or a user id
    #[arg(long, value_name = "USER")]
    user: Option<String>,

    /// Whose remote address or name has this text
    #[arg(long, value_name = "TEXT")]
    remote: Option<String>,

    /// To this remote port
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// With this verdict
    #[arg(long, value_name = "VERDICT", value_enum)]
    verdict: Option<VerdictArg>,

    /// Begun by this machine (out), or by the remote (in)
    #[arg(long, value_name = "WAY", value_enum)]
    direction: Option<DirectionArg>,

    /// Of this protocol: tcp, udp, icmp or a number
    #[arg(long, value_name = "PROTOCOL", value_parser = protocol)]
    protocol: Option<u8>,

    /// Decided by this rule: ID, or LAYER/ID
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,

    /// Of this process
    #[arg(long, value_name = "PID")]
    pid: Option<u64>,

    /// Not before: 90s, 30m, 2h or 7d ago; 2026-11-23, "2026-11-23 12:00", 2026-11-23T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,

    /// Before
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
}

/// A verdict, as a word. The words say it; documentation of them would be printed as help.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum VerdictArg {
    Permit,
    Block,
}

/// A direction, as a word.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum DirectionArg {
    Out,
    In,
}

impl Question {
    /// It, as the log understands it.
    pub fn filter(&self) -> Filter {
        Filter {
            verdict: self.verdict.map(|verdict| match verdict {
                VerdictArg::Permit => Verdict::Permit,
                VerdictArg::Block => Verdict::Block,
            }),
            direction: self.direction.map(|direction| match direction {
                DirectionArg::Out => Direction::Out,
                DirectionArg::In => Direction::In,
            }),
            protocol: self.protocol,
            program: self.program.clone(),
            user: self.user.clone(),
            remote: self.remote.clone(),
            port: self.port,
            pid: self.pid,
            rule: self.rule.clone(),
            since: self.since,
            until: self.until,
        }
    }
}

fn protocol(text: &str) -> Result<u8, String> {
    let wanted = text.to_ascii_lowercase();
    (0..=u8::MAX)
        .find(|number| protocol_text(*number) == wanted || number.to_string() == wanted)
        .ok_or_else(|| "it is tcp, udp, icmp, another IP protocol's name, or its number up to 255".to_owned())
}

fn time(text: &str) -> Result<Timestamp, String> {
    time_at(text, Timestamp::now(), &TimeZone::system())
}

/// A time, when it is `now` and clocks show the time of `zone`.
fn time_at(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, String> {
    let bad = || "give 90s, 30m, 2h or 7d; or a time: 2026-11-23, 2026-11-23 12:00, 2026-11-23T12:00:00Z".to_owned();
    if let Some(ago) = seconds(text) {
        return now.checked_sub(SignedDuration::from_secs(ago.into())).map_err(|_| bad());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let local = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(|date| date.at(0, 0, 0, 0)));
    let local = local.map_err(|_| bad())?;
    local.to_zoned(zone.clone()).map(|time| time.timestamp()).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_ago_or_a_moment_or_of_the_clock_on_the_wall() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        for (text, time) in [
            ("90s", "2026-11-23T11:58:30Z"),
            ("2h", "2026-11-23T10:00:00Z"),
            ("7d", "2026-11-16T12:00:00Z"),
            ("2026-11-23T09:30:00Z", "2026-11-23T09:30:00Z"),
            ("2026-11-23T09:30:00+02:00", "2026-11-23T07:30:00Z"),
            ("2026-11-23 09:30", "2026-11-23T08:30:00Z"),
            ("2026-11-23T09:30:05", "2026-11-23T08:30:05Z"),
            ("2026-11-23", "2026-11-22T23:00:00Z"),
        ] {
            assert_eq!(time_at(text, now, &zone), Ok(time.parse().unwrap()), "{text}");
        }
        for bad in ["", "2", "yesterday", "12:00", "2w", "2026-13-01"] {
            assert!(time_at(bad, now, &zone).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_protocol_is_a_name_or_a_number() {
        assert_eq!((protocol("TCP"), protocol("udp"), protocol("255")), (Ok(6), Ok(17), Ok(255)));
        assert_eq!((protocol("6"), protocol("ipv6-icmp")), (Ok(6), Ok(58)));
        assert!(protocol("256").is_err() && protocol("http").is_err());
    }
}
