//! A driver with one device, `\\.\Sample`, whose behaviour each test chooses.
//!
//! It is written as a C driver would be, on the declarations alone, so that the tests show the kernel and nothing else.

#![expect(dead_code, reason = "each test file uses its part of the driver")]

use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError};

use nt_sim::{Config, Driver, File, Kernel, Process, ProcessSpec};
use nt_sys::io::*;
use nt_sys::se::{GENERIC_READ, GENERIC_WRITE};
use nt_sys::status::*;
use nt_sys::types::*;

pub const TAG: u32 = u32::from_le_bytes(*b"Smpl");
pub const CONTROL: u32 = CTL_CODE(FILE_DEVICE_NETWORK, 0x800, METHOD_BUFFERED, FILE_READ_DATA | FILE_WRITE_DATA);
pub const READ_WRITE: u32 = GENERIC_READ | GENERIC_WRITE;

/// What the driver does with a request.
pub type Handler = fn(*mut IRP) -> NTSTATUS;

/// What the driver does; set before it is loaded.
#[derive(Clone, Copy)]
pub struct Behaviour {
    pub control: Handler,
    pub create: Handler,
    pub cleanup: Handler,
    pub close: Handler,
    /// Runs in `DriverEntry` once the device exists.
    pub start: fn(*mut DEVICE_OBJECT) -> NTSTATUS,
    /// Runs first in `DriverUnload`.
    pub stop: fn(),
    pub characteristics: u32,
    pub exclusive: bool,
}

pub const PLAIN: Behaviour = Behaviour {
    control: succeed,
    create: succeed,
    cleanup: succeed,
    close: succeed,
    start: |_| STATUS_SUCCESS,
    stop: || (),
    characteristics: FILE_DEVICE_SECURE_OPEN,
    exclusive: false,
};

static BEHAVIOUR: Mutex<Behaviour> = Mutex::new(PLAIN);
/// A request the driver keeps.
pub static KEPT: AtomicPtr<IRP> = AtomicPtr::new(null_mut());

/// A booted machine with the driver loaded and a process that has it open.
pub struct Machine {
    pub file: Option<File>,
    pub process: Process,
    pub driver: Driver,
    pub kernel: Kernel,
}

pub fn boot() -> Kernel {
    Kernel::boot(Config::default())
}

pub fn load(kernel: &Kernel, behaviour: Behaviour) -> Result<Driver, NTSTATUS> {
    *BEHAVIOUR.lock().unwrap_or_else(PoisonError::into_inner) = behaviour;
    kernel.load_driver("Sample", r"\Registry\Machine\System\CurrentControlSet\Services\Sample", entry)
}

impl Machine {
    pub fn new(behaviour: Behaviour) -> Self {
        let kernel = boot();
        let driver = load(&kernel, behaviour).expect("the driver loads");
        let process = kernel.process(ProcessSpec::new(r"C:\client.exe"));
        let file = kernel.open(&process, r"\\.\Sample", READ_WRITE).expect("the device opens");
        Self { file: Some(file), process, driver, kernel }
    }

    /// With this handler for device control.
    pub fn with_control(control: Handler) -> Self {
        Self::new(Behaviour { control, ..PLAIN })
    }

    /// The driver's device.
    pub fn device(&self) -> *mut DEVICE_OBJECT {
        // SAFETY: the driver's object is valid while it is loaded.
        unsafe { (*self.driver.object()).DeviceObject }
    }

    pub fn file(&self) -> &File {
        self.file.as_ref().expect("the file is open")
    }

    pub fn close(&mut self) {
        self.file = None;
    }

    /// Closes, unloads and shuts down, which verifies that nothing is left.
    pub fn finish(mut self) {
        self.close();
        assert!(self.driver.unload());
        drop(self.process);
        self.kernel.shutdown();
    }
}

/// A counted string that lives for ever.
pub fn string(text: &str) -> UNICODE_STRING {
    static UNITS: Mutex<Vec<Vec<u16>>> = Mutex::new(Vec::new());
    let mut units: Vec<u16> = text.encode_utf16().collect();
    let bytes = (units.len() * 2) as u16;
    let string = UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: units.as_mut_ptr() };
    UNITS.lock().unwrap_or_else(PoisonError::into_inner).push(units);
    string
}

fn behaviour() -> Behaviour {
    *BEHAVIOUR.lock().unwrap_or_else(PoisonError::into_inner)
}

unsafe extern "system-unwind" fn entry(driver: *mut DRIVER_OBJECT, _path: *const UNICODE_STRING) -> NTSTATUS {
    let chosen = behaviour();
    let (name, link) = (string(r"\Device\Sample"), string(r"\DosDevices\Sample"));
    let mut device = null_mut();
    // SAFETY: the driver's own object, a valid name and a place for the result.
    let status = unsafe {
        IoCreateDevice(
            driver,
            8,
            &name,
            FILE_DEVICE_NETWORK,
            chosen.characteristics,
            chosen.exclusive.into(),
            &mut device,
        )
    };
    if !NT_SUCCESS(status) {
        return status;
    }
    // SAFETY: both names are valid.
    let status = unsafe { IoCreateSymbolicLink(&link, &name) };
    if !NT_SUCCESS(status) {
        // SAFETY: the device was just made and has no user.
        unsafe { IoDeleteDevice(device) };
        return status;
    }
    let status = (chosen.start)(device);
    if !NT_SUCCESS(status) {
        remove(device);
        return status;
    }
    // SAFETY: the driver's own object.
    let driver = unsafe { &mut *driver };
    driver.DriverUnload = Some(unload);
    for major in [IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_DEVICE_CONTROL] {
        driver.MajorFunction[major] = Some(dispatch);
    }
    STATUS_SUCCESS
}

