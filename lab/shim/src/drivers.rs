//! The drivers the shim serves, from their image being mapped to their unload.
//!
//! A driver has a slot. Its entry point is diverted to [`entry`], which runs the driver's own and then takes the place of
//! its dispatch and unload functions. After the unload the slot is reported on and free again.
//!
//! Neighbours: `image` does the patching, `table` says with what, `requests` goes between dispatch and driver.

use core::ffi::c_void;
use std::sync::{Mutex, OnceLock};

use nt_sys::io::{
    DRIVER_DISPATCH, DRIVER_INITIALIZE, DRIVER_OBJECT, DRIVER_UNLOAD, IRP_MJ_MAXIMUM_FUNCTION, IoCreateSymbolicLink,
};
use nt_sys::types::{DISPATCH_LEVEL, HANDLE, NTSTATUS, PASSIVE_LEVEL, UNICODE_STRING};
use serde_json::{Value, json};

use crate::image::{self, Image, JUMP};
use crate::kernel::{ImageInfo, PsSetLoadImageNotifyRoutine};
use crate::violations::{self, lock};
use crate::{irql, pool, requests, table};

/// How many drivers may be loaded at once.
pub const SLOTS: usize = 8;

/// The handlers of a driver, by major function.
pub type Handlers = [Option<DRIVER_DISPATCH>; IRP_MJ_MAXIMUM_FUNCTION + 1];

struct Driver {
    name: String,
    base: usize,
    entry: usize,
    saved: [u8; JUMP],
    imports: usize,
    /// Address of the driver object; 0 until the driver has started.
    object: usize,
    /// The driver's own handlers.
    handlers: Handlers,
    /// What Wine does with major functions a driver does not handle.
    unhandled: Option<DRIVER_DISPATCH>,
    unload: Option<DRIVER_UNLOAD>,
}

/// Which function stands for a name.
pub type Resolver = fn(&str) -> Option<*const c_void>;

static NDIS: OnceLock<Resolver> = OnceLock::new();

static DRIVERS: Mutex<[Option<Driver>; SLOTS]> = Mutex::new([const { None }; SLOTS]);

/// Asks Wine to be told of every driver it maps.
pub fn watch(ndis: Resolver) -> Result<(), NTSTATUS> {
    NDIS.get_or_init(|| ndis);
    // SAFETY: the callback lives as long as the image, which is never unloaded.
    let status = unsafe { PsSetLoadImageNotifyRoutine(image_loaded) };
    if status < 0 { Err(status) } else { Ok(()) }
}

/// The driver's handler for a major function; `None` when it has none of its own.
pub fn handler(object: *const DRIVER_OBJECT, major: usize) -> Option<DRIVER_DISPATCH> {
    let drivers = lock(&DRIVERS);
    let driver = drivers.iter().flatten().find(|driver| driver.object == object.addr())?;
    let handler = *driver.handlers.get(major)?;
    let address = |function: Option<DRIVER_DISPATCH>| function.map(|function| function as usize);
    (address(handler) != address(driver.unhandled)).then_some(handler)?
}

/// The name a report calls the driver by.
pub fn name(slot: usize) -> String {
    let drivers = lock(&DRIVERS);
    let driver = drivers.get(slot).and_then(Option::as_ref);
    driver.map_or_else(|| "an unloaded driver".to_owned(), |driver| driver.name.clone())
}

/// Every loaded driver with what it holds.
pub fn report() -> Value {
    let drivers = lock(&DRIVERS);
    let loaded = drivers.iter().enumerate();
    let loaded = loaded.filter_map(|(slot, driver)| {
        let driver = driver.as_ref()?;
        Some(json!({
            "name": driver.name,
            "imports_served": driver.imports,
            "pool": pool::report(slot),
            "requests_held": requests::held_by(driver.object),
        }))
    });
    Value::Array(loaded.collect())
}

/// Called by Wine when an image of the driver host is mapped and its imports are resolved.
unsafe extern "system" fn image_loaded(path: *const UNICODE_STRING, _process: HANDLE, info: *const ImageInfo) {
    // SAFETY: Wine passes a valid record.
    let base = unsafe { (*info).base };
    // SAFETY: Wine calls with images its loader has mapped; a driver stays mapped until its unload, when the slot ends.
    let image = unsafe { Image::new(base) };
    // SAFETY: Wine passes a valid string.
    let name = file_name(&unsafe { text(path) });
    if image.is_builtin() || !name.ends_with(".sys") {
        return;
    }
    let mut drivers = lock(&DRIVERS);
    let Some(slot) = drivers.iter().position(Option::is_none) else {
        violations::print(&format!("lab: {name} is not served: {SLOTS} drivers are loaded already"));
        return;
    };
    let kernel = image.patch_imports("ntoskrnl.exe", |import| table::replacement(slot, import));
    let ndis = image.patch_imports("ndis.sys", |import| NDIS.get().and_then(|resolve| resolve(import)));
    let entry = image.entry();
    // SAFETY: nobody runs the entry point before Wine calls it, after this callback.
    let saved = unsafe { image::divert(entry, self::entry as *const c_void) };
    drivers[slot] = Some(Driver {
        name,
        base: image.base().addr(),
        entry: entry.expose_provenance(),
        saved,
        imports: kernel + ndis,
        object: 0,
        handlers: [None; IRP_MJ_MAXIMUM_FUNCTION + 1],
        unhandled: None,
        unload: None,
    });
}

