//! `launch.exe`: the lab's hand inside Wine.
//!
//! `launch run PROGRAM ARGS...` starts a program with the hook and passes stdio and exit code through;
//! `launch status` prints the state of engine and kernel as JSON; `launch control WORD` acts on the engine.
//! Invariants: the program gets its arguments exactly as given; when this process is killed, so is everything it started.
//! Neighbours: `lab/hook` is loaded from the same folder; `cargo xtask lab` is who runs this.

#![cfg_attr(windows, expect(unsafe_code, reason = "loads the hook and calls the job and device functions"))]

#[cfg(windows)]
mod device;
#[cfg(windows)]
mod run;

/// What the process ends with when the lab itself, not the program, failed.
#[cfg(windows)]
const LAB_FAILED: u8 = 125;

#[cfg(windows)]
fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let verb = arguments.next().unwrap_or_default();
    let done = match verb.to_str() {
        Some("run") => run::program(arguments),
        Some("status") => device::print_snapshot(),
        Some("control") => device::control(arguments.next().unwrap_or_default().as_encoded_bytes()),
        _ => Err("usage: launch run PROGRAM ARGS... | launch status | launch control WORD".into()),
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
