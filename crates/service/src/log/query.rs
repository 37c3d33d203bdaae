//! Queries: filters as SQL.
//!
//! Invariants: what a query says is bound, never pasted into SQL; the text it looks for is compared as
//! [`Filter::takes`] does; every query has connections of its own, so neither the writer nor a file
//! that was replaced is in its way. Neighbours: `row` reads rows.

use crate::log::row::{self, Why, nanoseconds};
use crate::log::schema::{self, Found};
use crate::log::store::StoreError;
use control::entry::{Direction, Entry, Verdict};
use control::filter::{self, Filter};
use foldhash::{HashMap, HashMapExt};
use rules::decision::Revision;
use rules::facts::Identity;
use rules::source::SourceFile;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, ToSql};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a query waits for a program that has the database locked.
const BUSY: Duration = Duration::from_secs(2);

/// Up to how many rows a range of time is read by its index; beyond, rows are read by number, which needs no sorting.
const SORTED: i64 = 50_000;

/// Why a query is not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// There is no log.
    #[error("there is no log at {}", .0.display())]
    Absent(PathBuf),
    /// It is not of this release.
    #[error(
        "the log is of schema version {found}, and this release reads {}: read it with the release that wrote it",
        schema::VERSION
    )]
    Version {
        /// Its version.
        found: i64,
    },
    /// It is something else.
    #[error("{} is not a log of Tollgate", .0.display())]
    NotALog(PathBuf),
    /// It is damaged.
    #[error("the log is damaged: {0}")]
    Damaged(rusqlite::Error),
    /// SQLite says so.
    #[error("the log cannot be read: {0}")]
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for QueryError {
    fn from(error: rusqlite::Error) -> Self {
        match StoreError::from(error) {
            StoreError::Sql(error) if StoreError::is_damage(&error) => Self::Damaged(error),
            StoreError::Sql(error) => Self::Sql(error),
            _ => Self::Sql(rusqlite::Error::InvalidQuery),
        }
    }
}

/// Answers queries.
#[derive(Clone, Debug)]
pub struct Reader {
    path: PathBuf,
}

impl Reader {
    /// Reads the database `path`, also one that no service has open.
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// At most `limit` entries, oldest first, with a number above `after` and below `before`: the first ones with
    /// `after`, else the last ones.
    pub fn entries(
        &self,
        filter: &Filter,
        after: Option<u64>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Entry>, QueryError> {
        let connection = self.open()?;
        let query = Query::new(filter, after, before);
        let source = query.source(&connection)?;
        let order = if after.is_some() { "ASC" } else { "DESC" };
        let sql = format!(
            "SELECT {} FROM {source} JOIN revision v ON v.id = c.revision WHERE {} ORDER BY c.id {order} LIMIT {limit}",
            row::COLUMNS,
            query.conditions()
        );
        let mut shared = Shared { connection: &connection, identities: HashMap::new(), reasons: HashMap::new() };
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query(query.values().as_slice())?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            entries.push(shared.entry(row)?);
        }
        if after.is_none() {
            entries.reverse();
        }
        Ok(entries)
    }

    /// One entry.
    pub fn entry(&self, id: u64) -> Result<Option<Entry>, QueryError> {
        let (after, before) = (id.checked_sub(1), id.checked_add(1));
        Ok(self.entries(&Filter::default(), after, before, 1)?.pop())
    }

    /// The files of a ruleset that was in force; `None` when they are not kept.
    pub fn ruleset(&self, revision: &Revision) -> Result<Option<Vec<SourceFile>>, QueryError> {
        let connection = self.open()?;
        let row: Option<i64> = connection
            .query_row("SELECT id FROM revision WHERE name = ?1 AND kept", [&*revision.0], |row| row.get(0))
            .optional()?;
        let Some(row) = row else { return Ok(None) };
        let mut statement = connection.prepare(
            "SELECT f.path, s.text FROM revision_file f JOIN source s ON s.id = f.source WHERE f.revision = ?1 \
            ORDER BY f.path",
        )?;
        let text = |row: &rusqlite::Row<'_>, column| row.get::<_, String>(column).map(Arc::<str>::from);
        let files = statement.query_map([row], |row| Ok(SourceFile { path: text(row, 0)?, text: text(row, 1)? }))?;
        Ok(Some(files.collect::<Result<_, _>>()?))
    }

    fn open(&self) -> Result<Connection, QueryError> {
        if !self.path.is_file() {
            return Err(QueryError::Absent(self.path.clone()));
        }
        let connection = open_read_only(&self.path).map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => QueryError::NotALog(self.path.clone()),
            _ => error.into(),
        })?;
        match schema::look(&connection) {
            Ok(Found::Version(schema::VERSION)) => {}
            Ok(Found::Version(found)) | Err(StoreError::Newer { found }) => return Err(QueryError::Version { found }),
            Err(StoreError::Sql(error)) => return Err(error.into()),
            Ok(Found::Empty) | Err(_) => return Err(QueryError::NotALog(self.path.clone())),
        }
        add_functions(&connection)?;
        Ok(connection)
    }
}

/// Opens a database that is perhaps being written, or else one that nobody writes and whose directory cannot be written.
fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let open = |name: &Path, more| {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
        let connection = Connection::open_with_flags(name, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        // The first statement that touches the file.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok::<_, rusqlite::Error>(connection)
    };
    let opened = open(path, OpenFlags::empty());
    let has_wal = fs::metadata(with_wal(path)).is_ok_and(|wal| wal.len() > 0);
    match opened {
        // Readers of a database in WAL mode need its shared memory, which nobody can make in such a directory:
        // https://www.sqlite.org/wal.html#read_only_databases
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) && !has_wal => {
            open(Path::new(&immutable(path)), OpenFlags::SQLITE_OPEN_URI)
        }
        opened => opened,
    }
}