unsafe extern "system-unwind" fn unload(driver: *mut DRIVER_OBJECT) {
    (behaviour().stop)();
    // SAFETY: the driver's own object.
    remove(unsafe { (*driver).DeviceObject });
}

fn remove(device: *mut DEVICE_OBJECT) {
    // SAFETY: the link was made by `entry`.
    unsafe { IoDeleteSymbolicLink(&string(r"\DosDevices\Sample")) };
    // SAFETY: the device was made by `entry`.
    unsafe { IoDeleteDevice(device) };
}

unsafe extern "system-unwind" fn dispatch(_device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let chosen = behaviour();
    // SAFETY: the kernel passes a valid stack location.
    let major = unsafe { (*stack(irp)).MajorFunction };
    match usize::from(major) {
        IRP_MJ_CREATE => (chosen.create)(irp),
        IRP_MJ_CLEANUP => (chosen.cleanup)(irp),
        IRP_MJ_CLOSE => (chosen.close)(irp),
        _ => (chosen.control)(irp),
    }
}

/// `IoGetCurrentIrpStackLocation`.
pub fn stack(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
    // SAFETY: tests pass live requests.
    let tail = unsafe { &(*irp).Tail };
    // SAFETY: the kernel filled this part of the union.
    unsafe { tail.Overlay.CurrentStackLocation }
}

/// Lengths of input and output.
pub fn lengths(irp: *mut IRP) -> (usize, usize) {
    // SAFETY: tests pass live requests.
    let parameters = unsafe { &(*stack(irp)).Parameters };
    // SAFETY: tests pass device control requests.
    let control = unsafe { parameters.DeviceIoControl };
    (control.InputBufferLength as usize, control.OutputBufferLength as usize)
}

pub fn buffer(irp: *mut IRP) -> *mut u8 {
    // SAFETY: tests pass live requests.
    let associated = unsafe { &(*irp).AssociatedIrp };
    // SAFETY: tests pass buffered requests.
    unsafe { associated.SystemBuffer.cast() }
}

/// Completes a request and returns its status.
pub fn complete(irp: *mut IRP, status: NTSTATUS, information: usize) -> NTSTATUS {
    // SAFETY: tests pass requests they own.
    unsafe { (*irp).IoStatus = IO_STATUS_BLOCK { Status: status, Information: information } };
    // SAFETY: as above.
    unsafe { IofCompleteRequest(irp, IO_NO_INCREMENT) };
    status
}

pub fn succeed(irp: *mut IRP) -> NTSTATUS {
    complete(irp, STATUS_SUCCESS, 0)
}

/// `IoMarkIrpPending`.
pub fn mark_pending(irp: *mut IRP) {
    // SAFETY: tests pass live requests.
    unsafe { (*stack(irp)).Control |= SL_PENDING_RETURNED };
}

/// Pends the request where [`take`] finds it.
pub fn keep(irp: *mut IRP) -> NTSTATUS {
    mark_pending(irp);
    KEPT.store(irp, Ordering::SeqCst);
    STATUS_PENDING
}

/// Pends the request with a cancel routine that completes it.
pub fn keep_cancelable(irp: *mut IRP) -> NTSTATUS {
    set_cancel_routine(irp, cancel);
    keep(irp)
}

/// The kept request, taken out of reach of its cancel routine.
pub fn take() -> *mut IRP {
    let irp = KEPT.swap(null_mut(), Ordering::SeqCst);
    // SAFETY: a kept request is live.
    unsafe { (*irp).CancelRoutine.store(null_mut(), Ordering::SeqCst) };
    irp
}

/// `IoSetCancelRoutine`.
pub fn set_cancel_routine(irp: *mut IRP, routine: DRIVER_CANCEL) {
    // SAFETY: tests pass live requests.
    unsafe { (*irp).CancelRoutine.store(routine as *mut c_void, Ordering::SeqCst) };
}

pub unsafe extern "system-unwind" fn cancel(_device: *mut DEVICE_OBJECT, irp: *mut IRP) {
    // SAFETY: the kernel set the field before it called.
    let irql = unsafe { (*irp).CancelIrql };
    // SAFETY: the kernel holds the lock on behalf of this routine.
    unsafe { IoReleaseCancelSpinLock(irql) };
    KEPT.store(null_mut(), Ordering::SeqCst);
    complete(irp, STATUS_CANCELLED, 0);
}

/// A timeout of milliseconds from now, as the kernel wants it.
pub fn relative(ms: i64) -> LARGE_INTEGER {
    -ms * 10_000
}

/// No timeout.
pub fn forever() -> *const LARGE_INTEGER {
    null()
}
