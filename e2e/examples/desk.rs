//! A desk to sit at, on any machine: the whole service on the emulated driver, with programs that connect at random.
//!
//! ```text
//! cargo run -p e2e --example desk -- DIR
//! tollgate --control DIR/control.sock tui
//! ```
//!
//! Rules are in `DIR/rules`, the configuration in `DIR/tollgate.toml`. Ctrl-C ends it, and so does the end of its input.

use e2e::{Connect, Desk, Options, Outcome, Program, Setup};
use service::config::Config;
use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Who connects where.
const PROGRAMS: [&str; 5] = ["firefox.exe", "node.exe", "curl.exe", "updater.exe", "svchost.exe"];
const REMOTES: [&str; 7] = [
    "192.0.2.1:443",
    "192.0.2.80:80",
    "198.51.100.7:443",
    "198.51.100.25:25",
    "203.0.113.9:8443",
    "[2001:db8::1]:443",
    "9.9.9.9:53",
];
/// How often one connects.
const EVERY: Duration = Duration::from_millis(400);
/// How many connections are kept.
const KEPT: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err("say in which directory: cargo run -p e2e --example desk -- DIR".into());
    };
    std::fs::create_dir_all(directory.join("rules"))?;
    let config = Config::read(&directory.join("tollgate.toml")).map_err(|problems| format!("{problems:#?}"))?;
    let control = control(&directory)?;
    let setup = Setup {
        machine: Options { seed: 1, ..Options::default() },
        config,
        control: Some(control.clone()),
        journal: Arc::new(|_, event| println!("{event}")),
        ..Setup::default()
    };
    let desk = Desk::start(&directory, setup)?;
    println!("sit down: tollgate --control {control} tui");

    let is_over = Arc::new(AtomicBool::new(false));
    let over = is_over.clone();
    ctrlc::set_handler(move || over.store(true, Ordering::Release))?;
    let over = is_over.clone();
    thread::spawn(move || {
        // Whatever is typed means nothing.
        let _ended = io::copy(&mut io::stdin(), &mut io::sink());
        over.store(true, Ordering::Release);
    });
    connect_at_random(&desk, &is_over);
    desk.daemon().stop();
    desk.daemon().wait();
    Ok(())
}

/// Has programs connect until it is over; the machine's time is ours.
fn connect_at_random(desk: &Desk, is_over: &AtomicBool) {
    let programs: Vec<Program> = PROGRAMS.iter().map(|name| desk.program(name)).collect();
    let mut connects: VecDeque<Connect> = VecDeque::new();
    let (mut random, mut last, mut next) = (0x9E37_79B9_7F4A_7C15_u64, Instant::now(), Instant::now());
    while !is_over.load(Ordering::Acquire) {
        thread::sleep(Duration::from_millis(10));
        let passed = last.elapsed().as_millis();
        last += Duration::from_millis(u64::try_from(passed).unwrap_or(u64::MAX));
        desk.machine().advance(u64::try_from(passed).unwrap_or(u64::MAX));
        if Instant::now() < next {
            continue;
        }
        next = Instant::now() + EVERY;
        // A step of xorshift64 (Marsaglia, "Xorshift RNGs").
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let pick = |count: usize, from: u64| usize::try_from(from % count as u64).unwrap_or(0);
        let (program, remote) = (pick(PROGRAMS.len(), random), pick(REMOTES.len(), random >> 32));
        connects.push_back(desk.machine().connect(&programs[program], REMOTES[remote]));
        if connects.len() > KEPT && connects.front().is_some_and(|first| first.outcome() != Outcome::Pending) {
            connects.pop_front();
        }
    }
    // What waits is released before the programs end.
    desk.daemon().stop();
    desk.daemon().wait();
    desk.until(|| connects.iter().all(|connect| connect.outcome() != Outcome::Pending));
}

/// Where clients connect.
fn control(directory: &std::path::Path) -> io::Result<String> {
    if cfg!(windows) {
        return Ok(r"\\.\pipe\Tollgate.Desk".to_owned());
    }
    Ok(std::fs::canonicalize(directory)?.join("control.sock").to_string_lossy().into_owned())
}
