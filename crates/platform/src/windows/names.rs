//! What the service Dnscache resolves, from its events: a real-time session of Event Tracing for Windows
//! (learn.microsoft.com "Configuring and Starting an Event Tracing Session", "Consuming Events").
//!
//! Sessions outlive the process that started them; one that a killed service left has our name, and is ended first.
//!
//! Invariants: the sink stays where it is until the thread that calls it has ended. Neighbours: `linux::names` is the
//! twin, with the same names; `names::dns_client` reads the events.

use super::{last_error, os_error, wide};
use crate::names::dns_client::{self, QUERY_COMPLETED};
use crate::names::{Event, NamesError};
use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::{fmt, ptr, slice};
use windows_sys::Win32::Foundation as win;
use windows_sys::Win32::System::Diagnostics::Etw as etw;
use windows_sys::core::GUID;

/// One session of this name exists at a time.
const SESSION: &str = "Tollgate-Names";
/// Microsoft-Windows-DNS-Client.
static PROVIDER: GUID = GUID::from_u128(0x1c95126e_7eea_49a9_a3fe_a378b03ddb4d);
/// The level of event 3008.
const INFORMATION: u8 = 4;
/// Room for the session's name behind its properties, in characters.
const NAME_CHARS: usize = 64;
/// What `OpenTrace` gives when it fails: `INVALID_PROCESSTRACE_HANDLE`.
const NO_TRACE: u64 = u64::MAX;
/// Time stamps of the performance counter; we read none.
const PERFORMANCE_COUNTER: u32 = 1;

type Sink = Mutex<Box<dyn FnMut(Event) + Send>>;

/// A watch. Dropping it ends it; nothing is told after that returns.
pub struct Watch {
    session: Session,
    consumer: Option<JoinHandle<()>>,
}

/// Tells `sink`, from a thread of its own, each name that is resolved from now on. Events that come while the sink takes
/// long are buffered by the system, and lost when that is full.
pub fn watch(sink: impl FnMut(Event) + Send + 'static) -> Result<Watch, NamesError> {
    let session = Session::start()?;
    session.enable()?;
    let sink: Box<Sink> = Box::new(Mutex::new(Box::new(sink)));
    let trace = Trace::open(&sink)?;
    let consumer = thread::Builder::new().name("names".to_owned()).spawn(move || {
        let ended = trace.process();
        // No more calls: the sink is ours alone from here.
        drop(trace);
        let why = format!("the event session has ended: {}", os_error(ended));
        sink.lock().unwrap_or_else(PoisonError::into_inner)(Event::Ended(why));
    });
    let consumer = consumer.map_err(|source| NamesError::Os { call: "starting a thread", source })?;
    Ok(Watch { session, consumer: Some(consumer) })
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The consumer's call returns when the session has ended.
        self.session.stop();
        if let Some(consumer) = self.consumer.take() {
            // A sink that panicked has nothing to say here.
            let _ended = consumer.join();
        }
    }
}

/// The properties of a session, with room for its name.
#[repr(C)]
struct Properties {
    fixed: etw::EVENT_TRACE_PROPERTIES,
    name: [u16; NAME_CHARS],
}

impl Properties {
    fn new() -> Self {
        let mut fixed = etw::EVENT_TRACE_PROPERTIES::default();
        fixed.Wnode.BufferSize = size_of::<Self>() as u32;
        fixed.Wnode.Flags = etw::WNODE_FLAG_TRACED_GUID;
        fixed.Wnode.ClientContext = PERFORMANCE_COUNTER;
        fixed.LogFileMode = etw::EVENT_TRACE_REAL_TIME_MODE;
        fixed.LoggerNameOffset = size_of::<etw::EVENT_TRACE_PROPERTIES>() as u32;
        Self { fixed, name: [0; NAME_CHARS] }
    }
}

/// A session that events are sent to. Dropping it ends it.
struct Session(etw::CONTROLTRACE_HANDLE);

impl Session {
    fn start() -> Result<Self, NamesError> {
        match Self::try_start() {
            Err(win::ERROR_ALREADY_EXISTS) => {
                control(etw::CONTROLTRACE_HANDLE::default(), etw::EVENT_TRACE_CONTROL_STOP);
                Self::try_start()
            }
            started => started,
        }
        .map_err(|code| refused("StartTrace", code))
    }

    fn try_start() -> Result<Self, u32> {
        let mut handle = etw::CONTROLTRACE_HANDLE::default();
        let name = wide(SESSION);
        let mut properties = Properties::new();
        // SAFETY: `StartTraceW` needs room for a handle, a name that ends with NUL, and properties whose sizes and offsets
        // are true: `Properties::new` sets them.
        let code = unsafe { etw::StartTraceW(&raw mut handle, name.as_ptr(), (&raw mut properties).cast()) };
        if code == win::ERROR_SUCCESS { Ok(Self(handle)) } else { Err(code) }
    }

