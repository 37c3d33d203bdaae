//! `tollgate rules proposals`, `adopt`, `drop` and `reload`: what the service is asked to do with rules.

use super::count;
use super::source::unexpected;
use crate::client::Where;
use crate::failure::Failure;
use crate::output::line::printable;
use crate::output::printer::print;
use control::protocol::{Reply, Request};
use serde_json::json;

/// Which proposals.
#[derive(Debug, clap::Args)]
pub struct Ids {
    /// Ids of proposed rules, as `tollgate rules proposals` shows them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Shows the proposals.
pub fn proposals(json: bool, server: &Where) -> Result<(), Failure> {
    let Reply::Proposals(proposals) = server.connect()?.client.call(Request::Proposals)? else {
        return Err(unexpected());
    };
    if json {
        return Ok(print(&json!(proposals).to_string())?);
    }
    if proposals.is_empty() {
        return Ok(print("no rule is proposed")?);
    }
    for proposal in &proposals {
        let lines: Vec<String> = proposal.toml.trim().lines().map(printable).collect();
        let seen = count(usize::try_from(proposal.seen).unwrap_or(usize::MAX), "connection");
        print(&format!("# {}: {seen}\n{}\n", printable(&proposal.id), lines.join("\n")))?;
    }
    Ok(())
}

/// Makes proposals real, or drops them.
pub fn review(args: Ids, adopt: bool, server: &Where) -> Result<(), Failure> {
    let Ids { ids, json } = args;
    let number = ids.len();
    done(server.connect()?.client.call(Request::Review { ids, adopt })?)?;
    let what = if adopt { "adopted" } else { "dropped" };
    Ok(print(&if json { json!({ what: number }).to_string() } else { format!("{} {what}", count(number, "rule")) })?)
}

/// Reloads the rules.
pub fn reload(json: bool, server: &Where) -> Result<(), Failure> {
    let mut session = server.connect()?;
    done(session.client.call(Request::Reload)?)?;
    let Reply::Status(status) = session.client.call(Request::Status)? else { return Err(unexpected()) };
    let rules = &status.rules;
    Ok(print(&if json {
        json!({ "rules": rules }).to_string()
    } else {
        format!("reloaded: revision {}", rules.revision)
    })?)
}

fn done(reply: Reply) -> Result<(), Failure> {
    if matches!(reply, Reply::Done) { Ok(()) } else { Err(unexpected()) }
}
