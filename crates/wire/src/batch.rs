//! The answer to `NEXT_REQUESTS`: a head and as many requests as had room.

use crate::request::{MAX_REQUEST_BYTES, Request};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Stands before the requests of one batch.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct BatchHead {
    /// How many requests follow.
    pub count: u32,
    /// How many reports were dropped since the last batch because nobody took them in time.
    pub dropped_reports: u32,
}

/// The smallest output buffer `NEXT_REQUESTS` accepts: a head and one request of any size.
pub const MIN_BATCH_BYTES: usize = size_of::<BatchHead>() + MAX_REQUEST_BYTES;

/// One request of a batch, borrowed from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestView<'a> {
    /// The fixed part.
    pub request: Request,
    /// The program path, UTF-16LE; empty when unknown.
    pub path: &'a [u8],
    /// The user SID, binary; empty when unknown.
    pub sid: &'a [u8],
}

/// Why bytes are not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// The bytes end inside a head or a request.
    Truncated,
    /// A request's lengths contradict each other.
    BadLength,
}

/// Writes requests into an output buffer.
pub struct BatchWriter<'a> {
    buffer: &'a mut [u8],
    used: usize,
    count: u32,
}

impl<'a> BatchWriter<'a> {
    /// Starts a batch; `None` when `buffer` is smaller than [`MIN_BATCH_BYTES`].
    pub fn new(buffer: &'a mut [u8]) -> Option<Self> {
        (buffer.len() >= MIN_BATCH_BYTES).then_some(Self { buffer, used: size_of::<BatchHead>(), count: 0 })
    }

    /// Whether one more request of any size has room.
    pub fn has_room(&self) -> bool {
        self.buffer.len() - self.used >= MAX_REQUEST_BYTES
    }

    /// Appends a request, filling in its lengths. Gives `false`, and writes nothing, when it does not fit.
    pub fn push(&mut self, mut request: Request, path: &[u8], sid: &[u8]) -> bool {
        let size = (size_of::<Request>() + path.len() + sid.len()).next_multiple_of(8);
        let (Ok(size32), Ok(path_bytes), Ok(sid_bytes)) =
            (u32::try_from(size), u32::try_from(path.len()), u32::try_from(sid.len()))
        else {
            return false;
        };
        request.size = size32;
        request.path_bytes = path_bytes;
        request.sid_bytes = sid_bytes;
        let Some(room) = self.buffer.get_mut(self.used..).and_then(|rest| rest.get_mut(..size)) else {
            return false;
        };
        let (head, tail) = room.split_at_mut(size_of::<Request>());
        let (path_room, tail) = tail.split_at_mut(path.len());
        let (sid_room, padding) = tail.split_at_mut(sid.len());
        head.copy_from_slice(request.as_bytes());
        path_room.copy_from_slice(path);
        sid_room.copy_from_slice(sid);
        padding.fill(0);
        self.used += size;
        self.count += 1;
        true
    }

    /// How many requests are in it.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Ends the batch and gives the bytes used.
    pub fn finish(self, dropped_reports: u32) -> usize {
        let head = BatchHead { count: self.count, dropped_reports };
        if let Some(room) = self.buffer.first_chunk_mut::<{ size_of::<BatchHead>() }>() {
            room.copy_from_slice(head.as_bytes());
        }
        self.used
    }
}

/// Reads a batch: its head, and its requests one after the other. Stops at the first error.
pub fn requests(bytes: &[u8]) -> Result<(BatchHead, Requests<'_>), BatchError> {
    let (head, rest) = BatchHead::read_from_prefix(bytes).map_err(|_| BatchError::Truncated)?;
    Ok((head, Requests { rest, left: head.count }))
}

/// The requests of a batch.
#[derive(Clone, Debug)]
pub struct Requests<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> Requests<'a> {
    fn read(&mut self) -> Result<RequestView<'a>, BatchError> {
        let (request, _) = Request::read_from_prefix(self.rest).map_err(|_| BatchError::Truncated)?;
        let size = request.size as usize;
        let (path_bytes, sid_bytes) = (request.path_bytes as usize, request.sid_bytes as usize);
        let needed = size_of::<Request>().saturating_add(path_bytes).saturating_add(sid_bytes);
        if needed > size || !size.is_multiple_of(8) {
            return Err(BatchError::BadLength);
        }
        let (this, rest) = self.rest.split_at_checked(size).ok_or(BatchError::Truncated)?;
        let tail = this.get(size_of::<Request>()..).ok_or(BatchError::BadLength)?;
        let (path, tail) = tail.split_at_checked(path_bytes).ok_or(BatchError::BadLength)?;
        let (sid, _) = tail.split_at_checked(sid_bytes).ok_or(BatchError::BadLength)?;
        self.rest = rest;
        Ok(RequestView { request, path, sid })
    }
}

impl<'a> Iterator for Requests<'a> {
    type Item = Result<RequestView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let item = self.read();
        if item.is_err() {
            self.left = 0;
        }
        Some(item)
    }
}
