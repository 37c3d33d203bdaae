//! What keys mean.
//!
//! A key goes to what lies on top: help, the snooze dialog, a line that is being typed, the answer that is being made, the
//! tab. Invariants: no single key decides anything about a connection. Neighbours: `update` changes the rest.

use super::answer::{Focus, Outcome};
use super::message::Effect;
use super::model::{Model, Tab};
use super::ruleset;
use super::snooze::SnoozeForm;
use super::trace::Trace;
use super::update::{say, show, warn};
use control::entry::{Reason, Verdict};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::sync::Arc;

const NO_SERVICE: &str = "no service: what you see is what was, and nothing can be changed until it is back";

/// Takes a key.
pub fn press(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if control && matches!(key.code, KeyCode::Char('c')) {
        return vec![Effect::Quit];
    }
    model.notice = None;
    if let Some(scroll) = model.help {
        model.help = match key.code {
            KeyCode::Char('?' | 'q') | KeyCode::Esc | KeyCode::Enter | KeyCode::F(1) => None,
            code => Some(scrolled(scroll, code, page(model)).unwrap_or(scroll)),
        };
        return Vec::new();
    }
    if model.snooze.is_some() {
        return snooze(model, key);
    }
    if typed(model, key) {
        return Vec::new();
    }
    if model.tab == Tab::Prompts && model.prompts.form.is_some() {
        return answer(model, key);
    }
    // What a terminal sends with Control or Alt is not the letter.
    if control || key.modifiers.contains(KeyModifiers::ALT) {
        return Vec::new();
    }
    match key.code {
        KeyCode::Char('q') => return vec![Effect::Quit],
        KeyCode::Char('?') | KeyCode::F(1) => model.help = Some(0),
        KeyCode::Char('s') => open_snooze(model),
        KeyCode::Char(digit @ '1'..='4') => show(model, Tab::ALL[digit as usize - '1' as usize]),
        KeyCode::Tab => show(model, model.tab.beside(true)),
        KeyCode::BackTab => show(model, model.tab.beside(false)),
        code => {
            return match model.tab {
                Tab::Connections => connections(model, code),
                Tab::Prompts => prompts(model, code),
                Tab::Rules => rules(model, code),
                Tab::Overview => overview(model, code),
            };
        }
    }
    Vec::new()
}

/// Takes pasted text: where a line is typed, and nowhere else.
pub fn paste(model: &mut Model, text: &str) {
    if model.help.is_some() || model.snooze.is_some() {
        return;
    }
    match model.tab {
        Tab::Connections if model.connections.typing => {
            model.connections.input.paste(text);
            model.connections.refilter();
        }
        Tab::Rules if model.rules.typing => {
            model.rules.input.paste(text);
            model.rules.refilter();
        }
        Tab::Prompts => {
            if let Some(form) = model.prompts.form.as_mut().filter(|form| form.focus == Focus::Note) {
                form.note.paste(text);
            }
        }
        Tab::Connections | Tab::Rules | Tab::Overview => {}
    }
}

/// Gives a key to the filter that is being typed. Whether there is one.
fn typed(model: &mut Model, key: KeyEvent) -> bool {
    let (typing, input) = match model.tab {
        Tab::Connections => (&mut model.connections.typing, &mut model.connections.input),
        Tab::Rules => (&mut model.rules.typing, &mut model.rules.input),
        Tab::Prompts | Tab::Overview => return false,
    };
    if !*typing {
        return false;
    }
    match key.code {
        KeyCode::Enter => *typing = false,
        KeyCode::Esc => {
            *typing = false;
            *input = super::input::Input::default();
        }
        KeyCode::Up | KeyCode::Down | KeyCode::PageUp | KeyCode::PageDown => {
            let step = step(key.code, page(model)).unwrap_or(0);
            if model.tab == Tab::Connections {
                model.connections.select(step)
            } else {
                model.rules.select(step)
            }
            return true;
        }
        _ => drop(input.key(key)),
    }
    if model.tab == Tab::Connections {
        model.connections.refilter()
    } else {
        model.rules.refilter()
    }
    true
}

