//! A desk: a model, keys, and a screen to look at.

use crate::tui::message::{Effect, Message};
use crate::tui::model::Model;
use crate::tui::ruleset::{Loaded, Row};
use crate::tui::theme::Theme;
use crate::tui::update::update;
use crate::tui::view::view;
use control::entry::{Confidence, DefaultWhy, Direction, Entry, Name, Reason, Verdict};
use control::prompt::{Hold, HoldKind, Prompt};
use control::protocol::{Role, Welcome};
use control::status::{Counters, Gate, Log, Rules, Source, Status, Unmatched};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use rules::decision::{Revision, RuleName};
use rules::facts::{Identity, Program, User};
use rules::model::{Action, Layer};
use std::sync::Arc;

pub const COLOUR: Theme = Theme { colour: true, unicode: true };
pub const MONO: Theme = Theme { colour: false, unicode: true };
pub const ASCII: Theme = Theme { colour: false, unicode: false };

/// A model at a desk.
pub struct Desk {
    pub model: Model,
    pub effects: Vec<Effect>,
}

impl Desk {
    /// One that knows nothing yet.
    pub fn new(columns: u16, rows: u16) -> Self {
        Self { model: Model::new(noon(), TimeZone::UTC, (columns, rows), COLOUR), effects: Vec::new() }
    }

    /// An administrator's, connected and attached, with rules.
    pub fn at_work(columns: u16, rows: u16) -> Self {
        let mut desk = Self::new(columns, rows);
        desk.tell(Message::Connected(Welcome { tollgate: 1, role: Role::Administrator, user: "root".to_owned() }));
        desk.tell(Message::Status(Box::new(status())));
        desk.tell(Message::Rules(Ok(loaded())));
        desk.effects.clear();
        desk
    }

    /// Something happens.
    pub fn tell(&mut self, message: Message) {
        let effects = update(&mut self.model, message);
        self.effects.extend(effects);
    }

    /// Time passes.
    pub fn pass(&mut self, seconds: i64) {
        let now = self.model.now + SignedDuration::from_secs(seconds);
        self.tell(Message::Time(now));
    }

    /// Keys are pressed: letters, and `<Enter>`, `<Esc>`, `<Up>`, ...
    pub fn keys(&mut self, script: &str) {
        let mut rest = script;
        while let Some(c) = rest.chars().next() {
            let end = rest.find('>').filter(|_| c == '<');
            let (code, modifiers) = match end {
                Some(end) => named(&rest[1..end]),
                None => (KeyCode::Char(c), KeyModifiers::NONE),
            };
            rest = &rest[end.map_or(c.len_utf8(), |end| end + 1)..];
            self.tell(Message::Key(KeyEvent::new(code, modifiers)));
        }
    }

    /// What is wanted since this was asked last.
    pub fn wanted(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// What is on the screen.
    pub fn buffer(&self) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(self.model.size.0, self.model.size.1)).unwrap();
        terminal.draw(|frame| view(&self.model, frame)).unwrap();
        terminal.backend().buffer().clone()
    }

    /// The same, as text.
    pub fn screen(&self) -> String {
        text(&self.buffer())
    }
}

