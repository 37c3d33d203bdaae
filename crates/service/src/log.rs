//! The log: what was decided, on disk.
//!
//! A [`Sink`] takes entries from the thread that decides and never waits; a writer thread puts them into an SQLite
//! database in batches; a [`Reader`] answers queries on connections of its own, which do not hold up the writer.
//!
//! * [`schema`]: the tables, and how older ones become these.
//! * [`store`]: one open database.
//! * [`row`]: an entry as columns.
//! * [`dictionary`]: what many rows share.
//! * [`retention`]: what is forgotten, and when.
//! * [`query`]: filters as SQL.
//! * `turn`: what the writer does, again and again.
//! * [`writer`]: the thread.
//!
//! Invariants: nothing here fails the service. While the database cannot be written, entries wait in the bounded queue,
//! then they are shed and counted; writing goes on by itself when the cause is gone. A committed row survives the end of
//! the process. Neighbours: the daemon feeds it, the control server queries it, `export` sends entries elsewhere.

pub mod dictionary;
pub mod query;
pub mod retention;
pub mod row;
pub mod schema;
pub mod store;
mod turn;
pub mod writer;

pub use query::{QueryError, Reader};
pub use writer::{Limits, Log, Sink};
