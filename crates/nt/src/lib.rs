//! Safe NT and WFP for a callout driver. All kernel-mode `unsafe` of the project is here.
//!
//! What must be done exactly once is a value: an [`irp::Irp`] is completed or parked, a [`wfp::pend::Pended`] operation
//! completed, a [`wfp::engine::Transaction`] committed, a registration dropped. Every function says at which IRQL it may
//! run; the emulated kernel checks it on every call.
//!
//! Neighbours: `nt-sys` declares the functions; on Windows the kernel provides them, natively `nt-sim` and `wfp-sim` do.
//! This crate knows Windows and nothing about Tollgate.

#![no_std]
#![expect(unsafe_code, reason = "this crate is the fence around unsafe kernel calls")]

pub mod bugcheck;
pub mod debug;
pub mod device;
pub mod driver;
pub mod irp;
pub mod irql;
pub mod lock;
pub mod pool;
pub mod process;
pub mod processor;
pub mod queue;
pub mod rundown;
pub mod security;
pub mod shared;
pub mod status;
pub mod string;
pub mod time;
pub mod timer;
pub mod trace;
pub mod wfp;
pub mod work;
