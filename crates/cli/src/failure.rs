//! How a command fails: what to print, what to do next, and the exit code.
//!
//! Invariants: each exit code means one thing, and the help lists them all. Neighbours: `platform` and `service` have
//! the errors, `main` ends with this.

use platform::driver_service::DriverError;
use platform::enforcer::EnforcerError;
use service::session::SessionError;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

/// What an exit code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Something else failed.
    Failed = 1,
    /// The driver is not installed.
    NotInstalled = 3,
    /// The driver is not running.
    NotRunning = 4,
    /// Access is denied.
    AccessDenied = 5,
    /// Program and driver, or service, are of different versions.
    VersionMismatch = 6,
    /// Another service is attached.
    Busy = 7,
    /// The driver stopped while we were attached.
    Stopped = 8,
    /// The driver, or the service, sent what makes no sense, or does not understand us.
    Nonsense = 9,
    /// Not on this system.
    Unsupported = 10,
    /// Windows does not trust the driver file.
    Untrusted = 11,
    /// The driver, or its file, is in use.
    InUse = 12,
    /// No service runs.
    NoService = 13,
    /// Rules have errors.
    BadRules = 14,
    /// Rules are sound, but a check found something, or a test failed.
    Found = 15,
    /// The service refused.
    Refused = 16,
}

/// Every exit code, for help.
pub const EXIT_CODES: &[(u8, &str)] = &[
    (0, "done, or stopped by Ctrl-C"),
    (Exit::Failed as u8, "something else failed"),
    (2, "bad arguments"),
    (Exit::NotInstalled as u8, "the driver is not installed"),
    (Exit::NotRunning as u8, "the driver is not running"),
    (Exit::AccessDenied as u8, "access denied: run as administrator, or ask one"),
    (Exit::VersionMismatch as u8, "this program and the driver, or the service, speak different versions"),
    (Exit::Busy as u8, "another service is attached"),
    (Exit::Stopped as u8, "the driver stopped while we were attached"),
    (Exit::Nonsense as u8, "this program and the driver, or the service, do not understand each other"),
    (Exit::Unsupported as u8, "not on this system yet"),
    (Exit::Untrusted as u8, "Windows does not trust the driver's signature"),
    (Exit::InUse as u8, "the driver, or its file, is in use"),
    (Exit::NoService as u8, "no service runs"),
    (Exit::BadRules as u8, "rules have errors"),
    (Exit::Found as u8, "a check found something, or a test failed"),
    (Exit::Refused as u8, "the service refused"),
];

/// [`EXIT_CODES`] as text.
pub fn exit_codes() -> String {
    let rows: Vec<String> = EXIT_CODES.iter().map(|(code, meaning)| format!("  {code:>2}  {meaning}")).collect();
    format!("Exit codes:\n{}", rows.join("\n"))
}

/// A command that did not do what it should.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
    help: Option<String>,
}

impl Failure {
    /// Prints what happened, why, and what to do next.
    pub fn explain(&self) {
        let help = self.help.as_ref().map(|help| format!("help: {help}\n")).unwrap_or_default();
        // Standard error may be closed; then the exit code has to do.
        let _closed = write!(io::stderr(), "error: {}\n{help}", self.message());
    }

    /// What the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }

    /// Says what to do next in other words.
    pub fn with_help(self, help: String) -> Self {
        Self { help: Some(help), ..self }
    }

    /// What the exit code will mean.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What happened, and why.
    pub fn message(&self) -> String {
        let mut message = self.error.to_string();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        message
    }

    /// Fails with `exit` because of `error`.
    pub fn new(exit: Exit, error: impl Error + Send + Sync + 'static, help: Option<&str>) -> Self {
        Self { exit, error: Box::new(error), help: help.map(str::to_owned) }
    }
}

const AS_ADMINISTRATOR: &str = "run this in a window opened with \"Run as administrator\"";

