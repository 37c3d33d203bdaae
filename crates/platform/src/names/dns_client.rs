//! Event 3008 of the provider Microsoft-Windows-DNS-Client: a query is complete. Its fields, in this order, packed, are
//! those of the provider's manifest (`wevtutil gp Microsoft-Windows-DNS-Client /ge /gm:true`):
//!
//! | field | type |
//! |---|---|
//! | QueryName | UTF-16, ends with NUL |
//! | QueryType | u32 |
//! | QueryOptions | u64 |
//! | QueryStatus | u32, a Windows error |
//! | QueryResults | UTF-16, ends with NUL |
//!
//! QueryResults lists addresses and aliases, each followed by `;`: `type: 5 alias.example;::ffff:192.0.2.1;2001:db8::1;`.
//!
//! Invariants: bytes that make no sense give no answers. Neighbours: `windows::names` gets the events.

use super::{Answer, normal};
use std::net::IpAddr;

/// The event that tells a query's results.
#[cfg_attr(not(windows), expect(dead_code, reason = "Windows alone has such events"))]
pub(crate) const QUERY_COMPLETED: u16 = 3008;

/// The names and addresses that one event tells.
pub(crate) fn parse(pid: u32, data: &[u8]) -> Vec<Answer> {
    fields(data).and_then(|(name, results)| Some((normal(&name)?, results))).map_or_else(Vec::new, |(name, results)| {
        let addresses = results.split(';').filter_map(address);
        addresses.map(|address| Answer { pid: Some(pid), name: name.clone(), address, ttl: None }).collect()
    })
}

/// QueryName and QueryResults, if the query succeeded.
fn fields(data: &[u8]) -> Option<(String, String)> {
    let (name, rest) = text(data)?;
    let status = rest.get(12..16)?;
    let (results, _) = text(rest.get(16..)?)?;
    (status == [0; 4]).then_some((name, results))
}

/// A text and what follows it.
fn text(data: &[u8]) -> Option<(String, &[u8])> {
    let units = data.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    let rest = data.get(units.len() * 2 + 2..)?;
    Some((String::from_utf16(&units).ok()?, rest))
}

/// One address. IPv4 ones are mostly, but not always, mapped into IPv6.
fn address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.trim().parse().ok()?;
    Some(match address {
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4),
        IpAddr::V4(_) => address,
    })
}
