//! Names of addresses, from the answers to name lookups that the platform sees.
//!
//! Invariants: bounded in addresses and in names of each; a name is the one that was asked for, whatever aliases led to the
//! address; an answer that points at this machine names nothing. Neighbours: `platform` hears the lookups, `gate` asks for
//! names.

use crate::recent::Recent;
use control::entry::{Confidence, Name};
use platform::names::{Answer, Event};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Something that sees name lookups.
pub trait NameSource: Send {
    /// What it is, for people: `the resolver's events`.
    fn what(&self) -> &str;

    /// Begins to tell `sink` of each, from another thread, until what is given back is dropped; or says why it cannot.
    fn watch(&self, sink: Box<dyn FnMut(Event) + Send>) -> Result<Box<dyn Send>, String>;
}

/// How many addresses are remembered.
const MAX_ADDRESSES: usize = 16_384;
/// How many names an address has at most; the oldest go.
const MAX_NAMES: usize = 8;
/// The longest name in bytes (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 255;
/// Programs connect to an address they looked up long after its time to live, which is often seconds.
const MIN_TTL: Duration = Duration::from_secs(5 * 60);
/// Nobody vouches for an address for longer.
const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// When the source does not know.
const USUAL_TTL: Duration = Duration::from_secs(60 * 60);

/// The names that are known.
#[derive(Debug)]
pub struct Names {
    addresses: Mutex<Recent<IpAddr, Vec<Known>>>,
}

/// A name of an address, the newest last.
#[derive(Debug)]
struct Known {
    text: Arc<str>,
    pid: Option<u64>,
    /// By the steady clock.
    until: Duration,
}

impl Default for Names {
    fn default() -> Self {
        Self { addresses: Mutex::new(Recent::new(MAX_ADDRESSES)) }
    }
}

impl Names {
    /// Learns from an answer that came at `now`, by the steady clock.
    pub fn hear(&self, answer: &Answer, now: Duration) {
        let address = answer.address.to_canonical();
        let Some(text) = normal(&answer.name).filter(|_| is_elsewhere(address)) else { return };
        let pid = answer.pid.map(u64::from);
        let until = now + answer.ttl.unwrap_or(USUAL_TTL).clamp(MIN_TTL, MAX_TTL);
        let mut addresses = self.addresses();
        let known = addresses.get_or_insert_with(address, Vec::new);
        known.retain(|known| known.until > now && (known.text != text || known.pid != pid));
        if known.len() >= MAX_NAMES {
            // A name that two processes looked up goes before one that only one did: else whoever looks up the same name
            // often enough makes the address look surer than it is.
            let is_double = |one: &Known| known.iter().filter(|other| other.text == one.text).count() > 1;
            let oldest = known.iter().position(is_double).unwrap_or(0);
            known.remove(oldest);
        }
        known.push(Known { text, pid, until });
    }

    /// The name by which the process `pid` most likely means `address`.
    pub fn name(&self, address: IpAddr, pid: u64, now: Duration) -> Option<Name> {
        let mut addresses = self.addresses();
        let known = addresses.get(&address.to_canonical())?;
        let live = || known.iter().rev().filter(|known| known.until > now);
        let own = || live().filter(|known| known.pid == Some(pid));
        if let Some(latest) = own().next() {
            let is_sure = own().all(|known| known.text == latest.text);
            let confidence = if is_sure { Confidence::OwnProcess } else { Confidence::Ambiguous };
            return Some(Name { text: latest.text.clone(), confidence });
        }
        let latest = live().next()?;
        let is_sure = live().all(|known| known.text == latest.text);
        let confidence = if is_sure { Confidence::OtherProcess } else { Confidence::Ambiguous };
        Some(Name { text: latest.text.clone(), confidence })
    }

    fn addresses(&self) -> MutexGuard<'_, Recent<IpAddr, Vec<Known>>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lower case, no final dot; `None` for what is no name.
fn normal(name: &str) -> Option<Arc<str>> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let is_name = !name.is_empty() && name.len() <= MAX_NAME && name.parse::<IpAddr>().is_err();
    is_name.then(|| name.into())
}

