//! Sets: lists of hosts, a line each, as they are published: domain names, addresses, prefixes, ranges, or a hosts file.

use super::reader::Reader;
use super::remote;
use super::text::{self, excerpt};
use super::wrong::Wrong;
use crate::model::Host;
use std::net::IpAddr;
use std::sync::Arc;

/// How many entries all sets may have together.
pub const MAX_ENTRIES: usize = 1_000_000;

/// A set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Its entries: no [`Host::Any`] and no [`Host::Set`].
    pub hosts: Vec<Host>,
}

/// The sets that are built in. `loopback`: RFC 1122, 4291. `private`: RFC 1918, 4193. `link-local`: RFC 3927, 4291.
/// `multicast`: RFC 5771, 4291, and the IPv4 broadcast of RFC 919.
const BUILT_IN: [(&str, &[&str]); 4] = [
    ("loopback", &["127.0.0.0/8", "::1"]),
    ("private", &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]),
    ("link-local", &["169.254.0.0/16", "fe80::/10"]),
    ("multicast", &["224.0.0.0/4", "255.255.255.255", "ff00::/8"]),
];

/// The names that a hosts file gives to this machine itself.
const HOSTS_OF_ITS_OWN: [&str; 8] = [
    "localhost",
    "localhost.localdomain",
    "local",
    "broadcasthost",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-allnodes",
    "ip6-allrouters",
];

/// The sets that are built in, by name.
pub fn built_in() -> [(Arc<str>, Set); 4] {
    BUILT_IN.map(|(name, hosts)| {
        let hosts = hosts.iter().map(|host| remote::host(host).expect("the table has hosts")).collect();
        (name.into(), Set { hosts })
    })
}

/// Reads a set; `entries` counts those of all sets.
pub(super) fn read(reader: &mut Reader<'_>, entries: &mut usize) -> Set {
    let mut set = Set::default();
    let text = reader.file.text.clone();
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        let at = begin;
        begin += line.len();
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        // Where a word of the line begins in the file.
        let offset = |word: &str| at + (word.as_ptr() as usize - line.as_ptr() as usize);
        let before = set.hosts.len();
        let mut rest = words.peekable();
        if rest.peek().is_none() {
            match entry(first) {
                Ok(host) => set.hosts.push(host),
                Err(wrong) => reader.wrong_at(offset(first) + wrong.at, wrong),
            }
        } else if first.parse::<IpAddr>().is_ok() {
            for name in rest.filter(|name| !HOSTS_OF_ITS_OWN.contains(name)) {
                match text::domain(name) {
                    Ok(name) => set.hosts.push(Host::Domain(name.into())),
                    Err(wrong) => reader.wrong_at(offset(name) + wrong.at, wrong),
                }
            }
        } else {
            let wrong = Wrong::new(format!("`{}` is more than one entry", excerpt(line.trim())));
            reader.wrong_at(
                offset(first),
                wrong.help("an entry a line, or a line of a hosts file: `0.0.0.0 ads.example`"),
            );
        }
        let added = set.hosts.len() - before;
        if *entries <= MAX_ENTRIES && *entries + added > MAX_ENTRIES {
            reader.wrong_at(at, Wrong::new(format!("the sets have more than {MAX_ENTRIES} entries together")));
        }
        *entries += added;
    }
    set
}

fn entry(text: &str) -> Result<Host, Wrong> {
    match remote::host(text)? {
        Host::Any => Err(Wrong::new("`*` is every host, which needs no set")),
        Host::Set(name) => Err(Wrong::new(format!("a set does not name another: `@{name}`"))),
        host => Ok(host),
    }
}
