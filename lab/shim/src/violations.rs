//! What a driver did that Windows would punish: printed at once, counted, and kept for `lab status`.

use std::ffi::CString;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nt_sys::dbg::DbgPrintEx;
use serde_json::{Value, json};

/// How many texts are kept; the count goes on.
const KEPT: usize = 100;
const DPFLTR_IHVDRIVER_ID: u32 = 77;
const DPFLTR_ERROR_LEVEL: u32 = 0;

struct Violations {
    count: u64,
    texts: Vec<String>,
}

static VIOLATIONS: Mutex<Violations> = Mutex::new(Violations { count: 0, texts: Vec::new() });

/// Reports that a driver broke a rule.
pub fn record(text: String) {
    print(&format!("LAB VIOLATION: {text}"));
    let mut violations = lock(&VIOLATIONS);
    violations.count += 1;
    if violations.texts.len() < KEPT {
        violations.texts.push(text);
    }
}

/// A line in `lab log`.
pub fn print(line: &str) {
    let Ok(line) = CString::new(format!("{line}\n")) else {
        return;
    };
    // SAFETY: the format takes one NUL-terminated string, which is given.
    unsafe {
        DbgPrintEx(DPFLTR_IHVDRIVER_ID, DPFLTR_ERROR_LEVEL, c"%s".as_ptr(), line.as_ptr());
    }
}

pub(crate) fn report() -> Value {
    let violations = lock(&VIOLATIONS);
    json!({ "count": violations.count, "texts": violations.texts })
}

/// The lock's content, whatever a thread that held it did.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
