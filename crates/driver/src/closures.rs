//! Sockets that wait to be closed.
//!
//! When a socket closes while an operation of it is just being completed, or just being pended, on another processor, the
//! closure's classify is itself pended until that is over: nobody promises that an operation outlives its socket (R32).
//!
//! No wake-up is lost: `hold` puts the closure here before it looks whether the socket is still busy, and whoever ends a
//! completion tells the gate before he looks here.
//!
//! Neighbours: `ale::closure` holds, `letting_go` wakes; `gate` knows which sockets are busy. The lock here is never held
//! together with the gate's.

use crate::{Tollgate, names};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use gate::{Closing, Closure};
use nt::lock::SpinLock;
use nt::pool::Slab;
use nt::status::Result;
use nt::wfp::closure::Held;

/// How many may wait. Operations that are being completed at a time are fewer, so it is hard to fill.
const MOST: usize = 128;

struct Waiting {
    /// Differs for each, also when one socket takes the place of another.
    serial: u64,
    closing: Closing,
    held: Held,
}

/// The sockets that wait.
pub(crate) struct Closures {
    places: SpinLock<Slab<Option<Waiting>>>,
    /// How many wait: looked at without the lock, because mostly none does.
    count: AtomicU32,
    /// How many ever waited.
    total: AtomicU64,
}

impl Closures {
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            places: SpinLock::new(Slab::new(MOST, names::STATE_TAG, |_| None)?),
            count: AtomicU32::new(0),
            total: AtomicU64::new(0),
        })
    }

    /// Keeps a closure; gives it back when there is no room.
    fn put(&self, closing: Closing, held: Held) -> core::result::Result<(), Held> {
        let mut places = self.places.lock();
        let Some(place) = places.iter_mut().find(|place| place.is_none()) else { return Err(held) };
        let serial = self.total.fetch_add(1, Ordering::Relaxed);
        *place = Some(Waiting { serial, closing, held });
        self.count.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn look(&self, place: usize) -> Option<(u64, Closing)> {
        self.places.lock().get(place)?.as_ref().map(|waiting| (waiting.serial, waiting.closing))
    }

    fn take(&self, place: usize, serial: u64) -> Option<Held> {
        let mut places = self.places.lock();
        let waiting = places.get_mut(place)?.take_if(|waiting| waiting.serial == serial)?;
        self.count.fetch_sub(1, Ordering::Release);
        Some(waiting.held)
    }

    /// How many wait now.
    pub(crate) fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// How many ever waited.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

impl Tollgate {
    /// Has a closure wait until its socket is not busy any more, which it may be already.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`, with no lock held.
    pub(crate) fn close_later(&self, closing: Closing, held: Held) {
        if let Err(held) = self.closures.put(closing, held) {
            // Better a socket that closes too early than one that never does.
            return held.complete();
        }
        self.close_waiting();
    }

    /// Closes the sockets that are not busy any more.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`, with no lock held.
    pub(crate) fn close_waiting(&self) {
        if self.closures.count() == 0 {
            return;
        }
        for place in 0..MOST {
            let Some((serial, closing)) = self.closures.look(place) else { continue };
            // What it was given to hold since then goes with it too.
            if self.gate.lock().handle_closure(self.now(), closing) == Closure::Busy {
                continue;
            }
            if let Some(held) = self.closures.take(place, serial) {
                held.complete();
            }
        }
    }
}
