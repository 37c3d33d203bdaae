//! Learning: rules are proposed, for review, in place of questions.
//!
//! While it is on, what would be asked is permitted, and a rule that would permit it is proposed: one per user, program,
//! direction, registrable domain (else address; nothing, for what others begin), port and protocol, with how often it would have decided. A proposal
//! decides nothing until somebody adopts it, which makes it a rule in [`FILE`].
//!
//! Each proposal is a file of its own, so that a review rewrites nothing else. The file holds the rule for people, and what
//! it was made of for the next run. It is written again when its count has doubled, not at each connection.
//!
//! Invariants: no I/O; at most [`MAX_PROPOSALS`], and [`MAX_PER_PROGRAM`] of one program: what comes later is counted and
//! left out. Neighbours: the daemon keeps the files; `rule` spells rules.

use super::place::{Asker, Place, end};
use super::rule::{RuleError, Terms, finish, is_link_local, parse, port, rules, unique};
use super::waiting::Waiting;
use control::entry::{Direction, Verdict};
use control::protocol::Proposal;
use foldhash::{HashMap, HashMapExt};
use jiff::Timestamp;
use rules::model::{Host, is_icmp};
use rules::ruleset::PathStyle;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use toml_edit::{DocumentMut, Item};

/// The file of adopted rules, in the directory of rules.
pub const FILE: &str = "user/learned.toml";
/// The folder of proposals, in the directory of state.
pub const FOLDER: &str = "proposed";
/// How many rules are proposed.
pub const MAX_PROPOSALS: usize = 1024;
/// How many for one program of one user, in one direction.
pub const MAX_PER_PROGRAM: usize = 64;
/// The longest file of a proposal, in bytes.
pub const MAX_FILE: usize = 64 << 10;

/// Why a proposal cannot be read, found or adopted.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// There is none.
    #[error("there is no proposal {0}")]
    NotFound(String),
    /// The file is not one of ours.
    #[error("the proposal {0} is damaged: {1}")]
    Damaged(String, String),
    /// The rule cannot be added.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

/// What proposals are coalesced by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Key {
    user: Arc<str>,
    program: Arc<str>,
    direction: Direction,
    to: To,
    /// `0`: the protocol has none.
    port: u16,
    protocol: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum To {
    Domain(Arc<str>),
    Address(std::net::IpAddr),
    /// Nowhere: others come here.
    Here,
}

/// A proposal, and its file's `[proposed]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Proposed {
    seen: u64,
    first: Timestamp,
    last: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    publisher: Option<Arc<str>>,
    #[serde(flatten)]
    key: Key,
}

#[derive(Serialize, Deserialize)]
struct File {
    proposed: Proposed,
}

impl Proposed {
    fn terms(&self) -> Terms {
        let Key { user, program, direction, to, port, protocol } = self.key.clone();
        let host = match to {
            To::Domain(domain) => Some(Host::DomainTree(domain)),
            To::Address(ip) => Some(Host::Net(ip.into())),
            To::Here => None,
        };
        let icmp = (host.is_none() && is_icmp(protocol)).then_some(port);
        let port = super::rule::port(protocol, port).unwrap_or_default();
        Terms {
            user,
            program,
            publisher: self.publisher.clone(),
            direction,
            host,
            port,
            protocol: Some(protocol),
            icmp,
        }
    }
}

/// What was learned.
#[derive(Clone, Debug)]
pub struct Learned {
    style: PathStyle,
    proposed: BTreeMap<String, Proposed>,
    ids: HashMap<Key, String>,
    unsaved: BTreeSet<String>,
    left_out: u64,
}

impl Learned {
    /// Nothing. `style` is how this machine writes paths.
    pub fn new(style: PathStyle) -> Self {
        let (proposed, unsaved) = (BTreeMap::new(), BTreeSet::new());
        Self { style, proposed, ids: HashMap::new(), unsaved, left_out: 0 }
    }

