//! Being asked to stop: SIGINT, SIGTERM and SIGHUP.
//!
//! Neighbours: `windows::console` is the twin.

use std::io;

/// Calls `stop`, from another thread, each time the program is asked to end. Once per process.
pub fn on_stop(stop: impl Fn() + Send + Sync + 'static) -> io::Result<()> {
    ctrlc::set_handler(stop).map_err(io::Error::other)
}
