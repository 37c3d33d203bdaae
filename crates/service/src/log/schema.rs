//! The tables, and how older ones become these.
//!
//! Invariants: `PRAGMA user_version` is the version of the schema, `PRAGMA application_id` says that the database is
//! ours; a step from one version to the next is one transaction; a database of a later release, or of another program,
//! is left as it is. To change the schema: add `schema/vN.sql` with the statements that make version N of N - 1, add it
//! to [`STEPS`], and keep a database of the old version for the tests.

use crate::log::store::StoreError;
use rusqlite::{Connection, TransactionBehavior};

/// `Tlgt`, in the header of the file: <https://www.sqlite.org/pragma.html#pragma_application_id>.
pub const APPLICATION: i64 = 0x546c_6774;

/// What makes version `n + 1` of version `n`.
const STEPS: &[&str] = &[include_str!("schema/v1.sql")];

/// The version of the schema.
pub const VERSION: i64 = STEPS.len() as i64;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing yet.
    Empty,
    /// A log of this version, at most [`VERSION`].
    Version(i64),
}

/// Looks what a database holds, and changes nothing.
pub fn look(connection: &Connection) -> Result<Found, StoreError> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version) {
        (0, 0) if objects == 0 => Ok(Found::Empty),
        (APPLICATION, 1..=VERSION) => Ok(Found::Version(version)),
        (APPLICATION, VERSION..) => Err(StoreError::Newer { found: version }),
        _ => Err(StoreError::Foreign),
    }
}

/// Makes the database one of [`VERSION`].
pub fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let from = match look(connection)? {
        Found::Version(VERSION) => return Ok(()),
        Found::Version(version) => version,
        Found::Empty => {
            // Before the first table: it decides how the file is laid out.
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
            0
        }
    };
    for (version, step) in (1..).zip(STEPS).filter(|(version, _)| *version > from) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}
