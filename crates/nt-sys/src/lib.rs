//! Raw NT and WFP declarations, with C names; a function's prefix names its file.
//!
//! This crate declares and never does: no wrapper, no policy, no state. On Windows the linker takes every function from the
//! image that exports it (`raw-dylib`); on any other host the emulators `nt-sim` and `wfp-sim` define the same symbols.
//! Layouts are x64 Windows, asserted beside each type. Safe faces of all this live in `nt`.

#![no_std]
#![expect(
    unsafe_code,
    reason = "foreign functions and unions are what this crate declares"
)]
#![expect(
    non_camel_case_types,
    non_snake_case,
    reason = "names are the ones of the public driver documentation"
)]

pub mod fwp;
pub mod fwpm;
pub mod fwps;
