//! Answers in force: those that hold for a process or for a time.
//!
//! An answer is for a user, a program path, a direction and an aim. The program must be vouched for as it was then
//! ([`Vouched`]), so that one that was replaced is asked about anew; when nothing was known of it but its path, the path
//! is enough. Of several that cover a connection the youngest decides: the last word counts.
//!
//! Time: an answer for a time ends when *either* clock says so. The wall clock alone would let one that is set back
//! prolong it; the monotonic clock alone stands still while a machine sleeps, and starts anew with every run. So while the
//! service runs no answer holds longer than it was given for; across restarts only the wall clock is left, and one that
//! was set back in between can give an answer its whole time once more, never longer.
//!
//! Invariants: at most [`MAX_ANSWERS`], and at most [`MAX_ANSWERS_PER_USER`] of one user: the one that ends first makes
//! room, then the oldest of a process. Neighbours: `answers/file` is their lasting form.

pub mod file;

use super::coverage::{Aim, Same, Vouched};
use super::place::{Asker, Programs};
use super::waiting::Waiting;
use crate::clock::Now;
use crate::identity::Key;
use control::entry::{Direction, Verdict};
use foldhash::{HashMap, HashMapExt, HashSet};
use jiff::{SignedDuration, Timestamp};
use rules::decision::RuleName;
use rules::facts::Needs;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// How many answers are kept.
pub const MAX_ANSWERS: usize = 4096;

/// How many of one user.
pub const MAX_ANSWERS_PER_USER: usize = 1024;

/// An answer in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Whose connections: the user id.
    pub user: Arc<str>,
    /// The program's path.
    pub program: Arc<str>,
    /// What vouched for it.
    #[serde(flatten)]
    pub vouched: Vouched,
    /// Who begins the connections.
    pub direction: Direction,
    /// Where to.
    pub aim: Aim,
    /// Permit or block.
    pub verdict: Verdict,
    /// How long.
    pub hold: Holds,
    /// Who answered.
    pub by: Arc<str>,
    /// Which prompt.
    pub prompt: u64,
    /// When.
    pub given: Timestamp,
}

/// How long an answer in force holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum Holds {
    /// While this process runs.
    Process {
        /// Names it among all of this boot.
        start_key: u64,
        /// Its process id; `0` in files of releases that did not write it.
        #[serde(default)]
        pid: u64,
    },
    /// Until a moment.
    Until {
        /// The moment.
        end: Timestamp,
        /// For how long it was given, in seconds.
        seconds: u32,
    },
    /// Until the rule that it becomes is in force; where this rule asks, and nowhere else. Never written down: the rule is.
    Ruled {
        /// As [`Waiting::asked_by`].
        asked_by: Option<RuleName>,
    },
}

/// An answer, and what only this run knows of it.
#[derive(Clone, Debug)]
struct Slot {
    kept: Arc<Kept>,
    /// When it ends by the monotonic clock.
    end: Option<Duration>,
    /// Higher is younger.
    number: u64,
}

impl Slot {
    fn is_over(&self, now: Now) -> bool {
        matches!(self.kept.hold, Holds::Until { end, .. } if end <= now.wall)
            || self.end.is_some_and(|end| end <= now.monotonic)
    }

    /// Which makes room first: the soonest to end, then the oldest of a process, then the oldest that becomes a rule.
    fn rank(&self) -> (u8, Duration, u64) {
        let kind = match self.kept.hold {
            Holds::Until { .. } => 0,
            Holds::Process { .. } => 1,
            Holds::Ruled { .. } => 2,
        };
        (kind, self.end.unwrap_or_default(), self.number)
    }
}

/// What the answers in force say about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// This one decides.
    Decided(Arc<Kept>),
    /// One may, if the program is still the same.
    Needs(Needs),
    /// Nothing.
    Nothing,
}

/// Answers by whom and what they are for.
type Slots = HashMap<(Asker, Aim), Vec<Slot>>;

/// The answers in force.
#[derive(Debug)]
pub struct Answers {
    boot: Arc<str>,
    slots: Slots,
    count: usize,
    last: u64,
    generation: u64,
}

impl Answers {
    /// None. `boot` names this boot: process answers of another are over.
    pub fn new(boot: Arc<str>) -> Self {
        Self { boot, slots: HashMap::new(), count: 0, last: 0, generation: 0 }
    }

