//! The connection of a command to the service.
//!
//! Neighbours: `control::client` speaks, `platform::ipc` has the stream; `commands` use it.

/// Where the service is.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Where {
    /// The service's pipe or socket, when it is not the usual one
    #[arg(long, value_name = "PATH", env = "TOLLGATE_CONTROL", global = true)]
    pub control: Option<String>,
}
