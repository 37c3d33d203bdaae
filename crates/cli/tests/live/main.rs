//! The program as a person uses it, with a service that runs: the emulated machine under the real service, and the real
//! `tollgate` as a process of its own.
//!
//! * `scene`: the machine, the service, and `tollgate` told where it is.
//! * `watching`, `ruling`, `asking`, `arriving`, `running`: what people do.
#![cfg(unix)]

mod arriving;
mod asking;
mod ruling;
mod running;
mod scene;
mod watching;
