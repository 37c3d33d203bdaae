//! Lines of bounded length: one JSON object each.
//!
//! Invariants: whatever the other side sends, no more than [`MAX_LINE`] bytes of it are kept; after an error the stream
//! is of no use. Neighbours: `client` and the service read and write these.

use crate::protocol::MAX_LINE;
use serde::Serialize;
use std::io::{self, BufRead, Read};

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is longer than [`MAX_LINE`].
    #[error("a line is longer than {MAX_LINE} bytes")]
    TooLong,
    /// The stream ended inside a line.
    #[error("the other side ended inside a line")]
    Cut,
    /// The stream failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
}

/// Reads lines.
#[derive(Debug)]
pub struct Lines<R> {
    stream: io::BufReader<R>,
    line: Vec<u8>,
}

impl<R: Read> Lines<R> {
    /// Reads from `stream`.
    pub fn new(stream: R) -> Self {
        Self { stream: io::BufReader::new(stream), line: Vec::new() }
    }

    /// The next line without its end; `None` at the end of the stream. Blocks.
    ///
    /// # Errors
    /// [`LineError`]; do not read on.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, LineError> {
        // What one long line needed is not kept for ever.
        const KEPT: usize = 64 * 1024;
        self.line.clear();
        self.line.shrink_to(KEPT);
        let most = MAX_LINE as u64;
        (&mut self.stream).take(most).read_until(b'\n', &mut self.line)?;
        match self.line.last() {
            None => Ok(None),
            Some(b'\n') => {
                self.line.pop();
                Ok(Some(&self.line))
            }
            Some(_) if self.line.len() >= MAX_LINE => Err(LineError::TooLong),
            Some(_) => Err(LineError::Cut),
        }
    }

    /// The stream, without what was read ahead.
    pub fn into_inner(self) -> R {
        self.stream.into_inner()
    }
}

/// `message` as a line, its end included.
///
/// # Errors
/// [`LineError::TooLong`], and what serialization says.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, LineError> {
    let mut line = serde_json::to_vec(message).map_err(io::Error::from)?;
    line.push(b'\n');
    if line.len() > MAX_LINE { Err(LineError::TooLong) } else { Ok(line) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(mut bytes: &[u8]) -> Vec<Result<Vec<u8>, String>> {
        let mut lines = Lines::new(&mut bytes);
        let mut all = Vec::new();
        loop {
            match lines.next_line() {
                Ok(Some(line)) => all.push(Ok(line.to_vec())),
                Ok(None) => return all,
                Err(error) => {
                    all.push(Err(error.to_string()));
                    return all;
                }
            }
        }
    }

    #[test]
    fn each_line_comes_without_its_end() {
        assert_eq!(lines(b"a\n\nbc\n"), [Ok(b"a".to_vec()), Ok(Vec::new()), Ok(b"bc".to_vec())]);
        assert_eq!(lines(b""), []);
    }

    #[test]
    fn the_end_inside_a_line_is_an_error() {
        assert_eq!(lines(b"a\nb"), [Ok(b"a".to_vec()), Err(LineError::Cut.to_string())]);
    }

    #[test]
    fn a_line_of_the_greatest_length_passes_and_one_byte_more_does_not() {
        let mut longest = vec![b'x'; MAX_LINE - 1];
        longest.push(b'\n');
        assert_eq!(lines(&longest).len(), 1);
        assert!(lines(&longest)[0].is_ok());
        longest.insert(0, b'x');
        assert_eq!(lines(&longest), [Err(LineError::TooLong.to_string())]);
    }

    #[test]
    fn a_line_without_end_is_not_collected() {
        let mut lines = Lines::new(io::repeat(b'x'));
        assert!(matches!(lines.next_line(), Err(LineError::TooLong)));
        assert!(lines.line.len() <= MAX_LINE);
    }

    #[test]
    fn what_is_too_long_to_send_is_not_sent() {
        assert!(encode(&"x".repeat(MAX_LINE - 3)).is_ok());
        assert!(matches!(encode(&"x".repeat(MAX_LINE - 2)), Err(LineError::TooLong)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_was_sent_line_by_line_comes_back(sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20)) {
            let sent: Vec<Vec<u8>> = sent.into_iter().map(|mut line| { line.retain(|byte| *byte != b'\n'); line }).collect();
            let bytes: Vec<u8> = sent.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect();
            prop_assert_eq!(lines(&bytes), sent.into_iter().map(Ok).collect::<Vec<_>>());
        }
    }
}
