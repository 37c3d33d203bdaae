//! Open prompts: a list, and below it the selected one or the answer that is being made.
//!
//! Neighbours: `prompts` and `answer` have the state.

use super::page::Page;
use super::{detail, empty, first_row};
use crate::tui::answer::{Focus, Form};
use crate::tui::model::{Link, Model};
use crate::tui::text::{self, clean, fit, fit_middle, pad, pad_left};
use crate::tui::theme::Theme;
use crate::tui::wording;
use control::entry::{Direction, Verdict};
use control::prompt::{HoldKind, Prompt, Target};
use control::status::Unmatched;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

/// How many rows a form needs.
const FORM_ROWS: u16 = 13;

/// How many columns labels of a form take.
const LABEL: usize = 13;

/// How many columns a countdown takes.
const BAR: usize = 6;

/// Draws the tab.
pub fn view(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let prompts = &model.prompts;
    let theme = &model.theme;
    if prompts.len() == 0 && prompts.form.is_none() {
        let area = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
        return empty(frame, area, &why_empty(model), theme);
    }
    let (list, pane) = split(model, area);
    draw_list(model, frame, list);
    match (&prompts.form, prompts.selected()) {
        (Some(form), _) => draw_form(model, form, frame, pane),
        (None, Some(prompt)) => prompt_page(model, prompt).draw(frame, pane, prompts.scroll, theme),
        (None, None) => {
            let mut page = Page::new("Nothing selected");
            if let Some(farewell) = &prompts.farewell {
                page.paragraph(format!("The prompt you looked at is closed: {farewell}."));
            }
            page.paragraph("The arrow keys select another one.");
            page.draw(frame, pane, 0, theme);
        }
    }
}

/// What is told about the selected prompt.
pub fn page(model: &Model) -> Option<Page> {
    model.prompts.selected().map(|prompt| prompt_page(model, prompt))
}

/// Where the list and what lies below it are.
pub fn split(model: &Model, area: Rect) -> (Rect, Rect) {
    let wanted = u16::try_from(model.prompts.len()).unwrap_or(u16::MAX).saturating_add(1);
    let most = area.height.saturating_sub(FORM_ROWS).max(area.height / 4).max(2);
    let rows = wanted.clamp(2, most).min(area.height);
    (Rect { height: rows, ..area }, Rect { y: area.y + rows, height: area.height - rows, ..area })
}

fn why_empty(model: &Model) -> String {
    let snoozed = model.status.as_ref().and_then(|status| status.snoozed_until).filter(|until| *until > model.now);
    let mode = model.status.as_ref().map(|status| status.unmatched);
    match (&model.link, snoozed, mode) {
        (Link::Connecting, ..) => "Connecting to the service ...".to_owned(),
        (Link::Down { why, .. }, ..) => {
            format!("No service: {why}. Nothing waits for an answer, and nothing can be answered, until it is back.")
        }
        (_, Some(until), _) => {
            format!("No prompts: they are snoozed until {}. s ends that, or prolongs it.", model.clock(until))
        }
        (_, _, Some(Unmatched::Learn)) => {
            "No prompts: the service learns. What would be asked is permitted, and a rule is proposed: \
            `tollgate rules proposals` shows them."
                .to_owned()
        }
        (_, _, Some(Unmatched::Permit | Unmatched::Block)) => {
            "No prompts: the configuration says to ask nobody where no rule decides. Rules that say ask still do."
                .to_owned()
        }
        _ => "No prompts: nothing waits for you. When a program connects where no rule decides, it is held, and \
            shows up here with a countdown; the bell rings, and the tab's title counts."
            .to_owned(),
    }
}

