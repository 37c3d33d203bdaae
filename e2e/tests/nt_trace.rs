//! The wrapper of `nt` for events: who hears them, and what is in them.

use nt::pool::Tag;
use nt::status::Status;
use nt::trace::{Level, Provider};
use nt::wfp::Guid;
use nt_sim::{Config, Kernel, TraceEvent, TraceValue};
use std::ffi::CStr;

const TAG: Tag = Tag(*b"Test");
const ID: Guid = Guid::from_u128(0xce5fa4ea_ab00_5402_8b76_9f76ac858fb5);

nt::events! {
    /// The metadata of all events here.
    const METADATA = "MyCompany.MyComponent";

    /// Something with every kind of field.
    Warning fn everything = "Everything"
        (byte: u8 = "Byte", short: u16 = "Short", word: u32 = "Word", long: u64 = "Long", text: CStr = "Text");
    /// Something that says nothing.
    Verbose fn nothing = "Nothing" ();
}

fn provider() -> Provider {
    Provider::register(ID, METADATA, TAG).expect("registered")
}

#[test]
fn an_event_describes_itself() {
    let kernel = Kernel::boot(Config::default());
    kernel.listen(ID, 0);
    let provider = provider();
    nt_sim::on_dispatch(|| everything(&provider, &1, &2, &3, &u64::MAX, c"four"));
    nothing(&provider);
    let field = |name: &str, number| (name.to_owned(), TraceValue::Number(number));
    let fields = vec![
        field("Byte", 1),
        field("Short", 2),
        field("Word", 3),
        field("Long", u64::MAX),
        ("Text".to_owned(), TraceValue::Text("four".to_owned())),
    ];
    let event = |name: &str, level, fields| TraceEvent {
        provider: "MyCompany.MyComponent".to_owned(),
        name: name.to_owned(),
        level,
        fields,
    };
    assert_eq!(kernel.trace_events(), [event("Everything", 3, fields), event("Nothing", 5, vec![])]);
    drop(provider);
    kernel.shutdown();
}

#[test]
fn events_are_written_only_while_somebody_listens_to_their_level() {
    let kernel = Kernel::boot(Config::default());
    let provider = provider();
    nothing(&provider);
    assert!(!provider.is_heard(Level::Error));
    kernel.listen(ID, Level::Warning as u8);
    assert!(provider.is_heard(Level::Warning) && !provider.is_heard(Level::Information));
    nothing(&provider);
    everything(&provider, &1, &2, &3, &4, c"");
    assert_eq!(kernel.trace_events().len(), 1, "the warning");
    kernel.ignore(ID);
    everything(&provider, &1, &2, &3, &4, c"");
    assert_eq!(kernel.trace_events().len(), 1);
    drop(provider);
    kernel.shutdown();
}

#[test]
fn a_provider_that_cannot_be_registered_leaves_nothing() {
    for n in 1..=2 {
        let kernel = Kernel::boot(Config::default());
        kernel.fail_nth_call(n);
        assert_eq!(Provider::register(ID, METADATA, TAG).err(), Some(Status::INSUFFICIENT_RESOURCES));
        assert_eq!(kernel.all_pool_bytes(), 0);
        kernel.shutdown();
    }
}
