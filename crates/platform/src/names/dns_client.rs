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

#[cfg(test)]
mod tests {
    use super::*;

    /// An event's data as the manifest lays it out.
    fn event(name: &str, status: u32, results: &str) -> Vec<u8> {
        let text = |text: &str| text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let numbers = [&28_u32.to_le_bytes()[..], &0x4000_6000_u64.to_le_bytes(), &status.to_le_bytes()].concat();
        [text(name), numbers, text(results)].concat()
    }

    fn parsed(data: &[u8]) -> Vec<(String, String)> {
        parse(7, data).into_iter().map(|answer| (answer.name, answer.address.to_string())).collect()
    }

    #[test]
    fn a_query_gives_every_address_under_the_name_that_was_asked_for() {
        let data = event("WWW.Example.com", 0, "type:  5 edge.example.net;::ffff:192.0.2.1;2001:db8::1;192.0.2.2;");
        let expected = ["192.0.2.1", "2001:db8::1", "192.0.2.2"];
        assert_eq!(parsed(&data), expected.map(|address| ("www.example.com".to_owned(), address.to_owned())));
        assert!(parse(7, &data).iter().all(|answer| answer.pid == Some(7)));
    }

    #[test]
    fn a_query_that_failed_or_has_no_addresses_gives_nothing() {
        // DNS_ERROR_RCODE_NAME_ERROR
        assert_eq!(parsed(&event("example.com", 9003, "192.0.2.1;")), []);
        assert_eq!(parsed(&event("example.com", 0, "")), []);
        assert_eq!(parsed(&event("", 0, "192.0.2.1;")), []);
    }

    #[test]
    fn data_that_is_cut_anywhere_gives_nothing() {
        let data = event("example.com", 0, "192.0.2.1;");
        for length in 0..data.len() {
            assert_eq!(parsed(&data[..length]), [], "{length}");
        }
    }
}
