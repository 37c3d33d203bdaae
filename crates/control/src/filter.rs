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

/// Whether `text` has `part` in it, in either case: how filters compare text.
pub fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

/// Whether both are the same, in either case: how filters compare users.
pub fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let text = r#"{"id":1,"time":"2026-11-23T08:30:00Z","verdict":"permit","reason":{"by":"rule","rule":{"layer":"user","id":"git"}},"revision":"0123456789ab","in_force":true,"direction":"out","protocol":6,"local":"10.0.0.1:50000","remote":"192.0.2.7:443","name":{"text":"git.example.com","confidence":"own_process"},"pid":4242,"start_key":7,"identity":{"path":"/usr/bin/git","user":{"id":"1000","name":"Alice"}},"held_ms":0}"#;
        serde_json::from_str(text).unwrap()
    }

    fn takes(filter: &str) -> bool {
        serde_json::from_str::<Filter>(filter).unwrap().takes(&entry())
    }

    #[test]
    fn a_filter_takes_what_has_all_that_it_asks_for() {
        for filter in [
            r#"{}"#,
            r#"{"verdict":"permit","direction":"out","protocol":6,"port":443,"pid":4242}"#,
            r#"{"program":"BIN/G"}"#,
            r#"{"user":"alice"}"#,
            r#"{"user":"1000"}"#,
            r#"{"remote":"Example.Com"}"#,
            r#"{"remote":"192.0.2"}"#,
            r#"{"rule":"git"}"#,
            r#"{"rule":"user/git"}"#,
            r#"{"since":"2026-11-23T08:30:00Z","until":"2026-11-23T08:30:01Z"}"#,
        ] {
            assert!(takes(filter), "{filter}");
        }
    }

    #[test]
    fn a_filter_leaves_what_lacks_any_of_it() {
        for filter in [
            r#"{"verdict":"block"}"#,
            r#"{"direction":"in"}"#,
            r#"{"protocol":17}"#,
            r#"{"port":80}"#,
            r#"{"pid":1,"port":443}"#,
            r#"{"program":"curl"}"#,
            r#"{"user":"ali"}"#,
            r#"{"remote":"example.org"}"#,
            r#"{"rule":"default/git"}"#,
            r#"{"until":"2026-11-23T08:30:00Z"}"#,
            r#"{"since":"2026-11-23T08:30:01Z"}"#,
        ] {
            assert!(!takes(filter), "{filter}");
        }
    }
}
