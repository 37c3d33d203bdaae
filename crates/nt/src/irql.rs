//! The interrupt request level of this processor.

/// The levels a driver of our kind ever sees.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Irql(pub u8);

impl Irql {
    /// No thread switch: no wait, no paged memory.
    pub const DISPATCH: Self = Self(2);

    /// The level now.
    ///
    /// # IRQL
    /// Any.
    #[doc(alias = "KeGetCurrentIrql")]
    pub fn current() -> Self {
        // SAFETY: KeGetCurrentIrql has no precondition.
        Self(unsafe { nt_sys::ke::KeGetCurrentIrql() })
    }
}
