//! UTF-16 names, made at compile time.

use nt_sys::types::UNICODE_STRING;

/// A name with a terminating zero, as the kernel likes it.
#[derive(Clone, Copy)]
pub struct Name<const N: usize>([u16; N]);

impl<const N: usize> Name<N> {
    /// Converts an ASCII literal; `N` is its length plus one. Use [`crate::name!`].
    ///
    /// # Panics
    /// At compile time, when the text is not ASCII or does not fit exactly.
    pub const fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        assert!(bytes.len() + 1 == N && text.is_ascii());
        let mut units = [0; N];
        let mut i = 0;
        while i < bytes.len() {
            units[i] = bytes[i] as u16;
            i += 1;
        }
        Self(units)
    }

    /// Borrows it without the length parameter.
    pub const fn as_ref(&'static self) -> NameRef {
        NameRef(&self.0)
    }
}

/// A borrowed [`Name`]: static, terminated.
#[derive(Clone, Copy)]
pub struct NameRef(&'static [u16]);

impl NameRef {
    /// The terminated units; the kernel takes them as mutable but does not write.
    pub(crate) const fn as_ptr(self) -> *mut u16 {
        self.0.as_ptr().cast_mut()
    }

    /// As a counted string, without the terminator.
    pub(crate) const fn to_unicode_string(self) -> UNICODE_STRING {
        let bytes = (self.0.len() as u16).saturating_mul(2);
        UNICODE_STRING { Length: bytes.saturating_sub(2), MaximumLength: bytes, Buffer: self.as_ptr() }
    }
}

/// A static UTF-16 name from an ASCII literal.
#[macro_export]
macro_rules! name {
    ($text:literal) => {{
        const LEN: usize = $text.len() + 1;
        static NAME: $crate::string::Name<LEN> = $crate::string::Name::new($text);
        NAME.as_ref()
    }};
}
