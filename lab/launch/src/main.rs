//! `launch.exe`: the lab's hand inside Wine.
//!
//! `launch run PROGRAM ARGS...` starts a program with the hook and passes stdio and exit code through;
//! `launch status` prints the state of engine and kernel as JSON; `launch control WORD` acts on the engine;
//! `launch start SERVICE FILE` and `launch stop SERVICE` do so with drivers.
//! Invariants: the program gets its arguments exactly as given; when this process is killed, so is everything it started.
//! Neighbours: `lab/hook` is loaded from the same folder; `cargo xtask lab` is who runs this.

#![cfg_attr(windows, expect(unsafe_code, reason = "loads the hook and calls the job and device functions"))]

#[cfg(windows)]
mod device;
#[cfg(windows)]
mod run;
#[cfg(windows)]
mod service;

/// What the process ends with when the lab itself, not the program, failed.
#[cfg(windows)]
const LAB_FAILED: u8 = 125;

#[cfg(windows)]
const USAGE: &str = "usage: launch run PROGRAM ARGS... | status | control WORD | start SERVICE FILE | stop SERVICE";

#[cfg(windows)]
fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let verb = arguments.next().unwrap_or_default();
    let done = if verb == "run" {
        run::program(arguments)
    } else {
        let words: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match (verb.to_str(), words.as_slice()) {
            (Some("status"), []) => device::print_snapshot(),
            (Some("control"), [word]) => device::control(word.as_bytes()),
            (Some("start"), [service, file]) => service::start(service, file),
            (Some("stop"), [service]) => service::stop(service),
            _ => Err(USAGE.into()),
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("launch: {error}");
        LAB_FAILED.into()
    })
}

#[cfg(not(windows))]
fn main() {
    eprintln!("launch runs under Wine only; build it for x86_64-pc-windows-gnu");
}
