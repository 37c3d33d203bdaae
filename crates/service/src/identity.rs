//! Who connects: facts about processes, looked up once for each.
//!
//! Invariants: the processes remembered are bounded; a fact is looked up on a worker thread, never where connections are
//! decided; a process is named by its id *and* start key, and one without a start key is not remembered. Neighbours:
//! `platform` describes processes, `files` reads programs, `gate` keeps an [`Identities`].

use crate::connection;
use crate::policy::Rules;
use crate::recent::Recent;
use platform::paths::Volumes;
use rules::facts::{Identity, Needs, Program, User};
use rules::ruleset::Subject;
use std::fs::File;
use std::io;
use std::sync::Arc;
use wire::batch::RequestView;
use wire::request::RequestFlags;

/// How many processes are remembered.
const MAX_PROCESSES: usize = 8_192;

/// What the system tells about a running process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The full path of its program file, as a person writes it.
    pub path: Option<Arc<str>>,
    /// The full path of the program file of the process that started it.
    pub parent: Option<Arc<str>>,
    /// The user's id.
    pub user_id: Option<Arc<str>>,
    /// What people call the user.
    pub user_name: Option<Arc<str>>,
    /// Its command line.
    pub command_line: Option<Arc<str>>,
    /// Its package.
    pub package: Option<Arc<str>>,
    /// The service it runs as.
    pub service: Option<Arc<str>>,
}

/// The system's processes and program files. Any call may be slow; none is made on the thread that decides.
pub trait Processes: Send + Sync {
    /// Describes a process. `None` when it is gone, or another process has its id now.
    fn describe(&self, process: Key) -> Option<Description>;

    /// Whether a process still runs. What cannot be found out counts as yes.
    fn is_running(&self, _process: Key) -> bool {
        true
    }

    /// Opens a program file to read it.
    fn open(&self, path: &str) -> io::Result<File>;

    /// Who signed a program file, when the platform trusts the signature.
    fn publisher(&self, path: &str) -> Option<Arc<str>>;
}

/// Names a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The process id.
    pub pid: u64,
    /// Names it among all processes of this boot; `0` unknown.
    pub start_key: u64,
}

/// A process, as far as it is known.
#[derive(Debug)]
pub struct Known {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// Whether somebody was told to look its facts up,
    pub is_queued: bool,
    /// and to do so first.
    pub is_urgent: bool,
    /// Facts that are pending count as unknown: who it is, with none pending.
    given_up: Option<Arc<Identity>>,
    /// Prepared for the ruleset with that number.
    subject: Option<(u64, Subject)>,
}

/// The processes that are remembered.
#[derive(Debug)]
pub struct Identities {
    known: Recent<Key, Known>,
    /// The last one that has no start key.
    nameless: Option<Known>,
}

impl Known {
    /// One of which this is known.
    pub fn new(identity: Arc<Identity>) -> Self {
        Self { identity, is_queued: false, is_urgent: false, given_up: None, subject: None }
    }

    /// One of which a request tells.
    pub fn from_request(view: &RequestView<'_>, volumes: &Volumes) -> Self {
        let is_whole = !view.request.flags().contains(RequestFlags::PATH_TRUNCATED);
        let path = connection::utf16(view.path);
        let path = (is_whole && !path.is_empty()).then(|| volumes.display(&path).into());
        let user = connection::sid(view.sid).map(|id| User { id: id.into(), name: None });
        // Without a start key, whoever has the process id now may be another.
        let pending = match view.request.process_start_key {
            0 => Needs::empty(),
            _ => Needs::all(),
        };
        let program = Program { path, ..Program::default() };
        Self::new(Arc::new(Identity { program, user, pending, ..Identity::default() }))
    }

    /// It, prepared for `rules`.
    pub fn subject(&mut self, rules: &Rules) -> &Subject {
        if self.subject.as_ref().is_none_or(|(number, _)| *number != rules.number) {
            self.subject = None;
        }
        let identity = self.given_up.as_ref().unwrap_or(&self.identity);
        let make = || (rules.number, rules.ruleset.subject(identity.clone()));
        &self.subject.get_or_insert_with(make).1
    }

    /// Who it is, for deciding.
    pub fn identity(&self) -> Arc<Identity> {
        self.given_up.as_ref().unwrap_or(&self.identity).clone()
    }

