//! This machine, as the service sees it.
//!
//! Neighbours: `platform` does it; tests have machines of their own.

use crate::identity::{Description, Key, Processes};
use crate::names::NameSource;
use platform::names::Event;
use platform::{dirs, names, process};
use rules::ruleset::{Environment, PathStyle};
use std::fs::File;
use std::io;
use std::sync::Arc;

/// This machine's processes.
#[derive(Clone, Copy, Debug)]
pub struct SystemProcesses;

impl Processes for SystemProcesses {
    fn describe(&self, process: Key) -> Option<Description> {
        let told = process::describe(u32::try_from(process.pid).ok()?, process.start_key).ok()?;
        let text = |text: Option<String>| text.map(Arc::from);
        Some(Description {
            path: text(told.path),
            parent: text(told.parent),
            user_id: text(told.user_id),
            user_name: text(told.user_name),
            command_line: text(told.command_line),
            package: text(told.package),
            service: text(told.service),
        })
    }

    fn is_running(&self, process: Key) -> bool {
        u32::try_from(process.pid).is_ok_and(|pid| process::is_running(pid, process.start_key))
    }

    fn open(&self, path: &str) -> io::Result<File> {
        File::open(path)
    }

    fn publisher(&self, path: &str) -> Option<Arc<str>> {
        process::publisher(path).ok().flatten().map(Arc::from)
    }
}

/// What this machine's resolver tells.
#[derive(Clone, Copy, Debug)]
pub struct SystemNames;

impl NameSource for SystemNames {
    fn what(&self) -> &str {
        "the system's resolver"
    }

    fn watch(&self, sink: Box<dyn FnMut(Event) + Send>) -> Result<Box<dyn Send>, String> {
        match names::watch(sink) {
            Ok(watch) => Ok(Box::new(watch)),
            Err(error) => Err(crate::gate::keep::explain(&error)),
        }
    }
}

/// What rules must know about this machine.
pub fn environment() -> Environment {
    let told = dirs::environment();
    Environment {
        paths: if told.has_windows_paths { PathStyle::Windows } else { PathStyle::Unix },
        variables: told.variables.into_iter().collect(),
        time_zone: Some(jiff::tz::TimeZone::system()),
        resolver: told.resolver,
    }
}

/// Names this run of the system, where start keys come again in the next. On Windows they do not: a part of each names the
/// run (learn.microsoft.com PsGetProcessStartKey).
pub fn boot() -> Arc<str> {
    // man 5 proc_sys_kernel
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().into()).unwrap_or_default()
}
