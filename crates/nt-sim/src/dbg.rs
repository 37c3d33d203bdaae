//! `DbgPrintEx`: messages are kept for the test to read.

use std::ffi::{CStr, c_char};

use nt_sys::status::STATUS_SUCCESS;
use nt_sys::types::UNICODE_STRING;

use crate::global::Global;

static LINES: Global<Vec<DebugLine>> = Global::new(Vec::new());

/// One message to the kernel debugger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DebugLine {
    /// `DPFLTR_*_ID`.
    pub component: u32,
    /// `DPFLTR_*_LEVEL`.
    pub level: u32,
    /// The formatted text.
    pub text: String,
}

/// Keeps a formatted message.
///
/// Stable Rust cannot define a variadic function, so this one takes as many words as a driver may pass. On x86-64 and AArch64 a
/// caller puts the first of them where a fixed argument would be, and reading one that was not passed yields an unspecified word
/// of the caller's frame, which the format then never asks for.
///
/// # Safety
/// `format` is a C string, and the arguments are what it says.
#[cfg(not(miri))]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn DbgPrintEx(
    component: u32,
    level: u32,
    format: *const c_char,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { keep(component, level, format, [a, b, c, d, e, f].into_iter()) }
}

/// Keeps a formatted message whose arguments are pointers.
///
/// Miri insists that definition and declaration be equally variadic, and always is a nightly compiler, which can do that.
///
/// # Safety
/// `format` is a C string that asks for pointers only, and the arguments are what it says.
#[cfg(miri)]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn DbgPrintEx(
    component: u32,
    level: u32,
    format: *const c_char,
    mut arguments: ...
) -> u32 {
    // SAFETY: the caller's promise; the format asks for as many as there are.
    let next = || Some(unsafe { arguments.next_arg::<*const c_char>() }.expose_provenance());
    // SAFETY: the caller's promise.
    unsafe { keep(component, level, format, std::iter::from_fn(next)) }
}

/// # Safety
/// `format` is a C string, and the words are what it says.
unsafe fn keep(component: u32, level: u32, format: *const c_char, words: impl Iterator<Item = usize>) -> u32 {
    // SAFETY: the caller's promise.
    let format = unsafe { CStr::from_ptr(format) }.to_string_lossy();
    // SAFETY: the caller's promise.
    let text = unsafe { printf(&format, words) };
    LINES.lock().push(DebugLine { component, level, text });
    STATUS_SUCCESS.cast_unsigned()
}

/// Formats `%d %i %u %x %X %c %p %s %S %ws %wZ %%` with flag `0`, width and the size prefixes `l ll h I64 z`.
///
/// # Safety
/// Each argument is what its conversion says.
unsafe fn printf(format: &str, mut words: impl Iterator<Item = usize>) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let spec = Spec::parse(&rest[at + 1..]);
        rest = &rest[at + 1 + spec.length..];
        if spec.conversion == '%' {
            out.push('%');
            continue;
        }
        let word = words.next().unwrap_or_default();
        // SAFETY: the caller's promise.
        let text = unsafe { spec.format(word) };
        let missing = spec.width.saturating_sub(text.chars().count());
        out.extend(std::iter::repeat_n(if spec.zeros { '0' } else { ' ' }, missing));
        out.push_str(&text);
    }
    out.push_str(rest);
    out
}

/// One conversion.
struct Spec {
    conversion: char,
    zeros: bool,
    width: usize,
    /// Wide string, or 64-bit integer.
    wide: bool,
    long: bool,
    length: usize,
}

impl Spec {
    fn parse(text: &str) -> Self {
        let flags = text.len() - text.trim_start_matches(['0', '-', '#', '+']).len();
        let digits = text[flags..].len() - text[flags..].trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let prefix = &text[flags + digits..];
        let size = ["I64", "ll", "z", "l", "h", "w"].into_iter().find(|size| prefix.starts_with(*size)).unwrap_or("");
        let conversion = prefix[size.len()..].chars().next().unwrap_or('%');
        Self {
            conversion,
            zeros: text[..flags].contains('0'),
            width: text[flags..flags + digits].parse().unwrap_or(0),
            wide: size == "w" || size == "l",
            long: matches!(size, "I64" | "ll" | "z"),
            length: (flags + digits + size.len() + conversion.len_utf8()).min(text.len()),
        }
    }

    /// # Safety
    /// `word` is what the conversion says.
    unsafe fn format(&self, word: usize) -> String {
        // `long` is 32 bits wide on Windows: only these sizes keep the upper half, which is unspecified otherwise.
        let number = if self.long { word as u64 } else { u64::from(word as u32) };
        match self.conversion {
            'd' | 'i' if self.long => number.cast_signed().to_string(),
            'd' | 'i' => (number as u32).cast_signed().to_string(),
            'u' => number.to_string(),
            'x' => format!("{number:x}"),
            'X' => format!("{number:X}"),
            'c' => char::from(word as u8).to_string(),
            'p' => format!("{word:016X}"),
            _ if word == 0 => "(null)".to_owned(),
            's' if !self.wide => {
                // SAFETY: the caller's promise: a C string.
                let text = unsafe { CStr::from_ptr(std::ptr::with_exposed_provenance(word)) };
                text.to_string_lossy().into_owned()
            }
            'Z' if self.wide => {
                // SAFETY: the caller's promise: a counted string.
                unsafe { crate::rtl::text(std::ptr::with_exposed_provenance::<UNICODE_STRING>(word)) }
            }
            's' | 'S' => {
                let wide = std::ptr::with_exposed_provenance::<u16>(word);
                // SAFETY: the caller's promise: a terminated UTF-16 string.
                let length = (0..).take_while(|at| unsafe { wide.wrapping_add(*at).read() } != 0).count();
                // SAFETY: those units were just read.
                String::from_utf16_lossy(unsafe { std::slice::from_raw_parts(wide, length) })
            }
            other => format!("%{other}"),
        }
    }
}

/// Messages since boot.
pub(crate) fn lines() -> Vec<DebugLine> {
    LINES.lock().clone()
}

pub(crate) fn reset() {
    LINES.take();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(format: &str, words: &[usize]) -> String {
        // SAFETY: each test passes what its format says.
        unsafe { printf(format, words.iter().copied()) }
    }

    #[test]
    fn integers_take_width_zeros_and_size() {
        assert_eq!(print("%d %u %08x %X|", &[usize::MAX, 7, 0xBEEF, 0xAB]), "-1 7 0000beef AB|");
        assert_eq!(print("%llu %I64d %lu", &[1 << 40, usize::MAX, (9 << 32) | 8]), "1099511627776 -1 8");
        assert_eq!(print("100%% of %p", &[0x10]), "100% of 0000000000000010");
    }

    #[test]
    fn strings_are_narrow_wide_or_counted() {
        let wide = [u16::from(b'w'), 0];
        let mut units = [u16::from(b'u'); 2];
        let counted = UNICODE_STRING { Length: 4, MaximumLength: 4, Buffer: units.as_mut_ptr() };
        let words = [c"narrow".as_ptr().expose_provenance(), wide.as_ptr().expose_provenance()];
        assert_eq!(print("%s %ws", &words), "narrow w");
        assert_eq!(print("[%wZ] %s", &[(&raw const counted).expose_provenance(), 0]), "[uu] (null)");
    }
}
