//! The kernel <-> service ABI: every byte that crosses `\\.\Tollgate`.
//!
//! One conversation looks like this: the service opens the device, sends [`ioctl::HELLO`] and becomes the attached
//! service; it parks some [`ioctl::NEXT_REQUESTS`] calls (the *inverted call*), which complete with a [`batch`] of
//! [`request::Request`]s; it answers them with [`ioctl::SUBMIT_VERDICTS`]. Closing the handle detaches.
//!
//! Invariants: messages are `repr(C)`, without padding, pointers, `usize` or closed enums, so that every byte pattern is
//! a value and 32-bit clients see the same layout. Untrusted input is parsed once, by [`command::Command::parse`]
//! (kernel side) and [`batch::requests`] (service side). All integers are little-endian, addresses in network order.
//!
//! Neighbours: `gate` thinks in these words; `driver` and `platform` carry the bytes.

#![no_std]
#![forbid(unsafe_code)]

mod open_enum;

pub mod batch;
pub mod command;
pub mod hello;
pub mod ioctl;
pub mod request;
pub mod settings;
pub mod stats;
pub mod verdict;

/// The version of this ABI. Both sides must have the same; `HELLO` is how they find out.
pub const VERSION: u16 = 2;

/// The name under which user mode opens the device.
pub const DEVICE_PATH: &str = r"\\.\Tollgate";
/// The key of our provider in the filter engine, as its textual form reads: everything of ours there is of this provider.
pub const PROVIDER_KEY: u128 = 0x77a8_8e37_6704_4ce0_bd66_979f_7c59_99cb;
/// The key of our sublayer in the filter engine.
pub const SUBLAYER_KEY: u128 = 0x1206_b1d1_da7c_43ab_958c_b4a5_b316_73f0;
/// The name of the driver's service, its registry key and its `.sys` file.
pub const SERVICE_NAME: &str = "Tollgate";
