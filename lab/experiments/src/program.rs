//! A program that connects, seen from this one: started, listened to, killed.
//!
//! Invariant: it is ended when it is dropped. Neighbours: `programs` is what it runs.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::gate::PATIENCE;

/// A running program.
pub struct Program {
    child: Child,
    lines: Receiver<Value>,
}

impl Program {
    /// Starts this program again with these words.
    pub fn start(words: &[&str]) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--program")
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start this program again")?;
        let output = child.stdout.take().context("it has no output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // A receiver that has gone wants no more.
                if serde_json::from_str(&line).is_ok_and(|line: Value| sender.send(line).is_err()) {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// The next thing it says.
    pub fn says(&self) -> Result<Value> {
        self.says_within(PATIENCE).context("a program said nothing")
    }

    /// The same with another patience, and `None` when it said nothing.
    pub fn says_within(&self, patience: Duration) -> Option<Value> {
        self.lines.recv_timeout(patience).ok()
    }

    /// Its process id.
    pub fn id(&self) -> u64 {
        self.child.id().into()
    }

    /// Ends it as a crash does, and waits for its end.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
