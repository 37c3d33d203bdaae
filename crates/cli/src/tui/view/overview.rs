//! How everything does: the gate, the rules, prompts, the log, and decisions over time.
//!
//! Neighbours: `model` has the status, `history` the graph's numbers.

use super::page::Page;
use crate::tui::history::Sample;
use crate::tui::model::{Link, Model};
use crate::tui::text::{self, fit, pad};
use crate::tui::wording;
use control::status::{Gate, Source, Status};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// How many of the problems with refused rules are listed.
const PROBLEMS: usize = 5;

/// How many rows the graph takes at most.
const GRAPH: u16 = 12;

/// How many columns the names beside the graph take.
const LABEL: usize = 11;

/// Draws the tab.
pub fn view(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let graph = match area.height {
        0..16 => 0,
        16..24 => 7,
        height => (height / 3).min(GRAPH),
    };
    let top = Rect { x: area.x + 1, width: area.width.saturating_sub(2), height: area.height - graph, ..area };
    let bottom = Rect { y: area.y + top.height, height: graph, ..top };
    page(model).draw_bare(frame, top, 0, &model.theme);
    if graph > 0 {
        draw_graph(model, frame, bottom);
    }
}

fn page(model: &Model) -> Page {
    let mut page = Page::default();
    let theme = &model.theme;
    match &model.link {
        Link::Up(_) => {}
        Link::Connecting => page.field("Service", "connecting ..."),
        Link::Down { why, help, retry } => {
            let help = help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
            let retry = text::seconds(model.until(*retry));
            page.styled_field("Service", format!("NONE: {why}{help}. Tried again in {retry}."), theme.bad());
            if model.status.is_some() {
                page.paragraph("What follows is what it said last.");
            }
        }
    }
    if let Some(status) = &model.status {
        gate(model, status, &mut page);
        rules(model, status, &mut page);
        policy(model, status, &mut page);
        counters(model, status, &mut page);
        sources(model, status, &mut page);
    }
    page
}

fn gate(model: &Model, status: &Status, page: &mut Page) {
    let theme = &model.theme;
    match &status.gate {
        Gate::Attached { since } => {
            let ago = text::seconds(model.since(*since));
            page.styled_field(
                "Gate",
                format!("ATTACHED for {ago}: new connections are held, and rules decide"),
                theme.good(),
            );
        }
        Gate::Detached { since, why, retry } => {
            let (ago, retry) = (text::seconds(model.since(*since)), text::seconds(model.until(*retry)));
            page.styled_field("Gate", format!("DETACHED for {ago}: {why}. Tried again in {retry}."), theme.bad());
            page.field("", "Rules decide nothing now. The gate's fallback does, where there is a gate at all.");
        }
    }
}

fn rules(model: &Model, status: &Status, page: &mut Page) {
    let rules = &status.rules;
    let since = model.clock(rules.since);
    page.field(
        "Rules",
        format!("{}, revision {}, in force since {since}", text::plural(rules.count, "rule"), rules.revision),
    );
    if rules.refused.is_empty() {
        return;
    }
    let problems = text::plural(rules.refused.len() as u64, "problem");
    page.styled_field(
        "",
        format!("The files were changed and REFUSED: {problems}. The rules above stay."),
        model.theme.bad(),
    );
    for problem in rules.refused.iter().take(PROBLEMS) {
        page.field("", problem.to_string());
    }
    if rules.refused.len() > PROBLEMS {
        page.field("", format!("... and {} more: `tollgate rules check` shows all", rules.refused.len() - PROBLEMS));
    }
}

fn policy(model: &Model, status: &Status, page: &mut Page) {
    let snooze = match status.snoozed_until.filter(|until| *until > model.now) {
        Some(until) => format!("prompts SNOOZED until {} ({})", model.clock(until), text::seconds(model.until(until))),
        None => "not snoozed".to_owned(),
    };
    page.field("No rule", format!("{}; {snooze}", wording::mode(status.unmatched)));
    let counters = &status.counters;
    let time =
        model.prompts.answer_time().map(|ms| format!(", {} on average", text::milliseconds(ms))).unwrap_or_default();
    page.field(
        "Prompts",
        format!(
            "{} open, {} held; {} opened, {} answered{time}",
            text::count(status.prompts),
            text::plural(counters.waiting, "connection"),
            text::count(counters.prompts),
            text::count(counters.answered),
        ),
    );
}

