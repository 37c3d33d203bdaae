//! Names of network interfaces, remembered for a while: people rename interfaces, and some come later than their traffic.
//!
//! Invariants: bounded; the system is asked at most once in [`FRESH`] about one interface, in [`AGAIN`] while it has no
//! name. Neighbours: `platform::interfaces` tells names, from memory; `gate` asks for each connection.

use crate::recent::Recent;
use std::sync::Arc;
use std::time::Duration;

/// Tells the name of the interface with a LUID (`0` unknown) and an index (`0` unknown), without waiting for anything.
pub type Namer = Arc<dyn Fn(u64, u32) -> Option<String> + Send + Sync>;

/// How many interfaces are remembered.
const MAX_INTERFACES: usize = 1_024;
/// How long a name is believed.
pub const FRESH: Duration = Duration::from_secs(30);
/// How long one that has no name is not asked about again.
pub const AGAIN: Duration = Duration::from_secs(5);

/// The interfaces that are remembered.
pub struct Interfaces {
    namer: Namer,
    known: Recent<(u64, u32), Known>,
}

struct Known {
    name: Option<Arc<str>>,
    /// By the steady clock.
    until: Duration,
}

impl Interfaces {
    /// Named by `namer`.
    pub fn new(namer: Namer) -> Self {
        Self { namer, known: Recent::new(MAX_INTERFACES) }
    }

    /// The name of an interface, at `now` by the steady clock.
    pub fn name(&mut self, luid: u64, index: u32, now: Duration) -> Option<Arc<str>> {
        if (luid, index) == (0, 0) {
            return None;
        }
        let unknown = || Known { name: None, until: now };
        let known = self.known.get_or_insert_with((luid, index), unknown);
        if known.until <= now {
            let name = (self.namer)(luid, index);
            if name.as_deref() != known.name.as_deref() {
                known.name = name.map(Arc::from);
            }
            known.until = now + if known.name.is_some() { FRESH } else { AGAIN };
        }
        known.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn the_system_is_asked_seldom_and_more_often_while_there_is_no_name() {
        let (asked, name) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(None)));
        let (count, named) = (asked.clone(), name.clone());
        let mut interfaces = Interfaces::new(Arc::new(move |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
            named.lock().unwrap().clone()
        }));
        let mut now = Duration::from_secs(1_000);
        for (text, holds) in [(None, AGAIN), (Some("Wi-Fi"), FRESH), (Some("Office"), FRESH), (None, AGAIN)] {
            *name.lock().unwrap() = text.map(str::to_owned);
            let before = asked.load(Ordering::Relaxed);
            for at in [now, now, now + holds.checked_sub(Duration::from_millis(1)).unwrap()] {
                assert_eq!(interfaces.name(0, 3, at).as_deref(), text);
            }
            assert_eq!(asked.load(Ordering::Relaxed), before + 1);
            now += holds;
        }
        assert_eq!(interfaces.name(0, 0, now), None);
        assert_eq!(asked.load(Ordering::Relaxed), 4, "an unknown interface is not asked about");
    }
}