    /// Changes what is known.
    pub fn change(&mut self, change: impl FnOnce(&mut Identity)) {
        change(Arc::make_mut(&mut self.identity));
        (self.given_up, self.subject) = (None, None);
    }

    /// Until something is learnt, what is pending counts as unknown.
    pub fn give_up(&mut self) {
        let identity = Identity { pending: Needs::empty(), ..Identity::clone(&self.identity) };
        (self.given_up, self.subject) = (Some(Arc::new(identity)), None);
    }
}

impl Default for Identities {
    fn default() -> Self {
        Self { known: Recent::new(MAX_PROCESSES), nameless: None }
    }
}

impl Identities {
    /// What is known of a process, if it is remembered.
    pub fn get(&mut self, key: Key) -> Option<&mut Known> {
        self.known.get(&key)
    }

    /// What is known of a process; what `make` tells when that is nothing.
    pub fn get_or_insert_with(&mut self, key: Key, make: impl FnOnce() -> Known) -> &mut Known {
        if key.start_key == 0 {
            return self.nameless.insert(make());
        }
        self.known.get_or_insert_with(key, make)
    }
}

/// Puts what the system told into an identity. What the enforcement point said stands: it saw the connection.
pub fn describe(identity: &mut Identity, told: Option<Description>) {
    identity.pending.remove(Needs::PROCESS);
    let Some(told) = told else { return };
    identity.program.path = identity.program.path.take().or(told.path);
    identity.program.package = told.package;
    identity.program.service = told.service;
    identity.parent = told.parent.map(|path| Arc::new(Program { path: Some(path), ..Program::default() }));
    identity.command_line = told.command_line;
    match &mut identity.user {
        Some(user) if told.user_id.as_ref().is_none_or(|id| *id == user.id) => user.name = told.user_name,
        Some(_) => {}
        None => identity.user = told.user_id.map(|id| User { id, name: told.user_name }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(user: &str) -> Identity {
        let user = Some(User { id: user.into(), name: None });
        let program = Program { path: Some(r"C:\seen.exe".into()), ..Program::default() };
        Identity { program, user, pending: Needs::all(), ..Identity::default() }
    }

    fn told(user: &str) -> Option<Description> {
        Some(Description {
            path: Some(r"C:\told.exe".into()),
            parent: Some(r"C:\parent.exe".into()),
            user_id: Some(user.into()),
            user_name: Some("PC\\me".into()),
            ..Description::default()
        })
    }

    #[test]
    fn what_the_enforcement_point_saw_stands() {
        let mut seen = identity("S-1-5-18");
        describe(&mut seen, told("S-1-5-18"));
        assert_eq!(seen.program.path.as_deref(), Some(r"C:\seen.exe"));
        assert_eq!(seen.user.unwrap().name.as_deref(), Some("PC\\me"));
        assert_eq!(seen.parent.unwrap().path.as_deref(), Some(r"C:\parent.exe"));
        assert_eq!(seen.pending, Needs::HASH | Needs::PUBLISHER);
    }

    #[test]
    fn a_name_of_another_user_is_not_taken() {
        let mut seen = identity("S-1-5-18");
        describe(&mut seen, told("S-1-5-19"));
        assert_eq!(seen.user, identity("S-1-5-18").user);
    }

    #[test]
    fn what_is_missing_is_taken_from_the_system() {
        let mut unseen = Identity { pending: Needs::PROCESS, ..Identity::default() };
        describe(&mut unseen, told("S-1-5-18"));
        assert_eq!(unseen.program.path.as_deref(), Some(r"C:\told.exe"));
        assert_eq!(unseen.user.unwrap().id.as_ref(), "S-1-5-18");
    }

    #[test]
    fn a_process_that_is_gone_has_no_more_facts() {
        let mut gone = identity("S-1-5-18");
        describe(&mut gone, None);
        assert_eq!((gone.parent, gone.pending), (None, Needs::HASH | Needs::PUBLISHER));
    }

    #[test]
    fn a_process_without_a_start_key_is_not_remembered() {
        let mut identities = Identities::default();
        for (start_key, remembered) in [(0, false), (9, true)] {
            let key = Key { pid: 4, start_key };
            identities.get_or_insert_with(key, || Known::new(Arc::new(identity("S-1-5-18")))).is_queued = true;
            let again = identities.get_or_insert_with(key, || Known::new(Arc::new(identity("S-1-5-19"))));
            assert_eq!(again.is_queued, remembered);
        }
    }
}
