//! The lasting form of the answers: `answers.json`.
//!
//! One JSON object: the version, the boot that process answers are of, and the answers, oldest first. Invariants: pure,
//! bytes in and out; a file that is not wholly understood is refused as a whole, and the daemon keeps it as [`ASIDE`] and
//! starts without answers, which asks once more and decides nothing wrongly. Neighbours: the daemon reads and replaces the
//! file.

use super::{Answers, Holds, Kept, MAX_ANSWERS};
use crate::clock::Now;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The name of the file, in the directory of state.
pub const NAME: &str = "answers.json";

/// What a file that cannot be read is renamed to.
pub const ASIDE: &str = "answers.json.bad";

/// The longest file, in bytes.
pub const MAX_FILE: usize = 64 << 20;

/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is too long.
    #[error("it has {0} bytes, and {MAX_FILE} are allowed")]
    TooLong(usize),
    /// It is not JSON, or not this JSON.
    #[error("it is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    /// Another release wrote it.
    #[error("it is of version {0}, and this release reads version {VERSION}")]
    Version(u32),
    /// It holds too much.
    #[error("it holds {0} answers, and {MAX_ANSWERS} are allowed")]
    TooMany(usize),
}

/// Answers as they were at one moment, to be written down outside every lock.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Higher is younger: an older one must not replace a younger one.
    pub generation: u64,
    boot: Arc<str>,
    answers: Vec<Arc<Kept>>,
}

#[derive(Deserialize)]
struct Head {
    version: u32,
}

#[derive(Serialize)]
struct Out<'a> {
    version: u32,
    boot: &'a str,
    answers: &'a [Arc<Kept>],
}

#[derive(Deserialize)]
struct In {
    boot: Arc<str>,
    answers: Vec<Kept>,
}

impl Snapshot {
    /// How many answers it holds.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// The contents of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let out = Out { version: VERSION, boot: &self.boot, answers: &self.answers };
        let mut bytes = serde_json::to_vec(&out).expect("strings, numbers and lists always serialise");
        bytes.push(b'\n');
        bytes
    }
}

impl Answers {
    /// What must outlive this run: all but those that become rules.
    pub fn snapshot(&self) -> Snapshot {
        let lasting = |kept: &Arc<Kept>| !matches!(kept.hold, Holds::Ruled { .. });
        let answers = self.all().into_iter().filter(lasting).collect();
        Snapshot { generation: self.generation, boot: self.boot.clone(), answers }
    }

    /// Reads a file. Those that are over are left out: by the wall clock, and of processes of another boot.
    pub fn load(bytes: &[u8], boot: Arc<str>, now: Now) -> Result<Self, LoadError> {
        if bytes.len() > MAX_FILE {
            return Err(LoadError::TooLong(bytes.len()));
        }
        let Head { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(LoadError::Version(version));
        }
        let file: In = serde_json::from_slice(bytes)?;
        if file.answers.len() > MAX_ANSWERS {
            return Err(LoadError::TooMany(file.answers.len()));
        }
        let same_boot = file.boot == boot;
        let mut answers = Self::new(boot);
        for kept in file.answers {
            let in_force = match kept.hold {
                Holds::Process { start_key, .. } => same_boot && start_key != 0,
                Holds::Until { end, .. } => end > now.wall,
                Holds::Ruled { .. } => false,
            };
            if in_force {
                answers.keep(kept, now);
            }
        }
        Ok(answers)
    }
}
