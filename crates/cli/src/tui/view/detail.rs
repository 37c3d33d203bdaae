//! Everything that is known about one decision, and how it came about.
//!
//! Neighbours: `connections` shows it beside the list.

use super::page::Page;
use crate::tui::model::Model;
use crate::tui::text;
use crate::tui::trace::{Part, Trace};
use crate::tui::wording;
use control::entry::{Direction, Entry, Verdict};
use rules::facts::{Identity, Program};

/// The pane, when there is one.
pub fn page(model: &Model) -> Option<Page> {
    let pane = model.connections.pane.as_ref()?;
    Some(match &pane.trace {
        Some(trace) => trace_page(model, &pane.entry, trace),
        None => entry_page(model, &pane.entry),
    })
}

fn entry_page(model: &Model, entry: &Entry) -> Page {
    let theme = &model.theme;
    let identity = &entry.identity;
    let mut page = Page::new(format!("Connection {}", entry.id));
    let colour = match entry.verdict {
        Verdict::Permit => theme.good(),
        Verdict::Block => theme.bad(),
    };
    let late = if entry.in_force { "" } else { ", but too late: the connection was gone, or the gate had answered" };
    page.styled_field("Decision", format!("{}{late}", wording::verdict(entry.verdict)), colour);
    page.field("Because", wording::why_long(entry));
    if let Some(rule) = &entry.asked_by {
        page.field("Asked by", format!("the rule {rule}"));
    }
    let current = model.status.as_ref().map(|status| status.rules.revision == entry.revision);
    let current = match current {
        Some(true) => " (in force now)",
        Some(false) => " (not in force any more)",
        None => "",
    };
    page.field("Rules", format!("revision {}{current}", entry.revision));
    page.field("When", format!("{}, held {}", model.date(entry.time), text::milliseconds(entry.held_ms)));
    page.blank();
    let direction = match entry.direction {
        Direction::Out => "outbound",
        Direction::In => "inbound",
    };
    page.field("Where", wording::where_to(entry));
    match &entry.name {
        Some(name) => page.field("Name", format!("{}: {}", name.text, wording::confidence(name.confidence))),
        // Names are of what this machine looks up.
        None if entry.direction == Direction::In => {}
        None => page.field("Name", "not known: nobody was seen to look this address up"),
    }
    page.field("Remote", wording::remote(entry));
    let interface = entry.interface.as_ref().map(|interface| format!(", {interface}")).unwrap_or_default();
    page.field("Local", format!("{}{interface}, {direction} {}", entry.local, wording::protocol(entry.protocol)));
    page.blank();
    identity_fields(&mut page, identity);
    let key = if entry.start_key == 0 { String::new() } else { format!(", start key {}", entry.start_key) };
    page.field("Process", format!("{}{key}", entry.pid));
    page
}

/// Who connects: all of it, and what is not known.
pub fn identity_fields(page: &mut Page, identity: &Identity) {
    program_fields(page, &identity.program);
    match &identity.user {
        Some(user) if user.name.is_some() => page.field("User", format!("{} ({})", wording::user(user), user.id)),
        Some(user) => page.field("User", user.id.to_string()),
        None => page.field("User", "not known"),
    }
    if let Some(command_line) = &identity.command_line {
        page.field("Command", command_line.to_string());
    }
    if let Some(parent) = identity.parent.as_ref().and_then(|parent| parent.path.as_ref()) {
        page.field("Started by", parent.to_string());
    }
}

fn program_fields(page: &mut Page, program: &Program) {
    page.field("Program", program.path.as_deref().unwrap_or("not known"));
    page.field("Publisher", program.publisher.as_deref().unwrap_or("not known: no signature that the system trusts"));
    for (label, value) in [("SHA-256", &program.sha256), ("Package", &program.package), ("Service", &program.service)] {
        if let Some(value) = value {
            page.field(label, value.to_string());
        }
    }
}

fn trace_page(model: &Model, entry: &Entry, trace: &Trace) -> Page {
    let what = format!("{} to {}", wording::program(&entry.identity), wording::where_to(entry));
    let mut page = Page::new(format!("Connection {}, explained", entry.id));
    page.verbatim(what, model.theme.strong());
    page.field("Decision", format!("{}: {}", wording::verdict(entry.verdict), wording::why_long(entry)));
    page.blank();
    trace_lines(&mut page, trace, model);
    page
}

/// What the clerk brought.
pub fn trace_lines(page: &mut Page, trace: &Trace, model: &Model) {
    let theme = &model.theme;
    match trace {
        Trace::Waits => page.paragraph("..."),
        Trace::Failed(why) => page.styled(why.clone(), theme.bad()),
        Trace::Ready(lines) => {
            for line in lines {
                match line.part {
                    Part::Heading => page.styled(line.text.clone(), theme.strong()),
                    Part::Decisive => page.styled(format!("{} {}", theme.cursor(), line.text), theme.strong()),
                    Part::Plain => page.paragraph(format!("  {}", line.text)),
                }
            }
        }
    }
}
