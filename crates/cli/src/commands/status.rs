//! `tollgate status`: the driver's counters.
//!
//! Neighbours: `wire::stats` says what each means.

use crate::failure::Failure;
use crate::output::printer::print;
use serde_json::json;
use wire::stats::Stats;

/// Prints the counters.
pub fn run(json: bool) -> Result<(), Failure> {
    let stats = platform::open()?.stats()?;
    Ok(print(&if json { as_json(&stats) } else { as_table(&stats) })?)
}

fn as_table(stats: &Stats) -> String {
    let service = match stats.attached {
        0 => "none attached; the fallback decides".to_owned(),
        _ => format!("process {} attached", stats.attached_process_id),
    };
    let filtering = if stats.filtering == 0 { "not filtering: the filter engine is not running" } else { "filtering" };
    let doors = &stats.doors;
    let rows = [
        ("driver", format!("version {}, {filtering}", stats.version)),
        ("service", service),
        (
            "held now",
            format!("{}, the oldest for {} ms; {} not yet taken", stats.pended, stats.oldest_ms, stats.queued),
        ),
        ("cache", format!("{} verdicts, epoch {}", stats.cached, stats.epoch)),
        ("asked", format!("{} classifies", stats.classified)),
        ("  from cache", format!("{} permitted, {} blocked", stats.cache_permitted, stats.cache_blocked)),
        ("  exempt", format!("{} of the service itself", stats.exempted)),
        ("  fallback", format!("{} not held, {} over a limit", stats.fell_back, stats.limited)),
        ("  held", format!("{} in all", stats.held)),
        (
            "released",
            format!(
                "{} by verdict, {} by deadline, {} closed, {} at detach, {} at unload, {} not pended",
                doors.verdict, doors.deadline, doors.closure, doors.detach, doors.unload, doors.pend_failed
            ),
        ),
        (
            "reauthorized",
            format!("{} claimed, {} not, {} foreign", stats.claimed, stats.unclaimed, stats.foreign_reauthorized),
        ),
        ("without right", stats.without_right.to_string()),
        ("late answers", stats.stale_answers.to_string()),
        ("lost reports", stats.dropped_reports.to_string()),
    ];
    let lines: Vec<String> = rows.iter().map(|(name, value)| format!("{name:<14} {value}")).collect();
    lines.join("\n")
}

fn as_json(stats: &Stats) -> String {
    let doors = &stats.doors;
    json!({
        "version": stats.version,
        "attached": stats.attached != 0,
        "attached_pid": stats.attached_process_id,
        "filtering": stats.filtering != 0,
        "pended": stats.pended,
        "oldest_ms": stats.oldest_ms,
        "queued": stats.queued,
        "cached": stats.cached,
        "epoch": stats.epoch,
        "classified": stats.classified,
        "cache_permitted": stats.cache_permitted,
        "cache_blocked": stats.cache_blocked,
        "exempted": stats.exempted,
        "fell_back": stats.fell_back,
        "limited": stats.limited,
        "held": stats.held,
        "doors": {
            "verdict": doors.verdict,
            "deadline": doors.deadline,
            "closure": doors.closure,
            "detach": doors.detach,
            "unload": doors.unload,
            "pend_failed": doors.pend_failed,
        },
        "claimed": stats.claimed,
        "unclaimed": stats.unclaimed,
        "foreign_reauthorized": stats.foreign_reauthorized,
        "without_right": stats.without_right,
        "stale_answers": stats.stale_answers,
        "dropped_reports": stats.dropped_reports,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::stats::Doors;

    fn stats() -> Stats {
        Stats {
            version: 1,
            attached: 1,
            filtering: 1,
            attached_process_id: 4242,
            held: 20,
            pended: 3,
            doors: Doors { verdict: 17, ..Doors::default() },
            ..Stats::default()
        }
    }

    #[test]
    fn a_table_says_who_is_attached_and_what_became_of_the_held() {
        let table = as_table(&stats());
        assert!(table.contains("service        process 4242 attached\n"), "{table}");
        assert!(table.contains("held now       3,"), "{table}");
        assert!(table.contains("released       17 by verdict, 0 by deadline"), "{table}");
    }

    #[test]
    fn a_table_says_when_nothing_is_enforced() {
        let table = as_table(&Stats { version: 1, ..Stats::default() });
        assert!(table.contains("not filtering"), "{table}");
        assert!(table.contains("none attached"), "{table}");
    }

    #[test]
    fn json_names_each_counter() {
        let json: serde_json::Value = serde_json::from_str(&as_json(&stats())).unwrap();
        assert_eq!(json["attached_pid"], 4242);
        assert_eq!(json["doors"]["verdict"], 17);
        assert_eq!(json["filtering"], true);
    }
}
