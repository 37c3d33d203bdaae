//! x
use crate::process::PublisherError;
/// Who signed a program.
pub fn publisher(_path: &str) -> Result<Option<String>, PublisherError> {
    Ok(None)
}