/// Blocklists answer with addresses of this machine or of nobody.
fn is_elsewhere(address: IpAddr) -> bool {
    !address.is_loopback() && !address.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn lookup(name: &str, address: &str, pid: Option<u32>) -> Answer {
        Answer { name: name.to_owned(), address: address.parse().unwrap(), ttl: Some(HOUR), pid }
    }

    fn name(names: &Names, address: &str, pid: u64, now: Duration) -> Option<(String, Confidence)> {
        names.name(address.parse().unwrap(), pid, now).map(|name| (name.text.to_string(), name.confidence))
    }

    #[test]
    fn a_process_means_what_it_looked_up_itself() {
        let names = Names::default();
        names.hear(&lookup("Mine.Example.", "192.0.2.1", Some(7)), NOW);
        names.hear(&lookup("other.example", "192.0.2.1", Some(8)), NOW);
        let own = |pid| name(&names, "192.0.2.1", pid, NOW);
        assert_eq!(own(7), Some(("mine.example".into(), Confidence::OwnProcess)));
        assert_eq!(own(8), Some(("other.example".into(), Confidence::OwnProcess)));
        assert_eq!(own(9), Some(("other.example".into(), Confidence::Ambiguous)));
        assert_eq!(name(&names, "::ffff:192.0.2.1", 7, NOW), own(7));
        assert_eq!(name(&names, "192.0.2.2", 7, NOW), None);
    }

    #[test]
    fn a_name_that_many_processes_look_up_pushes_no_other_out() {
        let names = Names::default();
        names.hear(&lookup("other.example", "192.0.2.1", Some(1)), NOW);
        for pid in 10..30 {
            names.hear(&lookup("loud.example", "192.0.2.1", Some(pid)), NOW);
        }
        assert_eq!(name(&names, "192.0.2.1", 2, NOW), Some(("loud.example".into(), Confidence::Ambiguous)));
    }

    #[test]
    fn a_name_that_some_process_looked_up_is_less_sure() {
        let names = Names::default();
        names.hear(&lookup("a.example", "2001:db8::1", None), NOW);
        names.hear(&lookup("a.example", "2001:db8::1", Some(8)), NOW);
        assert_eq!(name(&names, "2001:db8::1", 7, NOW), Some(("a.example".into(), Confidence::OtherProcess)));
    }

    #[test]
    fn a_process_that_looked_up_two_names_of_an_address_may_mean_either() {
        let names = Names::default();
        names.hear(&lookup("a.example", "192.0.2.1", Some(7)), NOW);
        names.hear(&lookup("b.example", "192.0.2.1", Some(7)), NOW);
        assert_eq!(name(&names, "192.0.2.1", 7, NOW), Some(("b.example".into(), Confidence::Ambiguous)));
    }

    #[test]
    fn a_name_holds_for_its_time_to_live_within_limits() {
        for (ttl, holds) in [(Some(0), MIN_TTL), (Some(3_600), HOUR), (None, USUAL_TTL), (Some(u64::MAX / 2), MAX_TTL)]
        {
            let names = Names::default();
            let ttl = ttl.map(Duration::from_secs);
            names.hear(&Answer { ttl, ..lookup("a.example", "192.0.2.1", None) }, NOW);
            let last = NOW + holds - Duration::from_millis(1);
            assert!(name(&names, "192.0.2.1", 7, last).is_some(), "{ttl:?}");
            assert_eq!(name(&names, "192.0.2.1", 7, NOW + holds), None, "{ttl:?}");
        }
    }

    #[test]
    fn what_points_here_or_is_no_name_is_ignored() {
        let names = Names::default();
        for (text, address) in [
            ("ads.example", "127.0.0.1"),
            ("ads.example", "::1"),
            ("ads.example", "0.0.0.0"),
            ("ads.example", "::ffff:127.0.0.1"),
            ("192.0.2.1", "192.0.2.1"),
            ("", "192.0.2.1"),
            (&"a".repeat(MAX_NAME + 1), "192.0.2.1"),
        ] {
            names.hear(&lookup(text, address, None), NOW);
            assert_eq!(name(&names, address, 7, NOW), None, "{text} {address}");
        }
    }

    #[test]
    fn an_address_keeps_its_latest_names() {
        let names = Names::default();
        for number in 0..100 {
            names.hear(&lookup(&format!("n{number}.example"), "192.0.2.1", Some(number)), NOW);
        }
        let oldest = 100 - MAX_NAMES as u64;
        let own = |pid| name(&names, "192.0.2.1", pid, NOW).unwrap().1;
        assert_eq!((own(oldest), own(oldest - 1)), (Confidence::OwnProcess, Confidence::Ambiguous));
    }
}
