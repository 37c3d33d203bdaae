//! `cargo xtask fuzz`: random bytes, led by what code they reach, for the wire, the driver and the gate.
//!
//! The engine is libFuzzer, built with the pinned compiler: the instrumentation it needs is an LLVM pass that any compiler can
//! be told to run. What it finds worth keeping goes to `target/xtask/fuzz/`; `fuzz/corpus/` is what is committed.
//!
//! Invariants: a finding is an error that shows the bytes and how to run them again; a run takes the seconds it was given.
//! Neighbours: the crate `fuzz` has the targets; `test` runs each for a short while.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::progress::step;
use crate::run::Run;
use crate::workspace;

/// Every target, by its name on the command line, in the crate and in the corpus.
pub const TARGETS: [&str; 3] = ["wire", "driver", "gate"];

const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// Has LLVM count the edges that are taken and show what is compared ("SanitizerCoverage" in Clang's manual).
const INSTRUMENT: [&str; 6] = [
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// The emulators keep a little of each machine, so a process does not run for ever.
const SLICE: u64 = 300;
/// One input that takes this many seconds is a finding.
const STUCK: u64 = 30;
const LONGEST_INPUT: u64 = 1_024;

/// Arguments of `cargo xtask fuzz`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask fuzz                        each target for an hour
  cargo xtask fuzz driver --seconds 60
  cargo xtask fuzz driver --replay target/xtask/fuzz/driver-crash-0123")]
pub struct Args {
    /// What to fuzz; everything when not said
    #[arg(value_parser = TARGETS)]
    target: Option<String>,
    /// For how long, each
    #[arg(long, default_value_t = 3_600)]
    seconds: u64,
    /// Run this one input instead
    #[arg(long, requires = "target", value_name = "FILE")]
    replay: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let targets: Vec<&str> = args.target.as_deref().map_or(TARGETS.to_vec(), |target| vec![target]);
    step("build the fuzz targets", build)?;
    for target in targets {
        match &args.replay {
            Some(file) => {
                let output = command(target)?.arg(file).log(format!("replay-{target}")).output()?;
                print!("{}", output.text);
                if !output.success {
                    bail!("{} makes {target} fail", file.display());
                }
            }
            None => {
                let runs = step(&format!("fuzz {target} for {} s", args.seconds), || fuzz(target, args.seconds))?;
                println!("  {runs}");
            }
        }
    }
    Ok(())
}

/// Builds every target.
pub fn build() -> Result<()> {
    Run::new("cargo")
        .args(["build", "--profile", "fuzz", "--target", TRIPLE, "--locked"])
        .args(["--package", "fuzz", "--features", "libfuzzer", "--bins"])
        .env("RUSTFLAGS", INSTRUMENT.join(" "))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .log("build-fuzz")
        .run()
}

/// Fuzzes one target; gives libFuzzer's last line, which says how many inputs it has run.
pub fn fuzz(target: &str, seconds: u64) -> Result<String> {
    let kept = work_dir()?.join(target);
    fs::create_dir_all(&kept)?;
    let began = Instant::now();
    let mut done = String::new();
    while let Some(left) = seconds.checked_sub(began.elapsed().as_secs()).filter(|left| *left > 0) {
        let slice = left.min(SLICE);
        let output = command(target)?
            .arg(format!("-max_total_time={slice}"))
            .arg(format!("-timeout={STUCK}"))
            .arg(format!("-max_len={LONGEST_INPUT}"))
            // From the start, inputs as long as they may be: a short one does little.
            .args(["-len_control=0", "-rss_limit_mb=4096", "-print_final_stats=0"])
            .arg(&kept)
            .arg(workspace::root().join("fuzz/corpus").join(target))
            .timeout(Duration::from_secs(slice + 10 * STUCK))
            .log(format!("fuzz-{target}"))
            .output()?;
        if !output.success {
            bail!("{}", finding(target, &output.text));
        }
        done = output.text.lines().rfind(|line| line.starts_with("Done ")).unwrap_or_default().to_owned();
    }
    Ok(done)
}

fn command(target: &str) -> Result<Run> {
    let program = workspace::target_dir().join(TRIPLE).join("fuzz").join(format!("fuzz-{target}"));
    Ok(Run::new(program)
        .arg(format!("-artifact_prefix={}/{target}-", work_dir()?.display()))
        .env("RUST_BACKTRACE", "1"))
}

fn work_dir() -> Result<PathBuf> {
    let dir = workspace::work_dir().join("fuzz");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}

/// What a person needs to know of a failure: what was said, the bytes, how to see it again.
fn finding(target: &str, output: &str) -> String {
    let said = output.lines().filter(|line| !line.starts_with('#') && !line.starts_with("INFO:"));
    let said: Vec<&str> = said.take(60).collect();
    let file = output.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, file)| file);
    let Some(file) = file else { return format!("fuzz-{target} failed:\n{}", said.join("\n")) };
    let bytes = fs::read(Path::new(file)).unwrap_or_default();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{target} fails with {hex}\n{}\nagain: cargo xtask fuzz {target} --replay {file}", said.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_committed_corpus() {
        for target in TARGETS {
            let dir = workspace::root().join("fuzz/corpus").join(target);
            assert!(fs::read_dir(&dir).is_ok_and(|mut files| files.next().is_some()), "{}", dir.display());
        }
    }

    #[test]
    fn a_finding_says_how_to_see_it_again() {
        let text = finding("wire", "INFO: seed\n#1 NEW\nthread panicked\nTest unit written to /none/wire-crash-1");
        assert!(text.contains("thread panicked") && !text.contains("#1"), "{text}");
        assert!(text.ends_with("again: cargo xtask fuzz wire --replay /none/wire-crash-1"), "{text}");
    }
}
