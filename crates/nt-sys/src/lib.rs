//! Raw NT and WFP declarations, with C names; a function's prefix names its file.
//!
//! This crate declares and never does: no wrapper, no policy, no state. On Windows the linker takes every function from the
//! image that exports it (`raw-dylib`); on any other host the emulators `nt-sim` and `wfp-sim` define the same symbols.
//! Layouts are x64 Windows, asserted beside each type. Safe faces of all this live in `nt`.
//!
//! Every function and every callback type is `extern "system-unwind"` (`"C-unwind"` when variadic). The calling convention is
//! exactly that of `extern "system"`; only what a panic does at the boundary differs. The emulators report a broken rule by
//! panicking, and that panic must travel through the driver's frames to the test that caused it, where plain `"system"` would
//! abort the test process. Windows images are built with `panic = "abort"`: there the calls are the same, the unwind tables
//! get an entry that aborts, and the image has to define the `__CxxFrameHandler3` which those (and `core`'s) tables name.

#![no_std]
#![expect(unsafe_code, reason = "foreign functions and unions are what this crate declares")]
#![expect(
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    reason = "names are the ones of the public driver documentation"
)]
#![expect(missing_docs, reason = "fields and constants mean what the documentation page of their C name says")]

pub mod dbg;
pub mod etw;
pub mod ex;
pub mod fwp;
pub mod fwpm;
pub mod fwps;
pub mod hal;
pub mod io;
pub mod ke;
pub mod mdl;
#[cfg(windows)]
pub mod mem;
pub mod ndis;
pub mod ob;
pub mod ps;
pub mod rtl;
pub mod se;
pub mod status;
pub mod types;
pub mod zw;