fn counters(model: &Model, status: &Status, page: &mut Page) {
    let counters = &status.counters;
    page.field(
        "Decisions",
        format!(
            "{} permitted, {} blocked; {} by default, {} too late",
            text::count(counters.permitted),
            text::count(counters.blocked),
            text::count(counters.defaulted),
            text::count(counters.stale)
        ),
    );
    let lost = match counters.lost_reports {
        0 => String::new(),
        lost => format!(", {} more reports LOST", text::count(lost)),
    };
    let style = if counters.lost_reports > 0 { model.theme.bad() } else { Style::new() };
    page.styled_field(
        "Gate alone",
        format!("{} decided by the gate itself{lost}", text::count(counters.reported)),
        style,
    );
}

fn sources(model: &Model, status: &Status, page: &mut Page) {
    let theme = &model.theme;
    let log = &status.log;
    let size =
        format!("{}, {}", text::plural(log.entries, "entry").replace("entrys", "entries"), text::bytes(log.bytes));
    let shed = match status.counters.shed {
        0 => String::new(),
        shed => format!(", {} SHED: the disk was too slow", text::count(shed)),
    };
    let (works, style) = source(&log.state, theme.bad());
    page.styled_field("Log", format!("{works}; {size}{shed}"), style);
    let (works, style) = source(&status.names, theme.bad());
    page.styled_field("Names", works, style);
    let since = text::seconds(model.since(status.started));
    page.field("Service", format!("version {}, process {}, up for {since}", status.version, status.pid));
}

fn source(source: &Source, bad: Style) -> (String, Style) {
    match source {
        Source::Works { what } => (format!("works: {what}"), Style::new()),
        Source::Fails { why } => (format!("FAILS: {why}"), bad),
        Source::Off => ("off".to_owned(), Style::new()),
    }
}

fn draw_graph(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let theme = &model.theme;
    let width = usize::from(area.width).saturating_sub(LABEL);
    let samples = model.history.columns(width);
    let seconds = model.history.column_seconds();
    let title = format!("Decisions over the last {}", text::seconds(seconds.saturating_mul(width as u64)));
    let zoom = format!("one column is {} (- and + zoom)", text::seconds(seconds));
    let mut lines = vec![Line::from(vec![
        Span::styled(fit(&title, usize::from(area.width), theme), theme.strong()),
        Span::styled(format!("  {zoom}"), theme.faint()),
    ])];
    let rows = usize::from(area.height).saturating_sub(1) / 2;
    // One scale for both, so that they can be compared.
    let most = samples.iter().map(|sample| sample.permitted.max(sample.blocked)).max().unwrap_or(0);
    let mut bars = |name: &str, style: Style, count: fn(&Sample) -> u64| {
        for row in (0..rows).rev() {
            let bar: String = samples.iter().map(|sample| bar(count(sample), most, row, rows, &theme.bars())).collect();
            let label = match row {
                row if row + 1 == rows => name.to_owned(),
                0 if rows > 1 => format!("max {}", text::count(samples.iter().map(count).max().unwrap_or(0))),
                _ => String::new(),
            };
            let gap = " ".repeat(width - samples.len());
            lines.push(Line::from(vec![
                Span::raw(pad(&label, LABEL, theme)),
                Span::raw(gap),
                Span::styled(bar, style),
            ]));
        }
    };
    bars("permitted", theme.good(), |sample| sample.permitted);
    bars("blocked", theme.bad(), |sample| sample.blocked);
    frame.render_widget(Paragraph::new(lines), area);
}

/// The part of a bar in one row, rows counted from below.
fn bar(count: u64, most: u64, row: usize, rows: usize, bars: &[char; 9]) -> char {
    let steps = rows as u64 * 8;
    // What is there at all is seen.
    let height = if count == 0 { 0 } else { (u128::from(count) * u128::from(steps) / u128::from(most.max(1))).max(1) };
    let above = height.saturating_sub(row as u128 * 8).min(8);
    let floor = if row == 0 && count == 0 { '·' } else { bars[0] };
    match usize::try_from(above) {
        Ok(0) | Err(_) => {
            if bars[8] == '#' && floor == '·' {
                '.'
            } else {
                floor
            }
        }
        Ok(eighths) => bars[eighths],
    }
}
