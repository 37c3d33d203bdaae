//! What is shared between the threads of the service, and what clients are served from.
//!
//! Neighbours: `server` calls this for clients.

use control::status::Status;
use rules::ruleset::Ruleset;
use rules::source::Problem;
use std::sync::Arc;

/// The service, as its other threads and its clients see it.
pub struct Core {}

impl Core {
    /// How the service does, truthfully.
    pub fn status(&self) -> Status {
        todo!()
    }

    /// The rules in force.
    pub fn ruleset(&self) -> Arc<Ruleset> {
        todo!()
    }

    /// Reads rules and configuration again, now. Gives everything that is wrong; what was in force then stays.
    pub fn reload(&self) -> Result<(), Vec<Problem>> {
        todo!()
    }
}