fn draw_list(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let prompts = &model.prompts;
    let theme = &model.theme;
    let width = usize::from(area.width);
    let user = if width >= 64 { 10 } else { 0 };
    let waits = if width >= 72 { 9 } else { 0 };
    let room =
        width.saturating_sub(2 + BAR + 1 + 6 + 1 + user + usize::from(user > 0) + waits + usize::from(waits > 0) + 1);
    let program = room * 2 / 5;
    let place = room - program;
    let cell = |text: &str, columns: usize| match columns {
        0 => String::new(),
        columns => format!("{} ", pad(&clean(text, theme), columns, theme)),
    };
    let heading = [
        "  ",
        &cell("Time left", BAR + 7),
        &cell("Program", program),
        &cell("Where", place),
        &cell("User", user),
        &cell("Wait", waits),
    ];
    let mut lines = vec![Line::styled(fit(heading.concat().trim_end(), width, theme), theme.strong())];
    let height = usize::from(area.height).saturating_sub(1);
    let selected = prompts.index();
    let first = first_row(selected.unwrap_or(0), prompts.len(), height);
    for (i, prompt) in prompts.iter().enumerate().skip(first).take(height) {
        let selected = selected == Some(i);
        let waiting = if prompts.is_sent(prompt.id) {
            "answered".to_owned()
        } else {
            format!("{} wait", text::count(prompt.waiting.into()))
        };
        let who = prompt.identity.user.as_ref().map_or("?", wording::user);
        let rest = [
            cell(wording::program(&prompt.identity), program),
            cell(&wording::where_asked(prompt), place),
            cell(who, user),
            cell(&waiting, waits),
        ];
        let line = Line::from(vec![
            Span::raw(if selected { format!("{} ", theme.cursor()) } else { "  ".to_owned() }),
            Span::styled(countdown(model, prompt), theme.waiting()),
            Span::raw(" "),
            Span::raw(rest.concat()),
        ]);
        lines.push(if selected { line.style(theme.selected()) } else { line });
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// A bar that runs out, and the time as a number.
fn countdown(model: &Model, prompt: &Prompt) -> String {
    let (full, gone) = model.theme.gauge();
    let Some(deadline) = prompt.deadline else {
        return pad("for next time", BAR + 7, &model.theme);
    };
    let left = model.until(deadline);
    let whole = u64::try_from(deadline.duration_since(prompt.opened).as_secs()).unwrap_or(0).max(1);
    let cells = usize::try_from(left.saturating_mul(BAR as u64).div_ceil(whole)).unwrap_or(BAR).min(BAR);
    let bar: String = (0..BAR).map(|cell| if cell < cells { full } else { gone }).collect();
    format!("{bar} {}", pad_left(&text::seconds(left), 6, &model.theme))
}

fn prompt_page(model: &Model, prompt: &Prompt) -> Page {
    let mut page = Page::new(wording::question(prompt));
    let (place, remote) = (wording::where_asked(prompt), wording::end(prompt));
    page.field("Where", if place == remote { remote } else { format!("{place} ({remote})") });
    match &prompt.name {
        Some(name) => page.field("Name", format!("{}: {}", name.text, wording::confidence(name.confidence))),
        // Names are of what this machine looks up.
        None if prompt.direction == Direction::In => {}
        None => page.field("Name", "not known: nobody was seen to look this address up"),
    }
    if prompt.many {
        page.field(
            "And more",
            match prompt.direction {
                Direction::Out => "it asks for many places at once: only an answer for everything covers them",
                Direction::In => "others reach it on many ports at once: only an answer for everything covers them",
            },
        );
    }
    match &prompt.asked_by {
        Some(rule) => page.field("Asked by", format!("the rule {rule}")),
        None => page.field("Asked by", "no rule matches"),
    }
    page.field("Waits", waits(model, prompt));
    page.blank();
    detail::identity_fields(&mut page, &prompt.identity);
    page.field("Process", prompt.pid.to_string());
    page
}

fn waits(model: &Model, prompt: &Prompt) -> String {
    let default = wording::verdict(prompt.default);
    match prompt.deadline {
        Some(deadline) => {
            let left = text::seconds(model.until(deadline));
            format!("{}, {left} left; without an answer: {default}", text::plural(prompt.waiting.into(), "connection"))
        }
        None => format!("nobody any more ({default} by default); an answer holds for the next attempt"),
    }
}

fn draw_form(model: &Model, form: &Form, frame: &mut Frame<'_>, area: Rect) {
    let theme = &model.theme;
    let prompt = &form.prompt;
    let title = match form.verdict {
        Verdict::Permit => " Permit ",
        Verdict::Block => " Block ",
    };
    let block = Block::bordered().border_set(theme.border()).title(Span::styled(title, theme.strong()));
    let inner = block.inner(area);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }.intersection(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    let room = width.saturating_sub(LABEL + 1);
    let mut lines = Vec::new();
    // A small window keeps what is chosen, and drops what the list tells, too.
    if inner.height >= 9 {
        let program = prompt.identity.program.path.as_deref().unwrap_or("an unknown program");
        lines.push(row(form, None, "Program", vec![Span::raw(fit_middle(&clean(program, theme), room, theme))], theme));
        lines.push(row(
            form,
            None,
            "Where",
            vec![Span::raw(fit(&clean(&wording::where_asked(prompt), theme), room, theme))],
            theme,
        ));
        lines.push(row(form, None, "Waits", vec![Span::raw(fit(&waits(model, prompt), room, theme))], theme));
        lines.push(Line::default());
    }
    let verdicts = [("p permit", form.verdict == Verdict::Permit), ("b block", form.verdict == Verdict::Block)];
    lines.push(row(
        form,
        None,
        "Verdict",
        choices(verdicts.map(|(text, on)| (text.to_owned(), on)), room, theme),
        theme,
    ));
    let holds = [
        (HoldKind::Once, "o once"),
        (HoldKind::Process, "c process"),
        (HoldKind::Duration, "d duration"),
        (HoldKind::Forever, "f forever"),
    ];
    let holds = holds.into_iter().filter(|(hold, _)| prompt.holds.contains(hold));
    let holds = holds.map(|(hold, text)| (text.to_owned(), form.hold == hold));
    lines.push(row(form, Some(Focus::Hold), "For how long", choices(holds, room, theme), theme));
    if form.hold == HoldKind::Duration {
        let spans = form.durations.iter().enumerate();
        let spans =
            spans.map(|(i, seconds)| (format!("{} {}", i + 1, text::seconds((*seconds).into())), i == form.duration));
        lines.push(row(form, Some(Focus::Duration), "", choices(spans, room, theme), theme));
    }
    let domain =
        prompt.domain.as_deref().map_or_else(|| "d domain".to_owned(), |domain| format!("d {}", clean(domain, theme)));
    let targets = [
        (Target::Remote, format!("r {}", clean(&wording::end(prompt), theme))),
        (Target::Domain, domain),
        (Target::Port, "a anyone".to_owned()),
        (Target::Everything, "e everything".to_owned()),
    ];
    let targets = targets.into_iter().filter(|(target, _)| form.offers(*target));
    let targets = targets.map(|(target, text)| (fit(&text, 30, theme), form.target == target));
    lines.push(row(form, Some(Focus::Target), "To where", choices(targets, room, theme), theme));
    lines.push(note(form, width, theme));
    if inner.height >= 9 {
        lines.push(Line::default());
    }
    for line in text::wrap(&meaning(form, theme), width) {
        lines.push(Line::styled(line, if form.gone.is_some() { theme.bad() } else { Style::new() }));
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

fn row(form: &Form, focus: Option<Focus>, label: &str, value: Vec<Span<'static>>, theme: &Theme) -> Line<'static> {
    let here = focus == Some(form.focus);
    let mark = if here { theme.cursor() } else { " " };
    let mut spans = vec![Span::styled(format!("{mark}{}", pad(label, LABEL, theme)), theme.strong())];
    spans.extend(value);
    Line::from(spans)
}

/// What can be chosen, each with its key in front. Where there is no room, keys alone but for what is chosen.
fn choices(all: impl IntoIterator<Item = (String, bool)>, room: usize, theme: &Theme) -> Vec<Span<'static>> {
    let all: Vec<(String, bool)> = all.into_iter().collect();
    let is_wide = all.iter().map(|(text, _)| text::width(text) + 2).sum::<usize>() <= room;
    let spans = all.iter().map(|(text, chosen)| match text.split(' ').next() {
        _ if *chosen => Span::styled(format!("[{text}]"), theme.selected()),
        Some(key) if !is_wide => Span::raw(format!(" {key} ")),
        _ => Span::raw(format!(" {text} ")),
    });
    spans.collect()
}

fn note(form: &Form, width: usize, theme: &Theme) -> Line<'static> {
    let room = width.saturating_sub(LABEL + 1);
    let value = if form.focus == Focus::Note {
        typed(&form.note.halves(), room, theme)
    } else if form.note.is_empty() {
        vec![Span::styled("n writes one", theme.faint())]
    } else {
        vec![Span::raw(fit(&clean(&form.note.text(), theme), room, theme))]
    };
    row(form, Some(Focus::Note), "Note", value, theme)
}

/// A line that is being typed: its end, with a cursor.
pub fn typed((before, after): &(String, String), room: usize, theme: &Theme) -> Vec<Span<'static>> {
    let (before, after) = (clean(before, theme), clean(after, theme));
    let mut tail = before.as_ref();
    while text::width(tail) + 1 > room.max(1) {
        tail = &tail[tail.ceil_char_boundary(1)..];
    }
    let left = room.saturating_sub(text::width(tail) + 1);
    let under = after.chars().next().unwrap_or(' ');
    let rest: String = after.chars().skip(1).collect();
    vec![
        Span::raw(tail.to_owned()),
        Span::styled(under.to_string(), theme.selected()),
        Span::raw(fit(&rest, left, theme)),
    ]
}

/// The answer as a sentence, so that nobody has to know what the fields mean.
fn meaning(form: &Form, theme: &Theme) -> String {
    if let Some(gone) = &form.gone {
        return format!("Closed meanwhile: {gone}. Nothing is left to answer; Esc leaves.");
    }
    let verb = match form.verdict {
        Verdict::Permit => "Permits",
        Verdict::Block => "Blocks",
    };
    let prompt = &form.prompt;
    let program = clean(wording::program(&prompt.identity), theme);
    let who = prompt
        .identity
        .user
        .as_ref()
        .map(|user| format!(" of {}", clean(wording::user(user), theme)))
        .unwrap_or_default();
    let answer = form.answer();
    let target = wording::target(answer.target, prompt);
    let rule = if form.hold == HoldKind::Forever { ", as a rule in the user layer" } else { "" };
    format!("{verb} {program}{who}: {}, {}{rule}. Enter sends.", clean(&target, theme), wording::hold(answer.hold))
}
