//! The C driver of `docs/lab.md`: what it blocks is blocked for real programs, and nothing else is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result};

use super::{Bench, Scenario};
use crate::lab::server::{GREETING, Server};
use crate::lab::session::name_of_run;
use crate::lab::{Lab, Output, Program};
use crate::run::{Run, poll};
use crate::workspace;

pub const SCENARIOS: [Scenario; 12] = [
    Scenario { name: "a connection the driver blocks fails with EACCES and others pass", run: tcp },
    Scenario { name: "ipv6 connections are blocked and pass like ipv4 ones", run: ipv6 },
    Scenario { name: "udp packets to a blocked port are refused and others arrive", run: udp },
    Scenario { name: "an absorbed udp packet is sent for its program and never arrives", run: absorbed },
    Scenario { name: "threads of one program that connect at once are each answered", run: at_once },
    Scenario { name: "a stopped driver blocks nothing and blocks again when started", run: restart },
    Scenario { name: "filters go when the base filtering engine stops and it starts again", run: engine_stops },
    Scenario { name: "the commands of the manual work as printed", run: manual },
    Scenario { name: "child processes are covered, from cmd and from node", run: children },
    Scenario { name: "a go program and a rust program are covered", run: other_runtimes },
    Scenario { name: "counters tell what the driver was asked", run: counters },
    Scenario { name: "without the hook nothing is asked", run: no_hook },
];

/// What the example driver blocks.
const BLOCKED: u16 = 4444;
/// Whose packets it discards.
const ABSORBED: u16 = 4445;
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(60);

/// Connects, prints what it reads or the code of the error.
const CONNECT: &str = "const [port, host] = process.argv.slice(1);
const socket = require('net').connect(+port, host);
socket.on('data', data => console.log('read ' + data));
socket.on('error', error => console.log(error.code + ' ' + error.syscall));";

/// Sends a packet, prints the answer or the code of the error.
const SEND: &str = "const [port, host, kind] = process.argv.slice(1);
const socket = require('dgram').createSocket(kind);
socket.on('message', data => { console.log('read ' + data); socket.close(); });
socket.send('x', +port, host, error => { if (error) { console.log(error.code + ' send'); socket.close(); } });";

fn node(lab: &Lab, script: &str, arguments: &[&str]) -> Result<Output> {
    let node = lab.program(Program::Node)?;
    lab.run_hooked(&node, &[&["-e", script], arguments].concat(), TIMEOUT)
}

fn tcp(bench: &Bench) -> Result<()> {
    let lab = bench.up_with_example()?;
    let server = Server::tcp(LOCALHOST)?;
    let blocked = node(&lab, CONNECT, &[&BLOCKED.to_string(), "127.0.0.1"])?;
    require!(blocked.stdout == "EACCES connect\n", "{blocked:?}");
    let passed = node(&lab, CONNECT, &[&server.port().to_string(), "127.0.0.1"])?;
    require!(passed.stdout == format!("read {GREETING}\n"), "{passed:?}");
    require!(server.reached() == 1, "{} connections", server.reached());
    bench.finish(lab).map(|_| ())
}

fn ipv6(bench: &Bench) -> Result<()> {
    let lab = bench.up_with_example()?;
    let server = Server::tcp(Ipv6Addr::LOCALHOST.into())?;
    let blocked = node(&lab, CONNECT, &[&BLOCKED.to_string(), "::1"])?;
    require!(blocked.stdout == "EACCES connect\n", "{blocked:?}");
    let passed = node(&lab, CONNECT, &[&server.port().to_string(), "::1"])?;
    require!(passed.stdout == format!("read {GREETING}\n"), "{passed:?}");
    bench.finish(lab).map(|_| ())
}

fn udp(bench: &Bench) -> Result<()> {
    let lab = bench.up_with_example()?;
    for (ip, kind) in [(LOCALHOST, "udp4"), (Ipv6Addr::LOCALHOST.into(), "udp6")] {
        let server = Server::udp(ip)?;
        let blocked = node(&lab, SEND, &[&BLOCKED.to_string(), &ip.to_string(), kind])?;
        require!(blocked.stdout == "EACCES send\n", "{kind}: {blocked:?}");
        let passed = node(&lab, SEND, &[&server.port().to_string(), &ip.to_string(), kind])?;
        require!(passed.stdout == format!("read {GREETING}\n"), "{kind}: {passed:?}");
        require!(server.reached() == 1, "{kind}: {} packets", server.reached());
    }
    bench.finish(lab).map(|_| ())
}