    fn enable(&self) -> Result<(), NamesError> {
        // SAFETY: `EnableTraceEx2` needs a session's handle, a provider's GUID, and null for no parameters.
        let code = unsafe {
            etw::EnableTraceEx2(
                self.0,
                &raw const PROVIDER,
                etw::EVENT_CONTROL_CODE_ENABLE_PROVIDER,
                INFORMATION,
                0,
                0,
                0,
                ptr::null(),
            )
        };
        if code == win::ERROR_SUCCESS { Ok(()) } else { Err(refused("EnableTraceEx2", code)) }
    }

    fn stop(&self) {
        control(self.0, etw::EVENT_TRACE_CONTROL_STOP);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Controls a session by its handle, or by our name when that is none. It may have ended already.
fn control(handle: etw::CONTROLTRACE_HANDLE, what: etw::EVENT_TRACE_CONTROL) {
    let name = wide(SESSION);
    let mut properties = Properties::new();
    // SAFETY: `ControlTraceW` needs a handle or a name that ends with NUL, and properties whose sizes and offsets are
    // true: `Properties::new` sets them.
    unsafe { etw::ControlTraceW(handle, name.as_ptr(), (&raw mut properties).cast(), what) };
}

/// The consumer's end of the session.
struct Trace(etw::PROCESSTRACE_HANDLE);

impl Trace {
    /// Opens it for calls of `sink`, which must stay in place until this is dropped.
    fn open(sink: &Sink) -> Result<Self, NamesError> {
        let mut name = wide(SESSION);
        let mut source = etw::EVENT_TRACE_LOGFILEW {
            LoggerName: name.as_mut_ptr(),
            Context: ptr::from_ref(sink).cast::<c_void>().cast_mut(),
            ..etw::EVENT_TRACE_LOGFILEW::default()
        };
        source.Anonymous1.ProcessTraceMode = etw::PROCESS_TRACE_MODE_REAL_TIME | etw::PROCESS_TRACE_MODE_EVENT_RECORD;
        source.Anonymous2.EventRecordCallback = Some(on_event);
        // SAFETY: `OpenTraceW` needs the description of a source, with a name that ends with NUL, and a callback of the
        // right type, which finds what it needs in the context: `on_event`, and a sink that the caller keeps.
        let handle = unsafe { etw::OpenTraceW(&raw mut source) };
        if handle.Value == NO_TRACE {
            return Err(refused("OpenTrace", last_error()));
        }
        Ok(Self(handle))
    }

    /// Calls the sink with each event until the session has ended; gives the Windows error that ended it.
    fn process(&self) -> u32 {
        // SAFETY: `ProcessTrace` needs as many handles of `OpenTrace` as it is told, and null for all times.
        unsafe { etw::ProcessTrace(&raw const self.0, 1, ptr::null(), ptr::null()) }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // SAFETY: `CloseTrace` needs a handle of `OpenTrace` that nobody uses afterwards: `self` owns it.
        unsafe { etw::CloseTrace(self.0) };
    }
}

unsafe extern "system" fn on_event(record: *mut etw::EVENT_RECORD) {
    // SAFETY: the system calls this with a record that is valid until it returns.
    let Some(record) = (unsafe { record.as_ref() }) else { return };
    let header = &record.EventHeader;
    if header.EventDescriptor.Id != QUERY_COMPLETED
        || header.ProviderId.data1 != PROVIDER.data1
        || record.UserData.is_null()
    {
        return;
    }
    // SAFETY: the record's data has as many bytes as it says, and is valid until this returns.
    let data = unsafe { slice::from_raw_parts(record.UserData.cast::<u8>(), record.UserDataLength.into()) };
    // SAFETY: the context is the one that `Trace::open` was given: a sink that outlives the trace.
    let Some(sink) = (unsafe { record.UserContext.cast::<Sink>().as_ref() }) else { return };
    let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
    for answer in dns_client::parse(header.ProcessId, data) {
        sink(Event::Answer(answer));
    }
}

fn refused(call: &'static str, code: u32) -> NamesError {
    match code {
        win::ERROR_ACCESS_DENIED => NamesError::AccessDenied("Windows refuses an event session".to_owned()),
        win::ERROR_NO_SYSTEM_RESOURCES => {
            NamesError::NoSource("there are too many event sessions: `logman query -ets` lists them".to_owned())
        }
        win::ERROR_CALL_NOT_IMPLEMENTED | win::ERROR_NOT_SUPPORTED => {
            NamesError::NoSource("this system has no event sessions".to_owned())
        }
        _ => NamesError::Os { call, source: os_error(code) },
    }
}
