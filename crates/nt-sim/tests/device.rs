//! Devices: names, who may open them, unloading. Cites learn.microsoft.com "Controlling Device Access", "Controlling Device
//! Namespace Access", "SDDL for Device Objects", "Specifying Exclusive Access to Device Objects", "IoCreateDevice", "Unload
//! Routine Environment".
#![expect(unsafe_code, reason = "calls the kernel as a driver does")]

mod sample;

use std::ffi::c_void;
use std::ptr::null_mut;

use nt_sim::{ProcessSpec, User, bugcheck_of, rules};
use nt_sys::io::*;
use nt_sys::ob::{OBJ_KERNEL_HANDLE, ObOpenObjectByPointer};
use nt_sys::rtl::*;
use nt_sys::se::*;
use nt_sys::status::*;
use nt_sys::types::*;
use nt_sys::zw::{ZwClose, ZwSetSecurityObject};
use sample::*;

/// Lets in the system and administrators, the way a driver without `wdmsec.lib` does it.
fn restrict(device: *mut DEVICE_OBJECT) -> NTSTATUS {
    restrict_with(device, 128)
}

fn restrict_with(device: *mut DEVICE_OBJECT, acl_bytes: u32) -> NTSTATUS {
    let system = SID { Revision: 1, SubAuthorityCount: 1, IdentifierAuthority: [0, 0, 0, 0, 0, 5], SubAuthority: [18] };
    let administrators =
        SID { Revision: 1, SubAuthorityCount: 2, IdentifierAuthority: [0, 0, 0, 0, 0, 5], SubAuthority: [32, 544] };
    let mut space = [0u32; 32];
    let acl = space.as_mut_ptr().cast::<ACL>();
    let mut descriptor = std::mem::MaybeUninit::<SECURITY_DESCRIPTOR>::uninit();
    let descriptor = descriptor.as_mut_ptr();
    let sids: [*const c_void; 2] = [(&raw const system).cast(), (&raw const administrators).cast()];
    let mut steps: Vec<Box<dyn FnMut() -> NTSTATUS>> = vec![
        // SAFETY: valid for writing.
        Box::new(|| unsafe { RtlCreateSecurityDescriptor(descriptor, SECURITY_DESCRIPTOR_REVISION) }),
        // SAFETY: `space` is 128 bytes long.
        Box::new(|| unsafe { RtlCreateAcl(acl, acl_bytes, ACL_REVISION) }),
    ];
    for sid in sids {
        // SAFETY: the list was made, and the identifier is valid.
        steps.push(Box::new(move || unsafe { RtlAddAccessAllowedAce(acl, ACL_REVISION, GENERIC_ALL, sid.cast_mut()) }));
    }
    // SAFETY: the descriptor was made.
    steps.push(Box::new(|| unsafe { RtlSetDaclSecurityDescriptor(descriptor, TRUE, acl, FALSE) }));
    if let Some(failed) = steps.iter_mut().map(|step| step()).find(|status| !NT_SUCCESS(*status)) {
        return failed;
    }
    let mut handle = null_mut();
    // SAFETY: the device exists, and the place is valid.
    let status = unsafe {
        ObOpenObjectByPointer(
            device.cast(),
            OBJ_KERNEL_HANDLE,
            null_mut(),
            WRITE_DAC,
            null_mut(),
            KernelMode,
            &mut handle,
        )
    };
    if !NT_SUCCESS(status) {
        return status;
    }
    // SAFETY: the handle is open, and the descriptor valid.
    let status = unsafe {
        ZwSetSecurityObject(handle, DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION, descriptor)
    };
    // SAFETY: the handle is open.
    unsafe { ZwClose(handle) };
    status
}

const RESTRICTED: Behaviour = Behaviour { start: restrict, ..PLAIN };

#[test]
fn list_set_by_the_driver_reads_back_as_sddl() {
    let machine = Machine::new(RESTRICTED);
    let sddl = machine.kernel.device_sddl(r"\Device\Sample");
    assert_eq!(sddl.as_deref(), Some("D:P(A;;GA;;;SY)(A;;GA;;;BA)"));
    machine.finish();
}

#[test]
fn list_that_does_not_fit_is_refused() {
    // "RtlAddAccessAllowedAce": STATUS_ALLOTTED_SPACE_EXCEEDED.
    let kernel = boot();
    let status = load(&kernel, Behaviour { start: |device| restrict_with(device, 36), ..PLAIN });
    assert_eq!(status.expect_err("DriverEntry fails"), STATUS_ALLOTTED_SPACE_EXCEEDED);
    kernel.shutdown();
}

#[test]
fn only_those_the_list_names_may_open() {
    let machine = Machine::new(RESTRICTED);
    let open = |user| {
        let process = machine.kernel.process(ProcessSpec::new("other.exe").user(user));
        machine.kernel.open(&process, r"\\.\Sample", READ_WRITE).map(|_| ())
    };
    assert_eq!(open(User::System), Ok(()));
    assert_eq!(open(User::Administrator), Ok(()));
    assert_eq!(open(User::Standard), Err(STATUS_ACCESS_DENIED));
    machine.finish();
}

#[test]
fn secure_open_guards_names_below_the_device_and_its_absence_does_not() {
    for (characteristics, expected) in [(FILE_DEVICE_SECURE_OPEN, Err(STATUS_ACCESS_DENIED)), (0, Ok(()))] {
        let machine = Machine::new(Behaviour { characteristics, ..RESTRICTED });
        let user = machine.kernel.process(ProcessSpec::new("user.exe").user(User::Standard));
        let opened = machine.kernel.open(&user, r"\\.\Sample\below", READ_WRITE);
        assert_eq!(opened.as_ref().map(|_| ()).map_err(|status| *status), expected);
        drop(opened);
        drop(user);
        machine.finish();
    }
}

