//! `tollgate rules explain`: how a connection is decided, rule by rule.

use super::source::{Source, in_force, now, style_of, unexpected};
use crate::client::Where;
use crate::failure::{Exit, Failure};
use crate::output::line::printable;
use crate::output::printer::print;
use control::entry::{Entry, Reason, Verdict};
use control::filter::Filter;
use control::protocol::{Reply, Request};
use rules::cases::{Connection, Description, KnownProgram, ProgramWords, UserWords};
use rules::decision::Judgement;
use rules::explain::{Explanation, StepResult};
use rules::model::{Action, Lifetime, icmp_name, is_icmp};
use rules::ruleset::Ruleset;
use serde_json::json;
use std::fmt::Write;
use std::io;
use std::sync::Arc;
use wire::request::Direction;
use wire::verdict::Scope;

pub const EXAMPLES: &str = "\
Examples:
  tollgate rules explain --program /usr/bin/git --remote github.com:22 --user 1000
  tollgate rules explain --remote 192.0.2.1:443 --name example.com --protocol udp
  tollgate rules explain --direction in --remote 10.0.0.5 --local-port 22
  tollgate rules explain --direction in --remote 10.0.0.5 --protocol icmp --icmp-type 13
  tollgate rules explain --entry 4711       a connection in the log, by the rules of that time; its number is `id`
                                            in `tollgate log --json`

What is not given is unknown, and a condition on it does not hold.";

/// Which connection, by which rules.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["remote", "entry"])))]
pub struct Args {
    #[command(flatten)]
    source: Source,

    /// A connection in the log, by its number; asks the service
    #[arg(long, value_name = "ID", conflicts_with_all = ["rules", "in_force"])]
    entry: Option<u64>,

    /// The remote end: ADDRESS:PORT or NAME:PORT
    #[arg(long, value_name = "END")]
    remote: Option<String>,

    /// The name that the remote address was looked up by
    #[arg(long, value_name = "NAME", requires = "remote")]
    name: Option<String>,

    /// The program's full path
    #[arg(long, value_name = "PATH", requires = "remote")]
    program: Option<String>,

    /// SHA-256 of the program file
    #[arg(long, value_name = "HEX", requires = "remote")]
    sha256: Option<String>,

    /// Who signed the program
    #[arg(long, value_name = "NAME", requires = "remote")]
    publisher: Option<String>,

    /// The package that the program belongs to
    #[arg(long, value_name = "NAME", requires = "remote")]
    package: Option<String>,

    /// The service that the program runs as
    #[arg(long, value_name = "NAME", requires = "remote")]
    service: Option<String>,

    /// The full path of the program that started it
    #[arg(long, value_name = "PATH", requires = "remote")]
    parent: Option<String>,

    /// The user: a name, a SID or a user id
    #[arg(long, value_name = "USER", requires = "remote")]
    user: Option<String>,

    /// The command line
    #[arg(long, value_name = "TEXT", requires = "remote")]
    command_line: Option<String>,

    /// Who begins it: out, this machine; in, the remote
    #[arg(long, value_name = "out|in", requires = "remote")]
    direction: Option<String>,

    /// The IP protocol, by name or number
    #[arg(long, value_name = "NAME", requires = "remote")]
    protocol: Option<String>,

    /// The local port
    #[arg(long, value_name = "PORT", requires = "remote")]
    local_port: Option<u16>,

    /// The type of an ICMP message, by number; an echo request when not given
    #[arg(long, value_name = "TYPE", requires = "remote")]
    icmp_type: Option<u8>,

    /// Its code; 0 when not given
    #[arg(long, value_name = "CODE", requires = "icmp_type")]
    icmp_code: Option<u8>,

    /// The local interface
    #[arg(long, value_name = "NAME", requires = "remote")]
    interface: Option<String>,

