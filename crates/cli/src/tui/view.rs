//! The model on the screen.
//!
//! From top to bottom: tabs, the tab that is shown, what keys do here or what was just done, the status line. Invariants:
//! pure; never panics, whatever the size; no cell holds a character that could control a terminal. Neighbours: `model` is
//! shown; a file each for the tabs.

mod connections;
mod detail;
mod dialogs;
mod overview;
mod page;
mod prompts;
mod rules;
mod status_line;

use super::model::{Model, Tab};
use super::text;
use super::theme::Theme;
use page::Page;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

/// Below this nothing can be told.
const SMALLEST: (u16, u16) = (24, 6);

/// Draws the model.
pub fn view(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let lines: Vec<Line<'_>> =
            text::wrap("Tollgate: make this window larger", area.width.into()).into_iter().map(Line::from).collect();
        frame.render_widget(Paragraph::new(lines), area);
    } else {
        let [tabs, body, hints, status] = rows(area);
        status_line::tabs(model, frame, tabs);
        match model.tab {
            Tab::Connections => connections::view(model, frame, body),
            Tab::Prompts => prompts::view(model, frame, body),
            Tab::Rules => rules::view(model, frame, body),
            Tab::Overview => overview::view(model, frame, body),
        }
        if let Some(scroll) = model.help {
            dialogs::help(model.theme).draw(frame, body, scroll, &model.theme);
        }
        if let Some(form) = &model.snooze {
            dialogs::snooze(form, frame, body, &model.theme);
        }
        status_line::hints(model, frame, hints);
        status_line::status(model, frame, status);
    }
    scrub(frame.buffer_mut(), &model.theme);
}

/// Takes back what was scrolled beyond the end of a text.
pub fn settle(model: &mut Model) {
    let [_, body, ..] = rows(Rect::new(0, 0, model.size.0, model.size.1));
    if let Some(scroll) = model.help {
        model.help = Some(dialogs::help(model.theme).clamp(body, scroll));
    }
    if model.connections.pane.as_ref().is_some_and(|pane| pane.scroll > 0) {
        let (_, area) = connections::split(model, body);
        let end = detail::page(model).map(|page| page.end(area));
        if let (Some(pane), Some(end)) = (&mut model.connections.pane, end) {
            pane.scroll = pane.scroll.min(end);
        }
    }
    if model.prompts.scroll > 0 {
        let (_, area) = prompts::split(model, body);
        model.prompts.scroll = prompts::page(model).map_or(0, |page| page.clamp(area, model.prompts.scroll));
    }
    if model.rules.scroll > 0 {
        model.rules.scroll = rules::page(model).map_or(0, |page| page.clamp(body, model.rules.scroll));
    }
}

fn rows(area: Rect) -> [Rect; 4] {
    Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1), Constraint::Length(1)])
        .areas(area)
}

/// Nothing that is drawn may control the terminal, even where somebody forgot to clean it.
fn scrub(buffer: &mut Buffer, theme: &Theme) {
    for cell in &mut buffer.content {
        let mut letters = cell.symbol().chars();
        let (first, more) = (letters.next(), letters.clone().count());
        let plain = first.is_none_or(text::is_plain) && more <= text::MAX_MARKS && letters.all(text::is_plain);
        if !plain || (!theme.unicode && !cell.symbol().is_ascii()) {
            cell.set_char('?');
        }
    }
}

/// Where a list begins so that what is selected stands in its middle, except near its ends.
fn first_row(selected: usize, rows: usize, height: usize) -> usize {
    selected.saturating_sub(height / 2).min(rows.saturating_sub(height))
}

/// What stands where there is nothing to show: why, and what to do.
fn empty(frame: &mut Frame<'_>, area: Rect, text: &str, theme: &Theme) {
    let mut page = Page::default();
    page.blank();
    page.paragraph(text);
    page.draw_bare(frame, area, 0, theme);
}
