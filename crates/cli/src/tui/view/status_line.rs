//! The lines that are always there: tabs, what keys do here, the status.
//!
//! Neighbours: `view` puts them around the tab.

use super::prompts::typed;
use crate::tui::answer::Focus;
use crate::tui::model::{Link, Model, Tab};
use crate::tui::text::{self, clean, fit, pad};
use crate::tui::theme::Theme;
use control::protocol::Role;
use control::status::{Gate, Unmatched};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Draws the tabs. The one that is shown stands in brackets.
pub fn tabs(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let theme = &model.theme;
    let wide = area.width >= 66;
    let mut spans = vec![Span::styled(if wide { " Tollgate " } else { "" }, theme.strong())];
    for (i, tab) in Tab::ALL.into_iter().enumerate() {
        let title = if wide { tab.title() } else { &tab.title()[..3] };
        let open = model.prompts.len() as u64;
        let count = match tab {
            Tab::Prompts if open > 0 && model.prompts.fresh && wide => format!(" ({} new!)", text::count(open)),
            Tab::Prompts if open > 0 && model.prompts.fresh => format!(" {}!", text::count(open)),
            Tab::Prompts if open > 0 && wide => format!(" ({})", text::count(open)),
            Tab::Prompts if open > 0 => format!(" {}", text::count(open)),
            _ => String::new(),
        };
        let title = format!("{} {title}{count}", i + 1);
        let title = if tab == model.tab { format!("[{title}]") } else { format!(" {title} ") };
        let style = match tab {
            tab if tab == model.tab => theme.strong(),
            Tab::Prompts if open > 0 => theme.waiting().add_modifier(theme.strong().add_modifier),
            _ => Style::new(),
        };
        spans.push(Span::styled(title, style));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

/// Draws what was just done, the line that is typed, or what keys do here.
pub fn hints(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let theme = &model.theme;
    let width = usize::from(area.width);
    let input = match model.tab {
        Tab::Connections if model.connections.typing => Some(&model.connections.input),
        Tab::Rules if model.rules.typing => Some(&model.rules.input),
        _ => None,
    };
    let line = if let Some(notice) = &model.notice {
        let (mark, style) = if notice.failure { ("! ", theme.bad()) } else { ("", theme.strong()) };
        Line::styled(fit(&format!(" {mark}{}", clean(&notice.text, theme)), width, theme), style)
    } else if let Some(input) = input.filter(|_| model.help.is_none() && model.snooze.is_none()) {
        let mut spans = vec![Span::styled(" / ", theme.strong())];
        spans.extend(typed(&input.halves(), width.saturating_sub(4), theme));
        Line::from(spans)
    } else {
        keys(&key_list(model), width, theme)
    };
    frame.render_widget(Paragraph::new(line), area);
}

/// Draws the status line.
pub fn status(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let theme = &model.theme;
    let parts = status_parts(model);
    let text = format!(" {}", parts.join(" | "));
    let line = pad(&clean(&text, theme), area.width.into(), theme);
    frame.render_widget(Paragraph::new(Line::styled(line, theme.bar())), area);
}

fn status_parts(model: &Model) -> Vec<String> {
    let mut parts = Vec::new();
    let who = match &model.link {
        Link::Connecting => {
            parts.push("connecting to the service".to_owned());
            None
        }
        Link::Down { retry, .. } => {
            parts.push(format!("NO SERVICE, tried again in {}", text::seconds(model.until(*retry))));
            None
        }
        Link::Up(welcome) => Some(match welcome.role {
            Role::Administrator => format!("administrator {}", welcome.user),
            Role::Operator => format!("operator {}", welcome.user),
        }),
    };
    let status = model.status.as_ref().filter(|_| model.is_up());
    match status.map(|status| &status.gate) {
        Some(Gate::Attached { .. }) => parts.push("gate ATTACHED".to_owned()),
        Some(Gate::Detached { retry, .. }) => {
            parts.push(format!("gate DETACHED, tried again in {}", text::seconds(model.until(*retry))));
        }
        None => {}
    }
    if model.is_slow() {
        parts.push("service does NOT ANSWER".to_owned());
    }
    match model.prompts.len() as u64 {
        0 if model.is_up() => parts.push("no prompts".to_owned()),
        0 => {}
        open => parts.push(text::plural(open, "prompt").to_uppercase()),
    }
    if let Some(status) = status {
        parts.push(match status.unmatched {
            Unmatched::Ask => "no rule: asks".to_owned(),
            Unmatched::Learn => "no rule: LEARNS".to_owned(),
            Unmatched::Permit => "no rule: permits".to_owned(),
            Unmatched::Block => "no rule: blocks".to_owned(),
        });
        if let Some(until) = status.snoozed_until.filter(|until| *until > model.now) {
            parts.push(format!("SNOOZED {}", text::seconds(model.until(until))));
        }
        if !status.rules.refused.is_empty() {
            parts.push("rules REFUSED".to_owned());
        }
    }
    parts.extend(who);
    parts
}

fn key_list(model: &Model) -> Vec<(&'static str, &'static str)> {
    if model.help.is_some() {
        return vec![("Esc", "back"), ("PgDn", "more")];
    }
    if model.snooze.is_some() {
        return vec![("Enter", "snooze"), ("Esc", "back")];
    }
    let common = [("s", "snooze"), ("?", "help"), ("q", "quit")];
    let mut keys = match model.tab {
        Tab::Connections => match &model.connections.pane {
            Some(pane) if pane.trace.is_some() => vec![("Esc", "back"), ("PgDn", "more"), ("r", "rule")],
            Some(_) => vec![("Esc", "back"), ("e", "explain"), ("r", "rule"), ("PgDn", "more")],
            None => vec![("Enter", "details"), ("e", "explain"), ("/", "filter"), ("Space", "pause")],
        },
        Tab::Prompts => match &model.prompts.form {
            Some(form) if form.gone.is_some() => return vec![("Esc", "back")],
            Some(form) if form.focus == Focus::Note => return vec![("Enter", "ends the note")],
            Some(_) => return vec![("Enter", "send"), ("Esc", "back"), ("arrows", "move and choose"), ("n", "note")],
            None if model.prompts.len() > 0 => vec![("p", "permit"), ("b", "block"), ("arrows", "select")],
            None => Vec::new(),
        },
        Tab::Rules if model.rules.pane.is_some() => vec![("Esc", "back"), ("PgDn", "more")],
        Tab::Rules => vec![("Enter", "as written"), ("/", "filter"), ("c", "check")],
        Tab::Overview => vec![("- +", "zoom")],
    };
    keys.extend(common);
    keys
}

/// As many keys as fit, the first ones first.
fn keys(list: &[(&str, &str)], width: usize, theme: &Theme) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    let mut used = 1;
    for (key, what) in list {
        used += text::width(key) + text::width(what) + 3;
        if used > width + 2 {
            break;
        }
        spans.push(Span::styled((*key).to_owned(), theme.strong()));
        spans.push(Span::raw(format!(" {what}  ")));
    }
    Line::from(spans)
}