fn connections(model: &mut Model, code: KeyCode) -> Vec<Effect> {
    let page = page(model);
    let list = &mut model.connections;
    if let Some(pane) = &mut list.pane {
        match code {
            KeyCode::PageUp | KeyCode::PageDown | KeyCode::Home | KeyCode::End => {
                pane.scroll = scrolled(pane.scroll, code, page).unwrap_or(pane.scroll);
                return Vec::new();
            }
            // First back from the trace, then from the pane.
            KeyCode::Esc | KeyCode::Enter if pane.trace.take().is_some() => {
                pane.scroll = 0;
                return Vec::new();
            }
            KeyCode::Esc | KeyCode::Enter => {
                list.pane = None;
                return Vec::new();
            }
            _ => {}
        }
    }
    match code {
        KeyCode::Char('/') => list.typing = true,
        KeyCode::Char(' ') => list.toggle_pause(),
        KeyCode::Enter => list.open(),
        KeyCode::Char('e') => return explain(model),
        KeyCode::Char('r') => go_to_rule(model),
        KeyCode::Esc if !list.input.is_empty() => {
            list.input = super::input::Input::default();
            list.refilter();
        }
        code => {
            if let Some(step) = step(code, page) {
                list.select(step);
            }
        }
    }
    Vec::new()
}

fn explain(model: &mut Model) -> Vec<Effect> {
    let up = model.is_up();
    let list = &mut model.connections;
    if list.pane.is_none() {
        list.open();
    }
    let Some(pane) = &mut list.pane else { return Vec::new() };
    if !up {
        warn(model, NO_SERVICE);
        return Vec::new();
    }
    pane.trace = Some(Trace::Waits);
    pane.scroll = 0;
    vec![Effect::Explain(Arc::clone(&pane.entry))]
}

fn go_to_rule(model: &mut Model) {
    let Some(entry) = model.connections.selected().cloned() else { return };
    let rule = match &entry.reason {
        Reason::Rule { rule } => Some(rule),
        Reason::Answer { .. } | Reason::Default { .. } | Reason::Enforcer { .. } => entry.asked_by.as_ref(),
    };
    let Some(rule) = rule else { return say(model, "no rule had a part in this decision") };
    if model.rules.find(rule) {
        model.rules.pane = Some(ruleset::Pane::Rule);
        model.rules.scroll = 0;
        show(model, Tab::Rules);
    } else {
        say(model, "that rule is not in force any more: press e for the rules of that time");
    }
}

fn prompts(model: &mut Model, code: KeyCode) -> Vec<Effect> {
    match code {
        KeyCode::Char('p') => begin(model, Verdict::Permit),
        KeyCode::Char('b') => begin(model, Verdict::Block),
        KeyCode::PageUp | KeyCode::PageDown => {
            let scroll = model.prompts.scroll;
            model.prompts.scroll = scrolled(scroll, code, page(model)).unwrap_or(scroll);
        }
        KeyCode::Enter if model.prompts.selected().is_some() => say(model, "p permits, b blocks: choose first"),
        code => {
            if let Some(step) = step(code, page(model)) {
                model.prompts.select(step);
            }
        }
    }
    Vec::new()
}

fn begin(model: &mut Model, verdict: Verdict) {
    if !model.is_up() {
        return warn(model, NO_SERVICE);
    }
    if model.prompts.begin(verdict) {
        return;
    }
    let why = match (model.prompts.selected(), model.prompts.len()) {
        (Some(_), _) => "your answer is on its way",
        (None, 0) => "nothing waits for an answer",
        (None, _) => "nothing is selected: choose a prompt with the arrow keys",
    };
    say(model, why);
}

