//! The control server, over streams in memory and a desk that only remembers.

mod bounds;
mod hostile;
mod house;
mod pipe;
mod prompts;
mod roles;
#[cfg(unix)]
mod socket;
