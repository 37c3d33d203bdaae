//! Starting a program with the hook.

use std::error::Error;
use std::ffi::OsString;
use std::os::windows::ffi::OsStrExt;
use std::process::{Command, ExitCode};
use std::ptr;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation, SetInformationJobObject,
};
use windows_sys::Win32::System::LibraryLoader::LoadLibraryW;
use windows_sys::Win32::System::Threading::{ExitProcess, GetCurrentProcess};

/// An exit code, or why there is none.
pub type Outcome = Result<ExitCode, Box<dyn Error>>;

/// Runs the program named first with the arguments that follow, and ends this process as it ended.
pub fn program(mut arguments: impl Iterator<Item = OsString>) -> Outcome {
    let program = arguments.next().ok_or("no program given")?;
    let job = Job::around_this_process()?;
    load_hook()?;
    let status = Command::new(&program)
        .args(arguments)
        .status()
        .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    job.let_survivors_live()?;
    let code = status.code().ok_or("the program has no exit code")?;
    // SAFETY: ends this process; nothing of it is needed any more. `ExitCode` would cut the code to 8 bits.
    unsafe { ExitProcess(code as u32) }
}

/// Loads the hook into this process: its replacement of `NtCreateUserProcess` then covers the program like any child.
fn load_hook() -> Result<(), Box<dyn Error>> {
    let mut path = std::env::current_exe()?;
    path.set_file_name("wfphook.dll");
    let wide: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    // SAFETY: a NUL-terminated path; the image's `DllMain` is ours and expects a process with one thread, as this is.
    if unsafe { LoadLibraryW(wide.as_ptr()) }.is_null() {
        let error = std::io::Error::last_os_error();
        return Err(format!("cannot load {}: {error}", path.display()).into());
    }
    Ok(())
}

/// The job this process and everything it starts belong to. Its only handle is here, so the job closes when this process
/// ends, killed or not.
struct Job(HANDLE);

impl Job {
    fn around_this_process() -> std::io::Result<Self> {
        // SAFETY: no name, default security.
        let job = Self(unsafe { CreateJobObjectW(ptr::null(), ptr::null()) });
        job.limit(JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE)?;
        // SAFETY: a pseudo handle that needs no closing.
        let this = unsafe { GetCurrentProcess() };
        // SAFETY: an open job and this process.
        check(unsafe { AssignProcessToJobObject(job.0, this) })?;
        Ok(job)
    }

    /// The program ended by itself: what it left running on purpose goes on.
    fn let_survivors_live(&self) -> std::io::Result<()> {
        self.limit(0)
    }

    fn limit(&self, flags: u32) -> std::io::Result<()> {
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = flags;
        // SAFETY: an open job; the structure that belongs to the class, with its own length.
        check(unsafe {
            SetInformationJobObject(
                self.0,
                JobObjectExtendedLimitInformation,
                ptr::from_ref(&limits).cast(),
                size_of_val(&limits) as u32,
            )
        })
    }
}

fn check(done: i32) -> std::io::Result<()> {
    if done == 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}
