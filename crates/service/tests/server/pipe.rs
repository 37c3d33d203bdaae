//! A stream in memory, with as much room as a test wants.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex};

/// One end of a stream.
pub struct End {
    pub reader: Reader,
    pub writer: Writer,
}

impl End {
    /// Ends both directions, from any thread.
    pub fn closer(&self) -> impl Fn() + Send + Sync + use<> {
        let (one, other) = (self.reader.0.clone(), self.writer.0.clone());
        move || {
            one.close();
            other.close();
        }
    }
}

/// Both ends of a stream that holds `room` bytes in each direction.
pub fn duplex(room: usize) -> (End, End) {
    let (there, back) = (Arc::new(Pipe::new(room)), Arc::new(Pipe::new(room)));
    let near = End { reader: Reader(back.clone()), writer: Writer(there.clone()) };
    let far = End { reader: Reader(there), writer: Writer(back) };
    (near, far)
}

/// Blocks until there is something. Dropping it breaks the pipe.
pub struct Reader(Arc<Pipe>);

/// Blocks until there is room. Dropping it ends the pipe.
pub struct Writer(Arc<Pipe>);

struct Pipe {
    room: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    ended: bool,
}

impl Pipe {
    fn new(room: usize) -> Self {
        Self { room, state: Mutex::default(), changed: Condvar::new() }
    }

    fn close(&self) {
        self.state.lock().unwrap().ended = true;
        self.changed.notify_all();
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.state.lock().unwrap();
        while state.bytes.is_empty() && !state.ended {
            state = self.0.changed.wait(state).unwrap();
        }
        let read = state.bytes.read(buffer);
        self.0.changed.notify_all();
        read
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.state.lock().unwrap();
        while state.bytes.len() >= self.0.room && !state.ended {
            state = self.0.changed.wait(state).unwrap();
        }
        if state.ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let count = bytes.len().min(self.0.room - state.bytes.len());
        state.bytes.extend(&bytes[..count]);
        self.0.changed.notify_all();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.close();
    }
}