fn absorbed(bench: &Bench) -> Result<()> {
    let lab = bench.up_with_example()?;
    let server = Server::udp_at(LOCALHOST, ABSORBED)?;
    let script = "const socket = require('dgram').createSocket('udp4');
socket.send('x', +process.argv[1], '127.0.0.1', error => { console.log(error ? error.code : 'sent'); socket.close(); });";
    let lost = node(&lab, script, &[&ABSORBED.to_string()])?;
    require!(lost.stdout == "sent\n", "{lost:?}");
    let other = Server::udp(LOCALHOST)?;
    let sent = node(&lab, SEND, &[&other.port().to_string(), "127.0.0.1", "udp4"])?;
    require!(sent.stdout == format!("read {GREETING}\n"), "{sent:?}");
    // The packet that was answered was sent later, so the absorbed one would have arrived by now.
    require!(server.reached() == 0, "{} packets", server.reached());
    let status = bench.finish(lab)?;
    require!(status.count("/questions/lost") == 1, "{status}");
    Ok(())
}

fn at_once(bench: &Bench) -> Result<()> {
    const THREADS: usize = 8;
    let lab = bench.up_with_example()?;
    let script = "const { Worker } = require('worker_threads');
const [threads, port] = process.argv.slice(1);
const connect = `require('net').connect(${port}, '127.0.0.1').on('error', error => console.log(error.code))`;
for (let i = 0; i < threads; i++) new Worker(connect, { eval: true });";
    let output = node(&lab, script, &[&THREADS.to_string(), &BLOCKED.to_string()])?;
    require!(output.stdout == "EACCES\n".repeat(THREADS), "{output:?}");
    let status = bench.finish(lab)?;
    require!(status.count("/questions/blocked") == THREADS as u64, "{status}");
    require!(status.count("/engine/flows") == 0, "{status}");
    Ok(())
}

fn restart(bench: &Bench) -> Result<()> {
    let mut lab = bench.up_with_example()?;
    let connect = |lab: &Lab| node(lab, CONNECT, &[&BLOCKED.to_string(), "127.0.0.1"]);
    lab.stop_driver("Callout")?;
    let stopped = lab.status()?;
    require!(stopped.json()["engine"]["callouts"].as_array().is_some_and(Vec::is_empty), "{stopped}");
    let refused = connect(&lab)?;
    require!(refused.stdout == "ECONNREFUSED connect\n", "{refused:?}");
    lab.start_driver(&bench.example, "Callout")?;
    let blocked = connect(&lab)?;
    require!(blocked.stdout == "EACCES connect\n", "{blocked:?}");
    bench.finish(lab).map(|_| ())
}

fn engine_stops(bench: &Bench) -> Result<()> {
    const RUNNING: u64 = 3;
    let lab = bench.up_with_example()?;
    lab.control("stop-engine")?;
    let no_filters = || Ok(lab.status()?.json()["engine"]["filters"].as_array().is_some_and(Vec::is_empty));
    require!(poll(TIMEOUT, no_filters)?, "{}", lab.status()?);
    let passed = node(&lab, CONNECT, &[&BLOCKED.to_string(), "127.0.0.1"])?;
    require!(passed.stdout == "ECONNREFUSED connect\n", "{passed:?}");
    lab.control("start-engine")?;
    require!(poll(TIMEOUT, || Ok(lab.status()?.count("/engine/bfe_state") == RUNNING))?, "{}", lab.status()?);
    bench.finish(lab).map(|_| ())
}

