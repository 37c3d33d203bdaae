//! What comes in, packets without a connection, and connections that live when rules change.

use crate::scene::{Scene, WEB};
use e2e::{Direction, Outcome, PacketFate, SynFate};
use std::fs;

const PEER: &str = "198.51.100.7:40000";

#[test]
fn a_connection_that_comes_in_is_asked_about_and_becomes_a_rule_for_its_port() {
    let scene = Scene::start("", "");
    let machine = scene.desk.machine();
    let program = scene.desk.program("httpd.exe");
    let listener = program.listen(machine.engine(), "0.0.0.0:8080");
    let _asking = scene.sit_down();
    let first = listener.syn_from(PEER.parse().unwrap());
    let prompt = scene.prompt();
    assert_eq!((first.fate(), &prompt["direction"], &prompt["protocol"]), (SynFate::Held, &"in".into(), &6.into()));
    let shown = scene.run(&["ask", "--list"]).text();
    assert!(shown.contains("198.51.100.7 wants to reach") && shown.contains("httpd.exe on port 8080 (tcp)"), "{shown}");
    let id = prompt["id"].to_string();
    scene.run(&["ask", "--answer", &id, "permit", "--for", "forever", "--to", "port"]).text();
    scene.poll("it is let in", || (first.fate() == SynFate::Established).then_some(()));
    let written = fs::read_to_string(scene.path("rules/user/answers.toml")).unwrap();
    for said in ["action = \"permit\"", "direction = \"in\"", "local_port = 8080", "httpd.exe"] {
        assert!(written.contains(said), "{said} is not in\n{written}");
    }
    assert!(!written.contains("remote"), "whoever connects:\n{written}");
    // Another remote, and nobody is asked.
    let second = listener.syn_from("203.0.113.9:50000".parse().unwrap());
    scene.poll("the rule lets it in", || (second.fate() == SynFate::Established).then_some(()));
    let last = scene.poll("the rule is in the log", || {
        let last = scene.run(&["log", "--json", "--direction", "in", "-n", "1"]).lines().pop()?;
        (last["reason"]["by"] == "rule").then_some(last)
    });
    assert_eq!((&last["remote"], &last["verdict"]), (&"203.0.113.9:50000".into(), &"permit".into()));
    assert_eq!(listener.accepted().len(), 2);
}

#[test]
fn a_connection_that_comes_in_and_is_blocked_is_never_answered() {
    let scene = Scene::start("[rule.closed]\naction = \"block\"\ndirection = \"in\"\nlocal_port = 8080\n", "");
    let program = scene.desk.program("httpd.exe");
    let listener = program.listen(scene.desk.machine().engine(), "0.0.0.0:8080");
    let accept = listener.syn_from(PEER.parse().unwrap());
    scene.poll("a verdict", || (accept.fate() != SynFate::Held).then_some(()));
    assert_eq!(accept.fate(), SynFate::Dropped);
    assert!(listener.accepted().is_empty());
    let counters = || scene.status()["counters"].take();
    scene.poll("it is counted", || (counters()["blocked"] == 1).then_some(()));
}

#[test]
fn the_first_packets_of_what_rules_permit_leave_and_arrive_once() {
    let scene = Scene::start("[rule.names]\naction = \"permit\"\nprotocol = \"udp\"\n", "");
    let machine = scene.desk.machine();
    let program = scene.desk.program("named.exe");
    let socket = program.udp_at(machine.engine(), "0.0.0.0:5300");
    let peer = PEER.parse().unwrap();
    assert_eq!(socket.deliver(peer, b"query"), PacketFate::Dropped, "it waits for the rules");
    scene.poll("it arrives", || (!socket.received().is_empty()).then_some(()));
    let remote = "192.0.2.53:53".parse().unwrap();
    socket.send_bytes(remote, b"question");
    let sent = || {
        let wire = machine.engine().wire();
        wire.into_iter().filter(|packet| packet.remote == remote).map(|packet| packet.payload).collect::<Vec<_>>()
    };
    scene.poll("it leaves", || (!sent().is_empty()).then_some(()));
    let counters = || scene.status()["counters"].take();
    scene.poll("both are counted", || (counters()["permitted"] == 2).then_some(()));
    machine.settle();
    assert_eq!(socket.received(), [(peer, b"query".to_vec())]);
    assert_eq!(sent(), [b"question".to_vec()]);
    assert_eq!(machine.engine().outstanding_packets(), 0);
}

