//! Each way to fail has its words, its advice and its exit code.

use anyhow::Result;

use super::{V4, finish, up};
use crate::lab::clients::{Client, Seen};
use crate::lab::scenarios::{Bench, Scenario};
use crate::lab::server::Server;
use crate::lab::tollgate;

pub const SCENARIOS: [Scenario; 3] = [
    Scenario { name: "without a driver every command says how to install one", run: not_installed },
    Scenario { name: "with a stopped driver every command says how to start it", run: not_running },
    Scenario { name: "a second service is refused and the first one goes on", run: second_service },
];

fn not_installed(bench: &Bench) -> Result<()> {
    let lab = bench.up(&[])?;
    for words in [&["permit"][..], &["block"], &["status"], &["driver", "start"], &["driver", "stop"]] {
        let output = tollgate::run(&lab, words)?;
        require!(output.code == 3 && output.stdout.is_empty(), "{words:?}: {output:?}");
        require!(output.stderr.starts_with("error: the driver is not installed\n"), "{words:?}: {output:?}");
        require!(output.stderr.contains("help: `tollgate driver install`"), "{words:?}: {output:?}");
    }
    bench.finish(lab).map(|_| ())
}

fn not_running(bench: &Bench) -> Result<()> {
    let lab = bench.up(&[])?;
    let output = tollgate::run(&lab, &["driver", "install"])?;
    require!(output.code == 0, "{output:?}");
    for words in [&["permit"][..], &["block"], &["status"]] {
        let output = tollgate::run(&lab, words)?;
        require!(output.code == 4 && output.stdout.is_empty(), "{words:?}: {output:?}");
        require!(output.stderr.contains("installed but not running\nhelp: `tollgate driver start`"), "{output:?}");
    }
    bench.finish(lab).map(|_| ())
}

fn second_service(bench: &Bench) -> Result<()> {
    let stand = up()?;
    let gate = stand.gate(&["block"])?;
    let counters = stand.tollgate(&["status", "--json"])?;
    let counters: serde_json::Value = serde_json::from_str(&counters.stdout)?;
    let first = counters["driver"]["attached_pid"].as_u64().unwrap_or(0);
    let second = stand.tollgate(&["permit"])?;
    require!(second.code == 7, "{second:?}");
    let words = format!("another service is attached to the driver: process {first}\n");
    require!(first != 0 && second.stderr.contains(&words), "{second:?}");
    let server = Server::http(V4)?;
    let attempt = Client::Node.connect(&stand.lab, server.address())?;
    require!(attempt.seen == Seen::Denied("EACCES"), "{attempt:?}");
    gate.stop()?;
    finish(bench, stand).map(|_| ())
}
