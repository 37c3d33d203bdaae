//! The kernel's only door for bytes from user mode: a [`Command`] cannot be wrong.

use crate::batch::MIN_BATCH_BYTES;
use crate::hello::{Hello, HelloReply};
use crate::ioctl;
use crate::open_enum::open_enum;
use crate::request::MAX_PATH_BYTES;
use crate::settings::Settings;
use crate::stats::Stats;
use crate::verdict::{Answer, AnswersHead, MAX_ANSWERS, OutcomesHead};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

open_enum! {
    /// Which cached verdicts to forget.
    pub enum Forget: u32 {
        /// All.
        ALL = 1,
        /// Those of the program whose path follows.
        PROGRAM = 2,
    }
}

/// Stands before the program path of a `FORGET`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ForgetHead {
    /// What to forget.
    pub what: Forget,
    /// Length of the UTF-16LE path that follows, in bytes, as requests carry it: even, 2 to [`MAX_PATH_BYTES`] for
    /// [`Forget::PROGRAM`], 0 for [`Forget::ALL`].
    pub path_bytes: u32,
}

/// One well-formed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Attach. The version may still be another one.
    Hello(HelloCommand),
    /// Park until there are requests.
    NextRequests,
    /// Answer; each answer may still be malformed or stale by itself.
    SubmitVerdicts(Answers<'a>),
    /// Replace the settings.
    Configure(Settings),
    /// Forget all cached verdicts.
    ForgetAll,
    /// Forget the cached verdicts of the program with this UTF-16LE path.
    ForgetProgram(&'a [u8]),
    /// Read the counters.
    Stats,
}

/// A greeting: readable, or of a version whose rest cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloCommand {
    /// This version, with valid settings.
    Ours(Hello),
    /// Another version.
    Other {
        /// The version the service speaks.
        version: u16,
    },
}

/// The answers of one `SUBMIT_VERDICTS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answers<'a> {
    bytes: &'a [u8],
}

impl<'a> Answers<'a> {
    /// How many.
    pub fn len(&self) -> usize {
        self.bytes.len() / size_of::<Answer>()
    }

    /// Whether there are none; a parsed command has at least one.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The answer at `index`, copied out (the buffer need not be aligned).
    pub fn at(input: &[u8], index: usize) -> Option<Answer> {
        let start = size_of::<AnswersHead>().checked_add(index.checked_mul(size_of::<Answer>())?)?;
        Answer::read_from_prefix(input.get(start..)?).ok().map(|(answer, _)| answer)
    }

    /// Each answer, copied out (the buffer need not be aligned).
    pub fn iter(&self) -> impl Iterator<Item = Answer> + 'a {
        self.bytes.chunks_exact(size_of::<Answer>()).filter_map(|bytes| Answer::read_from_bytes(bytes).ok())
    }
}

/// Why bytes are not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// The control code is none of ours.
    UnknownCode,
    /// A length, count or value is wrong.
    Invalid,
    /// The output buffer has no room for the answer.
    OutputTooSmall,
}

impl<'a> Command<'a> {
    /// Parses one device control call.
    pub fn parse(code: u32, input: &'a [u8], output_len: usize) -> Result<Self, ParseError> {
        match code {
            ioctl::HELLO => hello(input, output_len).map(Self::Hello),
            ioctl::NEXT_REQUESTS => {
                exactly(input, 0)?;
                room(output_len, MIN_BATCH_BYTES)?;
                Ok(Self::NextRequests)
            }
            ioctl::SUBMIT_VERDICTS => answers(input, output_len).map(Self::SubmitVerdicts),
            ioctl::CONFIGURE => {
                let settings = Settings::read_from_bytes(input).map_err(|_| ParseError::Invalid)?;
                if settings.is_valid() { Ok(Self::Configure(settings)) } else { Err(ParseError::Invalid) }
            }
            ioctl::FORGET => forget(input),
            ioctl::STATS => {
                exactly(input, 0)?;
                room(output_len, size_of::<Stats>())?;
                Ok(Self::Stats)
            }
            _ => Err(ParseError::UnknownCode),
        }
    }
}

fn hello(input: &[u8], output_len: usize) -> Result<HelloCommand, ParseError> {
    let (version, _) = u16::read_from_prefix(input).map_err(|_| ParseError::Invalid)?;
    room(output_len, size_of::<HelloReply>())?;
    if version != crate::VERSION {
        return Ok(HelloCommand::Other { version });
    }
    let hello = Hello::read_from_bytes(input).map_err(|_| ParseError::Invalid)?;
    if hello.reserved == [0; 3] && hello.settings.is_valid() {
        Ok(HelloCommand::Ours(hello))
    } else {
        Err(ParseError::Invalid)
    }
}

fn answers(input: &[u8], output_len: usize) -> Result<Answers<'_>, ParseError> {
    let (head, bytes) = AnswersHead::read_from_prefix(input).map_err(|_| ParseError::Invalid)?;
    if head.reserved != 0 || !(1..=MAX_ANSWERS).contains(&head.count) {
        return Err(ParseError::Invalid);
    }
    let count = head.count as usize;
    exactly(bytes, count * size_of::<Answer>())?;
    room(output_len, size_of::<OutcomesHead>() + count)?;
    Ok(Answers { bytes })
}

fn forget(input: &[u8]) -> Result<Command<'_>, ParseError> {
    let (head, path) = ForgetHead::read_from_prefix(input).map_err(|_| ParseError::Invalid)?;
    exactly(path, head.path_bytes as usize)?;
    match head.what {
        Forget::ALL if path.is_empty() => Ok(Command::ForgetAll),
        Forget::PROGRAM if (2..=MAX_PATH_BYTES).contains(&path.len()) && path.len().is_multiple_of(2) => {
            Ok(Command::ForgetProgram(path))
        }
        _ => Err(ParseError::Invalid),
    }
}

fn exactly(input: &[u8], len: usize) -> Result<(), ParseError> {
    if input.len() == len { Ok(()) } else { Err(ParseError::Invalid) }
}

fn room(output_len: usize, needed: usize) -> Result<(), ParseError> {
    if output_len >= needed { Ok(()) } else { Err(ParseError::OutputTooSmall) }
}
