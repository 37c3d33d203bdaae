//! Remote ends as text: `host`, `host:port`, `host:low-high`, `:port`, each with or without `/protocol`.

use super::text::{self, excerpt};
use super::wrong::Wrong;
use crate::model::{Host, Remote};
use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv6Addr};

/// The longest text of a remote end, in bytes: a domain name of any length with a port and a protocol.
pub const MAX_REMOTE: usize = 300;

/// Reads a remote end.
pub fn remote(text: &str) -> Result<Remote, Wrong> {
    if text.is_empty() {
        return Err(Wrong::new("an empty text names no remote end").help("`*` is every host"));
    }
    if text.len() > MAX_REMOTE {
        return Err(Wrong::new(format!("a remote end has at most {MAX_REMOTE} characters")));
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        let wrong = Wrong::new(format!("`{}` is an address of the web, not of a host", excerpt(text)));
        return Err(wrong.help(format!("the host alone: `{host}`")).shift(scheme.len()));
    }
    let (end, protocol) = split_protocol(text)?;
    let (host, ports) = split_ports(end)?;
    let ports_at = end.len() - ports.map_or(0, str::len);
    let ports = ports.map(|ports| text::ports(ports).map_err(|wrong| wrong.shift(ports_at))).transpose()?;
    let host = match host.strip_prefix('[') {
        Some(inner) => self::host(inner.strip_suffix(']').unwrap_or(inner)).map_err(|wrong| wrong.shift(1))?,
        None if host.is_empty() => Host::Any,
        None => self::host(host)?,
    };
    if let (Some(_), Some(number)) = (&ports, protocol)
        && !crate::model::has_ports(number)
    {
        return Err(Wrong::new(format!("`{}` has a port, but its protocol has none", excerpt(text))));
    }
    Ok(Remote { host, ports, protocol })
}

/// Splits off `/tcp`. What follows a slash and begins with a digit is the length of a prefix.
fn split_protocol(text: &str) -> Result<(&str, Option<u8>), Wrong> {
    let Some((end, last)) = text.rsplit_once('/') else { return Ok((text, None)) };
    if last.starts_with(|first: char| first.is_ascii_digit()) || last.ends_with(']') {
        return Ok((text, None));
    }
    let protocol = text::protocol(last).map_err(|wrong| wrong.shift(end.len() + 1))?;
    if end.is_empty() {
        return Err(
            Wrong::new("there is no host before the protocol").help(format!("`*/{last}`, or the key `protocol`"))
        );
    }
    Ok((end, Some(protocol)))
}

/// Splits off `:port`. An IPv6 address that has a port stands in brackets; without brackets it has none.
fn split_ports(end: &str) -> Result<(&str, Option<&str>), Wrong> {
    if end.starts_with('[') {
        let close = end.find(']').ok_or_else(|| Wrong::new(format!("`{}` lacks a `]`", excerpt(end))))?;
        let (host, rest) = end.split_at(close + 1);
        return match rest.strip_prefix(':') {
            Some(ports) => Ok((host, Some(ports))),
            None if rest.is_empty() => Ok((host, None)),
            None => {
                Err(Wrong::new(format!("`{}` follows the `]`, where only `:port` may", excerpt(rest))).shift(close))
            }
        };
    }
    match end.split_once(':') {
        Some((_, more)) if more.contains(':') => Ok((end, None)),
        Some((host, ports)) => Ok((host, Some(ports))),
        None => Ok((end, None)),
    }
}

/// Reads a host, which stands in no brackets.
pub fn host(text: &str) -> Result<Host, Wrong> {
    match text {
        "" => return Err(Wrong::new("an empty text names no host").help("`*` is every host")),
        "*" => return Ok(Host::Any),
        _ => {}
    }
    if let Some(set) = text.strip_prefix('@') {
        text::id(set).map_err(|wrong| wrong.shift(1))?;
        return Ok(Host::Set(set.into()));
    }
    if let Some(net) = net(text) {
        return net.map(Host::Net);
    }
    if let Some(range) = range(text) {
        return range;
    }
    if text.contains(':') {
        let wrong = Wrong::new(format!("`{}` is not an IPv6 address", excerpt(text)));
        return Err(wrong.help("an IPv6 address with a port stands in brackets: `[2001:db8::1]:443`"));
    }
    match text.strip_prefix('.') {
        Some(tree) => text::domain(tree).map(|name| Host::DomainTree(name.into())),
        None => text::domain(text).map(|name| Host::Domain(name.into())),
    }
}

/// An address or a prefix; `None` when the text is neither, not even a wrong one.
fn net(text: &str) -> Option<Result<IpNet, Wrong>> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address = match ip(address)? {
        Ok(address) => address,
        Err(wrong) => return Some(Err(wrong)),
    };
    let Some(length) = length else { return Some(Ok(unmap(IpNet::from(address)))) };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = Some(length).filter(|length| length.bytes().all(|byte| byte.is_ascii_digit()));
    let prefix = prefix.and_then(|length| IpNet::new(address, length.parse().ok()?).ok());
    let Some(prefix) = prefix else {
        let wrong = Wrong::new(format!("`{}` is not the length of a prefix", excerpt(length)));
        return Some(Err(wrong.help(format!("0 to {most}")).shift(text.len() - length.len())));
    };
    if prefix.trunc() != prefix {
        let wrong = Wrong::new(format!("`{text}` has bits set after its first {}", prefix.prefix_len()));
        return Some(Err(wrong.help(format!("`{}` is the prefix, `{address}` the address", prefix.trunc()))));
    }
    Some(Ok(unmap(prefix)))
}

/// Two addresses with a `-` between; `None` when the text is no such thing.
fn range(text: &str) -> Option<Result<Host, Wrong>> {
    let (first, last) = text.split_once('-')?;
    let first = ip(first)?;
    let offset = text.len() - last.len();
    let last = ip(last).unwrap_or_else(|| Err(Wrong::new(format!("`{}` is not an IP address", excerpt(last)))));
    let both = first.and_then(|first| Ok((first, last.map_err(|wrong| wrong.shift(offset))?)));
    Some(both.and_then(|(first, last)| match (first.to_canonical(), last.to_canonical()) {
        (first, last) if first.is_ipv4() != last.is_ipv4() => {
            Err(Wrong::new(format!("`{text}` runs from one family of addresses to the other")))
        }
        (first, last) if first > last => {
            Err(Wrong::new(format!("the range `{text}` runs backwards")).help(format!("`{last}-{first}`")))
        }
        (first, last) if first == last => Ok(Host::Net(first.into())),
        (first, last) => Ok(Host::Range(first, last)),
    }))
}

/// An address; `None` when the text is none, not even a wrong one.
fn ip(text: &str) -> Option<Result<IpAddr, Wrong>> {
    if let Ok(address) = text.parse() {
        return Some(Ok(address));
    }
    let (address, _) = text.split_once('%')?;
    address.parse::<Ipv6Addr>().ok().map(|address| {
        let wrong = Wrong::new(format!("`{}` says which link, which a rule says with `interface`", excerpt(text)));
        Err(wrong.help(format!("`{address}`")))
    })
}

/// An IPv4 address in IPv6 clothes (RFC 4291 section 2.5.5.2) is an IPv4 address.
fn unmap(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let v4 = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    v4.and_then(|(address, length)| Ipv4Net::new(address, length).ok()).map_or(net, IpNet::V4)
}
