//! Symbolic links: the names that user mode opens.

use std::collections::BTreeMap;

use nt_sys::status::{
    STATUS_INSUFFICIENT_RESOURCES, STATUS_OBJECT_NAME_COLLISION, STATUS_OBJECT_NAME_NOT_FOUND, STATUS_SUCCESS,
};
use nt_sys::types::{NTSTATUS, PASSIVE_LEVEL, UNICODE_STRING};

use crate::global::Global;
use crate::{fault, rtl, thread};

/// From the name below `\??\` to the device's name, both in lower case: object names do not tell case apart.
static LINKS: Global<BTreeMap<String, String>> = Global::new(BTreeMap::new());

/// Makes a link.
///
/// # Safety
/// Both strings are valid.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn IoCreateSymbolicLink(
    link: *const UNICODE_STRING,
    device: *const UNICODE_STRING,
) -> NTSTATUS {
    thread::require_irql("IoCreateSymbolicLink", PASSIVE_LEVEL);
    // SAFETY: the caller's promise.
    let link = name(&unsafe { rtl::text(link) });
    // SAFETY: the caller's promise.
    let device = unsafe { rtl::text(device) }.to_lowercase();
    if fault::should_fail("IoCreateSymbolicLink") {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let mut links = LINKS.lock();
    if links.contains_key(&link) {
        return STATUS_OBJECT_NAME_COLLISION;
    }
    links.insert(link, device);
    STATUS_SUCCESS
}

/// Removes a link.
///
/// # Safety
/// The string is valid.
#[unsafe(no_mangle)]
pub unsafe extern "system-unwind" fn IoDeleteSymbolicLink(link: *const UNICODE_STRING) -> NTSTATUS {
    thread::require_irql("IoDeleteSymbolicLink", PASSIVE_LEVEL);
    // SAFETY: the caller's promise.
    let link = name(&unsafe { rtl::text(link) });
    if LINKS.lock().remove(&link).is_some() { STATUS_SUCCESS } else { STATUS_OBJECT_NAME_NOT_FOUND }
}

/// Name of the device that `\\.\link\rest` opens, and the rest with its backslash.
pub(super) fn resolve(path: &str) -> Option<(String, String)> {
    let path = path.strip_prefix(r"\\.\")?;
    let (link, rest) = path.split_at(path.find('\\').unwrap_or(path.len()));
    LINKS.lock().get(&link.to_lowercase()).map(|device| (device.clone(), rest.to_owned()))
}

/// The name of a link below its directory: `\DosDevices` is another name of `\??`.
fn name(path: &str) -> String {
    let lower = path.to_lowercase();
    let below = lower.strip_prefix(r"\dosdevices\").or_else(|| lower.strip_prefix(r"\??\"));
    below.map(str::to_owned).unwrap_or(lower)
}

pub(super) fn leftovers() -> Vec<String> {
    LINKS.lock().iter().map(|(link, device)| format!("symbolic link {link} to {device}")).collect()
}

pub(super) fn reset() {
    LINKS.take();
}
