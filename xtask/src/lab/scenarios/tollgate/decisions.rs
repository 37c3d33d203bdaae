//! What the service decides is what happens to real programs' connections.

use anyhow::{Result, bail};
use serde_json::Value;

use super::{V4, V6, finish, up};
use crate::lab::clients::{self, Client, Seen};
use crate::lab::scenarios::{Bench, Scenario};
use crate::lab::server::{GREETING, Server};
use crate::lab::tollgate::Stand;
use crate::lab::{Program, windows_path};

pub const SCENARIOS: [Scenario; 8] = [
    Scenario { name: "permitted connections of node and go get their data, over ipv4 and ipv6", run: permit },
    Scenario { name: "an event of --json tells program, process, user and both ends", run: json },
    Scenario { name: "blocked connections fail with EACCES and reach no server", run: block },
    Scenario { name: "a program exempt by its name is permitted while the others are blocked", run: exempt_by_name },
    Scenario { name: "a program exempt by its path is permitted, one of another path is not", run: exempt_by_path },
    Scenario { name: "children are decided like any program, from cmd and from node", run: children },
    Scenario { name: "a first udp packet is held; it arrives once when permitted, and never when blocked", run: udp },
    Scenario { name: "a remembered verdict decides later connections and packets at once", run: remembered },
];

fn permit(bench: &Bench) -> Result<()> {
    let stand = up()?;
    let gate = stand.gate(&["permit"])?;
    let mut reached = 0;
    for ip in [V4, V6] {
        for client in [Client::Node, Client::Go] {
            let server = Server::http(ip)?;
            let attempt = client.connect(&stand.lab, server.address())?;
            require!(attempt.seen == Seen::Data, "{attempt:?}");
            let remote = server.address().to_string();
            let line = gate.wait_for_line(&["PERMIT", client.program(), "tcp", &remote, "mode permit"])?;
            match attempt.pid {
                Some(pid) => require!(line.contains(&format!("pid {pid} ")), "{line} is not of process {pid}"),
                None => require!(pid_in(&line)? > 0, "{line}"),
            }
            // Go fetches more than one page.
            require!(server.reached() >= 1, "{client:?} did not reach its server");
            reached += server.reached() as u64;
        }
    }
    let printed = gate.stop()?;
    let summary = format!("detached: {reached} permitted, 0 blocked, 0 exempt, 0 stale, 0 reported\n");
    require!(printed.ends_with(&summary), "{reached}: {printed}");
    let (counters, status) = finish(bench, stand)?;
    require!(counters.held == reached && counters.doors.verdict == reached, "{reached}: {counters:?}");
    require!(counters.claimed == reached, "{reached}: {counters:?}");
    for count in ["connects", "permitted", "pended", "reauthorized"] {
        require!(status.count(&format!("/engine/counts/{count}")) == reached, "{reached}: {status}");
    }
    Ok(())
}

