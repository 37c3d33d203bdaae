//! The whole service: started, running, stopped.
//!
//! * [`core`]: what is shared between its threads, and what clients are served from.
//!
//! Neighbours: `cli` starts one; `server` serves clients from [`core::Core`].

pub mod core;

use crate::clock::Clock;
use crate::config::Config;
use crate::identity::Processes;
use crate::names::NameSource;
use platform::enforcer::{Enforcer, EnforcerError};
use platform::paths::Volumes;
use rules::ruleset::Environment;
use std::path::PathBuf;
use std::sync::Arc;

/// What opens the enforcement point, again and again.
pub type Opener = Box<dyn Fn() -> Result<Box<dyn Enforcer>, EnforcerError> + Send + Sync>;

/// What a service is made of.
pub struct Options {
    /// The configuration.
    pub config: Config,
    /// The file it came from, to be read again on reload; `None` when it came from nowhere.
    pub config_file: Option<PathBuf>,
    /// The directory of rules.
    pub rules: PathBuf,
    /// The directory of state.
    pub state: PathBuf,
    /// What rules must know about this machine.
    pub environment: Environment,
    /// The drive letters of this machine.
    pub volumes: Volumes,
    /// Opens the enforcement point.
    pub open: Opener,
    /// The system's processes.
    pub processes: Arc<dyn Processes>,
    /// Where names come from; `None` when there is no such thing here.
    pub names: Option<Box<dyn NameSource>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}