    /// Tell also the rules for other programs, and those that are not enabled
    #[arg(long)]
    all: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Args {
    fn description(&self) -> Description {
        let text = |text: &Option<String>| text.as_deref().map(Arc::from);
        let known = KnownProgram {
            path: text(&self.program),
            sha256: self.sha256.clone(),
            publisher: text(&self.publisher),
            package: text(&self.package),
            service: text(&self.service),
        };
        Description {
            program: Some(ProgramWords::Known(known)),
            parent: self.parent.clone().map(ProgramWords::Path),
            user: self.user.clone().map(UserWords::One),
            command_line: self.command_line.clone(),
            direction: self.direction.clone(),
            protocol: self.protocol.clone(),
            remote: self.remote.clone().unwrap_or_default(),
            name: self.name.clone(),
            local_port: self.local_port,
            icmp_type: self.icmp_type,
            icmp_code: self.icmp_code,
            interface: self.interface.clone(),
        }
    }
}

/// Explains a connection.
pub fn run(args: &Args, server: &Where) -> Result<(), Failure> {
    if let Some(id) = args.entry {
        let entry = entry(id, server)?;
        // By the rules of its machine, which its path tells.
        let style = entry.identity.program.path.as_deref().map(style_of);
        let ruleset = in_force(Some(entry.revision.clone()), style, server)?;
        let connection = of_entry(&entry);
        let explanation = explain(&ruleset, &connection, entry.time.as_second(), args.all);
        return Ok(print(&match args.json {
            true => json!({ "entry": entry, "explanation": explanation }).to_string(),
            false => format!("{}\n{}", as_text(&connection, &explanation), given(&entry)),
        })?);
    }
    let bad = |why: String| {
        Failure::new(Exit::Failed, io::Error::other(why), Some("`tollgate rules explain --help` has examples"))
    };
    let connection = args.description().connection().map_err(bad)?;
    let ruleset = args.source.ruleset(args.json, server)?;
    let explanation = explain(&ruleset, &connection, now(), args.all);
    Ok(print(&match args.json {
        true => json!({ "explanation": explanation }).to_string(),
        false => as_text(&connection, &explanation),
    })?)
}

fn explain(ruleset: &Ruleset, connection: &Connection, time: i64, all: bool) -> Explanation {
    ruleset.explain(&connection.identity, &connection.flow(time), all)
}

fn entry(id: u64, server: &Where) -> Result<Entry, Failure> {
    let request = Request::Entries { filter: Filter::default(), after: id.checked_sub(1), before: None, limit: 1 };
    let Reply::Entries(entries) = server.connect()?.client.call(request)? else { return Err(unexpected()) };
    let not_found = || {
        let error = io::Error::new(io::ErrorKind::NotFound, format!("there is no entry {id} in the log"));
        Failure::new(Exit::Refused, error, Some("`tollgate log --json` has the numbers: `id`"))
    };
    entries.into_iter().find(|entry| entry.id == id).ok_or_else(not_found)
}

fn of_entry(entry: &Entry) -> Connection {
    let flow = entry.flow();
    Connection {
        identity: entry.identity.clone(),
        direction: flow.direction,
        protocol: flow.protocol,
        local: flow.local,
        remote: flow.remote,
        name: flow.name.map(str::to_owned),
        is_name_sure: flow.is_name_sure,
        interface: flow.interface.map(str::to_owned),
    }
}

fn as_text(connection: &Connection, explanation: &Explanation) -> String {
    let mut text = format!("{}\nrules {}\n", about(connection), explanation.revision);
    let names: Vec<String> = explanation.steps.iter().map(|step| step.rule.to_string()).collect();
    let width = names.iter().map(String::len).max().unwrap_or_default();
    for (name, step) in names.iter().zip(&explanation.steps) {
        let result = match &step.result {
            StepResult::Matched => "matches".to_owned(),
            StepResult::Needs { needs } => format!("turns on what is not known yet: {}", needs.join(", ")),
            StepResult::Failed { condition, error } => {
                // A condition is named as its key in the file.
                let key = serde_json::to_value(condition).ok();
                let key = key.as_ref().and_then(|key| key.as_str()).unwrap_or_default();
                let why = error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
                format!("no: `{key}` does not hold{why}")
            }
        };
        let (result, action) = (printable(&result), step.action);
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {name:<width$}  {action:<6}  {result}  ({}:{})", step.origin.file, step.origin.line);
    }
    text.push_str(&match &explanation.judgement {
        Judgement::Decided(decision) => {
            let because = match &decision.because {
                Some(rule) => format!("by {rule}"),
                None => "because no rule matches".to_owned(),
            };
            let scope = match decision.scope {
                Scope::PROGRAM => "; the same for whatever this program connects to",
                Scope::REMOTE => "; the same for this program and remote end",
                _ => "",
            };
            let lifetime = match decision.lifetime {
                Lifetime::Once => "for this connection".to_owned(),
                Lifetime::Process => "while the process runs".to_owned(),
                Lifetime::For(_) => format!("for {}", decision.lifetime),
                Lifetime::Forever => "until the rules change".to_owned(),
            };
            match decision.action {
                // How long an answer holds is for the one who answers to say.
                Action::Ask => format!("=> ask {because}"),
                action => format!("=> {action} {because}, {lifetime}{scope}"),
            }
        }
        Judgement::Needs(_) => "=> not decided before that is known".to_owned(),
    });
    text
}

/// What a connection is, in a line.
fn about(connection: &Connection) -> String {
    let Connection { identity, direction, protocol, local, remote, name, is_name_sure, interface } = connection;
    let program = identity.program.path.as_deref().unwrap_or("an unknown program");
    let is_inbound = *direction == Direction::INBOUND;
    let has_ports = rules::model::has_ports(*protocol);
    let remote_end = remote;
    let remote = if has_ports { remote.to_string() } else { remote.ip().to_string() };
    let protocol_text = rules::model::protocol_name(*protocol).map_or(protocol.to_string(), str::to_owned);
    let mut text = format!("{program} {} {remote}", if is_inbound { "<-" } else { "->" });
    let guess = if *is_name_sure { "" } else { ", a guess, so no name for what permits" };
    let _ = name.as_ref().map(|name| write!(text, " ({name}{guess})"));
    let _ = write!(text, " {protocol_text}");
    if is_icmp(*protocol) {
        let (kind, code) = (local.port(), remote_end.port());
        let name = icmp_name(*protocol, kind).map(|name| format!(", {name}")).unwrap_or_default();
        let _ = write!(text, " type {kind} code {code}{name}");
    }
    if is_inbound && has_ports {
        let _ = write!(text, ", local port {}", local.port());
    }
    if let Some(user) = &identity.user {
        let _ = write!(text, ", user {}", user.name.as_deref().unwrap_or(&user.id));
    }
    let _ = interface.as_ref().map(|interface| write!(text, ", interface {interface}"));
    printable(&text)
}

/// What was done then.
fn given(entry: &Entry) -> String {
    let verdict = match entry.verdict {
        Verdict::Permit => "permitted",
        Verdict::Block if entry.live => "ended, having lived already,",
        Verdict::Block => "blocked",
    };
    let by = match &entry.reason {
        Reason::Rule { rule } => format!("by {rule}"),
        Reason::Answer { user, .. } => format!("by the answer of {user}"),
        Reason::Default { .. } => "by the default, since nobody answered".to_owned(),
        Reason::Enforcer { .. } => "by the enforcement point itself".to_owned(),
    };
    printable(&format!("It was {verdict} {by} at {}.", entry.time))
}