/// A buffer as text, without spaces at the ends of lines.
pub fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for row in 0..buffer.area.height {
        let mut line = String::new();
        let mut column = 0;
        while column < buffer.area.width {
            let symbol = buffer[(column, row)].symbol();
            line.push_str(symbol);
            column += u16::try_from(crate::tui::text::width(symbol).max(1)).unwrap();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn named(name: &str) -> (KeyCode, KeyModifiers) {
    let code = match name {
        "Enter" => KeyCode::Enter,
        "Esc" => KeyCode::Esc,
        "Tab" => KeyCode::Tab,
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "Left" => KeyCode::Left,
        "Right" => KeyCode::Right,
        "PgUp" => KeyCode::PageUp,
        "PgDn" => KeyCode::PageDown,
        "End" => KeyCode::End,
        "Backspace" => KeyCode::Backspace,
        "C-c" => return (KeyCode::Char('c'), KeyModifiers::CONTROL),
        other => panic!("no key <{other}>"),
    };
    (code, KeyModifiers::NONE)
}

/// When tests happen.
pub fn noon() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

pub fn rule(layer: Layer, id: &str) -> RuleName {
    RuleName { layer, id: id.into() }
}

pub fn revision() -> Revision {
    Revision("4be1a0c95d27".into())
}

/// Who connects.
pub fn identity(path: &str, user: &str) -> Arc<Identity> {
    Arc::new(Identity {
        program: Program { path: Some(path.into()), ..Program::default() },
        parent: Some(Arc::new(Program { path: Some("/usr/bin/bash".into()), ..Program::default() })),
        user: Some(User { id: "1000".into(), name: Some(user.into()) }),
        command_line: Some(format!("{} --verbose", path.rsplit('/').next().unwrap()).into()),
        ..Identity::default()
    })
}

/// A decision, `second` seconds after noon.
pub fn entry(
    id: u64,
    second: i64,
    path: &str,
    remote: &str,
    name: Option<(&str, Confidence)>,
    reason: Reason,
) -> Entry {
    let verdict = match &reason {
        Reason::Rule { rule } if rule.id.starts_with("no-") => Verdict::Block,
        Reason::Default { .. } => Verdict::Block,
        _ => Verdict::Permit,
    };
    let asked_by =
        matches!(reason, Reason::Answer { .. } | Reason::Default { .. }).then(|| rule(Layer::Default, "ask-rest"));
    Entry {
        id,
        time: noon() + SignedDuration::from_secs(second),
        verdict,
        held_ms: if asked_by.is_some() { 4_200 } else { 0 },
        asked_by,
        reason,
        revision: revision(),
        live: false,
        in_force: true,
        direction: Direction::Out,
        protocol: 6,
        local: "192.0.2.10:50123".parse().unwrap(),
        remote: remote.parse().unwrap(),
        name: name.map(|(text, confidence)| Name { text: text.into(), confidence }),
        interface: Some("eth0".into()),
        pid: 4_242,
        start_key: 981_234,
        identity: identity(path, "alice"),
    }
}

/// A morning's decisions.
pub fn entries() -> Vec<Entry> {
    let by = |layer, id| Reason::Rule { rule: rule(layer, id) };
    let own = |name| Some((name, Confidence::OwnProcess));
    let mut entries = vec![
        entry(101, 1, "/usr/bin/git", "192.0.2.80:443", own("code.example.com"), by(Layer::User, "git")),
        entry(102, 2, "/usr/lib/systemd/systemd-resolved", "192.0.2.53:53", None, by(Layer::Floor, "resolver")),
        entry(
            103,
            5,
            "/usr/bin/curl",
            "198.51.100.7:443",
            own("tracker.example.net"),
            by(Layer::Mandatory, "no-trackers"),
        ),
        entry(
            104,
            9,
            "/opt/editor/bin/editor",
            "203.0.113.20:443",
            Some(("updates.example.org", Confidence::OtherProcess)),
            Reason::Answer { prompt: 7, user: "alice".into() },
        ),
        entry(
            105,
            15,
            "/usr/bin/python3.13",
            "[2001:db8::17]:8443",
            None,
            Reason::Default { why: DefaultWhy::TimedOut },
        ),
        entry(
            106,
            21,
            "/data/alice/projects/long-program-name/target/release/long-program-name",
            "203.0.113.99:6667",
            Some(("chat.example.com", Confidence::Ambiguous)),
            by(Layer::Default, "no-rest"),
        ),
        entry(107, 22, "/usr/sbin/sshd", "198.51.100.200:40112", None, by(Layer::User, "ssh-from-office")),
    ];
    entries[1].protocol = 17;
    entries[6].direction = Direction::In;
    entries[6].local = "192.0.2.10:22".parse().unwrap();
    entries[5].in_force = false;
    entries
}

/// A prompt that `seconds` are left for.
pub fn prompt(id: u64, path: &str, user: &str, remote: &str, name: Option<(&str, &str)>, seconds: i64) -> Prompt {
    Prompt {
        id,
        identity: identity(path, user),
        pid: 5_000 + id,
        direction: Direction::Out,
        protocol: 6,
        local: "192.0.2.10:50999".parse().unwrap(),
        remote: remote.parse().unwrap(),
        name: name.map(|(text, _)| Name { text: text.into(), confidence: Confidence::OwnProcess }),
        domain: name.map(|(_, domain)| domain.into()),
        many: false,
        asked_by: Some(rule(Layer::Default, "ask-rest")),
        default: Verdict::Block,
        waiting: 1,
        deadline: Some(noon() + SignedDuration::from_secs(seconds)),
        opened: noon() + SignedDuration::from_secs(seconds - 30),
        holds: vec![HoldKind::Once, HoldKind::Process, HoldKind::Duration, HoldKind::Forever],
        offer: Hold::Process,
    }
}

/// Three that wait.
pub fn prompts() -> Vec<Prompt> {
    let mut prompts = vec![
        prompt(11, "/usr/bin/curl", "alice", "203.0.113.7:443", Some(("api.example.com", "example.com")), 12),
        prompt(12, "/opt/editor/bin/editor", "bob", "198.51.100.4:8080", None, 25),
        prompt(13, "/usr/bin/npm", "alice", "203.0.113.60:443", Some(("registry.example.net", "example.net")), 3),
    ];
    prompts[0].waiting = 3;
    prompts[2].deadline = None;
    prompts[2].waiting = 0;
    prompts
}

pub fn loaded() -> Loaded {
    let row = |layer, id: &str, action, what: &str, origin: &str, text: &str| {
        Arc::new(Row {
            name: rule(layer, id),
            action,
            idle: None,
            what: what.to_owned(),
            origin: origin.to_owned(),
            text: text.to_owned(),
        })
    };
    let git = "# Pull and push.\n[rule.git]\naction  = \"permit\"\nprogram = \"git\"\nremote  = [\".example.com:443/tcp\"]\nnote    = \"agreed with the team\"";
    let mut rows = vec![
        row(
            Layer::Floor,
            "resolver",
            Action::Permit,
            "/usr/lib/systemd/systemd-resolved; to :53",
            "floor/built-in.toml:31",
            "[rule.resolver]\naction = \"permit\"",
        ),
        row(
            Layer::Mandatory,
            "no-trackers",
            Action::Block,
            "to @trackers",
            "mandatory/company.toml:4",
            "[rule.no-trackers]\naction = \"block\"\nremote = \"@trackers\"",
        ),
        row(Layer::User, "git", Action::Permit, "git; to .example.com:443/tcp", "user/tools.toml:2", git),
        row(
            Layer::User,
            "ssh-from-office",
            Action::Permit,
            "sshd; in; to 198.51.100.0/24",
            "user/tools.toml:12",
            "[rule.ssh-from-office]\naction = \"permit\"",
        ),
        row(
            Layer::User,
            "old-vpn",
            Action::Permit,
            "vpn; to :1194/udp",
            "user/tools.toml:20",
            "[rule.old-vpn]\naction = \"permit\"\nenabled = false",
        ),
        row(
            Layer::Default,
            "ask-rest",
            Action::Ask,
            "everything",
            "default/rest.toml:1",
            "[rule.ask-rest]\naction = \"ask\"",
        ),
    ];
    Arc::get_mut(&mut rows[4]).unwrap().idle = Some("it is not enabled".to_owned());
    Loaded { revision: revision(), rows }
}

pub fn status() -> Status {
    Status {
        version: "0.1.0".to_owned(),
        pid: 812,
        started: noon() - SignedDuration::from_hours(30),
        gate: Gate::Attached { since: noon() - SignedDuration::from_secs(4_000) },
        rules: Rules {
            revision: revision(),
            count: 6,
            since: noon() - SignedDuration::from_secs(500),
            refused: Vec::new(),
        },
        unmatched: Unmatched::Ask,
        snoozed_until: None,
        prompts: 0,
        counters: Counters {
            permitted: 10_412,
            blocked: 731,
            defaulted: 12,
            prompts: 40,
            answered: 28,
            reported: 55,
            ..Counters::default()
        },
        log: Log { state: Source::Works { what: "log.db".into() }, bytes: 4_300_000, entries: 11_143 },
        names: Source::Works { what: "the system's resolver".into() },
    }
}
