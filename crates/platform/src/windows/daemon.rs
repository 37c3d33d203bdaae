//! x
use crate::daemon::{Change, DaemonError, Kind, Status};
use std::io;
/// The work's connection to whoever runs it. Clones are the same.
#[derive(Clone, Debug)]
pub struct Host(Kind);
/// Runs `work`. Once per process.
pub fn run<T: Send + 'static, E: Send + 'static>(
    kind: Kind,
    work: impl FnOnce(&Host) -> Result<T, E> + Send + 'static,
) -> Result<Result<T, E>, DaemonError> {
    Ok(work(&Host(kind)))
}
impl Host {
    /// Who runs this program.
    pub fn kind(&self) -> Kind {
        self.0
    }
    /// Says that the work can be relied on from now on.
    pub fn ready(&self) -> io::Result<()> {
        Ok(())
    }
    /// Says how the work does, in a line for people.
    pub fn status(&self, _line: &str) {}
    /// Calls `stop`, from another thread, when this program is asked to end, perhaps more than once. To be called once.
    pub fn on_stop(&self, stop: impl Fn() + Send + Sync + 'static) -> io::Result<()> {
        super::console::on_stop(stop)
    }
}
/// Installs
pub fn install() -> Result<Change, DaemonError> {
    Err(DaemonError::NoManager)
}
/// Uninstalls
pub fn uninstall() -> Result<Change, DaemonError> {
    Err(DaemonError::NoManager)
}
/// Starts
pub fn start() -> Result<Change, DaemonError> {
    Err(DaemonError::NoManager)
}
/// Stops
pub fn stop() -> Result<Change, DaemonError> {
    Err(DaemonError::NoManager)
}
/// Asks
pub fn status() -> Result<Status, DaemonError> {
    Err(DaemonError::NoManager)
}