impl From<EnforcerError> for Failure {
    fn from(error: EnforcerError) -> Self {
        let (exit, help) = match &error {
            EnforcerError::Unsupported => (Exit::Unsupported, Some("run this on Windows with the Tollgate driver")),
            EnforcerError::NotInstalled => {
                (Exit::NotInstalled, Some("`tollgate driver install`, then `tollgate driver start`"))
            }
            EnforcerError::NotRunning => (Exit::NotRunning, Some("`tollgate driver start`")),
            EnforcerError::AccessDenied => (Exit::AccessDenied, Some(AS_ADMINISTRATOR)),
            EnforcerError::VersionMismatch { .. } => (
                Exit::VersionMismatch,
                Some(
                    "install the driver that came with this program: `tollgate driver stop`, \
                    `tollgate driver install`, `tollgate driver start`",
                ),
            ),
            EnforcerError::Busy { .. } => (Exit::Busy, Some("end that process, or let it keep the gate")),
            EnforcerError::Gone => (Exit::Stopped, Some("`tollgate driver start`, then attach again")),
            EnforcerError::BadReply { .. } => (Exit::Nonsense, Some("install the driver that came with this program")),
            EnforcerError::Os { .. } => (Exit::Failed, None),
        };
        Self::new(exit, error, help)
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Enforcer(error) => error.into(),
            SessionError::BadBatch(_) | SessionError::BadAnswer(_) => {
                Self::new(Exit::Nonsense, error, Some("install the driver that came with this program"))
            }
        }
    }
}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        let (exit, help) = match &error {
            DriverError::Unsupported => (Exit::Unsupported, Some("run this on Windows")),
            DriverError::NotInstalled => (Exit::NotInstalled, Some("`tollgate driver install`")),
            DriverError::AccessDenied => (Exit::AccessDenied, Some(AS_ADMINISTRATOR)),
            DriverError::FileMissing(_) => {
                (Exit::Failed, Some("say where it is: `tollgate driver install --file FILE`"))
            }
            DriverError::FileInUse(_) => (Exit::InUse, Some("`tollgate driver stop`, then install again")),
            DriverError::StillInUse => (Exit::InUse, Some("end the program that is attached; the driver then unloads")),
            DriverError::MarkedForDeletion => {
                (Exit::InUse, Some("close the programs that look at services, or restart Windows"))
            }
            DriverError::Untrusted => (
                Exit::Untrusted,
                Some(
                    "a test-signed driver needs its certificate in the machine's Root and TrustedPublisher stores, \
                    `bcdedit /set testsigning on`, and a restart",
                ),
            ),
            DriverError::Os { .. } => (Exit::Failed, None),
        };
        Self::new(exit, error, help)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::Failed, error, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_exit_code_is_listed_once() {
        let codes: Vec<u8> = EXIT_CODES.iter().map(|(code, _)| *code).collect();
        let expected: Vec<u8> = (0..=Exit::Refused as u8).collect();
        assert_eq!(codes, expected);
    }

    #[test]
    fn a_message_names_the_cause() {
        let source = io::Error::other("the disk is gone");
        let failure = Failure::from(EnforcerError::Os { call: "STATS", source });
        assert_eq!(failure.message(), "STATS failed: the disk is gone");
        assert_eq!(failure.exit(), Exit::Failed);
    }

    #[test]
    fn a_version_mismatch_names_both_versions() {
        let failure = Failure::from(EnforcerError::VersionMismatch { service: 1, driver: 2 });
        assert_eq!(failure.message(), "this program speaks version 1 and the driver speaks version 2");
        assert_eq!(failure.exit(), Exit::VersionMismatch);
    }

    #[test]
    fn another_service_is_named_by_its_process() {
        let failure = Failure::from(EnforcerError::Busy { process_id: 4242 });
        assert!(failure.message().ends_with("process 4242"), "{}", failure.message());
    }

    #[test]
    fn what_ends_a_session_ends_the_program_alike() {
        let exit = |error: SessionError| Failure::from(error).exit();
        assert_eq!(exit(SessionError::Enforcer(EnforcerError::Gone)), Exit::Stopped);
        assert_eq!(exit(SessionError::BadBatch(wire::batch::BatchError::Truncated)), Exit::Nonsense);
    }
}
