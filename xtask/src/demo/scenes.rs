//! The scenes: one `tollgate` command each, and the programs that connect meanwhile.
//!
//! Neighbours: `lab::clients` has the programs; `table` shows the rows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use super::table::{Row, Verdict};
use crate::lab::clients::{Attempt, Client, Seen};
use crate::lab::server::Server;
use crate::lab::tollgate::{Gate, Stand};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Who connects where, in each scene.
const CONNECTIONS: [(Client, IpAddr); 5] =
    [(Client::Node, V4), (Client::Node, V6), (Client::CmdNode, V4), (Client::Go, V4), (Client::Go, V6)];

/// One scene.
pub struct Scene {
    name: &'static str,
    words: &'static [&'static str],
    expected: fn(Client) -> Verdict,
}

/// The scenes, in the order of the table.
pub const SCENES: [Scene; 3] = [
    Scene { name: "permit", words: &["permit"], expected: |_| Verdict::Permitted },
    Scene { name: "block", words: &["block"], expected: |_| Verdict::Blocked },
    Scene {
        name: "block, node exempt",
        words: &["block", "--exempt", "node.exe"],
        expected: |client| if client.program() == "node.exe" { Verdict::Permitted } else { Verdict::Blocked },
    },
];

impl Scene {
    /// What a person would type.
    pub fn command(&self) -> String {
        format!("> tollgate {}", self.words.join(" "))
    }

    /// Has every program connect while the command runs, and shows what the command prints.
    pub fn play(&self, stand: &Stand) -> Result<Vec<Row>> {
        let gate = stand.gate(self.words)?;
        let rows = CONNECTIONS.map(|(client, ip)| self.connect(stand, &gate, client, ip));
        let rows = rows.into_iter().collect::<Result<Vec<_>>>()?;
        gate.stop()?;
        Ok(rows)
    }

    fn connect(&self, stand: &Stand, gate: &Gate, client: Client, ip: IpAddr) -> Result<Row> {
        let server = Server::http(ip)?;
        let remote = server.address().to_string();
        // A program that hangs, and a connection that never came to the gate, make rows, too.
        let attempt = client.connect(&stand.lab, server.address()).unwrap_or_else(|error| Attempt::failed(&error));
        let line = gate.wait_for_line(&[client.program(), &remote]).unwrap_or_else(|_| NO_LINE.to_owned());
        println!("    {line}");
        Ok(Row {
            scene: self.name,
            program: client.chain(),
            remote,
            expected: (self.expected)(client),
            seen: verdict(&attempt, server.reached(), &line),
        })
    }
}

const NO_LINE: &str = "(nothing about this connection)";

/// What program, server and `tollgate` agree on; else what each says.
fn verdict(attempt: &Attempt, reached: usize, line: &str) -> Result<(Verdict, String), String> {
    let (permits, blocks) = (line.contains("  PERMIT  "), line.contains("  BLOCK  "));
    match &attempt.seen {
        Seen::Data if reached > 0 && permits => Ok((Verdict::Permitted, "data read".to_owned())),
        Seen::Denied(words) if reached == 0 && blocks => Ok((Verdict::Blocked, (*words).to_owned())),
        seen => Err(format!("{seen}; server reached {reached} times; tollgate: {line}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERMIT: &str = "12:00:00.000  PERMIT  node.exe  tcp  127.0.0.1:80  pid 4  mode permit";
    const BLOCK: &str = "12:00:00.000  BLOCK   node.exe  tcp  127.0.0.1:80  pid 4  mode block";

    #[test]
    fn a_verdict_is_what_all_three_say() {
        let read = Attempt { seen: Seen::Data, pid: None };
        let denied = Attempt { seen: Seen::Denied("EACCES"), pid: None };
        assert_eq!(verdict(&read, 1, PERMIT), Ok((Verdict::Permitted, "data read".to_owned())));
        assert_eq!(verdict(&denied, 0, BLOCK), Ok((Verdict::Blocked, "EACCES".to_owned())));
    }

    #[test]
    fn one_that_says_otherwise_is_shown() {
        let read = Attempt { seen: Seen::Data, pid: None };
        let denied = Attempt { seen: Seen::Denied("EACCES"), pid: None };
        let failed = Attempt { seen: Seen::Other("ECONNREFUSED".to_owned()), pid: None };
        for (attempt, reached, line) in [
            (&read, 0, PERMIT),
            (&read, 1, BLOCK),
            (&read, 1, NO_LINE),
            (&denied, 1, BLOCK),
            (&denied, 0, PERMIT),
            (&failed, 0, BLOCK),
        ] {
            assert!(verdict(attempt, reached, line).is_err(), "{attempt:?} {reached} {line}");
        }
    }
}
