//! What many rows share: identities, reasons, revisions.
//!
//! Invariants: the numbers remembered here are of committed rows or of the transaction at work; after a rollback, and
//! after rows were removed, everything is forgotten ([`Dictionary::forget`]). Memory is bounded by [`REMEMBERED`].

use crate::log::row::{Shared, Why};
use control::entry::Entry;
use foldhash::{HashMap, HashSet};
use rules::decision::Revision;
use rules::facts::Identity;
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// How many identities, reasons and revisions are remembered each; beyond, all are looked up again.
const REMEMBERED: usize = 4_096;

/// Where in the tables what is.
#[derive(Default)]
pub struct Dictionary {
    /// By the address of what is shared, which is kept so that the address stays its own.
    identities: HashMap<usize, (Arc<Identity>, i64)>,
    reasons: HashMap<Why, i64>,
    revisions: HashMap<Revision, i64>,
    /// What the transaction at work named.
    used: Used,
}

#[derive(Default)]
struct Used {
    identities: HashSet<i64>,
    reasons: HashSet<i64>,
    revisions: HashSet<i64>,
}

impl Dictionary {
    /// Forgets everything.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// The rows that `entry` names; they are added when they are not there.
    pub fn place(&mut self, connection: &Connection, entry: &Entry) -> rusqlite::Result<Shared> {
        let shared = Shared {
            identity: self.identity(connection, &entry.identity)?,
            reason: self.reason(connection, entry)?,
            revision: self.revision(connection, entry)?,
        };
        self.used.identities.insert(shared.identity);
        self.used.reasons.insert(shared.reason);
        self.used.revisions.insert(shared.revision);
        Ok(shared)
    }

    /// Notes that the rows named since the last time are named by connections up to `last`.
    pub fn mark(&mut self, connection: &Connection, last: i64) -> rusqlite::Result<()> {
        let used = std::mem::take(&mut self.used);
        for (table, rows) in [("identity", used.identities), ("reason", used.reasons), ("revision", used.revisions)] {
            let sql = format!("UPDATE {table} SET last = ?2 WHERE id = ?1 AND last < ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            rows.into_iter().try_for_each(|row| statement.execute([row, last]).map(drop))?;
        }
        Ok(())
    }

    fn identity(&mut self, connection: &Connection, identity: &Arc<Identity>) -> rusqlite::Result<i64> {
        let address = Arc::as_ptr(identity).addr();
        if let Some((_, row)) = self.identities.get(&address) {
            return Ok(*row);
        }
        let body = json(&**identity)?;
        let row = connection
            .prepare_cached(
                "INSERT INTO identity (last, digest, body) VALUES (0, ?1, ?2) \
                ON CONFLICT (digest) DO UPDATE SET last = last RETURNING id",
            )?
            .query_row(params![digest(&body), body], |row| row.get(0))?;
        make_room(&mut self.identities);
        self.identities.insert(address, (identity.clone(), row));
        Ok(row)
    }

    fn reason(&mut self, connection: &Connection, entry: &Entry) -> rusqlite::Result<i64> {
        let why = Why { reason: entry.reason.clone(), asked_by: entry.asked_by.clone(), live: entry.live };
        if let Some(row) = self.reasons.get(&why) {
            return Ok(*row);
        }
        let row = connection
            .prepare_cached(
                "INSERT INTO reason (last, body) VALUES (0, ?1) \
                ON CONFLICT (body) DO UPDATE SET last = last RETURNING id",
            )?
            .query_row([json(&why)?], |row| row.get(0))?;
        make_room(&mut self.reasons);
        self.reasons.insert(why, row);
        Ok(row)
    }

    fn revision(&mut self, connection: &Connection, entry: &Entry) -> rusqlite::Result<i64> {
        if let Some(row) = self.revisions.get(&entry.revision) {
            return Ok(*row);
        }
        let row = revision_row(connection, &entry.revision, crate::log::row::nanoseconds(entry.time))?;
        make_room(&mut self.revisions);
        self.revisions.insert(entry.revision.clone(), row);
        Ok(row)
    }
}

/// The row of `revision`, added when it is not there, as in force since `since`.
pub fn revision_row(connection: &Connection, revision: &Revision, since: i64) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(
            "INSERT INTO revision (last, name, since, kept) VALUES (0, ?1, ?2, 0) \
            ON CONFLICT (name) DO UPDATE SET since = min(since, ?2) RETURNING id",
        )?
        .query_row(params![&*revision.0, since], |row| row.get(0))
}

/// SHA-256.
pub fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn make_room<K, V>(remembered: &mut HashMap<K, V>) {
    if remembered.len() >= REMEMBERED {
        remembered.clear();
    }
}
