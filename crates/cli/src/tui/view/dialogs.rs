//! What lies over a tab: help, and the snooze dialog.
//!
//! Neighbours: `view` draws them last.

use super::page::Page;
use crate::tui::snooze::{SPANS, SnoozeForm};
use crate::tui::text;
use crate::tui::theme::Theme;
use control::entry::Verdict;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// What keys do.
pub fn help(theme: Theme) -> Page {
    let mut page = Page::new("Help");
    let mut section = |title: &str, keys: &[(&str, &str)]| {
        page.styled(title.to_owned(), theme.strong());
        for (key, what) in keys {
            page.field(&format!("  {key}"), *what);
        }
    };
    section(
        "Everywhere",
        &[
            ("1 2 3 4", "Connections, Prompts, Rules, Overview; Tab goes to the next"),
            ("arrows", "select; also j k, g G, PgUp PgDn, Home End"),
            ("s", "snooze prompts (administrators)"),
            ("q  ^C", "end; the service goes on"),
        ],
    );
    section(
        "Connections",
        &[
            ("Enter", "everything about the selected one; Esc goes back"),
            ("e", "explain it: which rules were tried, and which decided"),
            ("r", "go to the rule that decided"),
            ("/", "filter: words that must all be found; !word must not"),
            ("Space", "pause the list, or let it go on"),
            ("~ ?", "before a name: likely, or a guess"),
        ],
    );
    section(
        "Prompts",
        &[
            ("p b", "begin an answer: permit, or block"),
            ("o c d f", "then: once, while the process runs, for a duration, forever"),
            ("r d e", "and: this remote, this domain, everything"),
            ("n", "write a note for the rule"),
            ("Enter", "send the answer; nothing is decided before"),
        ],
    );
    section(
        "Rules",
        &[
            ("Enter", "the rule as written, and what it decided"),
            ("c", "check: rules that can never match, or contradict"),
        ],
    );
    section("Overview", &[("- +", "a longer time in the graph, a shorter one")]);
    page
}

/// Draws the snooze dialog.
pub fn snooze(form: &SnoozeForm, frame: &mut Frame<'_>, body: Rect, theme: &Theme) {
    let mut page = Page::new("No prompts for a while");
    for (i, seconds) in SPANS.into_iter().enumerate() {
        let what = if seconds == 0 { "end a snooze".to_owned() } else { text::seconds(seconds.into()) };
        let (mark, style) = if i == form.span { (theme.cursor(), theme.selected()) } else { (" ", Style::new()) };
        page.verbatim(format!("{mark} {} {what}", i + 1), style);
    }
    let chosen = |on: bool, text: &str| if on { format!("[{text}]") } else { format!(" {text} ") };
    let meanwhile = [
        chosen(form.verdict.is_none(), "u as usual"),
        chosen(form.verdict == Some(Verdict::Permit), "p permit"),
        chosen(form.verdict == Some(Verdict::Block), "b block"),
    ];
    page.verbatim(format!("Meanwhile: {}", meanwhile.concat()), Style::new());
    page.styled("As usual: what the configuration does when nobody answers.", theme.faint());
    let (width, height) = (body.width.min(64), body.height.min(10));
    let area = Rect { x: body.x + (body.width - width) / 2, y: body.y + (body.height - height) / 2, width, height };
    page.draw(frame, area, 0, theme);
}