#[test]
fn a_ping_is_asked_about_and_leaves_once() {
    let scene = Scene::start("", "");
    let machine = scene.desk.machine();
    let program = scene.desk.program("ping.exe");
    let socket = program.icmp(machine.engine(), false);
    let _asking = scene.sit_down();
    let remote = "192.0.2.8:0".parse().unwrap();
    socket.echo_bytes(remote, 7, b"ping");
    let prompt = scene.prompt();
    let shown = scene.run(&["ask", "--list"]).text();
    assert!(shown.contains("ping.exe wants to send icmp echo request to 192.0.2.8"), "{shown}");
    assert!(shown.contains("is for this address and protocol,"), "{shown}");
    let id = prompt["id"].to_string();
    scene.run(&["ask", "--answer", &id, "permit", "--for", "forever"]).text();
    scene.poll("it leaves", || (!machine.engine().wire().is_empty()).then_some(()));
    let written = fs::read_to_string(scene.path("rules/user/answers.toml")).unwrap();
    assert!(written.contains("direction = \"out\"") && written.contains("remote = \"192.0.2.8/icmp\""), "{written}");
    socket.echo_bytes(remote, 8, b"another");
    let payloads = || machine.engine().wire().into_iter().map(|packet| packet.payload).collect::<Vec<_>>();
    scene.poll("the rule lets the next one out", || (payloads().len() > 1).then_some(()));
    machine.settle();
    assert_eq!(payloads(), [b"ping".to_vec(), b"another".to_vec()]);
}

#[test]
fn a_message_that_comes_in_is_asked_about_by_its_type() {
    let scene = Scene::start("", "");
    let program = scene.desk.program("echo.exe");
    let socket = program.icmp(scene.desk.machine().engine(), false);
    let _asking = scene.sit_down();
    let remote = "198.51.100.7:0".parse().unwrap();
    socket.deliver_echo(remote, 7, b"ping");
    let prompt = scene.prompt();
    let shown = scene.run(&["ask", "--list"]).text();
    assert!(
        shown.contains("198.51.100.7 wants to send icmp echo request to ") && shown.contains("echo.exe"),
        "{shown}"
    );
    scene.run(&["ask", "--answer", &prompt["id"].to_string(), "permit", "--for", "forever", "--to", "port"]).text();
    scene.poll("it arrives", || (!socket.received().is_empty()).then_some(()));
    let written = fs::read_to_string(scene.path("rules/user/answers.toml")).unwrap();
    assert!(written.contains("when = \"icmp.type == 8\"") && !written.contains("remote"), "{written}");
    socket.deliver_echo("203.0.113.9:0".parse().unwrap(), 7, b"another");
    scene.poll("the rule lets the next one in", || (socket.received().len() > 1).then_some(()));
    let payloads: Vec<_> = socket.received().into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(payloads, [b"ping".to_vec(), b"another".to_vec()]);
}

#[test]
fn a_connection_that_a_new_rule_blocks_ends_with_its_next_packet() {
    let scene = Scene::start("[rule.web]\naction = \"permit\"\n", "");
    let program = scene.desk.program("node.exe");
    let (web, other) = ("192.0.2.1:443", "192.0.2.2:443");
    let [ended, kept] = [web, other].map(|remote| scene.desk.machine().connect(&program, remote));
    for connect in [&ended, &kept] {
        assert_eq!(scene.verdict(connect), Outcome::Connected);
    }
    scene.write_rules("[rule.no-web]\naction = \"block\"\nremote = \"192.0.2.1\"\n[rule.rest]\naction = \"permit\"\n");
    scene.run(&["rules", "reload"]).text();
    assert_eq!(ended.outcome(), Outcome::Connected, "it is silent");
    scene.poll("it ends", || {
        assert_eq!(kept.flow().packet(Direction::Outbound), PacketFate::Passed);
        (ended.flow().packet(Direction::Outbound) == PacketFate::Dropped).then_some(())
    });
    assert_eq!((ended.outcome(), kept.outcome()), (Outcome::Reset, Outcome::Connected));
    scene.poll("it is counted", || (scene.status()["counters"]["ended"] == 1).then_some(()));
    let table = scene.run(&["status"]).text();
    assert!(table.contains("\nended          1 live connections"), "{table}");
    let last = scene.poll("it is in the log", || scene.run(&["log", "--json", "--verdict", "block"]).lines().pop());
    assert_eq!((&last["live"], &last["remote"]), (&true.into(), &WEB.into()));
    assert_eq!(last["reason"]["rule"]["id"], "no-web");
    assert_eq!(scene.outcome(&program, other), Outcome::Connected);
}
