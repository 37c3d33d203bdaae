//! `cargo xtask lab soak`: very many connections through driver and service, while the service is killed at random times.
//!
//! Two servers, one rule for each: one permits, one blocks. While the service is attached a connection ends as its rule says;
//! while it is not, and while it dies or comes, as its rule or the fallback says. Nothing else, and each ends.
//!
//! Invariants: what kills, when, comes from the seed alone; what a connection may end as is judged by the program's and this
//! program's clock, which are the same machine's.
//! Neighbours: `lab/crowd/src/bin/steady.rs` connects, `tollgate` starts the shipped files.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use super::images;
use super::server::Server;
use super::tollgate::{self, SERVICE, Stand};
use super::wine::{Running, windows_path};
use super::{Lab, name_of_run};

/// How many connections are made at once.
const THREADS: usize = 16;
/// Longer than a connection takes, were it held until its deadline and more.
const PER_CONNECTION: Duration = Duration::from_millis(100);
const AT_LEAST: Duration = Duration::from_secs(120);
/// Before the next kill, and before the next start, at most.
const UP_MS: u64 = 2_500;
const DOWN_MS: u64 = 400;
/// Program and this one read one clock, but not in one instant.
const BLUR_MS: u64 = 50;

/// Arguments of `cargo xtask lab soak`.
#[derive(clap::Args)]
pub struct Args {
    /// What decides when the service is killed; a new one each time when not given
    #[arg(long)]
    pub seed: Option<u64>,
    /// How many connections
    #[arg(long, default_value_t = 10_000)]
    pub connections: usize,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Report {
    seed: u64,
    connections: usize,
    kills: usize,
    /// Decided while the service was attached, all along.
    by_rule: usize,
    /// Decided while it was not, or while it died or came.
    in_between: usize,
    seconds: u64,
    wrong: Vec<String>,
}

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators").
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % n
    }
}

/// Milliseconds since 1970 in which no service was surely attached.
struct Outage {
    from: u64,
    to: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, connections, kills, by_rule, in_between, seconds, wrong } = self;
        write!(
            f,
            "seed {seed}: {connections} connections in {seconds} s, {kills} kills; {by_rule} decided while attached, \
             {in_between} around a kill, {} wrong, 0 hung",
            wrong.len()
        )
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let seed = args.seed.unwrap_or_else(now_ms);
    println!("  seed {seed}");
    let report = soak(seed, args.connections)?;
    println!("  {report}");
    report.verdict()
}

/// Does it in a lab of its own.
pub fn soak(seed: u64, connections: usize) -> Result<Report> {
    Lab::clear_abandoned()?;
    let steady = images::steady()?;
    let stand = Stand::up(&name_of_run("soak"))?;
    let result = in_lab(&stand, &steady, seed, connections)
        .with_context(|| format!("to repeat: cargo xtask lab soak --seed {seed} --connections {connections}"));
    let counters = stand.counters();
    let journal = stand.lab.journal();
    let mut report = result?;
    let counters = counters?;
    if !counters.balance() || counters.pended > 0 {
        report.wrong.push(format!("the driver's books: {counters:?}"));
    }
    let status = stand.lab.down()?;
    report.wrong.extend(status.violations().iter().map(ToString::to_string));
    if status.let_through() > 0 {
        report.wrong.push(format!("{} calls went past the engine:\n{journal}", status.let_through()));
    }
    Ok(report)
}

fn in_lab(stand: &Stand, steady: &Path, seed: u64, connections: usize) -> Result<Report> {
    let mut dice = Dice(seed);
    let fallback = if dice.below(2) == 0 { "permit" } else { "block" };
    let servers = [Server::tcp([127, 0, 0, 1].into())?, Server::tcp([127, 0, 0, 1].into())?];
    let files = write_files(&stand.lab.prefix(), fallback, &servers)?;
    let mut service = start(stand, &files)?;
    let began = Instant::now();
    let arguments = [THREADS.to_string(), connections.to_string()];
    let addresses = servers.iter().map(|server| server.address().to_string());
    let mut program = stand.lab.exec(windows_path(steady)).args(arguments.into_iter().chain(addresses)).spawn()?;
    let timeout = AT_LEAST.max(PER_CONNECTION * connections as u32);
    let mut outages = Vec::new();
    while is_running_after(&mut program, Duration::from_millis(100 + dice.below(UP_MS)))? {
        if began.elapsed() > timeout {
            bail!("connections hang: the program has not ended after {} s", timeout.as_secs());
        }
        let from = now_ms();
        service.kill()?;
        thread::sleep(Duration::from_millis(dice.below(DOWN_MS)));
        service = start(stand, &files)?;
        outages.push(Outage { from, to: now_ms() });
    }
    let output = program.wait(timeout)?;
    let seconds = began.elapsed().as_secs();
    service.interrupt()?;
    service.wait(tollgate::TIMEOUT)?;
    let kills = outages.len();
    let mut report = Report { seed, connections, kills, seconds, ..Report::default() };
    for line in output.stdout.lines() {
        report.judge(line, fallback, &outages)?;
    }
    if report.by_rule + report.in_between != connections {
        bail!("{} of {connections} connections ended: {}", report.by_rule + report.in_between, output.stderr);
    }
    Ok(report)
}