fn json(bench: &Bench) -> Result<()> {
    let stand = up()?;
    let gate = stand.gate_json(&["permit"])?;
    let server = Server::http(V6)?;
    let attempt = Client::Node.connect(&stand.lab, server.address())?;
    require!(attempt.seen == Seen::Data, "{attempt:?}");
    let event: Value = serde_json::from_str(&gate.wait_for_line(&[r#""event":"decision""#])?)?;
    let node = windows_path(&stand.lab.program(Program::Node)?);
    require!(event["program"].as_str().is_some_and(|path| path.eq_ignore_ascii_case(&node)), "{event}");
    require!(event["pid"].as_u64() == attempt.pid.map(u64::from), "{event}");
    // Wine's one user belongs to no domain.
    require!(event["user"].as_str().is_some_and(|sid| sid.starts_with("S-1-5-21-")), "{event}");
    require!(event["remote_address"] == "::1" && event["remote_port"] == server.port(), "{event}");
    require!(event["local_address"] == "::1" && event["local_port"].as_u64() > Some(0), "{event}");
    require!(event["verdict"] == "permit" && event["loopback"] == true && event["direction"] == "outbound", "{event}");
    gate.stop()?;
    finish(bench, stand).map(|_| ())
}

fn block(bench: &Bench) -> Result<()> {
    let stand = up()?;
    let gate = stand.gate(&["block"])?;
    for ip in [V4, V6] {
        let server = Server::http(ip)?;
        for client in [Client::Node, Client::Go] {
            let attempt = client.connect(&stand.lab, server.address())?;
            require!(matches!(attempt.seen, Seen::Denied(_)), "{attempt:?}");
            gate.wait_for_line(&["BLOCK", client.program(), &server.address().to_string(), "mode block"])?;
        }
        require!(server.reached() == 0, "{} connections", server.reached());
    }
    let printed = gate.stop()?;
    require!(printed.contains("\ndetached: 0 permitted, "), "{printed}");
    let (counters, status) = finish(bench, stand)?;
    // Go tries again, so there may be more than four.
    require!(counters.held >= 4 && counters.doors.verdict == counters.held, "{counters:?}");
    require!(status.count("/questions/permitted") == 0, "{status}");
    require!(status.count("/engine/counts/blocked") == counters.held, "{status}");
    Ok(())
}

fn exempt_by_name(bench: &Bench) -> Result<()> {
    let stand = up()?;
    exempt(bench, stand, "NODE.EXE")
}

fn exempt_by_path(bench: &Bench) -> Result<()> {
    let stand = up()?;
    let node = windows_path(&stand.lab.program(Program::Node)?);
    let gate = stand.gate(&["block", "--exempt", r"C:\elsewhere\node.exe"])?;
    let server = Server::http(V4)?;
    let attempt = Client::Node.connect(&stand.lab, server.address())?;
    require!(attempt.seen == Seen::Denied("EACCES"), "{attempt:?}");
    require!(server.reached() == 0, "{} connections", server.reached());
    gate.stop()?;
    exempt(bench, stand, &node)
}

fn exempt(bench: &Bench, stand: Stand, pattern: &str) -> Result<()> {
    let gate = stand.gate(&["block", "--exempt", pattern])?;
    let server = Server::http(V4)?;
    let node = Client::Node.connect(&stand.lab, server.address())?;
    require!(node.seen == Seen::Data, "{node:?}");
    let child = Client::CmdNode.connect(&stand.lab, server.address())?;
    require!(child.seen == Seen::Data, "{child:?}");
    let go = Client::Go.connect(&stand.lab, server.address())?;
    require!(matches!(go.seen, Seen::Denied(_)), "{go:?}");
    require!(server.reached() == 2, "{} connections", server.reached());
    gate.wait_for_line(&["PERMIT", "node.exe", &format!("exempt {pattern}")])?;
    gate.wait_for_line(&["BLOCK", "go.exe", "mode block"])?;
    let printed = gate.stop()?;
    require!(printed.contains(" 2 exempt,"), "{printed}");
    let (counters, _) = finish(bench, stand)?;
    require!(counters.doors.verdict == counters.held, "{counters:?}");
    Ok(())
}

fn children(bench: &Bench) -> Result<()> {
    let stand = up()?;
    for (mode, verdict, seen) in [("permit", "PERMIT", Seen::Data), ("block", "BLOCK", Seen::Denied("EACCES"))] {
        let gate = stand.gate(&[mode])?;
        for client in [Client::CmdNode, Client::NodeNode] {
            let server = Server::http(V4)?;
            let attempt = client.connect(&stand.lab, server.address())?;
            require!(attempt.seen == seen, "{client:?}: {attempt:?}");
            require!(server.reached() == usize::from(seen == Seen::Data), "{client:?}: {}", server.reached());
            let Some(pid) = attempt.pid else { bail!("{attempt:?}") };
            gate.wait_for_line(&[verdict, "node.exe", &server.address().to_string(), &format!("pid {pid} ")])?;
        }
        gate.stop()?;
    }
    let (counters, _) = finish(bench, stand)?;
    require!(counters.held == 4 && counters.doors.verdict == 4, "{counters:?}");
    Ok(())
}

fn udp(bench: &Bench) -> Result<()> {
    let stand = up()?;
    for (mode, verdict, fallback) in [("permit", "PERMIT", "block"), ("block", "BLOCK", "permit")] {
        // The other word as the fallback: if the packet were not held, it would be seen.
        let gate = stand.gate(&[mode, "--fallback", fallback])?;
        for ip in [V4, V6] {
            let server = Server::udp(ip)?;
            let printed = clients::send(&stand.lab, server.address())?;
            // As on Windows, the send of a packet that is held succeeds, whatever becomes of the packet.
            let wanted = if mode == "permit" { format!("read {GREETING}\n") } else { "nothing\n".to_owned() };
            require!(printed == wanted, "{mode} {ip}: {printed}");
            require!(server.reached() == usize::from(mode == "permit"), "{mode} {ip}: {} packets", server.reached());
            gate.wait_for_line(&[verdict, "node.exe", "udp", &server.address().to_string(), &format!("mode {mode}")])?;
        }
        gate.stop()?;
    }
    let (counters, _) = finish(bench, stand)?;
    require!(counters.held == 4 && counters.doors.verdict == 4, "{counters:?}");
    require!(counters.packets_kept == 4 && counters.packets_refused == 0, "{counters:?}");
    require!(counters.packets_released == 2 && counters.packets_dropped == 2, "{counters:?}");
    require!(counters.inject_failed == 0, "{counters:?}");
    Ok(())
}

fn remembered(bench: &Bench) -> Result<()> {
    let stand = up()?;
    let gate = stand.gate(&["permit", "--remember", "program", "--fallback", "block"])?;
    let server = Server::http(V4)?;
    for _ in 0..2 {
        let attempt = Client::Node.connect(&stand.lab, server.address())?;
        require!(attempt.seen == Seen::Data, "{attempt:?}");
    }
    let packets = Server::udp(V6)?;
    let printed = clients::send(&stand.lab, packets.address())?;
    require!(printed == format!("read {GREETING}\n"), "{printed}");
    require!(packets.reached() == 1, "{} packets", packets.reached());
    gate.stop()?;
    let (counters, _) = finish(bench, stand)?;
    require!(counters.held == 1 && counters.doors.verdict == 1, "{counters:?}");
    require!(counters.cache_permitted >= 2 && counters.cache_blocked == 0, "{counters:?}");
    Ok(())
}

fn pid_in(line: &str) -> Result<u64> {
    let word = line.split("pid ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let Some(pid) = word.and_then(|word| word.parse().ok()) else { bail!("{line} names no process") };
    Ok(pid)
}
