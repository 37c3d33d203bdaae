//! One request or report on its way to the service, copied out of the gate so that it can be completed with what only
//! the caller can find out (the process's start key, whether it still lives) with no lock held.
//!
//! Neighbours: `crate::Gate::next_request` fills it; `wire::batch::BatchWriter` takes it.

use wire::batch::BatchWriter;
use wire::request::{MAX_PATH_BYTES, MAX_SID_BYTES, Request};

/// A request or report with its tail. About 1.3 KiB: keep one around rather than many.
pub struct Outgoing {
    /// The fixed part.
    pub request: Request,
    path: [u8; MAX_PATH_BYTES],
    sid: [u8; MAX_SID_BYTES],
}

impl Outgoing {
    /// The program path, UTF-16LE; empty when unknown.
    pub fn path(&self) -> &[u8] {
        self.path.get(..self.request.path_bytes as usize).unwrap_or_default()
    }

    /// The user SID; empty when unknown.
    pub fn sid(&self) -> &[u8] {
        self.sid.get(..self.request.sid_bytes as usize).unwrap_or_default()
    }

    /// Appends it to a batch. Gives `false`, and writes nothing, when it does not fit.
    pub fn write(&self, batch: &mut BatchWriter<'_>) -> bool {
        batch.push(self.request, self.path(), self.sid())
    }

    pub(crate) fn fill(&mut self, request: Request, path: &[u8], sid: &[u8]) {
        self.request = request;
        self.request.path_bytes = copy(&mut self.path, path);
        self.request.sid_bytes = copy(&mut self.sid, sid);
    }
}

impl Default for Outgoing {
    /// An empty one, to be filled.
    fn default() -> Self {
        Self { request: Request::default(), path: [0; MAX_PATH_BYTES], sid: [0; MAX_SID_BYTES] }
    }
}

/// Copies what fits, and says how much.
fn copy(room: &mut [u8], bytes: &[u8]) -> u32 {
    match room.get_mut(..bytes.len()) {
        Some(room) => {
            room.copy_from_slice(bytes);
            bytes.len() as u32
        }
        None => 0,
    }
}