impl Report {
    /// An error that lists what was wrong, if anything was.
    pub fn verdict(&self) -> Result<()> {
        if self.wrong.is_empty() { Ok(()) } else { bail!("{}", self.wrong.join("\n")) }
    }

    /// One line of the program: `ADDRESS BEGAN ENDED HOW`.
    fn judge(&mut self, line: &str, fallback: &str, outages: &[Outage]) -> Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [address, began, ended, how] = words[..] else { bail!("not a line of steady.exe: {line:?}") };
        let (began, ended): (u64, u64) = (began.parse()?, ended.parse()?);
        let of = |verdict: &str| if verdict == "permit" { "connected" } else { "denied" };
        let rule = of(if address == "0" { "permit" } else { "block" });
        let is_between = outages.iter().any(|outage| began <= outage.to + BLUR_MS && outage.from <= ended + BLUR_MS);
        *(if is_between { &mut self.in_between } else { &mut self.by_rule }) += 1;
        if how != rule && !(is_between && how == of(fallback)) {
            self.wrong.push(format!("{line}: its rule says {rule}, the fallback {fallback}"));
        }
        Ok(())
    }
}

/// Whether the program runs on for that long.
fn is_running_after(program: &mut Running, time: Duration) -> Result<bool> {
    let ended = crate::run::poll(time, || Ok(!program.is_running()?))?;
    Ok(!ended)
}

/// Starts the service and waits until it has attached.
fn start(stand: &Stand, files: &[PathBuf; 3]) -> Result<Running> {
    let [config, rules, state] = files.each_ref().map(|file| windows_path(file));
    let words = ["run", "--config", &config, "--rules", &rules, "--state", &state];
    let mut service = stand.lab.spawn(&tollgate::shipped("tollgate.exe")?, &words)?;
    service.wait_for_output("attached to the driver", tollgate::TIMEOUT)?;
    Ok(service)
}

/// Configuration, rules and state of the service.
fn write_files(prefix: &Path, fallback: &str, servers: &[Server; 2]) -> Result<[PathBuf; 3]> {
    let dir = prefix.join("drive_c").join(SERVICE.to_lowercase());
    let [config, rules, state] = ["tollgate.toml", "rules", "state"].map(|name| dir.join(name));
    fs::create_dir_all(rules.join("user"))?;
    fs::create_dir_all(&state)?;
    fs::write(&config, format!("[fallback]\noutbound = \"{fallback}\"\n"))?;
    let [permitted, blocked] = servers.each_ref().map(Server::address);
    let text = format!(
        "[rule.one]\naction = \"permit\"\nprogram = \"steady.exe\"\nremote = \"{permitted}\"\n\n\
         [rule.other]\naction = \"block\"\nprogram = \"steady.exe\"\nremote = \"{blocked}\"\n"
    );
    fs::write(rules.join("user/soak.toml"), text)?;
    Ok([config, rules, state])
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_judged_by_its_rule_and_around_a_kill_by_the_fallback_too() {
        let outages = [Outage { from: 1_000, to: 2_000 }];
        let mut report = Report::default();
        for line in ["0 100 200 connected", "1 3000 3100 denied", "1 900 960 connected", "0 1500 1501 connected"] {
            report.judge(line, "permit", &outages).unwrap();
        }
        assert_eq!((report.by_rule, report.in_between, report.wrong.len()), (2, 2, 0));
        for line in ["0 100 200 denied", "1 3000 3100 connected", "0 1500 1501 denied", "1 1500 1501 failed"] {
            report.judge(line, "permit", &outages).unwrap();
        }
        assert_eq!(report.wrong.len(), 4);
    }
}
