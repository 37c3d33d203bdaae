//! `fwpkclnt.sys` for Wine: the emulated filter engine, the kernel functions Wine lacks, and the device the hooks ask.
//!
//! One image, because one instance of each must serve every driver of a driver host, and a Rust call is simpler than an
//! export between images. Drivers import `Fwps*` and `Fwpm*` from it, as they do on Windows, and the shim gives them its
//! `Ndis*`; `wfp-sim` defines them.
//!
//! Invariants: the image is started as a driver before any other of its load order group and is never unloaded; Wine's
//! one dispatch thread never waits for the engine.
//! Neighbours: `lab/shim` is the kernel half; `lab/sockets` is the language of the device; `lab/hook` and `lab/launch`
//! are who asks.

#![cfg(windows)]
#![expect(unsafe_code, reason = "is a driver: entry point, dispatch functions, requests")]

mod asker;
mod device;
mod engine;
mod entry;
mod exports;
mod host;
mod programs;
mod questions;
mod snapshot;
mod workers;