fn answer(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    let Some(form) = &mut model.prompts.form else { return Vec::new() };
    let prompt = form.prompt.id;
    match form.key(key) {
        Outcome::Open => Vec::new(),
        Outcome::Left => {
            model.prompts.form = None;
            Vec::new()
        }
        Outcome::Made(_) if !model.is_up() => {
            warn(model, NO_SERVICE);
            Vec::new()
        }
        Outcome::Made(answer) => {
            model.prompts.send(prompt);
            vec![Effect::Answer { prompt, answer }]
        }
    }
}

fn rules(model: &mut Model, code: KeyCode) -> Vec<Effect> {
    let (page, up) = (page(model), model.is_up());
    let list = &mut model.rules;
    if list.pane.is_some() {
        match code {
            KeyCode::PageUp | KeyCode::PageDown | KeyCode::Home | KeyCode::End => {
                list.scroll = scrolled(list.scroll, code, page).unwrap_or(list.scroll);
                return Vec::new();
            }
            KeyCode::Up | KeyCode::Down if matches!(list.pane, Some(ruleset::Pane::Findings(_))) => {
                list.scroll = scrolled(list.scroll, code, page).unwrap_or(list.scroll);
                return Vec::new();
            }
            KeyCode::Esc | KeyCode::Enter => {
                list.pane = None;
                return Vec::new();
            }
            _ => {}
        }
    }
    match code {
        KeyCode::Char('/') => list.typing = true,
        KeyCode::Enter if list.selected().is_some() => {
            list.pane = Some(ruleset::Pane::Rule);
            list.scroll = 0;
        }
        KeyCode::Char('c') if up => {
            list.pane = Some(ruleset::Pane::Findings(Trace::Waits));
            list.scroll = 0;
            return vec![Effect::CheckRules];
        }
        KeyCode::Char('c') => warn(model, NO_SERVICE),
        KeyCode::Esc if !list.input.is_empty() => {
            list.input = super::input::Input::default();
            list.refilter();
        }
        code => {
            if let Some(step) = step(code, page) {
                list.select(step);
            }
        }
    }
    Vec::new()
}

fn overview(model: &mut Model, code: KeyCode) -> Vec<Effect> {
    match code {
        KeyCode::Char('+' | '=') => model.history.zoom(false),
        KeyCode::Char('-') => model.history.zoom(true),
        _ => {}
    }
    Vec::new()
}

fn open_snooze(model: &mut Model) {
    if !model.is_up() {
        warn(model, NO_SERVICE);
    } else if model.is_administrator() {
        model.snooze = Some(SnoozeForm::default());
    } else {
        warn(model, "snoozing changes what is decided for everybody: it needs an administrator");
    }
}

fn snooze(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    let Some(form) = &mut model.snooze else { return Vec::new() };
    let Err(done) = form.key(key) else { return Vec::new() };
    model.snooze = None;
    done.map(Effect::Snooze).into_iter().collect()
}

/// How far a key moves a selection.
fn step(code: KeyCode, page: isize) -> Option<isize> {
    // Far beyond any list, and far from overflow.
    const END: isize = 1 << 30;
    match code {
        KeyCode::Up | KeyCode::Char('k') => Some(-1),
        KeyCode::Down | KeyCode::Char('j') => Some(1),
        KeyCode::PageUp => Some(-page),
        KeyCode::PageDown => Some(page),
        KeyCode::Home | KeyCode::Char('g') => Some(-END),
        KeyCode::End | KeyCode::Char('G') => Some(END),
        _ => None,
    }
}

/// Where a key scrolls text to. The view knows where the text ends.
fn scrolled(scroll: u16, code: KeyCode, page: isize) -> Option<u16> {
    let step = step(code, page)?;
    let scroll = isize::try_from(scroll).unwrap_or(0).saturating_add(step).clamp(0, 10_000);
    u16::try_from(scroll).ok()
}

/// How many rows one page is.
fn page(model: &Model) -> isize {
    isize::try_from(model.size.1.saturating_sub(8).max(1)).unwrap_or(1)
}
