//! `tollgate tui`: watch and answer, full screen.

use crate::client::Where;
use crate::failure::{Exit, Failure};
use crate::tui::{self, Stream, Theme, Trouble};
use platform::ipc;
use service::daemon::system;
use std::io::{self, ErrorKind, IsTerminal};

/// What the terminal can show.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "? shows the keys. Answers and snoozes need the rights that `tollgate ask` and `tollgate snooze` need.
NO_COLOR=1 turns colours off."
)]
pub struct Args {
    /// Use ASCII only, also where the locale has more
    #[arg(long)]
    ascii: bool,
}

/// Carries it out.
pub fn run(args: &Args, server: &Where) -> Result<(), Failure> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        let error = io::Error::other("this command needs a terminal to draw on");
        let help = "`tollgate status`, `tollgate log -f` and `tollgate ask` write lines";
        return Err(Failure::new(Exit::Failed, error, Some(help)));
    }
    let mut theme = Theme::from_environment(|name| std::env::var(name).ok());
    theme.unicode &= !args.ascii;
    let endpoint = server.endpoint().to_owned();
    Ok(tui::run(move || dial(&endpoint), system::environment(), theme)?)
}

fn dial(endpoint: &str) -> Result<Stream, Trouble> {
    let stream = ipc::connect(endpoint).and_then(ipc::Stream::split);
    let (reader, writer, closer) = stream.map_err(|error| trouble(endpoint, &error))?;
    Ok(Stream { reader, writer, close: Box::new(move || closer.close()) })
}

fn trouble(endpoint: &str, error: &io::Error) -> Trouble {
    let (why, help) = match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => (
            format!("nothing listens at {endpoint}"),
            Some("start it with `tollgate service start`, or `tollgate run`"),
        ),
        ErrorKind::PermissionDenied => (
            format!("{endpoint} does not let you in"),
            Some("it needs an administrator, or a member of the group `tollgate`"),
        ),
        _ => (format!("{endpoint}: {error}"), None),
    };
    Trouble { why, help: help.map(str::to_owned) }
}
