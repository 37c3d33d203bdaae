//! The last resort: stop the machine with a code that says where.

use core::panic::PanicInfo;

/// Our bug check code: `TOLL` in ASCII, with the high bits that mark codes not issued by Microsoft's components.
const CODE: u32 = 0xE000_0000 | u32::from_be_bytes(*b"TOLL");

/// What a panic handler of a driver calls. Parameters of the bug check: file name, its length, line, column.
///
/// A panic in the kernel has no caller that could recover; looping instead would freeze a processor without a dump.
///
/// # IRQL
/// Any.
#[doc(alias = "KeBugCheckEx")]
pub fn panic(info: &PanicInfo<'_>) -> ! {
    let (file, line, column) = match info.location() {
        Some(location) => (location.file(), location.line(), location.column()),
        None => ("", 0, 0),
    };
    // SAFETY: KeBugCheckEx takes any numbers and does not return.
    unsafe {
        nt_sys::ke::KeBugCheckEx(CODE, file.as_ptr().addr(), file.len(), line as usize, column as usize);
    }
}