    /// The highest number of a prompt that was answered.
    pub fn last_prompt(&self) -> u64 {
        self.slots.values().flatten().map(|slot| slot.kept.prompt).max().unwrap_or_default()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All, the oldest first.
    pub fn all(&self) -> Vec<Arc<Kept>> {
        let mut slots: Vec<&Slot> = self.slots.values().flatten().collect();
        slots.sort_unstable_by_key(|slot| slot.number);
        slots.into_iter().map(|slot| slot.kept.clone()).collect()
    }

    /// Which one decides this connection: the youngest that covers it.
    pub fn look_up<T>(&self, asker: &Asker, waiting: &Waiting<T>, now: Now) -> Lookup {
        if self.slots.is_empty() {
            return Lookup::Nothing;
        }
        let mut found: Option<(&Slot, Same)> = None;
        for aim in Aim::all(waiting) {
            for slot in self.slots.get(&(asker.clone(), aim)).into_iter().flatten() {
                let same = slot.kept.vouched.compare(&waiting.identity);
                let takes_part = match &slot.kept.hold {
                    Holds::Process { start_key, .. } => *start_key == waiting.start_key,
                    Holds::Until { .. } => true,
                    Holds::Ruled { asked_by } => *asked_by == waiting.asked_by,
                };
                if takes_part
                    && same != Same::No
                    && !slot.is_over(now)
                    && found.is_none_or(|(best, _)| best.number < slot.number)
                {
                    found = Some((slot, same));
                }
            }
        }
        match found {
            Some((slot, Same::Yes)) => Lookup::Decided(slot.kept.clone()),
            Some((_, Same::Needs(needs))) => Lookup::Needs(needs),
            _ => Lookup::Nothing,
        }
    }

    /// Puts one in force. One for the very same thing is replaced.
    pub fn keep(&mut self, kept: Kept, now: Now) {
        self.prune(now);
        let end = match kept.hold {
            Holds::Until { end, seconds } => {
                let left = end.duration_since(now.wall).min(SignedDuration::from_secs(seconds.into()));
                Some(now.monotonic.saturating_add(Duration::try_from(left).unwrap_or_default()))
            }
            Holds::Process { .. } | Holds::Ruled { .. } => None,
        };
        let key = key(&kept);
        self.retain(&key, |slot| !is_for_the_same(&slot.kept, &kept));
        let of_user =
            self.slots.iter().filter(|((asker, _), _)| asker.user == key.0.user).map(|(_, slots)| slots.len());
        if of_user.sum::<usize>() >= MAX_ANSWERS_PER_USER {
            self.make_room(|user| *user == kept.user);
        } else if self.count >= MAX_ANSWERS {
            self.make_room(|_| true);
        }
        self.last += 1;
        self.generation += 1;
        self.slots.entry(key).or_default().push(Slot { kept: Arc::new(kept), end, number: self.last });
        self.count += 1;
    }

    /// The rule that the answer to this prompt became is in force.
    pub fn drop_ruled(&mut self, prompt: u64) {
        self.retain_all(|slot| !(slot.kept.prompt == prompt && matches!(slot.kept.hold, Holds::Ruled { .. })));
    }

    /// The processes for which there are answers.
    pub fn processes(&self) -> Vec<Key> {
        let processes = self.slots.values().flatten().filter_map(|slot| match slot.kept.hold {
            Holds::Process { start_key, pid } if pid != 0 => Some(Key { pid, start_key }),
            _ => None,
        });
        processes.collect::<HashSet<Key>>().into_iter().collect()
    }

    /// This process has ended. Gives whether an answer ended with it.
    pub fn drop_process(&mut self, start_key: u64) -> bool {
        let before = self.count;
        self.retain_all(|slot| !matches!(slot.kept.hold, Holds::Process { start_key: own, .. } if own == start_key));
        self.generation += 1;
        before != self.count
    }

    /// Drops those that are over.
    pub fn prune(&mut self, now: Now) {
        self.retain_all(|slot| !slot.is_over(now));
    }

    fn make_room(&mut self, of: impl Fn(&Arc<str>) -> bool) {
        let candidates = self.slots.values().flatten().filter(|slot| of(&slot.kept.user));
        let Some(first) = candidates.min_by_key(|slot| slot.rank()) else { return };
        let (number, key) = (first.number, key(&first.kept));
        self.retain(&key, |slot| slot.number != number);
    }

    fn retain(&mut self, key: &(Asker, Aim), keep: impl Fn(&Slot) -> bool) {
        let Some(slots) = self.slots.get_mut(key) else { return };
        let before = slots.len();
        slots.retain(keep);
        self.count -= before - slots.len();
        if slots.is_empty() {
            self.slots.remove(key);
        }
    }

    fn retain_all(&mut self, keep: impl Fn(&Slot) -> bool) {
        self.slots.retain(|_, slots| {
            slots.retain(&keep);
            !slots.is_empty()
        });
        self.count = self.slots.values().map(Vec::len).sum();
    }
}

fn key(kept: &Kept) -> (Asker, Aim) {
    let program = Programs::Path(kept.program.clone());
    (Asker { user: Some(kept.user.clone()), program, direction: kept.direction }, kept.aim.clone())
}

/// Of two answers with the same key, whether the younger says again what the older says.
fn is_for_the_same(older: &Kept, younger: &Kept) -> bool {
    let same_hold = match (&older.hold, &younger.hold) {
        (Holds::Process { start_key: a, .. }, Holds::Process { start_key: b, .. }) => a == b,
        (Holds::Until { end: a, .. }, Holds::Until { end: b, .. }) => a <= b,
        (Holds::Ruled { asked_by: a }, Holds::Ruled { asked_by: b }) => a == b,
        _ => false,
    };
    same_hold && older.vouched == younger.vouched
}
