//! The terminal, and the loop that draws.
//!
//! Invariants: drawn at most [`FRAMES`] times a second whatever happens, at once after a key, and not at all when nothing
//! changed; the terminal is given back as it was, also after a panic. Neighbours: `update` and `view` do the thinking, `link`
//! and `clerk` have threads of their own.

use super::clerk;
use super::link::{self, Ends, Stream, Trouble};
use super::message::{Effect, Message};
use super::model::Model;
use super::theme::Theme;
use super::update::update;
use super::view::view;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use crossterm::event::{self, DisableBracketedPaste, EnableBracketedPaste, Event, KeyEventKind};
use crossterm::execute;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::Backend;
use rules::ruleset::Environment;
use std::io::{self, Write};
use std::panic;
use std::thread;
use std::time::{Duration, Instant};

/// How often the screen is drawn at most, a second, when no key is pressed.
const FRAMES: u32 = 10;

/// How long a key waits for the screen at most, so that a key that repeats does not draw for ever.
const KEY_PATIENCE: Duration = Duration::from_millis(16);

/// How often the clock goes on.
const TICK: Duration = Duration::from_secs(1);

/// How many messages may wait for the model.
const MESSAGES: usize = 4_096;

/// How many messages are taken between two looks at the clock.
const BATCH: usize = 1_000;

/// How many effects and jobs may wait.
const EFFECTS: usize = 64;

/// Shows the service that `dial` reaches, until the person has seen enough.
///
/// # Errors
/// What the terminal says.
pub fn run(
    dial: impl FnMut() -> Result<Stream, Trouble> + Send + 'static,
    environment: Environment,
    theme: Theme,
) -> io::Result<()> {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let _closed = execute!(io::stdout(), DisableBracketedPaste);
        previous(info);
    }));
    // Also restores the terminal when any thread panics.
    let mut terminal = ratatui::try_init()?;
    let _restore = Restore;
    execute!(io::stdout(), EnableBracketedPaste)?;
    terminal.clear()?;

    let (messages, inbox) = bounded(MESSAGES);
    let (effects, wanted) = bounded(EFFECTS);
    let (jobs, work) = bounded(EFFECTS);
    let keys = messages.clone();
    thread::Builder::new().name("keys".to_owned()).spawn(move || read_keys(&keys))?;
    let done = messages.clone();
    thread::Builder::new().name("clerk".to_owned()).spawn(move || clerk::work(environment, &work, &done))?;
    let ends = Ends { messages, effects: wanted, jobs };
    thread::Builder::new().name("link".to_owned()).spawn(move || link::keep(dial, &ends))?;

    let size = terminal.size()?;
    let mut model = Model::new(Timestamp::now(), TimeZone::system(), (size.width, size.height), theme);
    serve(&mut terminal, &mut model, &inbox, &effects)
}

/// Gives the terminal back.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        let _closed = execute!(io::stdout(), DisableBracketedPaste);
        ratatui::restore();
    }
}

fn read_keys(messages: &Sender<Message>) {
    loop {
        let message = match event::read() {
            Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Message::Key(key),
            Ok(Event::Paste(text)) => Message::Paste(text),
            Ok(Event::Resize(columns, rows)) => Message::Resize(columns, rows),
            Ok(_) => continue,
            Err(_) => Message::Hangup,
        };
        let last = matches!(message, Message::Hangup);
        if messages.send(message).is_err() || last {
            return;
        }
    }
}

/// Takes messages and draws, until an effect says to end.
fn serve<B>(
    terminal: &mut Terminal<B>,
    model: &mut Model,
    inbox: &Receiver<Message>,
    effects: &Sender<Effect>,
) -> io::Result<()>
where
    B: Backend,
    io::Error: From<B::Error>,
{
    let mut pace = Pace::new(Instant::now());
    loop {
        let now = Instant::now();
        if pace.is_due(now, model.stale) {
            terminal.draw(|frame| view(model, frame))?;
            model.stale = false;
            pace.drawn(Instant::now());
        }
        let mut next = match inbox.recv_timeout(pace.wait(Instant::now(), model.stale)) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        let mut wanted = update(model, Message::Time(Timestamp::now()));
        let mut taken = 0;
        while let Some(message) = next {
            pace.hurry |= matches!(message, Message::Key(_) | Message::Paste(_) | Message::Resize(..));
            wanted.extend(update(model, message));
            taken += 1;
            next = if taken < BATCH { inbox.try_recv().ok() } else { None };
        }
        for effect in wanted {
            match effect {
                Effect::Quit => return Ok(()),
                Effect::Bell => io::stdout().write_all(b"\x07")?,
                effect => send(model, effects, effect),
            }
        }
    }
}

/// Hands an effect on. The link may be busy, and this thread must not wait for it.
fn send(model: &mut Model, effects: &Sender<Effect>, effect: Effect) {
    use control::protocol::{ErrorKind, Refusal};
    let Err(error) = effects.try_send(effect) else { return };
    let refusal = Refusal::new(ErrorKind::Busy, "too much is asked of the service at once").with_help("try again");
    if let Effect::Answer { prompt, .. } = error.into_inner() {
        update(model, Message::Answered { prompt, outcome: Err(refusal) });
    }
}

/// When to draw.
#[derive(Debug)]
struct Pace {
    drawn: Option<Instant>,
    began: Instant,
    /// Somebody looks for what a key does.
    hurry: bool,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { drawn: None, began: now, hurry: false }
    }

    fn is_due(&self, now: Instant, stale: bool) -> bool {
        stale && self.left(now).is_zero()
    }

    /// How long to wait for a message.
    fn wait(&self, now: Instant, stale: bool) -> Duration {
        if stale {
            return self.left(now);
        }
        // The clock goes on with its own seconds, whatever is drawn when.
        TICK - Duration::from_nanos((now.duration_since(self.began).as_nanos() % TICK.as_nanos()) as u64)
    }

    fn drawn(&mut self, now: Instant) {
        self.drawn = Some(now);
        self.hurry = false;
    }

    fn left(&self, now: Instant) -> Duration {
        let pause = if self.hurry { KEY_PATIENCE } else { Duration::from_secs(1) / FRAMES };
        self.drawn.map_or(Duration::ZERO, |drawn| pause.saturating_sub(now.duration_since(drawn)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_drawn_ten_times_a_second_and_a_key_at_once() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut draws = 0;
        for ms in 0..1_000 {
            let now = start + Duration::from_millis(ms);
            if pace.is_due(now, true) {
                draws += 1;
                pace.drawn(now);
            }
        }
        assert_eq!(draws, 10);
        let now = start + Duration::from_millis(930);
        assert!(!pace.is_due(now, true));
        pace.hurry = true;
        assert!(pace.is_due(now, true));
    }

    #[test]
    fn nothing_is_drawn_when_nothing_changed() {
        let start = Instant::now();
        let pace = Pace::new(start);
        assert!(!pace.is_due(start + Duration::from_secs(100), false));
        assert_eq!(pace.wait(start + Duration::from_millis(300), false), Duration::from_millis(700));
    }
}