/// Runs in place of every `DriverEntry`.
unsafe extern "system-unwind" fn entry(object: *mut DRIVER_OBJECT, registry: *const UNICODE_STRING) -> NTSTATUS {
    // SAFETY: Wine passes the object of the driver it starts.
    let driver_object = unsafe { &mut *object };
    let base = driver_object.DriverStart.addr();
    let unhandled = driver_object.MajorFunction[0];
    let Some((slot, entry)) = take_entry(base, object.expose_provenance(), unhandled) else {
        return nt_sys::status::STATUS_UNSUCCESSFUL;
    };
    // SAFETY: the driver's own entry point, whole again, with Wine's arguments. `driver_object` is not used meanwhile.
    let status = unsafe { entry(object, registry) };
    if status < 0 {
        violations::print(&format!("lab: DriverEntry of {} failed: {status:#010x}", name(slot)));
        close(slot);
        return status;
    }
    // SAFETY: Wine's object of the running driver; the driver is not inside a call that changes it.
    adopt(slot, unsafe { &mut *object });
    status
}

/// Takes the place of the driver's dispatch and unload functions.
fn adopt(slot: usize, object: &mut DRIVER_OBJECT) {
    let mut drivers = lock(&DRIVERS);
    let Some(driver) = &mut drivers[slot] else {
        return;
    };
    let ours = requests::dispatch as *const () as usize;
    for (current, own) in object.MajorFunction.iter_mut().zip(&mut driver.handlers) {
        if current.is_none_or(|function| function as usize != ours) {
            *own = current.replace(requests::dispatch);
        }
    }
    if driver.unload.is_none() && object.DriverUnload.is_some() {
        driver.unload = object.DriverUnload.replace(unload);
    }
}

/// In place of `IoCreateSymbolicLink`: from here on programs can open the device, in Wine even before `DriverEntry`
/// returns, so requests must already be seen.
pub unsafe extern "system" fn create_symbolic_link<const SLOT: usize>(
    link: *const UNICODE_STRING,
    device: *const UNICODE_STRING,
) -> NTSTATUS {
    let object = lock(&DRIVERS)[SLOT].as_ref().map_or(0, |driver| driver.object);
    let object = core::ptr::with_exposed_provenance_mut::<DRIVER_OBJECT>(object);
    // SAFETY: null, or Wine's object of the driver in this slot, which is calling.
    if let Some(object) = unsafe { object.as_mut() } {
        adopt(SLOT, object);
    }
    // SAFETY: the caller's strings.
    unsafe { IoCreateSymbolicLink(link, device) }
}

/// Makes the driver's entry point whole and returns it.
fn take_entry(base: usize, object: usize, unhandled: Option<DRIVER_DISPATCH>) -> Option<(usize, DRIVER_INITIALIZE)> {
    let mut drivers = lock(&DRIVERS);
    let (slot, driver) = drivers
        .iter_mut()
        .enumerate()
        .find_map(|(slot, driver)| driver.as_mut().filter(|driver| driver.base == base).map(|driver| (slot, driver)))?;
    driver.object = object;
    driver.unhandled = unhandled;
    let entry = core::ptr::with_exposed_provenance_mut::<u8>(driver.entry);
    // SAFETY: the place diverted before; the thread that would run it is this one.
    unsafe { image::restore(entry, driver.saved) };
    // SAFETY: the image's entry point is its `DriverEntry`; Wine was about to call it as such.
    Some((slot, unsafe { core::mem::transmute::<*mut u8, DRIVER_INITIALIZE>(entry) }))
}

/// Runs in place of every `DriverUnload`, and reports what the driver leaves behind.
unsafe extern "system-unwind" fn unload(object: *mut DRIVER_OBJECT) {
    let found = lock(&DRIVERS).iter().enumerate().find_map(|(slot, driver)| {
        let driver = driver.as_ref().filter(|driver| driver.object == object.addr())?;
        Some((slot, driver.unload?))
    });
    let Some((slot, unload)) = found else {
        return;
    };
    // SAFETY: the driver's own unload function with Wine's argument, called once.
    unsafe { unload(object) };
    let name = name(slot);
    for leak in pool::forget(slot) {
        violations::record(format!("{name} was unloaded with pool memory allocated: {leak}"));
    }
    let held = requests::held_by(object.addr());
    if held > 0 {
        violations::record(format!("{name} was unloaded with {held} requests never completed"));
    }
    // SAFETY: Wine's own record, alive until this function returns.
    if unsafe { !(*object).DeviceObject.is_null() } {
        violations::record(format!("{name} was unloaded without deleting its device"));
    }
    close(slot);
}

fn close(slot: usize) {
    lock(&DRIVERS)[slot] = None;
}

/// Reports when a function of the driver returns with a lock held or at a raised level.
pub fn check_return(what: &str, level: u8, locks: u32) {
    if irql::spin_locks_held() != locks {
        violations::record(format!("{what} returned with a spin lock held"));
    }
    if irql::current() != level {
        violations::record(format!("{what} returned at {}", irql::name(irql::current())));
        irql::set(level);
    }
    debug_assert!(level == PASSIVE_LEVEL || level == DISPATCH_LEVEL);
}

/// # Safety
/// `string` is a valid counted string.
unsafe fn text(string: *const UNICODE_STRING) -> String {
    // SAFETY: the caller's promise.
    let string = unsafe { &*string };
    // SAFETY: a valid counted string has `Length` bytes of UTF-16 at `Buffer`.
    let units = unsafe { core::slice::from_raw_parts(string.Buffer, usize::from(string.Length) / 2) };
    String::from_utf16_lossy(units)
}

fn file_name(path: &str) -> String {
    path.rsplit('\\').next().unwrap_or(path).to_ascii_lowercase()
}
