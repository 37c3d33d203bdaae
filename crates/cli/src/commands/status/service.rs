//! How the service does, as rows.
//!
//! Invariants: whether connections are held comes first after who says so; what is wrong is said where it is looked for.
//! Neighbours: `control::status` says what each means.

use super::{Row, row};
use crate::output::line::printable;
use control::status::{Gate, Source, Status, Unmatched};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// How many problems of the rules are shown; `tollgate rules check` shows all.
const PROBLEMS: usize = 5;

/// What the service says, as of `now`.
pub fn rows(status: &Status, now: Timestamp) -> Vec<Row> {
    let counters = &status.counters;
    let started = format!("version {}, process {}, since {}", status.version, status.pid, when(status.started, now));
    let mut rows = vec![row("service", started), row("gate", gate(&status.gate, now))];
    let rules = &status.rules;
    let plural = if rules.count == 1 { "rule" } else { "rules" };
    let since = when(rules.since, now);
    rows.push(row("rules", format!("{} {plural}, revision {}, since {since}", rules.count, rules.revision)));
    if !rules.refused.is_empty() {
        let count = rules.refused.len();
        rows.push(row(
            "",
            format!("the files now have {count} errors, so these older rules stay: `tollgate rules check`"),
        ));
        let problems = rules.refused.iter().take(PROBLEMS);
        rows.extend(problems.map(|problem| row("", format!("  {}", printable(&problem.to_string())))));
    }
    rows.push(row("unmatched", unmatched(status.unmatched).to_owned()));
    if let Some(until) = status.snoozed_until {
        rows.push(row("snoozed", format!("until {}", when(until, now))));
    }
    rows.push(row(
        "prompts",
        format!("{} open, {} asked, {} answered", status.prompts, counters.prompts, counters.answered),
    ));
    rows.push(row("waiting", format!("{} connections for a person", counters.waiting)));
    let decided = format!(
        "{} permitted, {} blocked; {} by default, {} too late",
        counters.permitted, counters.blocked, counters.defaulted, counters.stale
    );
    rows.push(row("decided", decided));
    rows.push(row("ended", format!("{} live connections, which what is in force now blocks", counters.ended)));
    rows.push(row(
        "reported",
        format!("{} decided by the gate alone, {} reports lost", counters.reported, counters.lost_reports),
    ));
    rows.push(row("log", log(status)));
    rows.push(row("names", source(&status.names)));
    rows
}

fn gate(gate: &Gate, now: Timestamp) -> String {
    match gate {
        Gate::Attached { since } => format!("attached since {}: rules decide", when(*since, now)),
        Gate::Detached { since, why, retry } => {
            let again = retry.duration_since(now).as_secs().max(0);
            let since = when(*since, now);
            format!("NOT ATTACHED since {since}: {}; tried again in {again} s", printable(why))
        }
    }
}

fn unmatched(unmatched: Unmatched) -> &'static str {
    match unmatched {
        Unmatched::Ask => "a person is asked",
        Unmatched::Learn => "permitted, and a rule is proposed: `tollgate rules proposals`",
        Unmatched::Permit => "permitted",
        Unmatched::Block => "blocked",
    }
}

fn log(status: &Status) -> String {
    let log = &status.log;
    let state = source(&log.state);
    let kib = log.bytes.div_ceil(1024);
    format!("{state}; {} entries in {kib} KiB, {} shed", log.entries, status.counters.shed)
}

fn source(source: &Source) -> String {
    match source {
        Source::Works { what } => printable(what),
        Source::Fails { why } => format!("FAILS: {}", printable(why)),
        Source::Off => "off".to_owned(),
    }
}

/// A moment on this machine's clock: without the date when it is today.
pub fn when(time: Timestamp, now: Timestamp) -> String {
    let zone = TimeZone::system();
    let (time, now) = (time.to_zoned(zone.clone()), now.to_zoned(zone));
    let format = if time.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    time.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::{table, tests::is_in_the_manual};
    use super::*;
    use control::status::{Counters, Log, Rules};
    use rules::decision::Revision;
    use rules::source::Problem;

    fn status() -> Status {
        Status {
            version: "0.1.0".to_owned(),
            pid: 42,
            started: Timestamp::UNIX_EPOCH,
            gate: Gate::Attached { since: Timestamp::UNIX_EPOCH },
            rules: Rules {
                revision: Revision("0123456789ab".into()),
                count: 3,
                since: Timestamp::UNIX_EPOCH,
                refused: Vec::new(),
            },
            unmatched: Unmatched::Ask,
            snoozed_until: None,
            prompts: 1,
            counters: Counters { permitted: 7, blocked: 2, ended: 1, ..Counters::default() },
            log: Log { state: Source::Works { what: "/var/lib/tollgate/log.db".into() }, bytes: 4096, entries: 9 },
            names: Source::Off,
        }
    }

    #[test]
    fn a_service_that_holds_connections_says_so_and_what_it_did() {
        let table = table(&rows(&status(), Timestamp::UNIX_EPOCH));
        for said in [
            "\ngate           attached since ",
            "\nrules          3 rules, revision 0123456789ab,",
            "\nunmatched      a person is asked\n",
            "\ndecided        7 permitted, 2 blocked; 0 by default, 0 too late\n",
            "\nended          1 live connections, which what is in force now blocks\n",
            "\nlog            /var/lib/tollgate/log.db; 9 entries in 4 KiB, 0 shed\n",
        ] {
            assert!(table.contains(said), "{said} is not in\n{table}");
        }
    }

    #[test]
    fn the_manual_shows_each_row() {
        is_in_the_manual(&rows(&status(), Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn a_service_that_holds_nothing_says_why_and_when_it_tries_again() {
        let mut status = status();
        let retry = Timestamp::from_second(5).unwrap();
        let why = "the driver is not running".to_owned();
        status.gate = Gate::Detached { since: Timestamp::UNIX_EPOCH, why, retry };
        let table = table(&rows(&status, Timestamp::UNIX_EPOCH));
        assert!(table.contains("NOT ATTACHED since "), "{table}");
        assert!(table.contains("the driver is not running; tried again in 5 s"), "{table}");
    }

    #[test]
    fn rules_that_were_refused_are_shown_where_rules_are() {
        let mut status = status();
        let problem = |line| Problem { file: "user/a.toml".into(), line, column: 1, message: "bad".into(), help: None };
        status.rules.refused = (1..10).map(problem).collect();
        let table = table(&rows(&status, Timestamp::UNIX_EPOCH));
        assert!(table.contains("the files now have 9 errors"), "{table}");
        assert!(table.contains("user/a.toml:5:1: bad") && !table.contains("user/a.toml:6:1"), "{table}");
    }
}
