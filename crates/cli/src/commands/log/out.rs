//! Where lines go.

use crate::failure::{Exit, Failure};
use service::export::target::Open;
use service::export::{Format, Target};
use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write};
use std::path::Path;

/// Where lines go.
pub enum Out {
    /// Standard output.
    Standard(BufWriter<Stdout>),
    /// A new file.
    File(BufWriter<File>),
    /// A socket.
    Target(Open),
}

impl Out {
    /// Standard output.
    pub fn standard() -> Self {
        Self::Standard(BufWriter::new(io::stdout()))
    }

    /// A new file.
    pub fn file(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| cannot("write", &path.display().to_string(), &error))?;
        Ok(Self::File(BufWriter::new(file)))
    }

    /// A socket.
    pub fn target(target: &Target, format: Format) -> Result<Self, Failure> {
        target.open(format).map(Self::Target).map_err(|error| cannot("send to", &target.to_string(), &error))
    }

    /// Writes one line, given without its end.
    pub fn send(&mut self, line: &str) -> io::Result<()> {
        match self {
            Self::Standard(out) => writeln!(out, "{line}"),
            Self::File(out) => writeln!(out, "{line}"),
            Self::Target(open) => open.send(line),
        }
    }

    /// Sees that everything sent is on its way.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(out) => out.flush(),
            Self::File(out) => out.flush(),
            Self::Target(open) => open.flush(),
        }
    }
}

fn cannot(what: &str, place: &str, error: &io::Error) -> Failure {
    let said = io::Error::new(error.kind(), format!("cannot {what} {place}: {error}"));
    Failure::new(Exit::Failed, said, None)
}
