//! What the terminal can show: colours or not, more than ASCII or not.
//!
//! Invariants: no meaning by colour alone; without colours no cell has one. Neighbours: `view` draws with it.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Colours.
    pub colour: bool,
    /// Letters and signs beyond ASCII.
    pub unicode: bool,
}

impl Theme {
    /// What the environment says, by `variable`. Colours: <https://no-color.org>, and terminals that have none.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let term = given("TERM").unwrap_or_default();
        let mono = ["dumb", "vt100", "vt102", "vt220"].contains(&term.as_str())
            || term.ends_with("-m")
            || term.ends_with("-mono");
        let locale =
            ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(given).unwrap_or_default().to_ascii_lowercase();
        let unicode = cfg!(windows) || locale.contains("utf-8") || locale.contains("utf8");
        Self { colour: given("NO_COLOR").is_none() && !mono, unicode: unicode && term != "dumb" }
    }

    /// Stands for what was cut.
    pub fn ellipsis(&self) -> &'static str {
        if self.unicode { "…" } else { ".." }
    }

    /// Eighths of a cell, from empty to full, for bars that grow upwards.
    pub fn bars(&self) -> [char; 9] {
        if self.unicode {
            [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
        } else {
            [' ', '.', '.', ':', ':', '|', '|', '#', '#']
        }
    }

    /// What is there, and what is gone, of a bar that grows to the right.
    pub fn gauge(&self) -> (char, char) {
        if self.unicode { ('█', '░') } else { ('#', '-') }
    }

    /// Marks the row that keys are about.
    pub fn cursor(&self) -> &'static str {
        if self.unicode { "›" } else { ">" }
    }

    /// Borders of panes.
    pub fn border(&self) -> border::Set<'static> {
        const ASCII: border::Set<'_> = border::Set {
            top_left: "+",
            top_right: "+",
            bottom_left: "+",
            bottom_right: "+",
            vertical_left: "|",
            vertical_right: "|",
            horizontal_top: "-",
            horizontal_bottom: "-",
        };
        if self.unicode { border::PLAIN } else { ASCII }
    }

    /// Headings, keys, what stands out.
    pub fn strong(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What may be overlooked.
    pub fn faint(&self) -> Style {
        self.with(Color::DarkGray)
    }

    /// Permitted; works.
    pub fn good(&self) -> Style {
        self.with(Color::Green)
    }

    /// Blocked; fails.
    pub fn bad(&self) -> Style {
        self.with(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Waits for a person.
    pub fn waiting(&self) -> Style {
        self.with(Color::Yellow)
    }

    /// The row that keys are about.
    pub fn selected(&self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Bars across the screen: tabs and status.
    pub fn bar(&self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    fn with(&self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theme(variables: &[(&str, &str)]) -> Theme {
        Theme::from_environment(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn colours_are_off_when_the_environment_says_so() {
        assert!(theme(&[("TERM", "xterm-256color")]).colour);
        assert!(theme(&[("TERM", "xterm-256color"), ("NO_COLOR", "")]).colour, "an empty NO_COLOR says nothing");
        for off in [[("NO_COLOR", "1")], [("TERM", "dumb")], [("TERM", "xterm-mono")], [("TERM", "vt100")]] {
            assert!(!theme(&off).colour, "{off:?}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn the_first_locale_variable_decides_about_letters() {
        assert!(theme(&[("LANG", "en_GB.UTF-8")]).unicode);
        assert!(!theme(&[("LANG", "en_GB.UTF-8"), ("LC_ALL", "C")]).unicode);
        assert!(!theme(&[]).unicode);
        assert!(!theme(&[("LANG", "C.UTF-8"), ("TERM", "dumb")]).unicode);
    }
}
