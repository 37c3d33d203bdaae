//! x
use crate::names::{Event, NamesError};
/// A watch.
#[derive(Debug)]
pub struct Watch;
/// Watches
pub fn watch(_sink: impl FnMut(Event) + Send + 'static) -> Result<Watch, NamesError> {
    Err(NamesError::NoSource("not yet".to_owned()))
}
