//! `bcryptprimitives.dll` for Wine 8, which has none: programs built by Rust and Go import `ProcessPrng` from it and
//! would not start.
//!
//! Invariant: no dependency on `std`'s own random numbers, which come from this very image.
//! Neighbours: `xtask lab` copies the image into a prefix only when Wine does not bring its own.

#![cfg(windows)]
#![no_std]
#![expect(unsafe_code, reason = "an exported function and one call into advapi32")]

use core::panic::PanicInfo;

#[link(name = "advapi32")]
unsafe extern "system" {
    /// `RtlGenRandom`; the export has no other name.
    fn SystemFunction036(buffer: *mut u8, length: u32) -> u8;
}

/// Fills `buffer` with random bytes; always succeeds, as documented.
///
/// # Safety
/// `buffer` is writable for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn ProcessPrng(buffer: *mut u8, length: usize) -> i32 {
    let mut done = 0;
    while done < length {
        let step = u32::try_from(length - done).unwrap_or(u32::MAX);
        // SAFETY: `done < length`, so the result stays inside the caller's buffer.
        let target = unsafe { buffer.add(done) };
        // SAFETY: `step` bytes from `target` are the caller's: `done + step <= length`.
        if unsafe { SystemFunction036(target, step) } == 0 {
            return 0;
        }
        done += step as usize;
    }
    1
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // Nothing above can panic; without a console or an unwinder there is nothing better to do.
    loop {
        core::hint::spin_loop();
    }
}
