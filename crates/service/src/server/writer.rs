//! The thread that sends to one client.
//!
//! Invariants: a client that does not read holds up this thread alone. Neighbours: `outbox` is what it empties.

use crate::server::outbox::{Event, Outbox, Parcel};
use control::line::encode;
use control::protocol::{self, ServerLine};
use std::io::{self, Write};

/// How much is sent at once.
const CHUNK: usize = 64 * 1024;

/// Sends what is in `outbox`, until it is closed and empty, or the client is gone.
pub(crate) fn send_all(outbox: &Outbox, mut output: Box<dyn Write + Send>) -> io::Result<()> {
    while let Some(parcels) = outbox.take() {
        let mut chunk = Vec::new();
        let mut reply_leaves = false;
        for parcel in parcels {
            match parcel {
                Parcel::Reply(line) => {
                    chunk.extend(line);
                    reply_leaves = true;
                }
                Parcel::Event(event) => chunk.extend(event_line(event)),
                Parcel::Missed(missed) => chunk.extend(line_of(protocol::Event::Missed(missed))),
            }
            if chunk.len() >= CHUNK {
                send(outbox, &mut output, &mut chunk, &mut reply_leaves)?;
            }
        }
        send(outbox, &mut output, &mut chunk, &mut reply_leaves)?;
    }
    Ok(())
}

fn send(outbox: &Outbox, output: &mut impl Write, chunk: &mut Vec<u8>, reply_leaves: &mut bool) -> io::Result<()> {
    output.write_all(chunk)?;
    output.flush()?;
    chunk.clear();
    if std::mem::take(reply_leaves) {
        outbox.reply_left();
    }
    Ok(())
}

fn event_line(event: Event) -> Vec<u8> {
    line_of(match event {
        Event::Entry(entry) => protocol::Event::Entry(Box::new(std::sync::Arc::unwrap_or_clone(entry))),
        Event::Prompt(prompt) => protocol::Event::Prompt(prompt),
        Event::Closed { id, closed } => protocol::Event::PromptClosed { id, closed },
    })
}

/// An event as a line. One that is too long for a line is one that is missed.
fn line_of(event: protocol::Event) -> Vec<u8> {
    let missed = || encode(&ServerLine::Event { event: protocol::Event::Missed(1) }).unwrap_or_default();
    encode(&ServerLine::Event { event }).unwrap_or_else(|_| missed())
}
