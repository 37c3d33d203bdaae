//! Where entries come from: the service, or a file.
//!
//! Invariants: memory is bounded by a page and [`RECENT`] numbers, but for the last N that were asked for; while following,
//! an entry is given once, and none that was decided after the start is left out unless it is said so. Neighbours: `service::log::Reader` reads the file.

use crate::client::{Session, unexpected};
use crate::failure::Failure;
use control::entry::Entry;
use control::filter::Filter;
use control::protocol::{Event, MAX_ENTRIES, Reply, Request};
use service::log::Reader;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// How often a file is looked at for new entries.
const LOOK: Duration = Duration::from_millis(500);

/// How many numbers of entries are remembered, so that one that comes both from the log and as an event is given once. An
/// event that is older than so many entries does not come: fewer wait for a client.
const RECENT: usize = 8_192;

/// Where entries come from.
pub enum Source {
    /// The service.
    Service(Box<Session>),
    /// A file.
    File(Reader),
}

/// Takes entries.
type Take<'a> = &'a mut dyn FnMut(&[Entry]) -> io::Result<()>;

impl Source {
    /// The service.
    pub fn service(session: Session) -> Self {
        Self::Service(Box::new(session))
    }

    /// A file.
    pub fn file(path: PathBuf) -> Self {
        Self::File(Reader::new(path))
    }

    /// Gives `take` the `last` entries, or all, and those to come if it `follows`.
    pub fn give(&mut self, filter: &Filter, last: Option<u64>, follows: bool, take: Take<'_>) -> Result<(), Failure> {
        // Before the past is read, so that nothing falls in between.
        if let (true, Self::Service(session)) = (follows, &mut *self) {
            match session.client.call(Request::FollowEntries { filter: filter.clone() })? {
                Reply::Done => {}
                other => return Err(unexpected(&other)),
            }
        }
        let mut given = Given::default();
        let mut keep = |entries: &[Entry]| {
            given.add(entries);
            take(entries)
        };
        let mut seen = match last {
            Some(last) => self.give_last(filter, last, &mut keep)?,
            None => self.give_after(filter, 0, &mut keep)?,
        };
        if !follows {
            return Ok(());
        }
        match self {
            Self::Service(session) => follow(session, &given, take),
            Self::File(_) => loop {
                seen = self.give_after(filter, seen, take)?;
                thread::sleep(LOOK);
            },
        }
    }

    /// Gives the last entries; says which is the very last.
    fn give_last(&mut self, filter: &Filter, last: u64, take: Take<'_>) -> Result<u64, Failure> {
        let mut pages = Vec::new();
        let (mut left, mut before) = (last, None);
        while left > 0 {
            let limit = left.min(MAX_ENTRIES.into());
            let page = self.page(filter, None, before, limit as u32)?;
            let Some(first) = page.first() else { break };
            before = Some(first.id);
            left -= (page.len() as u64).min(left);
            pages.push(page);
        }
        let seen = pages.first().and_then(|page| page.last()).map_or(0, |entry| entry.id);
        pages.iter().rev().try_for_each(|page| take(page))?;
        Ok(seen)
    }

    /// Gives all after `seen`; says which is the very last.
    fn give_after(&mut self, filter: &Filter, mut seen: u64, take: Take<'_>) -> Result<u64, Failure> {
        loop {
            let page = self.page(filter, Some(seen), None, MAX_ENTRIES)?;
            let Some(last) = page.last() else { return Ok(seen) };
            seen = last.id;
            take(&page)?;
        }
    }

    fn page(
        &mut self,
        filter: &Filter,
        after: Option<u64>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Entry>, Failure> {
        match self {
            Self::File(reader) => Ok(reader.entries(filter, after, before, limit)?),
            Self::Service(session) => {
                let request = Request::Entries { filter: filter.clone(), after, before, limit };
                match session.client.call(request)? {
                    Reply::Entries(entries) => Ok(entries),
                    other => Err(unexpected(&other)),
                }
            }
        }
    }
}

fn follow(session: &mut Session, given: &Given, take: Take<'_>) -> Result<(), Failure> {
    for event in session.client.events() {
        match event? {
            // Those that were read from the log already came while it was read. Numbers alone do not tell: decisions of
            // several threads are not written in their order.
            Event::Entry(entry) if !given.has(entry.id) => take(std::slice::from_ref(&entry))?,
            Event::Missed(count) => eprintln!("{count} entries are not shown: this end was too slow"),
            _ => {}
        }
    }
    Ok(())
}

/// The last entries that were read from the log.
#[derive(Default)]
struct Given {
    order: VecDeque<u64>,
    ids: HashSet<u64>,
}

impl Given {
    fn add(&mut self, entries: &[Entry]) {
        for entry in entries {
            if self.order.len() >= RECENT
                && let Some(oldest) = self.order.pop_front()
            {
                self.ids.remove(&oldest);
            }
            self.order.push_back(entry.id);
            self.ids.insert(entry.id);
        }
    }

    fn has(&self, id: u64) -> bool {
        self.ids.contains(&id)
    }
}
