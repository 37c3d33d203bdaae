//! What other products, and Windows itself, do to the filter engine while the gate stands.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, Result};

use super::{V4, finish, up};
use crate::lab::Program;
use crate::lab::clients::{Client, Seen};
use crate::lab::scenarios::{Bench, Scenario};
use crate::lab::server::Server;
use crate::lab::tollgate::TIMEOUT;
use crate::run::poll;

pub const SCENARIOS: [Scenario; 3] = [
    Scenario { name: "a live connection lives on until a service that attaches later blocks it", run: policy_change },
    Scenario { name: "connections are held again after the base filtering engine was restarted", run: engine_restart },
    Scenario {
        name: "a connection held over a restart of the base filtering engine gets its verdict",
        run: held_over_restart,
    },
];

/// Prints every piece of data as it comes.
const LISTEN: &str = "const [port, host] = process.argv.slice(1);
require('net').connect(+port, host)
  .on('data', data => console.log('read ' + data))
  .on('error', error => console.log(error.code + ' ' + error.syscall));";

fn policy_change(bench: &Bench) -> Result<()> {
    let stand = up()?;
    let gate = stand.gate(&["permit"])?;
    let listener = TcpListener::bind((V4, 0))?;
    let port = listener.local_addr()?.port().to_string();
    let node = crate::lab::windows_path(&stand.lab.program(Program::Node)?);
    let mut node = stand.lab.exec(node).args(["-e", LISTEN, &port, "127.0.0.1"]).spawn()?;
    let mut stream = accept(&listener)?;
    stream.write_all(b"before")?;
    node.wait_for_output("read before", TIMEOUT)?;
    gate.stop()?;
    let gate = stand.gate(&["permit", "--fallback", "block"])?;
    let before = stand.counters()?;
    stand.lab.control("reauthorize")?;
    let asked = stand.wait_for("it was asked about", |counters| counters.live_asked > before.live_asked)?;
    require!(asked.held == 1 && asked.cache_blocked == 0, "{before:?}, then {asked:?}");
    stand.lab.control("reauthorize")?;
    let status = stand.lab.status()?;
    require!(status.count("/engine/flows") == 1 && status.count("/engine/counts/blocked") == 0, "{status}");
    stream.write_all(b"after")?;
    node.wait_for_output("read after", TIMEOUT)?;
    gate.stop()?;

    let gate = stand.gate(&["block"])?;
    let ended = poll(TIMEOUT, || {
        // What a packet of the connection would do.
        stand.lab.control("reauthorize")?;
        Ok(stand.lab.status()?.count("/engine/flows") == 0)
    })?;
    require!(ended, "{:?}", stand.counters()?);
    drop(stream);
    let output = node.wait(TIMEOUT)?;
    require!(output.stdout == "read before\nread after\n", "{output:?}");
    gate.stop()?;
    let (counters, _) = finish(bench, stand)?;
    require!(counters.held == 1 && counters.live_asked >= 2, "{counters:?}");
    Ok(())
}

fn engine_restart(bench: &Bench) -> Result<()> {
    let stand = up()?;
    let gate = stand.gate(&["block"])?;
    let server = Server::http(V4)?;
    for round in 1..=2 {
        let held = Client::Node.connect(&stand.lab, server.address())?;
        require!(held.seen == Seen::Denied("EACCES"), "{held:?}");
        let counters = stand.counters()?;
        require!(counters.filtering && counters.held == round, "{counters:?}");

        stand.lab.control("stop-engine")?;
        let counters = stand.wait_for("the driver has seen it stop", |counters| !counters.filtering)?;
        let passed = Client::Node.connect(&stand.lab, server.address())?;
        require!(passed.seen == Seen::Data, "{passed:?}");
        require!(stand.counters()?.classified == counters.classified, "{:?}", stand.counters());

        stand.lab.control("start-engine")?;
        stand.wait_for("the filters are back", |counters| counters.filtering)?;
    }
    let held = Client::Node.connect(&stand.lab, server.address())?;
    require!(held.seen == Seen::Denied("EACCES"), "{held:?}");
    gate.stop()?;
    require!(server.reached() == 2, "{} connections", server.reached());
    let (counters, _) = finish(bench, stand)?;
    require!(counters.held == 3 && counters.doors.verdict == 3, "{counters:?}");
    Ok(())
}

fn held_over_restart(bench: &Bench) -> Result<()> {
    let stand = up()?;
    for (mode, seen) in [("permit", Seen::Data), ("block", Seen::Denied("EACCES"))] {
        let gate = stand.gate(&[mode, "--deadline", "10m"])?;
        gate.freeze()?;
        let server = Server::http(V4)?;
        let mut node = Client::Node.start(&stand.lab, server.address())?;
        stand.wait_for("the connection is held", |counters| counters.pended == 1)?;
        stand.lab.control("stop-engine")?;
        stand.wait_for("the driver has seen it stop", |counters| !counters.filtering)?;
        stand.lab.control("start-engine")?;
        let counters = stand.wait_for("the filters are back", |counters| counters.filtering)?;
        require!(counters.pended == 1 && node.is_running()?, "{counters:?}");
        gate.thaw()?;
        let attempt = node.wait()?;
        require!(attempt.seen == seen, "{attempt:?}");
        gate.stop()?;
    }
    let (counters, _) = finish(bench, stand)?;
    require!(counters.held == 2 && counters.doors.verdict == 2 && counters.claimed == 2, "{counters:?}");
    Ok(())
}

fn accept(listener: &TcpListener) -> Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let mut stream = None;
    poll(TIMEOUT, || {
        stream = listener.accept().ok();
        Ok(stream.is_some())
    })?;
    let (stream, _) = stream.context("nobody connected")?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}
