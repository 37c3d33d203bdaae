//! The journal: one line for every process hooked, every process that could not be hooked and every call that went
//! through without an answer.
//!
//! A file at a fixed place in the prefix, because programs clear their children's environment and close their handles.
//! Neighbours: `cargo xtask lab status` counts the lines by their first word.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;

const PATH: &str = r"C:\wfplab-hook.log";

/// This process is hooked.
pub fn hooked() {
    let image = std::env::current_exe().unwrap_or_default();
    write(format_args!("hooked pid={} {}", std::process::id(), image.display()));
}

/// The process `pid` runs without the hook.
pub fn not_hooked(pid: u32, reason: &str) {
    write(format_args!("unhooked pid={pid} {reason}"));
}

/// A call went through because the engine could not be asked.
pub fn unanswered(call: &dyn fmt::Debug, error: &std::io::Error) {
    write(format_args!("unanswered pid={} {call:?}: {error}", std::process::id()));
}

fn write(line: fmt::Arguments<'_>) {
    // One write call per line keeps lines whole when several processes append.
    let line = format!("{line}\n");
    let written =
        OpenOptions::new().create(true).append(true).open(PATH).and_then(|mut file| file.write_all(line.as_bytes()));
    if written.is_err() {
        // The last place where a person may see it; a program without stderr loses nothing else.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
