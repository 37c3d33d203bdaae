//! The attachment: what the driver asks about our programs waits here, everything else is permitted at once.
//!
//! Invariants: one thread takes requests; dropping a [`Gate`] ends it and detaches. Neighbours: `platform` speaks to
//! the driver, `stories` decides.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use platform::enforcer::{Enforcer, Next};
use wire::batch;
use wire::request::{Request, RequestFlags};
use wire::settings::{Fallback, Holds, Settings};
use wire::stats::Stats;
use wire::verdict::{Answer, Outcome, RequestId, Verdict};

/// Longer than anything takes that is going to come.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// How often the thread looks whether it should end.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// ICMP, IPv4 and IPv6: a ping's program is none of ours.
const ICMP: [u8; 2] = [1, 58];

/// The driver, attached to this process.
pub struct Gate {
    shared: Arc<Shared>,
    taker: Option<JoinHandle<()>>,
    settings: Settings,
}

struct Shared {
    enforcer: Box<dyn Enforcer>,
    asked: Mutex<Vec<Asked>>,
    came: Condvar,
    is_over: AtomicBool,
}

/// Something that the driver told about one of our programs.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub request: Request,
    /// Whether program and user came with it.
    pub is_named: bool,
    /// Whether a story has taken it.
    is_taken: bool,
}

impl Asked {
    /// Whether it waits for an answer.
    pub fn is_held(&self) -> bool {
        self.request.flags().contains(RequestFlags::HELD)
    }

    /// Whether it is a question about a flow that lives.
    pub fn is_live(&self) -> bool {
        self.request.flags().contains(RequestFlags::LIVE)
    }
}

/// Settings that hold these, with an epoch of their own.
pub fn settings(hold: Holds) -> Settings {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = u32::try_from(since_1970.as_secs() & 0xff_ffff).unwrap_or_default();
    let epoch = (seconds << 8) | (RUNS.fetch_add(1, Ordering::Relaxed) & 0xff);
    Settings {
        hold: hold.bits(),
        epoch,
        fallback_outbound: Fallback::PERMIT,
        fallback_inbound: Fallback::PERMIT,
        deadline_ms: 30_000,
        ..Settings::INITIAL
    }
}

impl Gate {
    /// Attaches.
    pub fn attach(settings: Settings) -> Result<Self> {
        let enforcer = platform::open().context("cannot open the driver")?;
        enforcer.attach(&settings).context("cannot attach")?;
        let shared = Arc::new(Shared {
            enforcer,
            asked: Mutex::default(),
            came: Condvar::new(),
            is_over: AtomicBool::new(false),
        });
        let program = own_name();
        let taker = thread::spawn({
            let shared = shared.clone();
            move || shared.take_all(&program)
        });
        Ok(Self { shared, taker: Some(taker), settings })
    }

    /// Waits for the next one of these, once each.
    pub fn next(&self, what: impl Fn(&Asked) -> bool) -> Result<Asked> {
        self.next_within(PATIENCE, what).context("the driver did not ask")
    }

    /// The same with another patience, and `None` when it did not come.
    pub fn next_within(&self, patience: Duration, what: impl Fn(&Asked) -> bool) -> Option<Asked> {
        let until = Instant::now() + patience;
        let mut asked = lock(&self.shared.asked);
        loop {
            if let Some(found) = asked.iter_mut().find(|one| !one.is_taken && what(one)) {
                found.is_taken = true;
                return Some(*found);
            }
            let left = until.checked_duration_since(Instant::now())?;
            asked = self.shared.came.wait_timeout(asked, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How many of these have come, taken or not.
    pub fn count(&self, what: impl Fn(&Asked) -> bool) -> usize {
        lock(&self.shared.asked).iter().filter(|one| what(one)).count()
    }

    /// Answers; nothing is remembered.
    pub fn answer(&self, asked: &Asked, verdict: Verdict) -> Result<Outcome> {
        self.shared.answer(asked.request.id, verdict)
    }

    /// The counters.
    pub fn stats(&self) -> Result<Stats> {
        Ok(self.shared.enforcer.stats()?)
    }

    /// Waits until the counters are like this, or patience is over; gives the last.
    pub fn stats_when(&self, is_so: impl Fn(&Stats) -> bool) -> Result<Stats> {
        let until = Instant::now() + PATIENCE;
        loop {
            let stats = self.stats()?;
            if is_so(&stats) || Instant::now() > until {
                return Ok(stats);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Puts the same settings in force as a new epoch.
    pub fn new_epoch(&mut self) -> Result<()> {
        self.settings.epoch = self.settings.epoch.wrapping_add(1 << 7);
        Ok(self.shared.enforcer.configure(&self.settings)?)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.shared.enforcer.interrupt();
        if let Some(taker) = self.taker.take() {
            // A panic of it has been printed.
            taker.join().ok();
        }
    }
}

impl Shared {
    fn take_all(&self, program: &str) {
        let mut bytes = Vec::new();
        while !self.is_over.load(Ordering::Relaxed) {
            match self.enforcer.next(&mut bytes, LOOK_EVERY) {
                Ok(Next::Batch) => self.sort(&bytes, program),
                Ok(Next::Interrupted | Next::TimedOut) => {}
                // The driver is stopping; what it holds it releases when the handle is closed.
                Err(_) => return,
            }
        }
    }

    fn sort(&self, bytes: &[u8], program: &str) {
        let Ok((_, requests)) = batch::requests(bytes) else { return };
        for view in requests.flatten() {
            let is_named = !view.path.is_empty() && !view.sid.is_empty();
            let asked = Asked { request: view.request, is_named, is_taken: false };
            if is_of(view.path, program) || ICMP.contains(&view.request.protocol) || view.path.is_empty() {
                lock(&self.asked).push(asked);
                self.came.notify_all();
            } else if asked.is_held() || asked.is_live() {
                // Whoever it was may have gone.
                self.answer(view.request.id, Verdict::PERMIT).ok();
            }
        }
    }

    fn answer(&self, id: RequestId, verdict: Verdict) -> Result<Outcome> {
        let outcomes = self.enforcer.submit(&[Answer::once(id, verdict)])?;
        match outcomes.first() {
            Some(outcome) => Ok(*outcome),
            None => bail!("no outcome"),
        }
    }
}

/// The file name of this program.
pub fn own_name() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    path.file_name().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Whether a path, UTF-16LE, ends with this file name.
fn is_of(path: &[u8], program: &str) -> bool {
    let units: Vec<u16> =
        path.chunks_exact(2).filter_map(|pair| Some(u16::from_le_bytes(pair.try_into().ok()?))).collect();
    String::from_utf16_lossy(&units).to_lowercase().rsplit(['\\', '/']).next() == Some(program)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn our_programs_are_told_by_their_file_name() {
        assert!(is_of(&utf16(r"\device\harddiskvolume3\t\Experiments.exe"), "experiments.exe"));
        assert!(!is_of(&utf16(r"\device\harddiskvolume3\experiments.exe\other.exe"), "experiments.exe"));
        assert!(!is_of(&[], "experiments.exe"));
    }

    #[test]
    fn every_attachment_has_an_epoch_of_its_own_and_valid_settings() {
        let (first, second) = (settings(Holds::USUAL), settings(Holds::empty()));
        assert!(first.is_valid() && second.is_valid());
        assert_ne!(first.epoch, second.epoch);
    }
}
