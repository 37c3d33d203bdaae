//! Processes, their objects and references; run-down protection. Cites learn.microsoft.com "PsLookupProcessByProcessId",
//! "PsGetProcessStartKey", "ObDereferenceObject", "Run-Down Protection" and "Bug Check 0xC4", parameter 0x3F.
#![expect(unsafe_code, reason = "calls the kernel as a driver does")]

mod sample;

use std::ptr::{null_mut, without_provenance_mut};

use nt_sim::{Process, ProcessSpec, User, bugcheck_of, on_dispatch, rules};
use nt_sys::ex::*;
use nt_sys::io::{IoGetCurrentProcess, IoGetRequestorProcess};
use nt_sys::ob::{ObfDereferenceObject, ObfReferenceObject};
use nt_sys::ps::*;
use nt_sys::status::*;
use nt_sys::types::*;
use sample::*;

fn lookup(pid: u32) -> Result<*mut EPROCESS, NTSTATUS> {
    let mut process = null_mut();
    // SAFETY: a valid place.
    let status = unsafe { PsLookupProcessByProcessId(without_provenance_mut(pid as usize), &mut process) };
    if NT_SUCCESS(status) { Ok(process) } else { Err(status) }
}

fn dereference(process: *mut EPROCESS) {
    // SAFETY: at worst breaks the rule that a test is about, which the kernel reports.
    unsafe { ObfDereferenceObject(process.cast()) };
}

#[test]
fn process_is_found_by_id_and_tells_what_it_is() {
    let kernel = boot();
    let process = kernel.process(ProcessSpec::new(r"C:\a.exe").pid(1234).user(User::System));
    let found = lookup(1234).expect("it runs");
    assert_eq!(found, process.object());
    // SAFETY: the process is referenced.
    assert_eq!(unsafe { PsGetProcessId(found) }.addr(), 1234);
    // SAFETY: as above.
    assert_eq!(unsafe { PsGetProcessStartKey(found) }, process.start_key());
    // SAFETY: as above.
    assert_eq!(unsafe { PsGetProcessCreateTimeQuadPart(found) }, process.create_time());
    assert_eq!((process.image(), process.sid().as_str()), (r"C:\a.exe", "S-1-5-18"));
    assert_eq!(process.sid_bytes(), [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]);
    dereference(found);
    assert_eq!(lookup(99), Err(STATUS_INVALID_PARAMETER));
    drop(process);
    kernel.shutdown();
}

#[test]
fn object_outlives_the_process_while_it_is_referenced() {
    let kernel = boot();
    let process = kernel.process(ProcessSpec::new("a.exe").pid(8));
    let found = lookup(8).expect("it runs");
    process.kill();
    // SAFETY: the process is referenced.
    assert_eq!(unsafe { PsGetProcessId(found) }.addr(), 8);
    dereference(found);
    assert_eq!(lookup(8), Err(STATUS_INVALID_PARAMETER));
    kernel.shutdown();
}

#[test]
fn start_keys_differ_where_ids_are_reused() {
    let kernel = boot();
    let keys = [(); 2].map(|()| kernel.process(ProcessSpec::new("a.exe").pid(8)).start_key());
    assert_ne!(keys[0], keys[1]);
    kernel.shutdown();
}

#[test]
fn dereferencing_too_often_is_reported() {
    let kernel = boot();
    let process = kernel.process(ProcessSpec::new("a.exe"));
    // SAFETY: the process lives.
    unsafe { ObfReferenceObject(process.object().cast()) };
    dereference(process.object());
    let violation = bugcheck_of(|| dereference(process.object()));
    assert_eq!((violation.code, violation.parameter), (0xC4, 0x3F));
    drop(kernel);
}