#[test]
fn name_below_the_device_reaches_the_driver_with_its_backslash() {
    let machine = Machine::new(Behaviour {
        create: |irp| {
            // SAFETY: the request is live.
            let file = unsafe { (*stack(irp)).FileObject };
            // SAFETY: a create request has a file.
            let file = unsafe { &*file };
            let status = if file.FileName.Length == 0 { STATUS_SUCCESS } else { STATUS_OBJECT_NAME_NOT_FOUND };
            assert!(matches!(file.FileName.Length, 0 | 12), r"\below has six characters");
            complete(irp, status, 0)
        },
        ..PLAIN
    });
    let refused = machine.kernel.open(&machine.process, r"\\.\SAMPLE\below", READ_WRITE);
    assert_eq!(refused.map(|_| ()), Err(STATUS_OBJECT_NAME_NOT_FOUND));
    machine.finish();
}

#[test]
fn exclusive_device_has_one_handle_at_a_time() {
    let mut machine = Machine::new(Behaviour { exclusive: true, ..PLAIN });
    let second = machine.kernel.open(&machine.process, r"\\.\Sample", READ_WRITE).map(|_| ());
    assert_eq!(second, Err(STATUS_ACCESS_DENIED));
    machine.close();
    machine.file = Some(machine.kernel.open(&machine.process, r"\\.\Sample", READ_WRITE).expect("free again"));
    machine.finish();
}

#[test]
fn unknown_name_is_not_found_and_taken_names_collide() {
    let machine = Machine::new(PLAIN);
    let missing = machine.kernel.open(&machine.process, r"\\.\Missing", READ_WRITE).map(|_| ());
    assert_eq!(missing, Err(STATUS_OBJECT_NAME_NOT_FOUND));
    let second = load(&machine.kernel, PLAIN).map(|_| ());
    assert_eq!(second, Err(STATUS_OBJECT_NAME_COLLISION));
    machine.finish();
}

#[test]
fn unload_waits_for_the_last_handle_and_refuses_new_ones() {
    let mut machine = Machine::new(PLAIN);
    assert!(!machine.driver.unload());
    let refused = machine.kernel.open(&machine.process, r"\\.\Sample", READ_WRITE).map(|_| ());
    assert_eq!(refused, Err(STATUS_NO_SUCH_DEVICE));
    assert!(machine.driver.is_loaded());
    machine.close();
    assert!(!machine.driver.is_loaded());
    machine.finish();
}

#[test]
fn unload_that_leaves_the_device_is_reported() {
    let mut machine = Machine::new(PLAIN);
    machine.close();
    unsafe extern "system-unwind" fn forgetful(_driver: *mut DRIVER_OBJECT) {}
    // SAFETY: the driver's object is valid while it is loaded.
    unsafe { (*machine.driver.object()).DriverUnload = Some(forgetful) };
    assert!(bugcheck_of(|| machine.driver.unload()).is(rules::UNLOADED_WITH_PENDING));
}

#[test]
fn unload_that_leaves_the_link_is_reported() {
    let mut machine = Machine::new(PLAIN);
    machine.close();
    unsafe extern "system-unwind" fn forgets_link(driver: *mut DRIVER_OBJECT) {
        // SAFETY: the driver's own object.
        let device = unsafe { (*driver).DeviceObject };
        // SAFETY: the driver's own device.
        unsafe { IoDeleteDevice(device) };
    }
    // SAFETY: the driver's object is valid while it is loaded.
    unsafe { (*machine.driver.object()).DriverUnload = Some(forgets_link) };
    let violation = bugcheck_of(|| machine.driver.unload());
    assert!(violation.message.contains("symbolic link sample"), "{violation}");
}

#[test]
fn deleting_a_device_with_open_handles_is_reported() {
    let machine = Machine::new(PLAIN);
    // SAFETY: breaks the rule that this test is about.
    let violation = bugcheck_of(|| unsafe { IoDeleteDevice(machine.device()) });
    assert!(violation.is(rules::DEVICE_DELETED_IN_USE));
}

#[test]
fn driver_still_loaded_at_shutdown_is_reported() {
    let kernel = boot();
    let _driver = load(&kernel, PLAIN).expect("loads");
    assert!(bugcheck_of(|| kernel.shutdown()).is(rules::STILL_LOADED));
}

#[test]
fn kernel_handle_left_open_is_reported_and_closing_it_twice_is_too() {
    fn leak(device: *mut DEVICE_OBJECT) -> NTSTATUS {
        let mut handle = null_mut();
        // SAFETY: the device exists, and the place is valid.
        unsafe {
            ObOpenObjectByPointer(
                device.cast(),
                OBJ_KERNEL_HANDLE,
                null_mut(),
                WRITE_DAC,
                null_mut(),
                KernelMode,
                &mut handle,
            )
        }
    }
    let mut machine = Machine::new(Behaviour { start: leak, ..PLAIN });
    machine.close();
    let violation = bugcheck_of(|| machine.driver.unload());
    assert!(violation.message.contains("1 open kernel handles"), "{violation}");
    drop(machine);
    let _kernel = boot();
    // SAFETY: breaks the rule that this test is about; the kernel only looks the handle up.
    let violation = bugcheck_of(|| unsafe { ZwClose(std::ptr::without_provenance_mut(4)) });
    assert_eq!(violation.code, 0x93);
}
