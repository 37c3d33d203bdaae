//! The service that people use: installed, started by the service manager, deciding by rules, killed, started again.
//!
//! Its program is in a folder with a blank in its name, where Windows starts another program unless the path is quoted.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{V4, finish, up};
use crate::lab::clients::{Client, Seen};
use crate::lab::prefix;
use crate::lab::scenarios::{Bench, Scenario};
use crate::lab::server::Server;
use crate::lab::tollgate::{self, Stand, TIMEOUT};
use crate::lab::wine::Output;
use crate::run::poll;

pub const SCENARIOS: [Scenario; 1] = [Scenario {
    name: "the installed service decides by rules, tells what it did, and attaches again after it was killed",
    run: installed,
}];

const FOLDER: &str = "drive_c/Program Files/Tollgate";
const PROGRAM: &str = r"C:\Program Files\Tollgate\tollgate.exe";
const KEY: &str = r"HKLM\System\CurrentControlSet\Services\TollgateService";

fn installed(bench: &Bench) -> Result<()> {
    let stand = up()?;
    prefix::place(&tollgate::shipped("tollgate.exe")?, &stand.lab.prefix().join(FOLDER).join("tollgate.exe"))?;
    says(&stand, &["service", "status"], 3, "the service is not installed")?;
    says(&stand, &["service", "install"], 0, "the service is installed\n")?;
    says(&stand, &["service", "install"], 0, "the service was installed already\n")?;
    let key = stand.lab.exec("reg").args(["query", KEY, "/v", "ImagePath"]).without_hook().run(TIMEOUT)?;
    require!(key.stdout.contains(&format!("\"{PROGRAM}\" run --service")), "{key:?}");

    let (blocked, permitted) = (Server::http(V4)?, Server::http(V4)?);
    write_rules(&stand, blocked.address(), permitted.address())?;
    says(&stand, &["service", "start"], 0, "the service is running\n")?;
    decides(&stand, &blocked, &permitted)?;
    let told = tollgate(&stand, &["log", "--json"])?;
    for (rule, verdict) in [("no-node", "block"), ("node", "permit")] {
        let is_told = |line: &str| -> Result<bool> {
            let entry: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            let program = entry["identity"]["path"].as_str().unwrap_or_default();
            let because = entry["reason"]["rule"].to_string();
            Ok(entry["verdict"] == verdict && program.ends_with("node.exe") && because.contains(&format!("\"{rule}\"")))
        };
        let found = told.stdout.lines().map(is_told).collect::<Result<Vec<_>>>()?;
        require!(found.contains(&true), "{rule} in {told:?}");
    }

    // Killed: nobody decides, and the fallback permits what a rule would block.
    let first = attached(&stand)?;
    let killed = stand.lab.exec("taskkill").args(["/f", "/pid", &first.to_string()]).without_hook().run(TIMEOUT)?;
    require!(killed.code == 0, "{killed:?}");
    stand.wait_for("the service is gone", |counters| !counters.attached)?;
    let attempt = Client::Node.connect(&stand.lab, blocked.address())?;
    require!(attempt.seen == Seen::Data, "{attempt:?}");

    says(&stand, &["service", "start"], 0, "the service is running\n")?;
    decides(&stand, &blocked, &permitted)?;
    require!(attached(&stand)? != first, "process {first} again");
    says(&stand, &["service", "stop"], 0, "the service has stopped\n")?;
    stand.wait_for("the service has detached", |counters| !counters.attached)?;
    says(&stand, &["service", "stop"], 0, "the service was not running\n")?;
    says(&stand, &["service", "uninstall"], 0, "the service is uninstalled\n")?;
    says(&stand, &["service", "status"], 3, "the service is not installed")?;
    finish(bench, stand).map(|_| ())
}

/// A rule against one server and one for another, where the service looks for rules.
fn write_rules(stand: &Stand, blocked: SocketAddr, permitted: SocketAddr) -> Result<()> {
    let rules = format!(
        "[rule.no-node]\naction = \"block\"\nprogram = \"node.exe\"\nremote = \"{blocked}\"\n\n\
        [rule.node]\naction = \"permit\"\nprogram = \"node.exe\"\nremote = \"{permitted}\"\n"
    );
    let folder = stand.lab.prefix().join("drive_c/ProgramData/Tollgate/rules/user");
    require!(folder.is_dir(), "{} was not made by installing", folder.display());
    Ok(fs::write(folder.join("test.toml"), rules)?)
}

/// The rules are in force: one server is reached, the other is not.
fn decides(stand: &Stand, blocked: &Server, permitted: &Server) -> Result<()> {
    attached(stand)?;
    let before = blocked.reached();
    let attempt = Client::Node.connect(&stand.lab, blocked.address())?;
    require!(attempt.seen == Seen::Denied("EACCES"), "{attempt:?}");
    require!(blocked.reached() == before, "the blocked server was reached");
    let attempt = Client::Node.connect(&stand.lab, permitted.address())?;
    require!(attempt.seen == Seen::Data, "{attempt:?}");
    Ok(())
}

/// Waits until the service says over its pipe that it is attached; gives its process.
fn attached(stand: &Stand) -> Result<u64> {
    let mut status = Value::Null;
    let is_attached = poll(TIMEOUT, || {
        let output = tollgate(stand, &["status", "--json"])?;
        status = serde_json::from_str(&output.stdout).with_context(|| format!("{output:?}"))?;
        Ok(status["service"]["gate"]["state"] == "attached")
    })?;
    require!(is_attached, "{status}");
    status["service"]["pid"].as_u64().with_context(|| status.to_string())
}

fn says(stand: &Stand, words: &[&str], code: i32, text: &str) -> Result<()> {
    let output = tollgate(stand, words)?;
    let printed = format!("{}{}", output.stdout, output.stderr);
    require!(output.code == code && printed.contains(text), "{words:?}: {output:?}");
    Ok(())
}

/// Runs the program from where it was installed.
fn tollgate(stand: &Stand, words: &[&str]) -> Result<Output> {
    stand.lab.exec(PROGRAM).args(words.iter().copied()).without_hook().run(TIMEOUT)
}
