//! Interrupt request levels.

use nt_sys::types::KIRQL;

use crate::thread;

/// Level of the calling thread.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn KeGetCurrentIrql() -> KIRQL {
    thread::irql()
}

/// Raises the level.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn KfRaiseIrql(new: KIRQL) -> KIRQL {
    thread::raise_irql(new)
}

/// Lowers the level.
#[unsafe(no_mangle)]
pub extern "system-unwind" fn KeLowerIrql(new: KIRQL) {
    thread::lower_irql(new);
}