fn with_wal(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// A URI for `path` that says that nobody writes it.
fn immutable(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "/").replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let slash = if text.starts_with('/') { "" } else { "/" };
    if path.is_absolute() { format!("file://{slash}{text}?immutable=1") } else { format!("file:{text}?immutable=1") }
}

/// A filter and bounds, as conditions and the values bound in them.
struct Query {
    conditions: Vec<String>,
    values: Vec<Box<dyn ToSql>>,
    has_time: bool,
}

impl Query {
    fn new(filter: &Filter, after: Option<u64>, before: Option<u64>) -> Self {
        let mut query = Self { conditions: vec!["TRUE".to_owned()], values: Vec::new(), has_time: false };
        let number = |id: u64| i64::try_from(id).unwrap_or(i64::MAX);
        query.add("c.id > ?", after.map(number));
        query.add("c.id < ?", before.map(number));
        query.add("c.permit = ?", filter.verdict.map(|verdict| verdict == Verdict::Permit));
        query.add("c.inbound = ?", filter.direction.map(|direction| direction == Direction::In));
        query.add("c.protocol = ?", filter.protocol);
        query.add("c.remote_port = ?", filter.port);
        query.add("c.pid = ?", filter.pid.map(row::signed));
        query.add("c.identity IN (SELECT id FROM identity WHERE has(path, ?))", filter.program.clone());
        query.add(
            "c.identity IN (SELECT id FROM identity WHERE same(user_id, ?) OR same(user, ?))",
            filter.user.clone(),
        );
        query.add("(has(c.name, ?) OR has(address(c.remote_address), ?))", filter.remote.clone());
        query
            .add("c.reason IN (SELECT id FROM reason WHERE rule = ? OR layer || '/' || rule = ?)", filter.rule.clone());
        query.has_time = filter.since.is_some() || filter.until.is_some();
        query.add("c.time >= ?", filter.since.map(nanoseconds));
        query.add("c.time < ?", filter.until.map(nanoseconds));
        query
    }

    /// Adds `condition`, in which each `?` is `value`, when there is one.
    fn add(&mut self, condition: &str, value: Option<impl ToSql + 'static>) {
        let Some(value) = value else { return };
        self.values.push(Box::new(value));
        self.conditions.push(condition.replace('?', &format!("?{}", self.values.len())));
    }

    fn conditions(&self) -> String {
        self.conditions.join(" AND ")
    }

    fn values(&self) -> Vec<&dyn ToSql> {
        self.values.iter().map(|value| &**value).collect()
    }

    /// The table, and how to go through it.
    fn source(&self, connection: &Connection) -> rusqlite::Result<&'static str> {
        if !self.has_time {
            return Ok("connection c NOT INDEXED");
        }
        let times: Vec<&str> =
            self.conditions.iter().filter(|condition| condition.starts_with("c.time")).map(String::as_str).collect();
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM connection c INDEXED BY connection_time WHERE {} LIMIT {SORTED})",
            times.join(" AND ")
        );
        let mut statement = connection.prepare(&sql)?;
        // Values that only other conditions name.
        let most = statement.parameter_count();
        let rows: i64 = statement.query_row(&self.values()[..most], |row| row.get(0))?;
        Ok(if rows < SORTED { "connection c INDEXED BY connection_time" } else { "connection c NOT INDEXED" })
    }
}

/// What rows share, read once a query.
struct Shared<'a> {
    connection: &'a Connection,
    identities: HashMap<i64, Arc<Identity>>,
    reasons: HashMap<i64, Arc<Why>>,
}

impl Shared<'_> {
    fn entry(&mut self, row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
        let Self { connection, identities, reasons } = self;
        row::read(
            row,
            |id| of(connection, identities, "SELECT body FROM identity WHERE id = ?1", id),
            |id| of(connection, reasons, "SELECT body FROM reason WHERE id = ?1", id),
        )
    }
}

fn of<T: serde::de::DeserializeOwned>(
    connection: &Connection,
    known: &mut HashMap<i64, Arc<T>>,
    sql: &str,
    id: i64,
) -> rusqlite::Result<Arc<T>> {
    if let Some(value) = known.get(&id) {
        return Ok(value.clone());
    }
    let body: String = connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?;
    let value: T = serde_json::from_str(&body)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into()))?;
    let value = Arc::new(value);
    known.insert(id, value.clone());
    Ok(value)
}

/// The functions that conditions call: text as [`Filter::takes`] compares it, and addresses as text.
fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    let compare = |name: &str, holds: fn(&str, &str) -> bool| {
        connection.create_scalar_function(name, 2, flags, move |values: &Context<'_>| {
            Ok(text(values, 0).zip(text(values, 1)).is_some_and(|(text, wanted)| holds(text, wanted)))
        })
    };
    compare("has", filter::contains)?;
    compare("same", filter::same)?;
    connection.create_scalar_function("address", 1, flags, |values| match values.get_raw(0) {
        ValueRef::Blob(bytes) => Ok(row::ip(bytes).map(|ip| ip.to_string())),
        _ => Ok(None),
    })
}

fn text<'a>(values: &'a Context<'_>, index: usize) -> Option<&'a str> {
    values.get_raw(index).as_str().ok()
}
