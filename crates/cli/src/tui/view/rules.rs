//! The rules in force, by layer and order.
//!
//! Neighbours: `ruleset` has the rows.

use super::page::Page;
use super::{detail, empty, first_row};
use crate::tui::model::{Link, Model};
use crate::tui::ruleset::{Pane, Row};
use crate::tui::text::{self, clean, fit, fit_middle, pad};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use rules::model::Action;

/// Draws the tab.
pub fn view(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    draw_list(model, frame, area);
    if let Some(page) = page(model) {
        page.draw(frame, area, model.rules.scroll, &model.theme);
    }
}

/// What lies over the list.
pub fn page(model: &Model) -> Option<Page> {
    match model.rules.pane.as_ref()? {
        Pane::Rule => model.rules.selected().map(|row| rule_page(model, row)),
        Pane::Findings(trace) => {
            let mut page = Page::new("What a check of the rules found");
            detail::trace_lines(&mut page, trace, model);
            Some(page)
        }
    }
}

fn rule_page(model: &Model, row: &Row) -> Page {
    let mut page = Page::new(format!("Rule {}", row.name));
    page.field("Stands in", row.origin.clone());
    match model.connections.tally(&row.name) {
        Some(tally) => page.field(
            "Decided",
            format!(
                "{} permitted, {} blocked, the last at {} (since this window opened)",
                text::count(tally.permitted),
                text::count(tally.blocked),
                model.clock(tally.last)
            ),
        ),
        None => page.field("Decided", "nothing since this window opened"),
    }
    if let Some(idle) = &row.idle {
        page.styled_field("Takes part", format!("no: {idle}"), model.theme.bad());
    }
    page.blank();
    for line in row.text.lines() {
        page.verbatim(line, Style::new());
    }
    page
}

fn draw_list(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let rules = &model.rules;
    let theme = &model.theme;
    let width = usize::from(area.width);
    let mut lines = vec![Line::from(fit(&clean(&summary(model), theme), width, theme))];
    if rules.shown().is_empty() {
        frame.render_widget(Paragraph::new(lines), area);
        let below = Rect {
            x: area.x + 1,
            y: area.y + 1,
            width: area.width.saturating_sub(2),
            height: area.height.saturating_sub(1),
        };
        return empty(frame, below.intersection(area), &why_empty(model), theme);
    }
    let origin = if width >= 64 { (width / 4).min(40) } else { 0 };
    let what = if width >= 48 { 1 } else { 0 };
    let fixed = 2 + 10 + 7 + if origin > 0 { origin + 1 } else { 0 };
    let room = width.saturating_sub(fixed + what);
    let id = if what > 0 { (room * 2 / 5).min(32) } else { room };
    let what = room - id;
    let cell = |text: &str, columns: usize| match columns {
        0 => String::new(),
        columns => format!("{} ", pad(&clean(text, theme), columns, theme)),
    };
    if area.height > 5 {
        let heading =
            ["  ", &cell("Layer", 9), &cell("Does", 6), &cell("Rule", id), &cell("When", what), &cell("File", origin)];
        lines.push(Line::styled(fit(heading.concat().trim_end(), width, theme), theme.strong()));
    }
    let height = usize::from(area.height).saturating_sub(lines.len());
    let selected = rules.index().unwrap_or(0);
    let first = first_row(selected, rules.shown().len(), height);
    for (i, row) in rules.shown().iter().enumerate().skip(first).take(height) {
        let selected = i == selected;
        let (does, colour) = match (&row.idle, row.action) {
            (Some(_), _) => ("(off)", theme.faint()),
            (None, Action::Permit) => ("permit", theme.good()),
            (None, Action::Block) => ("BLOCK", theme.bad()),
            (None, Action::Ask) => ("ask", theme.waiting()),
        };
        let line = Line::from(vec![
            Span::raw(if selected { format!("{} ", theme.cursor()) } else { "  ".to_owned() }),
            Span::raw(cell(row.name.layer.name(), 9)),
            Span::styled(cell(does, 6), colour),
            Span::raw(cell(&row.name.id, id)),
            Span::raw(cell(&row.what, what)),
            Span::raw(if origin > 0 { fit_middle(&clean(&row.origin, theme), origin, theme) } else { String::new() }),
        ]);
        lines.push(if selected { line.style(theme.selected()) } else { line });
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn summary(model: &Model) -> String {
    let rules = &model.rules;
    let Some(loaded) = &rules.loaded else {
        return if rules.loading { " Reading the rules ...".to_owned() } else { " No rules".to_owned() };
    };
    let (shown, all) = (rules.shown().len() as u64, loaded.rows.len() as u64);
    let mut summary = if rules.input.is_empty() {
        format!(" {}, first match decides, revision {}", text::plural(all, "rule"), loaded.revision)
    } else {
        format!(" {} of {}, revision {}", text::count(shown), text::plural(all, "rule"), loaded.revision)
    };
    let refused = model.status.as_ref().map_or(0, |status| status.rules.refused.len());
    if let Some(trouble) = &rules.trouble {
        summary.push_str(&format!("  OLD: {trouble}"));
    } else if refused > 0 {
        summary.push_str(&format!("  files REFUSED: {}, see 4", text::plural(refused as u64, "problem")));
    }
    summary
}

fn why_empty(model: &Model) -> String {
    match (&model.link, &model.rules.trouble) {
        _ if model.rules.loaded.is_some() => "No rule matches the filter. Esc clears it.".to_owned(),
        (Link::Down { why, .. }, _) => format!("No service: {why}. The rules are shown when it is back."),
        (_, Some(trouble)) => trouble.clone(),
        _ => "Reading the rules ...".to_owned(),
    }
}
