//! When the service is dead or silent, the driver's fallback answers, and nothing stays held.
//!
//! A silent service is the shipped one, stopped like a program in a debugger: it stays attached.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::{V4, V6, finish, up};
use crate::lab::clients::{Client, Seen};
use crate::lab::images;
use crate::lab::scenarios::{Bench, Scenario};
use crate::lab::server::Server;
use crate::lab::tollgate::TIMEOUT;
use crate::lab::windows_path;

pub const SCENARIOS: [Scenario; 5] = [
    Scenario { name: "connections held by a service that is killed are permitted by the fallback", run: killed_permit },
    Scenario { name: "connections held by a service that is killed are blocked by the fallback", run: killed_block },
    Scenario { name: "a service that stays silent is answered for at the deadline", run: deadline },
    Scenario {
        name: "a program that is killed while its connection is held leaves nothing behind",
        run: program_killed,
    },
    Scenario { name: "a thousand connections of a service that is killed are released in a second", run: thousand },
];

/// Longer than any test: what is released before was not released by the deadline.
const FAR: [&str; 2] = ["--deadline", "10m"];
/// How soon after the service's end it must be seen that connections are released; to see it, a program has to start.
const SOON: Duration = Duration::from_secs(5);
/// The same for a thousand connections that are blocked, each with a call to Wine's server.
const THOUSAND_SOON: Duration = Duration::from_secs(1);

fn killed_permit(bench: &Bench) -> Result<()> {
    killed(bench, "permit", |seen| *seen == Seen::Data)
}

fn killed_block(bench: &Bench) -> Result<()> {
    killed(bench, "block", |seen| matches!(seen, Seen::Denied(_)))
}

fn killed(bench: &Bench, fallback: &str, is_right: impl Fn(&Seen) -> bool) -> Result<()> {
    let stand = up()?;
    let other = if fallback == "permit" { "block" } else { "permit" };
    let gate = stand.gate(&[&[other, "--fallback", fallback], &FAR[..]].concat())?;
    gate.freeze()?;
    let servers = [Server::http(V4)?, Server::http(V6)?];
    let mut held = Vec::new();
    for server in &servers {
        for client in [Client::Node, Client::Go] {
            held.push(client.start(&stand.lab, server.address())?);
        }
    }
    stand.wait_for("four connections are held", |counters| counters.pended == 4)?;
    for attempt in &mut held {
        require!(attempt.is_running()?, "a held program has ended");
    }
    require!(servers.iter().all(|server| server.reached() == 0), "a held connection reached its server");

    let killed = Instant::now();
    gate.kill()?;
    let counters = stand.wait_for("nothing is held", |counters| counters.pended == 0)?;
    require!(killed.elapsed() < SOON, "released after {:?}", killed.elapsed());
    require!(counters.doors.detach == 4 && !counters.attached, "{counters:?}");
    for attempt in held {
        let attempt = attempt.wait()?;
        require!(is_right(&attempt.seen), "{attempt:?}");
    }

    // The next service attaches at once and decides.
    let gate = stand.gate(&[other])?;
    let next = Client::Node.connect(&stand.lab, servers[0].address())?;
    require!(!is_right(&next.seen), "{next:?}");
    gate.stop()?;
    let (counters, _) = finish(bench, stand)?;
    require!(counters.doors.verdict == 1, "{counters:?}");
    Ok(())
}

fn deadline(bench: &Bench) -> Result<()> {
    let stand = up()?;
    for (fallback, seen) in [("permit", Seen::Data), ("block", Seen::Denied("EACCES"))] {
        let gate = stand.gate(&["block", "--fallback", fallback, "--deadline", "500ms"])?;
        gate.freeze()?;
        let server = Server::http(V4)?;
        let attempt = Client::Node.connect(&stand.lab, server.address())?;
        require!(attempt.seen == seen, "{attempt:?}");
        // Its answer comes too late, and it learns that.
        gate.thaw()?;
        gate.wait_for_line(&["node.exe", "too late"])?;
        gate.stop()?;
    }
    let (counters, _) = finish(bench, stand)?;
    require!(counters.held == 2 && counters.doors.deadline == 2 && counters.stale_answers == 2, "{counters:?}");
    Ok(())
}

fn program_killed(bench: &Bench) -> Result<()> {
    let stand = up()?;
    let gate = stand.gate(&[&["permit"], &FAR[..]].concat())?;
    gate.freeze()?;
    let server = Server::http(V4)?;
    let node = Client::Node.start(&stand.lab, server.address())?;
    stand.wait_for("the connection is held", |counters| counters.pended == 1)?;
    node.kill()?;
    let counters = stand.wait_for("nothing is held", |counters| counters.pended == 0)?;
    require!(counters.doors.closure == 1, "{counters:?}");
    gate.thaw()?;
    gate.stop()?;
    require!(server.reached() == 0, "{} connections", server.reached());
    finish(bench, stand).map(|_| ())
}

fn thousand(bench: &Bench) -> Result<()> {
    const COUNT: u64 = 1_000;
    let crowd = images::crowd()?;
    let stand = up()?;
    let gate = stand.gate(&[&["permit", "--fallback", "block"], &FAR[..]].concat())?;
    gate.freeze()?;
    let server = Server::tcp(V4)?;
    let arguments = [server.address().to_string(), COUNT.to_string()];
    let crowd = stand.lab.exec(windows_path(&crowd)).args(arguments).spawn()?;
    stand.wait_for("a thousand connections are held", |counters| counters.pended == COUNT)?;

    let killed = SystemTime::now();
    gate.kill()?;
    // The clock of Windows programs is this machine's, so the program can say when.
    let output = crowd.wait(TIMEOUT)?;
    require!(output.stdout.starts_with(&format!("0 connected, {COUNT} denied, 0 failed")), "{output:?}");
    let last: u64 = output.stdout.trim().rsplit(' ').next().context("no time")?.parse()?;
    let took = (UNIX_EPOCH + Duration::from_millis(last)).duration_since(killed)?;
    println!("       the last of {COUNT} connections was released {} ms after the kill", took.as_millis());
    require!(took < THOUSAND_SOON, "{took:?}");
    let gate = stand.gate(&["block"])?;
    gate.stop()?;
    let (counters, _) = finish(bench, stand)?;
    require!(counters.held == COUNT && counters.doors.detach == COUNT, "{counters:?}");
    require!(server.reached() == 0, "{} connections", server.reached());
    Ok(())
}
