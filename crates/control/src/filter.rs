//! Which entries.
//!
//! Neighbours: the log answers one by SQL, live subscriptions by [`Filter::takes`].

use crate::entry::{Direction, Entry, Reason, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Which entries: all that is given must hold. Text is looked for anywhere, in either case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// With this verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// In this direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// With this protocol number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u8>,
    /// Whose program path has this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Whose user id or name is this, in either case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whose remote address or name has this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// To this remote port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Of this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u64>,
    /// Decided by this rule: `layer/id`, or `id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Not before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Filter {
    /// Whether it takes `entry`. The log, asked with the same filter, gives the same entries.
    pub fn takes(&self, entry: &Entry) -> bool {
        let identity = &entry.identity;
        let wants = |wanted: &Option<String>, holds: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(holds);
        self.verdict.is_none_or(|verdict| verdict == entry.verdict)
            && self.direction.is_none_or(|direction| direction == entry.direction)
            && self.protocol.is_none_or(|protocol| protocol == entry.protocol)
            && self.port.is_none_or(|port| port == entry.remote.port())
            && self.pid.is_none_or(|pid| pid == entry.pid)
            && self.since.is_none_or(|since| entry.time >= since)
            && self.until.is_none_or(|until| entry.time < until)
            && wants(&self.program, &|text| identity.program.path.as_deref().is_some_and(|path| contains(path, text)))
            && wants(&self.user, &|text| {
                identity.user.as_ref().is_some_and(|user| {
                    same(&user.id, text) || user.name.as_deref().is_some_and(|name| same(name, text))
                })
            })
            && wants(&self.remote, &|text| {
                contains(&entry.remote.ip().to_string(), text)
                    || entry.name.as_ref().is_some_and(|name| contains(&name.text, text))
            })
            && wants(&self.rule, &|text| {
                matches!(&entry.reason, Reason::Rule { rule }
                    if text == &*rule.id || text.split_once('/') == Some((rule.layer.name(), &*rule.id)))
            })
    }
}

/// Whether `text` has `part` in it, in either case.
fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

/// Whether both are the same, in either case.
fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}
