//! Everything that the screen shows.
//!
//! Invariants: pure state: no clock, no terminal, no service; time is what the last message said; bounded, whatever is
//! sent. Neighbours: `update` changes it, `view` shows it.

use super::connections::Connections;
use super::history::History;
use super::prompts::Prompts;
use super::ruleset::Rules;
use super::snooze::SnoozeForm;
use super::theme::Theme;
use control::protocol::{Role, Welcome};
use control::status::{Gate, Status};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// After so many seconds without an answer the service is called slow.
const SLOW: u64 = 5;

/// Everything that the screen shows.
#[derive(Debug)]
pub struct Model {
    /// Now.
    pub now: Timestamp,
    /// For times of day.
    pub zone: TimeZone,
    /// Columns and rows.
    pub size: (u16, u16),
    /// What the terminal can show.
    pub theme: Theme,
    /// The tab that is shown.
    pub tab: Tab,
    /// Whether help lies over it.
    pub help: Option<u16>,
    /// The snooze dialog, when it lies over it.
    pub snooze: Option<SnoozeForm>,
    /// The connection to the service.
    pub link: Link,
    /// How the service did when it was last asked.
    pub status: Option<Box<Status>>,
    /// When the status is asked for next; `None` while it is being asked for.
    pub next_status: Option<Timestamp>,
    /// Since when it is being asked for.
    pub asked: Option<Timestamp>,
    /// The live list.
    pub connections: Connections,
    /// Open prompts.
    pub prompts: Prompts,
    /// The rules.
    pub rules: Rules,
    /// Decisions over time.
    pub history: History,
    /// What was just done, or failed.
    pub notice: Option<Notice>,
    /// When the bell rang last.
    pub rang: Option<Timestamp>,
    /// Whether the screen shows something else than this.
    pub stale: bool,
}

/// A tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    /// The live list.
    Connections,
    /// Open prompts.
    Prompts,
    /// The rules.
    Rules,
    /// How everything does.
    Overview,
}

impl Tab {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Connections, Self::Prompts, Self::Rules, Self::Overview];

    /// Its title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Connections => "Connections",
            Self::Prompts => "Prompts",
            Self::Rules => "Rules",
            Self::Overview => "Overview",
        }
    }

    /// The one beside it.
    pub fn beside(self, right: bool) -> Self {
        let at = self as usize + if right { 1 } else { Self::ALL.len() - 1 };
        Self::ALL[at % Self::ALL.len()]
    }
}

/// The connection to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Being made for the first time.
    Connecting,
    /// There.
    Up(Welcome),
    /// Not there.
    Down {
        /// Why.
        why: String,
        /// What to do about it.
        help: Option<String>,
        /// When it is tried again.
        retry: Timestamp,
    },
}

/// What was just done, or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// In words: foreign.
    pub text: String,
    /// Whether it is about a failure.
    pub failure: bool,
    /// When it goes away by itself.
    pub until: Timestamp,
}

impl Model {
    /// The beginning: nothing known.
    pub fn new(now: Timestamp, zone: TimeZone, size: (u16, u16), theme: Theme) -> Self {
        Self {
            now,
            zone,
            size,
            theme,
            tab: Tab::Connections,
            help: None,
            snooze: None,
            link: Link::Connecting,
            status: None,
            next_status: None,
            asked: None,
            connections: Connections::default(),
            prompts: Prompts::default(),
            rules: Rules::default(),
            history: History::default(),
            notice: None,
            rang: None,
            stale: true,
        }
    }

    /// Whether the service is there.
    pub fn is_up(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    /// Whether we may change policy.
    pub fn is_administrator(&self) -> bool {
        matches!(&self.link, Link::Up(welcome) if welcome.role == Role::Administrator)
    }

    /// Whether something on the screen changes with time alone.
    pub fn is_ticking(&self) -> bool {
        let detached = self.status.as_ref().is_some_and(|status| matches!(status.gate, Gate::Detached { .. }));
        let snoozed = self.status.as_ref().is_some_and(|status| status.snoozed_until.is_some());
        let shown = matches!(self.tab, Tab::Overview) || (self.tab == Tab::Prompts && self.prompts.len() > 0);
        shown || self.is_slow() || detached || snoozed || !self.is_up() || self.notice.is_some()
    }

    /// Whether the service takes too long to say how it does.
    pub fn is_slow(&self) -> bool {
        self.asked.is_some_and(|asked| self.since(asked) >= SLOW)
    }

    /// How many seconds are left until then.
    pub fn until(&self, then: Timestamp) -> u64 {
        u64::try_from(then.duration_since(self.now).as_millis().max(0)).unwrap_or(0).div_ceil(1_000)
    }

    /// How many seconds passed since then.
    pub fn since(&self, then: Timestamp) -> u64 {
        u64::try_from(self.now.duration_since(then).as_secs()).unwrap_or(0)
    }

    /// The time of day, `HH:MM:SS`.
    pub fn clock(&self, time: Timestamp) -> String {
        time.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string()
    }

    /// Day and time.
    pub fn date(&self, time: Timestamp) -> String {
        time.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
    }
}
