//! What happens changes the model.
//!
//! Invariants: pure; never panics, whatever comes in whatever order; what arrives from the service changes neither what
//! is selected nor what is being typed. Neighbours: `keys` has the keys, `run` carries out the effects.

use super::connections::Pane;
use super::keys;
use super::message::{Effect, Message};
use super::model::{Link, Model, Notice, Tab};
use super::ruleset;
use super::trace::Trace;
use super::view;
use super::wording;
use control::protocol::Refusal;
use control::status::Status;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// How often the service is asked how it does.
const STATUS_EVERY: SignedDuration = SignedDuration::from_secs(2);

/// How long a notice stays.
const NOTICE_FOR: SignedDuration = SignedDuration::from_secs(10);

/// How long the bell is silent after it rang.
const BELL_EVERY: SignedDuration = SignedDuration::from_secs(5);

/// Takes what happened. Gives what is to be done.
pub fn update(model: &mut Model, message: Message) -> Vec<Effect> {
    if !matches!(message, Message::Time(_) | Message::Status(_)) {
        model.stale = true;
    }
    let effects = apply(model, message);
    view::settle(model);
    effects
}

fn apply(model: &mut Model, message: Message) -> Vec<Effect> {
    match message {
        Message::Time(now) => return time(model, now),
        Message::Key(key) => return keys::press(model, key),
        Message::Paste(text) => keys::paste(model, &text),
        Message::Resize(columns, rows) => model.size = (columns, rows),
        Message::Hangup => return vec![Effect::Quit],
        Message::Connected(welcome) => {
            model.link = Link::Up(welcome);
            model.rules.loading = true;
            let mut effects = ask_status(model);
            effects.push(Effect::LoadRules);
            return effects;
        }
        Message::Disconnected { why, help, retry } => disconnected(model, Link::Down { why, help, retry }),
        Message::Entry(entry) => model.connections.push(Arc::from(entry)),
        Message::Past(entries) => model.connections.fill(entries),
        Message::Missed(count) => model.connections.missed = model.connections.missed.saturating_add(count),
        Message::Prompt(prompt) => {
            if model.prompts.open(*prompt) {
                return ring(model);
            }
        }
        Message::PromptClosed { id, closed } => {
            model.prompts.measure(id, &closed, model.now);
            model.prompts.close(id, &wording::closed(&closed));
        }
        Message::Status(status) => return status_came(model, status),
        Message::Answered { prompt, outcome } => {
            model.prompts.answered(prompt, outcome.is_ok());
            match outcome {
                Ok(()) => say(model, "the answer is in force"),
                Err(refusal) => refused(model, &refusal),
            }
        }
        Message::Snoozed(Ok(())) => {
            say(model, "done");
            return ask_status(model);
        }
        Message::Snoozed(Err(refusal)) | Message::Refused(refusal) => refused(model, &refusal),
        Message::Rules(loaded) => model.rules.load(loaded),
        Message::Checked(trace) => {
            if let Some(ruleset::Pane::Findings(waits @ Trace::Waits)) = &mut model.rules.pane {
                *waits = trace;
            }
        }
        Message::Explained { entry, trace } => {
            if let Some(Pane { entry: shown, trace: Some(waits), .. }) = &mut model.connections.pane
                && shown.id == entry
            {
                *waits = trace;
            }
        }
    }
    Vec::new()
}

/// Says what was done.
pub fn say(model: &mut Model, text: &str) {
    notice(model, text.to_owned(), false);
}

/// Says what cannot be done.
pub fn warn(model: &mut Model, text: &str) {
    notice(model, text.to_owned(), true);
}

/// Shows a tab.
pub fn show(model: &mut Model, tab: Tab) {
    model.tab = tab;
    if tab == Tab::Prompts {
        model.prompts.fresh = false;
    }
}

fn time(model: &mut Model, now: Timestamp) -> Vec<Effect> {
    model.stale |= model.is_ticking() && now.as_second() != model.now.as_second();
    model.now = now;
    if model.notice.as_ref().is_some_and(|notice| notice.until <= now) {
        model.notice = None;
    }
    // A clock that was set back must not end the asking.
    let due = |at: Timestamp| at <= now || now.duration_since(at).abs() > STATUS_EVERY * 2;
    if model.is_up() && model.next_status.is_some_and(due) { ask_status(model) } else { Vec::new() }
}

fn ask_status(model: &mut Model) -> Vec<Effect> {
    if !model.is_up() {
        return Vec::new();
    }
    model.next_status = None;
    model.asked = Some(model.now);
    vec![Effect::AskStatus]
}

fn status_came(model: &mut Model, status: Box<Status>) -> Vec<Effect> {
    model.next_status = model.now.checked_add(STATUS_EVERY).ok();
    model.asked = None;
    model.history.record(model.now, &status.counters);
    let changed = model.status.as_ref() != Some(&status);
    model.stale |= changed || model.tab == Tab::Overview;
    let revision = &status.rules.revision;
    let known = model.rules.loaded.as_ref().is_some_and(|loaded| loaded.revision == *revision);
    let was = model.status.as_ref().map(|status| &status.rules.revision);
    let reload = !known && !model.rules.loading && (was != Some(revision) || model.rules.trouble.is_none());
    model.status = Some(status);
    if reload && model.is_up() {
        model.rules.loading = true;
        return vec![Effect::LoadRules];
    }
    Vec::new()
}

fn disconnected(model: &mut Model, link: Link) {
    if model.is_up() {
        model.prompts.lost();
        model.connections.lost();
        model.history.lost();
        model.rules.lost();
    }
    (model.next_status, model.asked) = (None, None);
    model.link = link;
    // What was asked for does not come any more.
    let gone = || Trace::Failed("the service went away: ask again when it is back".to_owned());
    if let Some(Pane { trace: Some(waits @ Trace::Waits), .. }) = &mut model.connections.pane {
        *waits = gone();
    }
    if let Some(ruleset::Pane::Findings(waits @ Trace::Waits)) = &mut model.rules.pane {
        *waits = gone();
    }
}

fn ring(model: &mut Model) -> Vec<Effect> {
    if model.tab != Tab::Prompts {
        model.prompts.fresh = true;
    }
    let quiet = model.rang.is_some_and(|rang| model.now.duration_since(rang).abs() < BELL_EVERY);
    if quiet {
        return Vec::new();
    }
    model.rang = Some(model.now);
    vec![Effect::Bell]
}

fn refused(model: &mut Model, refusal: &Refusal) {
    let help = refusal.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    notice(model, format!("{}{help}", refusal.message), true);
}

fn notice(model: &mut Model, text: String, failure: bool) {
    let until = model.now.checked_add(NOTICE_FOR).unwrap_or(Timestamp::MAX);
    model.notice = Some(Notice { text, failure, until });
    model.stale = true;
}
