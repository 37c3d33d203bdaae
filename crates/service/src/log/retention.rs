//! What is forgotten, and when.
//!
//! Invariants: a step removes a bounded number of rows, so it holds nothing up; a clock that jumps ahead for a moment
//! removes nothing ([`Believed`]); what rows share goes after the last row that names it. Neighbours: `writer` calls a
//! step after each batch.

use crate::clock::Now;
use crate::log::row::nanoseconds;
use crate::log::store::{Store, StoreError};

use jiff::{SignedDuration, Timestamp};
use rules::decision::Revision;
use rusqlite::{Connection, TransactionBehavior, params};
use std::time::Duration;

/// How far ahead of our own count of time the clock may be before it must prove itself.
const SLACK: SignedDuration = SignedDuration::from_hours(24);

/// For how long it must stay there.
const PROOF: Duration = Duration::from_secs(3_600);

/// How many rows a step removes at most.
pub const STEP: u32 = 4_000;

/// How many pages a step gives back to the file system at most.
const PAGES: u32 = 256;

/// The time by which entries become old.
///
/// A clock that is wrong for a while (a battery, a virtual machine that wakes up, a mistyped year) must not make
/// everything old at once. So a clock that is more than a day ahead of the newest entry and the time since is believed
/// only after it said so for an hour.
#[derive(Debug, Default)]
pub struct Believed {
    last: Option<Now>,
    /// By [`Now::monotonic`].
    ahead_since: Option<Duration>,
}

impl Believed {
    /// Begins at the time of the newest entry, unless a time is believed already.
    pub fn begin(&mut self, newest: Timestamp, now: Now) {
        self.last.get_or_insert(Now { wall: newest, ..now });
    }

    /// What time to believe when the clocks say `now`.
    pub fn time(&mut self, now: Now) -> Timestamp {
        let expected = self.last.unwrap_or(now).wall_at(now.monotonic);
        if now.wall.duration_since(expected) > SLACK {
            let since = *self.ahead_since.get_or_insert(now.monotonic);
            if now.monotonic.saturating_sub(since) < PROOF {
                return expected;
            }
        }
        self.ahead_since = None;
        self.last = Some(now);
        now.wall
    }
}

/// What is kept.
#[derive(Clone, Debug)]
pub struct Keep<'a> {
    /// Entries from this time on.
    pub from: Timestamp,
    /// As many bytes.
    pub bytes: u64,
    /// The ruleset in force, whether a row names it or not.
    pub revision: Option<&'a Revision>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// How many rows it removed.
    pub removed: u64,
    /// How large the database is, in bytes.
    pub bytes: u64,
    /// Whether there is more to remove.
    pub more: bool,
}

impl Store {
    /// Removes at most [`STEP`] rows that are too old, or too many.
    pub fn forget(&mut self, keep: &Keep<'_>) -> Result<Step, StoreError> {
        let mut removed = self.remove(
            "DELETE FROM connection WHERE id IN \
            (SELECT id FROM connection WHERE time < ?1 ORDER BY time LIMIT ?2)",
            nanoseconds(keep.from),
            STEP,
        )?;
        let size = Size::of(&self.connection)?;
        if removed == 0 && size.used() > keep.bytes {
            removed = self.remove(
                "DELETE FROM connection WHERE id <= \
                (SELECT max(id) FROM (SELECT id FROM connection WHERE id > ?1 ORDER BY id LIMIT ?2))",
                i64::MIN,
                size.surplus(keep.bytes, self.entries()?),
            )?;
        }
        let size = Size::of(&self.connection)?;
        if size.total() > keep.bytes && size.free > 0 {
            // One page for each row it pretends to return.
            self.connection.pragma(None, "incremental_vacuum", PAGES, |_| Ok(()))?;
        }
        let more = removed == u64::from(STEP) || (size.used() > keep.bytes && removed > 0);
        Ok(Step { removed, bytes: Size::of(&self.connection)?.total(), more })
    }

    fn remove(&mut self, sql: &str, bound: i64, most: u32) -> Result<u64, StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let removed = transaction.prepare_cached(sql)?.execute(params![bound, most])? as i64;
        transaction.prepare_cached("UPDATE total SET entries = entries - ?1")?.execute([removed])?;
        transaction.commit()?;
        Ok(removed.cast_unsigned())
    }

    /// Removes what no row names any more, but for the ruleset in force; at most [`STEP`] of each kind.
    pub fn forget_shared(&mut self, keep: &Keep<'_>) -> Result<(), StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let lowest: Option<i64> = transaction.query_row("SELECT min(id) FROM connection", [], |row| row.get(0))?;
        let lowest = lowest.unwrap_or(i64::MAX);
        let in_force = keep.revision.map_or("", |revision| &*revision.0);
        let mut removed = 0;
        for table in ["identity", "reason"] {
            let sql = format!("DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE last < ?1 LIMIT ?2)");
            removed += transaction.execute(&sql, params![lowest, STEP])?;
        }
        removed += transaction.execute(
            "DELETE FROM revision WHERE id IN (SELECT id FROM revision WHERE last < ?1 AND name <> ?3 LIMIT ?2)",
            params![lowest, STEP, in_force],
        )?;
        transaction.execute("DELETE FROM revision_file WHERE revision NOT IN (SELECT id FROM revision)", [])?;
        transaction.execute("DELETE FROM source WHERE id NOT IN (SELECT source FROM revision_file)", [])?;
        transaction.commit()?;
        if removed > 0 {
            self.dictionary.forget();
        }
        Ok(())
    }
}

/// How large a database is.
struct Size {
    page_bytes: u64,
    pages: u64,
    free: u64,
}

impl Size {
    fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        Ok(Self {
            page_bytes: number("page_size")?.unsigned_abs(),
            pages: number("page_count")?.unsigned_abs(),
            free: number("freelist_count")?.unsigned_abs(),
        })
    }

    const fn total(&self) -> u64 {
        self.pages.saturating_mul(self.page_bytes)
    }

    const fn used(&self) -> u64 {
        self.pages.saturating_sub(self.free).saturating_mul(self.page_bytes)
    }

    /// About how many of `entries` fill what is more than `bytes`, and a few more: pages become free as a whole.
    fn surplus(&self, bytes: u64, entries: u64) -> u32 {
        let surplus = u128::from(self.used().saturating_sub(bytes));
        let rows = u128::from(entries) * surplus / u128::from(self.used().max(1));
        u32::try_from(rows + 100).unwrap_or(STEP).min(STEP)
    }
}
