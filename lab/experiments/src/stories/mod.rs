//! The experiments, and how one is run.
//!
//! Invariant: a story judges by what its programs and its requests say; counters, which other programs move too, only
//! say "at least". Neighbours: one table in each file.

mod closing;
mod datagrams;
mod inbound;
mod outbound;
mod policy;
mod unloading;

use std::net::{IpAddr, Ipv4Addr, TcpListener};

use anyhow::{Result, bail};
use wire::request::Direction;

use crate::gate::Asked;
use crate::report::{Facts, Finding, Outcome, Story};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What stories are given.
pub struct Stage {
    peer: Option<IpAddr>,
}

/// Every story; what stops the driver comes last.
pub fn all() -> impl Iterator<Item = &'static Story> {
    [&outbound::STORIES[..], &closing::STORIES, &datagrams::STORIES, &inbound::STORIES, &policy::STORIES]
        .into_iter()
        .chain([&unloading::STORIES[..]])
        .flatten()
}

/// Those with these names, or all.
pub fn chosen(names: &[String]) -> Result<Vec<&'static Story>> {
    if let Some(unknown) = names.iter().find(|name| all().all(|story| story.name != **name)) {
        bail!("there is no experiment {unknown}; --list names them");
    }
    Ok(all().filter(|story| names.is_empty() || names.iter().any(|name| name == story.name)).collect())
}

/// Runs one and judges it.
pub fn run(story: &'static Story, peer: Option<IpAddr>) -> Finding {
    let mut facts = Facts::default();
    if story.needs_peer && peer.is_none() {
        let outcome = Outcome::Skipped("it needs a second machine: --peer");
        return Finding { story, facts, outcome, balances: None };
    }
    let result = (story.run)(&Stage { peer }, &mut facts);
    let balances = platform::open().and_then(|driver| driver.stats()).ok().map(|stats| stats.balances());
    match result {
        Ok(()) => Finding::judge(story, facts, balances),
        Err(error) => Finding { story, facts, outcome: Outcome::Failed(format!("{error:#}")), balances },
    }
}

impl Stage {
    /// The second machine.
    fn peer(&self) -> Result<IpAddr> {
        match self.peer {
            Some(peer) => Ok(peer),
            None => bail!("no peer"),
        }
    }
}

/// A listener of this process, whose backlog accepts by itself.
fn listener() -> Result<(TcpListener, String)> {
    let listener = TcpListener::bind((V4, 0))?;
    let address = listener.local_addr()?.to_string();
    Ok((listener, address))
}

/// A held connect or first packet.
fn held_out(asked: &Asked) -> bool {
    asked.is_held() && asked.request.direction == Direction::OUTBOUND
}

/// A held inbound operation.
fn held_in(asked: &Asked) -> bool {
    asked.is_held() && asked.request.direction == Direction::INBOUND
}

/// As a fact: counters and counts fit.
fn number(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_every_story_bears_one_answer() {
        let names: BTreeSet<_> = all().map(|story| story.name).collect();
        assert_eq!(names.len(), all().count());
        for story in all() {
            let fine = story.hypotheses.iter().any(|one| one.bears == crate::report::Bears::Fine);
            assert!(fine, "{}", story.name);
            assert!(
                story.hypotheses.iter().all(|one| !one.expects.is_empty() && !one.then.is_empty()),
                "{}",
                story.name
            );
        }
    }

    #[test]
    fn nothing_seen_is_judged_as_one_of_the_answers() {
        for story in all() {
            let key = (story.judge)(&Facts::default());
            assert!(story.hypotheses.iter().any(|one| one.key == key), "{}: {key}", story.name);
        }
    }

    #[test]
    fn a_name_that_is_unknown_is_refused() {
        assert!(chosen(&["nothing".into()]).is_err());
        assert_eq!(chosen(&["inline".into()]).unwrap().len(), 1);
        assert_eq!(chosen(&[]).unwrap().len(), all().count());
    }
}
