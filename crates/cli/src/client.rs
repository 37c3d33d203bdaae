//! The connection of a command to the service.
//!
//! Neighbours: `control::client` speaks, `platform::ipc` has the stream; `commands` use it.

use crate::failure::{Exit, Failure};
use control::client::{Client, ClientError};
use control::protocol::{ErrorKind, Refusal, Reply};
use platform::ipc::{self, OPERATORS};
use std::error::Error;
use std::fmt::{self, Write};
use std::io;

/// Where the service is.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Where {
    /// The service's pipe or socket, when it is not the usual one
    #[arg(long, value_name = "PATH", env = "TOLLGATE_CONTROL", global = true)]
    pub control: Option<String>,
}

/// A session with the service.
pub struct Session {
    /// What speaks.
    pub client: Client,
}

impl Where {
    /// The path of the pipe or socket.
    pub fn endpoint(&self) -> &str {
        self.control.as_deref().unwrap_or_else(|| ipc::default_endpoint())
    }

    /// Begins a session with the service.
    pub fn connect(&self) -> Result<Session, Failure> {
        let stream = ipc::connect(self.endpoint()).map_err(|error| cannot_connect(self.endpoint(), &error))?;
        let (reader, writer, _) = stream.split()?;
        Ok(Session { client: Client::connect(reader, writer)? })
    }
}

fn cannot_connect(endpoint: &str, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            Failure::new(Exit::NoService, Said(format!("no service runs: nobody listens on {endpoint}")), Some(START))
        }
        io::ErrorKind::PermissionDenied => {
            let help = format!("run this as administrator, or have yourself added to the group \"{OPERATORS}\"");
            Failure::new(Exit::AccessDenied, Said(format!("access denied to {endpoint}")), Some(&help))
        }
        _ => Failure::new(Exit::Failed, Said(format!("cannot connect to {endpoint}: {error}")), None),
    }
}

/// Fails because the service answered something else than it was asked.
pub fn unexpected(reply: &Reply) -> Failure {
    let said = serde_json::to_string(reply).unwrap_or_default();
    ClientError::Nonsense(said.chars().take(80).collect()).into()
}

const START: &str = "`tollgate service start`, or `tollgate run` in another window";

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(refusal) => (*refusal).into(),
            ClientError::Closed => {
                Self::new(Exit::NoService, error, Some("`tollgate status` tells how the service does"))
            }
            ClientError::Io(_) => Self::new(Exit::Failed, error, None),
            ClientError::Nonsense(_) => {
                Self::new(Exit::Nonsense, error, Some("use the program that came with the service"))
            }
        }
    }
}

/// A message.
#[derive(Debug)]
struct Said(String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Said {}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let exit = match refusal.kind {
            ErrorKind::Version => Exit::VersionMismatch,
            ErrorKind::Denied => Exit::AccessDenied,
            ErrorKind::BadRules => Exit::BadRules,
            ErrorKind::BadRequest | ErrorKind::NotFound | ErrorKind::Busy | ErrorKind::Failed => Exit::Refused,
        };
        let mut message = refusal.message;
        for problem in &refusal.problems {
            // Writing to a string does not fail.
            let _ = write!(message, "\n  {problem}");
        }
        Self::new(exit, Said(message), refusal.help.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rules::source::Problem;

    #[test]
    fn where_nobody_listens_no_service_runs() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = Where { control: Some(folder.path().join("none").display().to_string()) };
        assert_eq!(nowhere.connect().err().unwrap().exit(), Exit::NoService);
    }

    #[test]
    fn a_refusal_has_the_exit_code_of_its_kind() {
        for (kind, exit) in [
            (ErrorKind::Version, Exit::VersionMismatch),
            (ErrorKind::Denied, Exit::AccessDenied),
            (ErrorKind::NotFound, Exit::Refused),
            (ErrorKind::BadRules, Exit::BadRules),
        ] {
            assert_eq!(Failure::from(Refusal::new(kind, "no")).exit(), exit, "{kind:?}");
        }
    }

    #[test]
    fn rules_that_are_refused_are_told_with_every_problem() {
        let problem = |line| Problem {
            file: "user/a.toml".into(),
            line,
            column: 1,
            message: "no such field".to_owned(),
            help: None,
        };
        let refusal =
            Refusal::new(ErrorKind::BadRules, "rules have errors").with_problems(vec![problem(1), problem(2)]);
        let told = Failure::from(refusal).message();
        assert_eq!(told, "rules have errors\n  user/a.toml:1:1: no such field\n  user/a.toml:2:1: no such field");
    }
}