    /// A connection is permitted because of learning. Where program or user are unknown nothing can be proposed.
    pub fn see<T>(&mut self, waiting: &Waiting<T>, now: Timestamp) {
        let asker = Asker::of(waiting);
        let Some((program, user)) = asker.path().cloned().zip(asker.user.clone()) else { return };
        let mut end = end(waiting);
        let to = match Place::of(waiting) {
            Place::Domain(domain) => To::Domain(domain),
            Place::Local { port, .. } => {
                end.set_port(port);
                To::Here
            }
            _ if is_link_local(end.ip()) => return,
            _ => To::Address(end.ip()),
        };
        if port(waiting.protocol, end.port()).is_err() {
            return;
        }
        let publisher = waiting.identity.program.publisher.clone();
        let key = Key { user, program, direction: waiting.direction, to, port: end.port(), protocol: waiting.protocol };
        if let Some(id) = self.ids.get(&key) {
            if let Some(proposed) = self.proposed.get_mut(id) {
                proposed.seen = proposed.seen.saturating_add(1);
                proposed.last = now;
                let is_better_known = proposed.publisher.is_none() && publisher.is_some();
                proposed.publisher = publisher.or(proposed.publisher.take());
                if proposed.seen.is_power_of_two() || is_better_known {
                    self.unsaved.insert(id.clone());
                }
            }
            return;
        }
        let same = |own: &&Key| own.user == key.user && own.program == key.program && own.direction == key.direction;
        if self.ids.len() >= MAX_PROPOSALS || self.ids.keys().filter(same).count() >= MAX_PER_PROGRAM {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        let proposed = Proposed { seen: 1, first: now, last: now, publisher, key };
        let id = unique(&proposed.terms().slug(self.style), |id| self.proposed.contains_key(id));
        self.unsaved.insert(id.clone());
        self.insert(id, proposed);
    }

    fn insert(&mut self, id: String, proposed: Proposed) {
        self.ids.insert(proposed.key.clone(), id.clone());
        self.proposed.insert(id, proposed);
    }

    /// How many connections were permitted without a proposal because there are too many.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// All, by id.
    pub fn proposals(&self) -> Vec<Proposal> {
        let proposal = |(id, proposed): (&String, &Proposed)| Proposal {
            id: id.clone(),
            toml: self.rule(id, proposed).to_string(),
            seen: proposed.seen,
        };
        self.proposed.iter().map(proposal).collect()
    }

    fn rule(&self, id: &str, proposed: &Proposed) -> DocumentMut {
        let mut document = DocumentMut::new();
        if let Ok(rules) = rules(FILE, &mut document) {
            rules.insert(id, Item::Table(self.table(proposed)));
        }
        document
    }

    fn table(&self, proposed: &Proposed) -> toml_edit::Table {
        let mut table = proposed.terms().table(Verdict::Permit, 0, self.style);
        let first = proposed.first.strftime("%Y-%m-%d");
        let note = match proposed.seen {
            1 => format!("learned: seen once, on {first}"),
            seen => format!("learned: seen {seen} times since {first}"),
        };
        table.insert("note", note.into());
        table
    }

    /// Files to write: the name in [`FOLDER`], and the text.
    pub fn drain_unsaved(&mut self) -> Vec<(String, String)> {
        let unsaved = std::mem::take(&mut self.unsaved);
        let file = |id: String| {
            let proposed = self.proposed.get(&id)?;
            let head = "# Proposed, and not in force: `tollgate rules adopt` or `tollgate rules drop`. Edits in here change nothing.\n";
            let data = toml::to_string(&File { proposed: proposed.clone() }).ok()?;
            Some((file_name(&id), format!("{head}\n{data}\n{}", self.rule(&id, proposed).to_string().trim_start())))
        };
        unsaved.into_iter().filter_map(file).collect()
    }

    /// Takes a file of an earlier run: its name, and its text.
    pub fn load(&mut self, name: &str, text: &str) -> Result<(), LearnError> {
        let damaged = |why: String| LearnError::Damaged(name.to_owned(), why);
        if text.len() > MAX_FILE || self.proposed.len() >= MAX_PROPOSALS {
            return Err(damaged("it is too long, or there are too many".to_owned()));
        }
        let id = name.strip_suffix(".toml").ok_or_else(|| damaged("its name does not end with .toml".to_owned()))?;
        let File { proposed } = toml::from_str(text).map_err(|error| damaged(error.message().to_owned()))?;
        if !self.ids.contains_key(&proposed.key) {
            self.insert(id.to_owned(), proposed);
        }
        Ok(())
    }

    /// The text of [`FILE`] with these in it. Changes nothing: when that text is in force, [`Self::forget`] them.
    /// `is_taken` tells the ids of the layer's rules, in all files.
    pub fn adopt(&self, ids: &[String], text: &str, is_taken: impl Fn(&str) -> bool) -> Result<String, LearnError> {
        let mut document = parse(FILE, text)?;
        let rules = rules(FILE, &mut document)?;
        for id in ids {
            let proposed = self.proposed.get(id).ok_or_else(|| LearnError::NotFound(id.clone()))?;
            let is_taken = |id: &str| rules.contains_key(id) || is_taken(id);
            let id = if is_taken(id) { unique(id, is_taken) } else { id.clone() };
            rules.insert(&id, Item::Table(self.table(proposed)));
        }
        Ok(finish(document, "# Rules that were learned, and adopted. This file is yours to edit, too.\n"))
    }

    /// Drops these. Gives the names of their files in [`FOLDER`], to be removed.
    pub fn forget(&mut self, ids: &[String]) -> Result<Vec<String>, LearnError> {
        if let Some(missing) = ids.iter().find(|id| !self.proposed.contains_key(*id)) {
            return Err(LearnError::NotFound(missing.clone()));
        }
        for id in ids {
            self.unsaved.remove(id);
            if let Some(proposed) = self.proposed.remove(id) {
                self.ids.remove(&proposed.key);
            }
        }
        Ok(ids.iter().map(|id| file_name(id)).collect())
    }
}

fn file_name(id: &str) -> String {
    format!("{id}.toml")
}
