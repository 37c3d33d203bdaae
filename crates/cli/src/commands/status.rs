//! `tollgate status`: the driver's counters.
//!
//! Neighbours: `wire::stats` says what each means.

use crate::failure::Failure;
use crate::output::printer::print;
use serde_json::json;
use wire::stats::{Doors, Stats};

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
            format!(
                "{} claimed, {} never came, {} without verdict, {} foreign",
                stats.claimed, stats.unclaimed, stats.orphaned, stats.foreign_reauthorized
            ),
        ),
        ("without right", stats.without_right.to_string()),
        ("late answers", stats.stale_answers.to_string()),
        ("lost reports", stats.dropped_reports.to_string()),
    ];
    let lines: Vec<String> = rows.iter().map(|(name, value)| format!("{name:<14} {value}")).collect();
    lines.join("\n")
}

fn as_json(stats: &Stats) -> String {
    // Without `..`, so that a new counter cannot be left out.
    let Stats {
        version,
        attached,
        filtering,
        pended,
        oldest_ms,
        queued,
        cached,
        epoch,
        attached_process_id,
        classified,
        cache_permitted,
        cache_blocked,
        exempted,
        fell_back,
        limited,
        held,
        doors,
        claimed,
        unclaimed,
        orphaned,
        foreign_reauthorized,
        without_right,
        stale_answers,
        dropped_reports,
    } = *stats;
    let Doors { verdict, deadline, closure, detach, unload, pend_failed } = doors;
    json!({
        "version": version,
        "attached": attached != 0,
        "filtering": filtering != 0,
        "pended": pended,
        "oldest_ms": oldest_ms,
        "queued": queued,
        "cached": cached,
        "epoch": epoch,
        "attached_pid": attached_process_id,
        "classified": classified,
        "cache_permitted": cache_permitted,
        "cache_blocked": cache_blocked,
        "exempted": exempted,
        "fell_back": fell_back,
        "limited": limited,
        "held": held,
        "doors": {
            "verdict": verdict,
            "deadline": deadline,
            "closure": closure,
            "detach": detach,
            "unload": unload,
            "pend_failed": pend_failed,
        },
        "claimed": claimed,
        "unclaimed": unclaimed,
        "orphaned": orphaned,
        "foreign_reauthorized": foreign_reauthorized,
        "without_right": without_right,
        "stale_answers": stale_answers,
        "dropped_reports": dropped_reports,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

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
