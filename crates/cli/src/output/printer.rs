//! Standard output, without waiting for it.
//!
//! A console whose text is being selected, or a pipe that nobody reads, does not take output, and connections must not
//! wait for that. So lines go through a bounded queue to a thread. Invariants: what is taken from the queue is flushed
//! before the thread waits, so that a reader sees each line at once; a full queue loses lines and says how many.
//! Neighbours: `narrator` makes the lines.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

/// How many lines may wait.
pub const WAITING: usize = 16_384;

/// The queue and its thread.
pub struct Printer {
    lines: SyncSender<String>,
    thread: JoinHandle<io::Result<()>>,
}

impl Printer {
    /// Prints to `output`. Calls `on_end` when it takes no more.
    pub fn start(output: impl Write + Send + 'static, on_end: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(WAITING);
        let thread = thread::Builder::new().name("printer".to_owned()).spawn(move || {
            let printed = print_all(&waiting, output);
            if printed.is_err() {
                on_end();
            }
            printed
        })?;
        Ok(Self { lines, thread })
    }

    /// Prints a line soon. Gives `false` when it is lost.
    pub fn print(&self, line: String) -> bool {
        match self.lines.try_send(line) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// Waits until everything is printed. A reader that has gone is no error: it has seen enough.
    pub fn finish(self) -> io::Result<()> {
        drop(self.lines);
        forgive_closed(self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the printer panicked"))))
    }
}

/// Prints one text at once.
pub fn print(text: &str) -> io::Result<()> {
    forgive_closed(writeln!(io::stdout(), "{text}"))
}

fn print_all(waiting: &Receiver<String>, output: impl Write) -> io::Result<()> {
    let mut output = BufWriter::new(output);
    while let Ok(line) = waiting.recv() {
        writeln!(output, "{line}")?;
        for line in waiting.try_iter() {
            writeln!(output, "{line}")?;
        }
        output.flush()?;
    }
    Ok(())
}

fn forgive_closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_closed(&error) => Ok(()),
        result => result,
    }
}

fn is_closed(error: &io::Error) -> bool {
    /// `ERROR_PIPE_NOT_CONNECTED`, which the standard library does not know as a broken pipe.
    const NOT_CONNECTED: i32 = 233;
    error.kind() == ErrorKind::BrokenPipe || cfg!(windows) && error.raw_os_error() == Some(NOT_CONNECTED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::paper::{Reader, Stuck};
    use std::sync::mpsc::channel;

    /// Takes nothing, with this error.
    struct Closed(ErrorKind);

    impl Write for Closed {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_sees_a_line_before_the_next_is_printed() {
        let (visible, seen) = channel();
        let printer = Printer::start(Reader::new(visible), || ()).unwrap();
        assert!(printer.print("one".to_owned()));
        assert_eq!(seen.recv().unwrap(), "one\n");
        assert!(printer.print("two".to_owned()));
        assert_eq!(seen.recv().unwrap(), "two\n");
        printer.finish().unwrap();
    }

    #[test]
    fn output_that_takes_nothing_loses_lines_and_does_not_wait() {
        let (release, stuck) = channel();
        let (visible, seen) = channel();
        let output = Stuck::new(stuck, Reader::new(visible));
        let printer = Printer::start(output, || ()).unwrap();
        // More than the queue and the buffer in front of the output can take.
        let lines = WAITING * 3;
        let lost = (0..lines).filter(|n| !printer.print(n.to_string())).count();
        assert!(lost > 0);
        drop(release);
        printer.finish().unwrap();
        let printed: usize = seen.iter().map(|text| text.lines().count()).sum();
        assert_eq!(printed + lost, lines);
    }

    #[test]
    fn a_reader_that_has_gone_ends_the_program_without_an_error() {
        let (ended, end) = channel();
        let printer = Printer::start(Closed(ErrorKind::BrokenPipe), move || ended.send(()).unwrap()).unwrap();
        printer.print("one".to_owned());
        end.recv().unwrap();
        assert!(printer.finish().is_ok());
    }

    #[test]
    fn output_that_fails_ends_the_program_with_an_error() {
        let (ended, end) = channel();
        let printer = Printer::start(Closed(ErrorKind::StorageFull), move || ended.send(()).unwrap()).unwrap();
        printer.print("one".to_owned());
        end.recv().unwrap();
        assert_eq!(printer.finish().unwrap_err().kind(), ErrorKind::StorageFull);
    }
}
