//! An entry as columns.
//!
//! Invariants: what is read equals what was written, but for the flow information of an IPv6 address, which says nothing
//! about where it leads. Neighbours: `schema` has the columns, `dictionary` what many rows share.

use control::entry::{Confidence, Direction, Entry, Name, Reason, Verdict};
use jiff::Timestamp;
use rules::decision::{Revision, RuleName};
use rules::facts::Identity;
use rusqlite::types::Type;
use rusqlite::{CachedStatement, Error, Row, params};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

/// Adds one row; none when the number is taken.
pub const INSERT: &str = "INSERT OR IGNORE INTO connection (id, time, permit, inbound, in_force, protocol, \
    local_address, local_port, remote_address, remote_port, pid, start_key, held_ms, identity, reason, revision, \
    confidence, name, interface) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, \
    ?18, ?19)";

/// The columns that [`read`] takes, of `connection` as `c` and its `revision` as `v`.
pub const COLUMNS: &str = "c.id, c.time, c.permit, c.inbound, c.in_force, c.protocol, c.local_address, c.local_port, \
    c.remote_address, c.remote_port, c.pid, c.start_key, c.held_ms, c.identity, c.reason, v.name, c.confidence, \
    c.name, c.interface";

/// Why, as the table `reason` keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Why {
    /// Who decided.
    pub reason: Reason,
    /// The rule that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<RuleName>,
    /// Whether it ended a live connection. Not written when it did not, so that the text of all other reasons is what
    /// earlier releases wrote.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
}

/// The rows of other tables that an entry names.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    /// In `identity`.
    pub identity: i64,
    /// In `reason`.
    pub reason: i64,
    /// In `revision`.
    pub revision: i64,
}

/// A time as the database keeps it: nanoseconds, good for the years 1677 to 2262; the nearest one beyond.
pub fn nanoseconds(time: Timestamp) -> i64 {
    let nanoseconds = time.as_nanosecond();
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

/// A number as the database keeps it: SQLite has signed ones only, and equal stays equal.
pub const fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// Adds a row; says whether its number was free.
pub fn write(statement: &mut CachedStatement<'_>, id: i64, entry: &Entry, shared: Shared) -> rusqlite::Result<bool> {
    let (mut local, mut remote) = ([0; 20], [0; 20]);
    let name = entry.name.as_ref();
    let rows = statement.execute(params![
        id,
        nanoseconds(entry.time),
        entry.verdict == Verdict::Permit,
        entry.direction == Direction::In,
        entry.in_force,
        entry.protocol,
        address(&entry.local, &mut local),
        entry.local.port(),
        address(&entry.remote, &mut remote),
        entry.remote.port(),
        signed(entry.pid),
        signed(entry.start_key),
        signed(entry.held_ms),
        shared.identity,
        shared.reason,
        shared.revision,
        name.map(|name| confidence_number(name.confidence)),
        name.map(|name| &*name.text),
        entry.interface.as_deref(),
    ])?;
    Ok(rows == 1)
}

/// Reads a row, with the help of whoever knows identities and reasons by number.
pub fn read(
    row: &Row<'_>,
    identity: impl FnOnce(i64) -> rusqlite::Result<Arc<Identity>>,
    why: impl FnOnce(i64) -> rusqlite::Result<Arc<Why>>,
) -> rusqlite::Result<Entry> {
    let why = why(row.get(14)?)?;
    let name: Option<String> = row.get(17)?;
    let confidence: Option<u8> = row.get(16)?;
    Ok(Entry {
        id: row.get::<_, i64>(0)?.cast_unsigned(),
        time: Timestamp::from_nanosecond(row.get::<_, i64>(1)?.into()).map_err(|_| strange(1, Type::Integer))?,
        verdict: if row.get(2)? { Verdict::Permit } else { Verdict::Block },
        direction: if row.get(3)? { Direction::In } else { Direction::Out },
        in_force: row.get(4)?,
        protocol: row.get(5)?,
        local: socket_address(row, 6)?,
        remote: socket_address(row, 8)?,
        pid: row.get::<_, i64>(10)?.cast_unsigned(),
        start_key: row.get::<_, i64>(11)?.cast_unsigned(),
        held_ms: row.get::<_, i64>(12)?.cast_unsigned(),
        identity: identity(row.get(13)?)?,
        reason: why.reason.clone(),
        asked_by: why.asked_by.clone(),
        live: why.live,
        revision: Revision(row.get::<_, String>(15)?.into()),
        name: name.map(|text| Name { text: text.into(), confidence: confidence_of(confidence.unwrap_or(0)) }),
        interface: row.get::<_, Option<String>>(18)?.map(Arc::from),
    })
}

/// A value that no release wrote.
pub fn strange(column: usize, found: Type) -> Error {
    Error::FromSqlConversionFailure(column, found, "not what a log holds".into())
}

/// The address in `bytes`, as [`address`] puts it there.
pub fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).into());
    }
    let sixteen = match bytes.len() {
        16 | 20 => <[u8; 16]>::try_from(bytes.get(..16)?).ok()?,
        _ => return None,
    };
    Some(Ipv6Addr::from(sixteen).into())
}

fn address<'a>(end: &SocketAddr, room: &'a mut [u8; 20]) -> &'a [u8] {
    match end {
        SocketAddr::V4(end) => {
            room[..4].copy_from_slice(&end.ip().octets());
            &room[..4]
        }
        SocketAddr::V6(end) => {
            room[..16].copy_from_slice(&end.ip().octets());
            room[16..].copy_from_slice(&end.scope_id().to_be_bytes());
            if end.scope_id() == 0 { &room[..16] } else { &room[..] }
        }
    }
}

fn socket_address(row: &Row<'_>, column: usize) -> rusqlite::Result<SocketAddr> {
    let bytes = row.get_ref(column)?.as_blob().map_err(|_| strange(column, Type::Blob))?;
    let port: u16 = row.get(column + 1)?;
    let scope = bytes.get(16..).and_then(|scope| <[u8; 4]>::try_from(scope).ok()).map_or(0, u32::from_be_bytes);
    match ip(bytes).ok_or_else(|| strange(column, Type::Blob))? {
        IpAddr::V4(ip) => Ok(SocketAddr::from((ip, port))),
        IpAddr::V6(ip) => Ok(SocketAddrV6::new(ip, port, 0, scope).into()),
    }
}

const fn confidence_number(confidence: Confidence) -> u8 {
    match confidence {
        Confidence::Ambiguous => 0,
        Confidence::OtherProcess => 1,
        Confidence::OwnProcess => 2,
    }
}

const fn confidence_of(number: u8) -> Confidence {
    match number {
        2 => Confidence::OwnProcess,
        1 => Confidence::OtherProcess,
        _ => Confidence::Ambiguous,
    }
}
