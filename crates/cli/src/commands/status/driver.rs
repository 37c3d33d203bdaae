//! How the driver does: its counters.
//!
//! Neighbours: `wire::stats` says what each means.

use super::{Row, row};
use serde_json::{Value, json};
use wire::stats::{Doors, Stats};

/// The counters as rows.
pub fn rows(stats: &Stats) -> Vec<Row> {
    let attached = match stats.attached {
        0 => "nobody; the fallback decides".to_owned(),
        _ => format!("process {}", stats.attached_process_id),
    };
    let filtering = if stats.filtering == 0 { "not filtering: the filter engine is not running" } else { "filtering" };
    let doors = &stats.doors;
    vec![
        row("driver", format!("version {}, {filtering}", stats.version)),
        row("attached", attached),
        row(
            "held now",
            format!("{}, the oldest for {} ms; {} not yet taken", stats.pended, stats.oldest_ms, stats.queued),
        ),
        row("cache", format!("{} verdicts, epoch {}", stats.cached, stats.epoch)),
        row(
            "packets",
            format!(
                "{} kept now ({} bytes); {} sent on, {} dropped, {} refused, {} failed",
                stats.kept_packets,
                stats.kept_bytes,
                stats.packets_released,
                stats.packets_dropped,
                stats.packets_refused,
                stats.inject_failed
            ),
        ),
        row("asked", format!("{} classifies", stats.classified)),
        row("  from cache", format!("{} permitted, {} blocked", stats.cache_permitted, stats.cache_blocked)),
        row("  exempt", format!("{} of the service itself", stats.exempted)),
        row("  fallback", format!("{} that are not held", stats.fell_back)),
        row("  limits hit", format!("{} that found no room; the fallback", stats.limited)),
        row("  held", format!("{} in all", stats.held)),
        row(
            "released",
            format!(
                "{} by verdict, {} by deadline, {} closed, {} at detach, {} at unload, {} not pended",
                doors.verdict, doors.deadline, doors.closure, doors.detach, doors.unload, doors.pend_failed
            ),
        ),
        row(
            "reauthorized",
            format!(
                "{} claimed, {} never came, {} without verdict, {} foreign",
                stats.claimed, stats.unclaimed, stats.orphaned, stats.foreign_reauthorized
            ),
        ),
        row("live flows", format!("{} asked about, rechecked {} times", stats.live_asked, stats.rechecked)),
        row("closures held", stats.closures_held.to_string()),
        row("without right", stats.without_right.to_string()),
        row("late answers", stats.stale_answers.to_string()),
        row("lost reports", stats.dropped_reports.to_string()),
    ]
}

/// The counters as an object.
pub fn object(stats: &Stats) -> Value {
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
        kept_packets,
        kept_bytes,
        packets_kept,
        packets_released,
        packets_dropped,
        packets_refused,
        inject_failed,
        closures_held,
        live_asked,
        rechecked,
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
        "kept_packets": kept_packets,
        "kept_bytes": kept_bytes,
        "packets_kept": packets_kept,
        "packets_released": packets_released,
        "packets_dropped": packets_dropped,
        "packets_refused": packets_refused,
        "inject_failed": inject_failed,
        "closures_held": closures_held,
        "live_asked": live_asked,
        "rechecked": rechecked,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{table, tests::is_in_the_manual};
    use super::*;

    fn stats() -> Stats {
        Stats {
            version: 1,
            attached: 1,
            filtering: 1,
            attached_process_id: 4242,
            held: 20,
            pended: 3,
            oldest_ms: 1_200,
            cached: 7,
            limited: 2,
            doors: Doors { verdict: 17, ..Doors::default() },
            ..Stats::default()
        }
    }

    #[test]
    fn a_table_says_who_is_attached_and_what_became_of_the_held() {
        let table = table(&rows(&stats()));
        for said in [
            "attached       process 4242\n",
            "held now       3, the oldest for 1200 ms;",
            "cache          7 verdicts,",
            "  limits hit   2 that found no room; the fallback\n",
            "released       17 by verdict, 0 by deadline",
        ] {
            assert!(table.contains(said), "{said} is not in\n{table}");
        }
    }

    #[test]
    fn the_manual_shows_each_row() {
        is_in_the_manual(&rows(&stats()));
    }

    #[test]
    fn a_table_says_when_nothing_is_enforced() {
        let table = table(&rows(&Stats { version: 1, ..Stats::default() }));
        assert!(table.contains("not filtering"), "{table}");
        assert!(table.contains("nobody"), "{table}");
    }

    #[test]
    fn json_names_each_counter() {
        let json = object(&stats());
        assert_eq!(json["attached_pid"], 4242);
        assert_eq!(json["doors"]["verdict"], 17);
        assert_eq!(json["filtering"], true);
    }
}
