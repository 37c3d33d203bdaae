//! Which entries.
//!
//! Neighbours: the log answers one by SQL, live subscriptions by [`Filter::takes`].

use crate::entry::{Direction, Verdict};
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
