//! `Ps*`: processes and system threads.

mod process;
mod thread;

pub use process::{Process, ProcessSpec, User};
pub(crate) use process::{
    boot, change_references as change_process_references, current, live_references, reset as reset_processes, sids,
};
pub(crate) use thread::{
    change_references as change_thread_references, exit_if_system_thread, held_threads, join_all, system_threads,
};
