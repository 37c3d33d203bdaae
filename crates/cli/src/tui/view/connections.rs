//! The live list, and the pane beside it.
//!
//! Neighbours: `connections` has the entries, `detail` the pane.

use super::{detail, empty, first_row};
use crate::tui::model::{Link, Model};
use crate::tui::text::{self, clean, fit, pad, pad_left};
use crate::tui::theme::Theme;
use crate::tui::wording;
use control::entry::{Entry, Verdict};
use control::status::Gate;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// From so many columns on the pane stands beside the list, else over it.
const WIDE: u16 = 110;

/// Draws the tab.
pub fn view(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let (list, pane) = split(model, area);
    if list.height > 0 && list.width > 0 {
        draw_list(model, frame, list);
    }
    if let (Some(shown), Some(page)) = (&model.connections.pane, detail::page(model)) {
        page.draw(frame, pane, shown.scroll, &model.theme);
    }
}

/// Where the list and the pane are.
pub fn split(model: &Model, area: Rect) -> (Rect, Rect) {
    if model.connections.pane.is_none() {
        return (area, Rect::ZERO);
    }
    if area.width < WIDE {
        return (Rect::ZERO, area);
    }
    let list = area.width / 2;
    (Rect { width: list, ..area }, Rect { x: area.x + list, width: area.width - list, ..area })
}

fn draw_list(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let list = &model.connections;
    let theme = &model.theme;
    let columns = Columns::new(area.width);
    let mut lines = vec![Line::from(fit(&summary(model), area.width.into(), theme))];
    if area.height > 5 {
        lines.push(columns.heading(theme));
    }
    let height = usize::from(area.height).saturating_sub(lines.len());
    if list.shown().is_empty() {
        frame.render_widget(Paragraph::new(lines), area);
        let below = Rect { y: area.y + 2.min(area.height), height: area.height.saturating_sub(2), ..area };
        return empty(
            frame,
            Rect { x: below.x + 1, width: below.width.saturating_sub(2), ..below },
            &why_empty(model),
            theme,
        );
    }
    let selected = list.index().unwrap_or(0);
    let first = first_row(selected, list.shown().len(), height);
    for (i, entry) in list.shown().iter().enumerate().skip(first).take(height) {
        lines.push(columns.row(model, entry, i == selected));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn summary(model: &Model) -> String {
    let list = &model.connections;
    let (shown, kept) = (list.shown().len() as u64, list.len() as u64);
    let mut summary = if list.input.is_empty() {
        format!(" {}", text::plural(kept, "connection"))
    } else {
        let filter = clean(&list.input.text(), &model.theme).into_owned();
        format!(" {} of {} match \"{filter}\"", text::count(shown), text::plural(kept, "connection"))
    };
    if list.is_paused() {
        summary.push_str(&format!("  PAUSED, {} new", text::count(list.came)));
    } else if !list.is_following() {
        summary.push_str("  not following: End follows the newest");
    }
    if list.missed > 0 {
        summary.push_str(&format!("  {} not shown: too many at once", text::count(list.missed)));
    }
    summary
}

fn why_empty(model: &Model) -> String {
    let gate = model.status.as_ref().map(|status| &status.gate);
    match (&model.link, gate) {
        _ if !model.connections.input.is_empty() => {
            "No connection matches the filter. Words must all be found; !word must not. Esc clears it.".to_owned()
        }
        (Link::Connecting, _) => "Connecting to the service ...".to_owned(),
        (Link::Down { why, help, .. }, _) => {
            let help = help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
            format!("No service: {why}{help}. This window connects by itself as soon as there is one.")
        }
        (Link::Up(_), Some(Gate::Detached { why, .. })) => {
            format!("No connections yet, and none will come: the service is not attached to the gate: {why}.")
        }
        (Link::Up(_), _) => {
            "No connections yet: each new connection of a program shows up here, with who decided it and why."
                .to_owned()
        }
    }
}

/// How many columns each column takes; `0` leaves it out.
struct Columns {
    time: usize,
    program: usize,
    place: usize,
    why: usize,
    held: usize,
}

impl Columns {
    fn new(width: u16) -> Self {
        // Without the cursor and the verdict, and a space after each.
        let room = usize::from(width).saturating_sub(2 + 7);
        let (time, held) = (if width >= 56 { 8 } else { 0 }, if width >= 72 { 6 } else { 0 });
        let gap = |column: usize| if column > 0 { column + 1 } else { 0 };
        let room = room.saturating_sub(gap(time) + gap(held) + 1);
        if width < 64 {
            let program = room * 2 / 5;
            return Self { time, program, place: room - program, why: 0, held };
        }
        let room = room - 1;
        let program = (room / 4).min(28);
        let why = ((room - program) * 2 / 5).min(44);
        Self { time, program, place: room - program - why, why, held }
    }

    fn heading(&self, theme: &Theme) -> Line<'static> {
        let cells =
            [("Time", self.time), ("Did", 6), ("Program", self.program), ("Where", self.place), ("Why", self.why)];
        let mut heading = String::from("  ");
        for (title, columns) in cells.into_iter().filter(|(_, columns)| *columns > 0) {
            heading.push_str(&pad(title, columns, theme));
            heading.push(' ');
        }
        if self.held > 0 {
            heading.push_str(&pad_left("Held", self.held, theme));
        }
        heading.truncate(heading.trim_end().len());
        Line::styled(heading, theme.strong())
    }

    fn row(&self, model: &Model, entry: &Entry, selected: bool) -> Line<'static> {
        let theme = &model.theme;
        let cell = |text: &str, columns: usize| match columns {
            0 => String::new(),
            columns => format!("{} ", pad(&clean(text, theme), columns, theme)),
        };
        let colour = match entry.verdict {
            Verdict::Permit => theme.good(),
            Verdict::Block => theme.bad(),
        };
        let rest = [
            cell(wording::program(&entry.identity), self.program),
            cell(&wording::where_to(entry), self.place),
            cell(&wording::why(entry), self.why),
        ];
        let held =
            if self.held > 0 { pad_left(&text::milliseconds(entry.held_ms), self.held, theme) } else { String::new() };
        let line = Line::from(vec![
            Span::raw(if selected { format!("{} ", theme.cursor()) } else { "  ".to_owned() }),
            Span::raw(cell(&model.clock(entry.time), self.time)),
            Span::styled(cell(wording::verdict(entry.verdict), 6), colour),
            Span::raw(rest.concat()),
            Span::raw(held),
        ]);
        if selected { line.style(theme.selected()) } else { line }
    }
}
