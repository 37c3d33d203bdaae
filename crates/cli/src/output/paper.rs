//! Outputs for tests: one that shows what becomes visible, and one that is stuck.
//!
//! Neighbours: the tests of `printer` and `narrator`.

use std::io::{self, ErrorKind, Write};
use std::sync::mpsc::{Receiver, Sender};

/// Hands over what each flush makes visible.
pub struct Reader {
    pending: Vec<u8>,
    visible: Sender<String>,
}

impl Reader {
    pub fn new(visible: Sender<String>) -> Self {
        Self { pending: Vec::new(), visible }
    }
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned();
        self.visible.send(text).map_err(|_| ErrorKind::BrokenPipe.into())
    }
}

/// Takes nothing until the other end of its channel is gone.
pub struct Stuck {
    until_released: Receiver<()>,
    reader: Reader,
}

impl Stuck {
    pub fn new(until_released: Receiver<()>, reader: Reader) -> Self {
        Self { until_released, reader }
    }
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _gone = self.until_released.recv();
        self.reader.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.reader.flush()
    }
}
