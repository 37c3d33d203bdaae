//! The table: a row for each connection, made to be read in ten seconds.
//!
//! Invariants: pure; columns line up; without colours it says the same.

use std::fmt;

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is made.
    Permitted,
    /// It fails with `WSAEACCES`, and nothing reaches the remote.
    Blocked,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Permitted => "permitted",
            Self::Blocked => "blocked",
        })
    }
}

/// One connection.
#[derive(Debug)]
pub struct Row {
    /// The scene it belongs to.
    pub scene: &'static str,
    /// The program that connected, behind those that started it.
    pub program: &'static str,
    /// Where to.
    pub remote: String,
    /// What was to happen.
    pub expected: Verdict,
    /// What happened, and how the program told; or what nobody can make sense of.
    pub seen: Result<(Verdict, String), String>,
}

impl Row {
    fn is_right(&self) -> bool {
        self.seen.as_ref().is_ok_and(|(verdict, _)| *verdict == self.expected)
    }

    fn seen(&self) -> String {
        match &self.seen {
            Ok((verdict, words)) => format!("{verdict:<9}  {words}"),
            Err(words) => words.clone(),
        }
    }
}

/// All rows.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
}

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

impl Table {
    /// Adds a row at the end.
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many are as expected.
    pub fn right(&self) -> usize {
        self.rows.iter().filter(|row| row.is_right()).count()
    }

    /// The table as text; a scene's name stands before its first row.
    pub fn text(&self, is_colored: bool) -> String {
        let mut lines = vec![line(["scene", "program", "remote", "expected", "seen", ""])];
        let mut scene = "";
        for row in &self.rows {
            if scene != row.scene {
                lines.push("-".repeat(WIDTH));
            }
            let name = if scene == row.scene { "" } else { row.scene };
            scene = row.scene;
            let (color, mark) = if row.is_right() { (GREEN, "ok") } else { (RED, "DIFFERS") };
            let mark = if is_colored { format!("{color}{mark}{PLAIN}") } else { mark.to_owned() };
            lines.push(line([name, row.program, &row.remote, &row.expected.to_string(), &row.seen(), &mark]));
        }
        lines.join("\n")
    }
}

/// Up to the longest mark of a row that is right.
const WIDTH: usize = 97;

fn line([scene, program, remote, expected, seen, mark]: [&str; 6]) -> String {
    let line = format!("{scene:<18}  {program:<18}  {remote:<15}  {expected:<9}  {seen:<24}  {mark}");
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(scene: &'static str, seen: Result<(Verdict, String), String>) -> Row {
        Row { scene, program: "node.exe", remote: "[::1]:65535".into(), expected: Verdict::Blocked, seen }
    }

    fn table() -> Table {
        let mut table = Table::default();
        table.add(row("permit", Ok((Verdict::Blocked, "EACCES".into()))));
        table.add(row("block", Ok((Verdict::Permitted, "data read".into()))));
        table.add(row("block", Err("neither".into())));
        table
    }

    #[test]
    fn only_rows_as_expected_are_right() {
        assert_eq!((table().right(), table().len()), (1, 3));
    }

    #[test]
    fn columns_line_up_and_a_scene_is_named_once() {
        let text = table().text(false);
        let lines: Vec<&str> = text.lines().collect();
        let column = lines[0].find("remote").unwrap();
        assert!(text.lines().filter(|line| line.contains("node")).all(|line| line[column..].starts_with("[::1]")));
        assert_eq!(text.matches("block ").count(), 1, "{text}");
        assert!(lines[2].ends_with("  ok") && lines[4].ends_with("  DIFFERS"), "{text}");
    }

    #[test]
    fn colours_are_for_terminals() {
        assert!(!table().text(false).contains('\x1b'));
        let colored = table().text(true);
        assert_eq!(colored.replace(GREEN, "").replace(RED, "").replace(PLAIN, ""), table().text(false));
    }
}
