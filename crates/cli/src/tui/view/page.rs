//! Text in paragraphs and fields, wrapped to where it is drawn, and scrolled.
//!
//! Invariants: everything in a page is cleaned when it is drawn. Neighbours: panes, help and empty lists are pages.

use crate::tui::text::{clean, fit, pad, wrap};
use crate::tui::theme::Theme;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

/// How many columns labels take.
const LABEL: usize = 11;

/// Text in paragraphs and fields.
#[derive(Clone, Debug, Default)]
pub struct Page {
    title: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Blank,
    Text {
        text: String,
        style: Style,
    },
    Field {
        label: String,
        value: String,
        style: Style,
    },
    /// Not wrapped, but cut.
    Verbatim {
        text: String,
        style: Style,
    },
}

impl Page {
    /// A page with a title.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), parts: Vec::new() }
    }

    /// An empty line.
    pub fn blank(&mut self) {
        self.parts.push(Part::Blank);
    }

    /// Words.
    pub fn paragraph(&mut self, text: impl Into<String>) {
        self.styled(text, Style::new());
    }

    /// Words in a style.
    pub fn styled(&mut self, text: impl Into<String>, style: Style) {
        self.parts.push(Part::Text { text: text.into(), style });
    }

    /// A value with its name.
    pub fn field(&mut self, label: &str, value: impl Into<String>) {
        self.styled_field(label, value, Style::new());
    }

    /// A value with its name, in a style.
    pub fn styled_field(&mut self, label: &str, value: impl Into<String>, style: Style) {
        self.parts.push(Part::Field { label: label.to_owned(), value: value.into(), style });
    }

    /// A line as it is.
    pub fn verbatim(&mut self, text: impl Into<String>, style: Style) {
        self.parts.push(Part::Verbatim { text: text.into(), style });
    }

    /// Draws it in a frame of its own, from its line `scroll`.
    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, scroll: u16, theme: &Theme) {
        let more = self.end(area) > scroll;
        let title = fit(&clean(&self.title, theme), usize::from(area.width.saturating_sub(6)), theme);
        let mut block =
            Block::bordered().border_set(theme.border()).title(Span::styled(format!(" {title} "), theme.strong()));
        if more || scroll > 0 {
            block = block.title_bottom(if more { " PgDn: more " } else { " PgUp: back " });
        }
        let inner = block.inner(area);
        frame.render_widget(Clear, area);
        frame.render_widget(block, area);
        self.draw_bare(
            frame,
            Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }.intersection(area),
            scroll,
            theme,
        );
    }

    /// Draws it without a frame.
    pub fn draw_bare(&self, frame: &mut Frame<'_>, area: Rect, scroll: u16, theme: &Theme) {
        let lines = self.lines(area.width.into(), theme);
        let shown = lines.into_iter().skip(scroll.into()).take(area.height.into());
        frame.render_widget(Paragraph::new(shown.collect::<Vec<_>>()), area);
    }

    /// The greatest scroll that makes sense where it is drawn with a frame.
    pub fn end(&self, area: Rect) -> u16 {
        // Widths do not depend on the theme but for an ellipsis and what is escaped; the latter only in ASCII.
        let lines = self.lines(area.width.saturating_sub(4).into(), &Theme { colour: false, unicode: true });
        u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(area.height.saturating_sub(2))
    }

    /// `scroll`, but not beyond the end.
    pub fn clamp(&self, area: Rect, scroll: u16) -> u16 {
        scroll.min(self.end(area))
    }

    fn lines(&self, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        for part in &self.parts {
            match part {
                Part::Blank => lines.push(Line::default()),
                Part::Text { text, style } => {
                    // Lines that follow stand under the first.
                    let indent = text.len() - text.trim_start_matches(' ').len();
                    let indent = &text[..indent.min(columns / 2)];
                    let wrapped = wrap(&clean(text.trim_start_matches(' '), theme), columns - indent.len());
                    lines.extend(wrapped.into_iter().map(|line| Line::styled(format!("{indent}{line}"), *style)));
                }
                Part::Verbatim { text, style } => {
                    lines.push(Line::styled(fit(&clean(text, theme), columns, theme), *style))
                }
                Part::Field { label, value, style } => {
                    let room = columns.saturating_sub(LABEL);
                    for (i, line) in wrap(&clean(value, theme), room).into_iter().enumerate() {
                        let label = if i == 0 { label.as_str() } else { "" };
                        let label = Span::styled(pad(label, LABEL, theme), theme.strong());
                        lines.push(Line::from(vec![label, Span::styled(line, *style)]));
                    }
                }
            }
        }
        lines
    }
}