#[test]
fn asking_a_dead_process_is_reported() {
    let kernel = boot();
    let process = kernel.process(ProcessSpec::new("a.exe"));
    let dead = process.object();
    process.kill();
    // SAFETY: breaks the rule that this test is about; the kernel only looks the address up.
    let violation = bugcheck_of(|| unsafe { PsGetProcessId(dead) });
    assert!(violation.is(rules::REFERENCE_DEAD));
    drop(kernel);
}

#[test]
fn reference_left_at_unload_is_reported() {
    let mut machine =
        Machine::new(Behaviour { start: |_| lookup(4).map_or_else(|status| status, |_| STATUS_SUCCESS), ..PLAIN });
    machine.close();
    let violation = bugcheck_of(|| machine.driver.unload());
    assert!(violation.is(rules::REFERENCE_LEAK));
    assert!(violation.message.contains("process 4: 1 references"), "{violation}");
}

#[test]
fn dispatch_runs_in_the_requestors_process_and_work_in_the_system_process() {
    let machine = Machine::with_control(|irp| {
        // SAFETY: the request is live.
        let requestor = unsafe { IoGetRequestorProcess(irp) };
        // SAFETY: no precondition.
        assert_eq!(requestor, unsafe { IoGetCurrentProcess() });
        // SAFETY: the requestor lives as long as its request.
        let pid = unsafe { PsGetProcessId(requestor) }.addr();
        complete(irp, STATUS_SUCCESS, if pid == 4 { 1 } else { 0 })
    });
    assert_eq!(machine.file().ioctl(CONTROL, &[1], 1).information(), Some(0));
    let own = machine.process.enter(current_pid);
    assert_eq!((own, current_pid()), (machine.process.pid() as usize, 4));
    machine.finish();
}

fn current_pid() -> usize {
    // SAFETY: no precondition.
    let process = unsafe { IoGetCurrentProcess() };
    // SAFETY: the current process lives.
    unsafe { PsGetProcessId(process) }.addr()
}

#[test]
#[should_panic(expected = "process id 8 is in use")]
fn ids_of_running_processes_are_not_given_twice() {
    let kernel = boot();
    let _first: Process = kernel.process(ProcessSpec::new("a.exe").pid(8));
    kernel.process(ProcessSpec::new("b.exe").pid(8));
}

#[test]
fn run_down_refuses_new_users_and_waits_for_the_present_ones() {
    let kernel = boot();
    let mut protection = EX_RUNDOWN_REF { Count: 0 };
    let reference = &raw mut protection;
    // SAFETY: `protection` outlives the test, here and below.
    unsafe { ExInitializeRundownProtection(reference) };
    // SAFETY: as above.
    assert_eq!(on_dispatch(|| unsafe { ExAcquireRundownProtection(reference) }), TRUE);
    // SAFETY: acquired once.
    on_dispatch(|| unsafe { ExReleaseRundownProtection(reference) });
    // SAFETY: as above.
    unsafe { ExWaitForRundownProtectionRelease(reference) };
    // SAFETY: as above.
    assert_eq!(unsafe { ExAcquireRundownProtection(reference) }, FALSE);
    kernel.shutdown();
}

#[test]
fn run_down_with_a_user_that_never_leaves_is_reported() {
    let _kernel = boot();
    let mut protection = EX_RUNDOWN_REF { Count: 0 };
    let reference = &raw mut protection;
    // SAFETY: `protection` outlives the test, here and below.
    unsafe { ExAcquireRundownProtection(reference) };
    // SAFETY: breaks the rule that this test is about.
    assert!(bugcheck_of(|| unsafe { ExWaitForRundownProtectionRelease(reference) }).is(rules::HANG));
}

#[test]
fn releasing_run_down_without_a_use_is_reported() {
    let _kernel = boot();
    let mut protection = EX_RUNDOWN_REF { Count: 0 };
    // SAFETY: breaks the rule that this test is about.
    let violation = bugcheck_of(|| unsafe { ExReleaseRundownProtection(&mut protection) });
    assert!(violation.is(rules::RUNDOWN_UNBALANCED));
}
