//! The driver starts, stops and starts again, whatever it holds, by every way a person has.

use std::fs;

use anyhow::Result;

use super::{V4, V6, finish, up};
use crate::lab::Lab;
use crate::lab::clients::{Client, Seen};
use crate::lab::scenarios::{Bench, Scenario};
use crate::lab::server::Server;
use crate::lab::tollgate::{self, SERVICE, Stand, TIMEOUT};

pub const SCENARIOS: [Scenario; 4] = [
    Scenario { name: "a driver that is stopped permits what it holds and unloads", run: stopped_permit },
    Scenario { name: "a driver that is stopped blocks what it holds if that is the fallback", run: stopped_block },
    Scenario { name: "tollgate driver installs, starts, stops and uninstalls the driver", run: commands },
    Scenario { name: "sc starts and stops the driver that tollgate installed", run: sc },
];

fn stopped_permit(bench: &Bench) -> Result<()> {
    stopped(bench, "permit", &Seen::Data)
}

fn stopped_block(bench: &Bench) -> Result<()> {
    stopped(bench, "block", &Seen::Denied("EACCES"))
}

fn stopped(bench: &Bench, fallback: &str, seen: &Seen) -> Result<()> {
    let stand = up()?;
    let gate = stand.gate(&["permit", "--fallback", fallback, "--deadline", "10m"])?;
    gate.freeze()?;
    let servers = [Server::http(V4)?, Server::http(V6)?];
    let start = |server: &Server| Client::Node.start(&stand.lab, server.address());
    let held = servers.iter().map(start).collect::<Result<Vec<_>>>()?;
    stand.wait_for("two connections are held", |counters| counters.pended == 2)?;

    let output = stand.tollgate(&["driver", "stop"])?;
    require!(output.code == 0 && output.stdout == "the driver has stopped\n", "{output:?}");
    for attempt in held {
        let attempt = attempt.wait()?;
        require!(attempt.seen == *seen, "{attempt:?}");
    }
    let status = stand.lab.status()?;
    require!(status.violations().is_empty(), "{status}");
    require!(status.json()["kernel"]["drivers"].as_array().is_some_and(Vec::is_empty), "{status}");
    require!(status.json()["engine"]["filters"].as_array().is_some_and(Vec::is_empty), "{status}");
    require!(status.json()["engine"]["callouts"].as_array().is_some_and(Vec::is_empty), "{status}");
    require!(status.count("/engine/counts/completed") == 2, "{status}");
    // The service that was attached hears of it when it can.
    gate.thaw()?;
    let ended = gate.wait()?;
    require!(ended.code == 8 && ended.stderr.contains("the driver has stopped"), "{ended:?}");

    let output = stand.tollgate(&["driver", "start"])?;
    require!(output.code == 0 && output.stdout == "the driver is running\n", "{output:?}");
    decides_anew(&stand)?;
    let (counters, _) = finish(bench, stand)?;
    require!(counters.held == 1 && counters.doors.verdict == 1, "{counters:?}");
    Ok(())
}

fn commands(bench: &Bench) -> Result<()> {
    let lab = bench.up(&[])?;
    driver_says(&lab, &["status"], 3, "the driver is not installed")?;
    driver_says(&lab, &["install"], 0, "the driver is installed: ")?;
    let installed = fs::read(lab.prefix().join("drive_c/windows/system32/drivers/tollgate.sys"))?;
    require!(installed == fs::read(tollgate::shipped("tollgate.sys")?)?, "another file was installed");
    driver_says(&lab, &["install"], 0, "the driver was installed already")?;
    driver_says(&lab, &["status"], 0, "stopped, ")?;
    driver_says(&lab, &["start"], 0, "the driver is running\n")?;
    driver_says(&lab, &["start"], 0, "the driver was running already\n")?;
    driver_says(&lab, &["status", "--json"], 0, r#""state":"running""#)?;

    let stand = Stand { lab };
    decides_anew(&stand)?;
    let counters = stand.counters()?;
    require!(counters.filtering && counters.held == 1 && counters.doors.verdict == 1, "{counters:?}");

    let lab = stand.lab;
    driver_says(&lab, &["stop"], 0, "the driver has stopped\n")?;
    driver_says(&lab, &["stop"], 0, "the driver was not running\n")?;
    driver_says(&lab, &["start"], 0, "the driver is running\n")?;
    driver_says(&lab, &["uninstall"], 0, "the driver is uninstalled\n")?;
    driver_says(&lab, &["status"], 3, "the driver is not installed")?;
    driver_says(&lab, &["uninstall"], 0, "the driver was not installed\n")?;
    bench.finish(lab).map(|_| ())
}

/// `tollgate driver WORDS` ends with this code and says this.
fn driver_says(lab: &Lab, words: &[&str], code: i32, text: &str) -> Result<()> {
    let output = tollgate::run(lab, &[&["driver"], words].concat())?;
    let printed = format!("{}{}", output.stdout, output.stderr);
    require!(output.code == code && printed.contains(text), "{words:?}: {output:?}");
    Ok(())
}

fn sc(bench: &Bench) -> Result<()> {
    let lab = bench.up(&[])?;
    let output = tollgate::run(&lab, &["driver", "install"])?;
    require!(output.code == 0, "{output:?}");
    let stand = Stand { lab };
    for _ in 0..2 {
        let output = stand.lab.exec("sc").args(["start", SERVICE]).without_hook().run(TIMEOUT)?;
        require!(output.code == 0, "{output:?}");
        stand.wait_for("the filters are in place", |counters| counters.filtering)?;
        decides_anew(&stand)?;
        let output = stand.lab.exec("sc").args(["stop", SERVICE]).without_hook().run(TIMEOUT)?;
        require!(output.code == 0, "{output:?}");
        let status = stand.tollgate(&["driver", "status"])?;
        require!(status.stdout.starts_with("stopped, "), "{status:?}");
    }
    let status = bench.finish(stand.lab)?;
    require!(status.count("/engine/counts/pended") == 2, "{status}");
    require!(status.count("/engine/counts/completed") == 2, "{status}");
    Ok(())
}

/// A service attaches and blocks a connection.
fn decides_anew(stand: &Stand) -> Result<()> {
    let gate = stand.gate(&["block"])?;
    let server = Server::http(V4)?;
    let attempt = Client::Node.connect(&stand.lab, server.address())?;
    require!(attempt.seen == Seen::Denied("EACCES"), "{attempt:?}");
    require!(server.reached() == 0, "{} connections", server.reached());
    gate.stop().map(|_| ())
}