/// Runs every `sh` block of `docs/lab.md`; the output of a block has every line of the `text` block that follows it.
fn manual(bench: &Bench) -> Result<()> {
    let manual = fs::read_to_string(workspace::root().join("docs/lab.md"))?;
    let task = env::current_exe()?;
    let images = bench.example.parent().context("an image is in a folder")?;
    let lab = name_of_run("manual");
    let mut output = String::new();
    let mut blocks = 0;
    for (language, block) in fenced_blocks(&manual) {
        match language {
            "sh" => {
                let script = block.replace("cargo xtask", &format!("'{}'", task.display()));
                let script = script.replace("target/xtask/images", &images.display().to_string());
                let run = Run::new("sh").args(["-ec", &script]).env("TOLLGATE_LAB", &lab).timeout(TIMEOUT);
                output = run.log("manual").stdout().inspect_err(|_| drop(Lab::clear(&lab)))?;
                blocks += 1;
            }
            "text" => {
                for line in block.lines() {
                    require!(output.contains(line), "{line:?} in {output}");
                }
            }
            _ => {}
        }
    }
    require!(blocks >= 4, "{blocks} blocks in the manual");
    require!(!Lab::clear(&lab)?, "the manual leaves its lab up");
    Ok(())
}

/// Language and content of each fenced block.
fn fenced_blocks(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'))
}

fn children(bench: &Bench) -> Result<()> {
    let lab = bench.up_with_example()?;
    let node_exe = crate::lab::windows_path(&lab.program(Program::Node)?);
    let connect = format!("require('net').connect({BLOCKED}).on('error', error => console.log(error.code))");
    let by_cmd = lab.exec("cmd").args(["/c", &node_exe, "-e", &connect]).run(TIMEOUT)?;
    require!(by_cmd.stdout.contains("EACCES"), "{by_cmd:?}");
    let spawn = "require('child_process').spawnSync(process.execPath, ['-e', process.argv[1]], { stdio: 'inherit' })";
    let by_node = node(&lab, spawn, &[&connect])?;
    require!(by_node.stdout == "EACCES\n", "{by_node:?}");
    bench.finish(lab).map(|_| ())
}

fn other_runtimes(bench: &Bench) -> Result<()> {
    let lab = bench.up_with_example()?;
    let proxy = format!("http://127.0.0.1:{BLOCKED}");
    let go =
        lab.exec(crate::lab::windows_path(&lab.program(Program::Go)?)).args(["list", "-m", "-versions", "a.test/b"]);
    let go = [("GOPROXY", proxy.as_str()), ("GOFLAGS", "-mod=mod"), ("GONOSUMDB", "*"), ("GOTOOLCHAIN", "local")]
        .into_iter()
        .fold(go, |go, (name, value)| go.env(name, value))
        .run(TIMEOUT)?;
    require!(go.code != 0 && go.stderr.contains("connectex: Access denied."), "{go:?}");
    let uv = lab.program(Program::Uv)?;
    let uv = lab.run_hooked(&uv, &["python", "install", "--mirror", &proxy, "3.12"], TIMEOUT)?;
    require!(uv.code != 0 && uv.stderr.contains("os error 10013"), "{uv:?}");
    bench.finish(lab).map(|_| ())
}

fn counters(bench: &Bench) -> Result<()> {
    let lab = bench.up_with_example()?;
    let before = lab.status()?;
    require!(before.count("/questions/asked") == 0, "{before}");
    let server = Server::tcp(LOCALHOST)?;
    node(&lab, CONNECT, &[&BLOCKED.to_string(), "127.0.0.1"])?;
    node(&lab, CONNECT, &[&server.port().to_string(), "127.0.0.1"])?;
    let status = lab.status()?;
    require!(status.count("/questions/asked") == 2, "{status}");
    require!(status.count("/questions/blocked") == 1, "{status}");
    require!(status.count("/questions/permitted") == 1, "{status}");
    require!(status.count("/hooks/hooked") == 4, "{status}");
    require!(status.to_string().contains("driver      callout.sys"), "{status}");
    require!(status.json()["engine"]["callouts"].as_array().is_some_and(|list| list.len() == 2), "{status}");
    require!(lab.log()?.contains("callout: blocked a connection to port 4444"), "{}", lab.log()?);
    bench.finish(lab).map(|_| ())
}

fn no_hook(bench: &Bench) -> Result<()> {
    let lab = bench.up_with_example()?;
    let node = crate::lab::windows_path(&lab.program(Program::Node)?);
    let port = BLOCKED.to_string();
    let refused = lab.exec(node).args(["-e", CONNECT, &port, "127.0.0.1"]).without_hook().run(TIMEOUT)?;
    require!(refused.stdout == "ECONNREFUSED connect\n", "{refused:?}");
    let status = bench.finish(lab)?;
    require!(status.count("/questions/asked") == 0, "{status}");
    Ok(())
}
