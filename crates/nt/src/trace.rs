//! Events for whoever listens, through Event Tracing for Windows. They describe themselves (TraceLogging), so nothing needs
//! to be installed to read them.
//!
//! A driver has one [`Provider`] and describes its events with [`events!`](crate::events), which makes a function of each.
//! As long as nobody listens, calling it costs a load and a branch. Why this is written here: `docs/decisions/`.
//!
//! Invariant: events are written through a borrow of the provider, so none is written after it was unregistered.

use crate::pool::{PoolBox, Tag};
use crate::status::{Result, Status};
use crate::wfp::Guid;
use core::ffi::{CStr, c_void};
use core::marker::PhantomData;
use core::ptr::{from_ref, null};
use core::sync::atomic::{AtomicU32, Ordering};
use nt_sys::etw::*;

/// How important an event is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Level {
    /// Something failed.
    Error = 2,
    /// Something unusual was handled.
    Warning = 3,
    /// A step that was taken.
    Information = 4,
    /// One connection among many.
    Verbose = 5,
}

/// Whom the driver's events come from. Unregistered when dropped.
pub struct Provider {
    handle: REGHANDLE,
    /// "Size, name": what every event begins with.
    metadata: &'static [u8],
    /// The highest level that somebody listens to, plus one; 0 when nobody listens. The kernel writes it, so it has a place
    /// of its own that does not move.
    levels: PoolBox<AtomicU32>,
}

impl Provider {
    /// Registers a provider. `metadata` is what [`provider_metadata`] makes of its name, and `id` follows from that name too.
    ///
    /// # Errors
    /// What the kernel says, or `STATUS_INSUFFICIENT_RESOURCES`. A driver can do without.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`; dropping it too.
    #[doc(alias = "EtwRegister")]
    pub fn register(id: Guid, metadata: &'static [u8], tag: Tag) -> Result<Self> {
        let mut provider = Self { handle: 0, metadata, levels: PoolBox::new(AtomicU32::new(0), tag)? };
        let context = from_ref::<AtomicU32>(&provider.levels).cast_mut().cast::<c_void>();
        // SAFETY: the callback takes the word as its context; the word lives until the provider is unregistered. Id and
        // handle are valid for the call.
        Status::check(unsafe { EtwRegister(&raw const id, Some(enabled), context, &raw mut provider.handle) })?;
        Ok(provider)
    }

    /// Whether somebody listens to events of this level.
    #[inline]
    pub fn is_heard(&self, level: Level) -> bool {
        (level as u32) < self.levels.load(Ordering::Relaxed)
    }

    /// Writes one event; [`events!`](crate::events) makes functions that do. What does not fit the metadata makes an event
    /// that nobody can read, and nothing worse.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`; the values are in nonpaged memory.
    #[cold]
    #[doc(alias = "EtwWriteTransfer")]
    pub fn write<const N: usize>(&self, level: Level, metadata: &'static [u8], values: [Value<'_>; N]) {
        const HEAD: usize = 2;
        const MOST: usize = HEAD + 8;
        const { assert!(HEAD + N <= MOST, "an event has at most eight fields") };
        let descriptor = EVENT_DESCRIPTOR {
            Id: 0,
            Version: 0,
            Channel: WINEVENT_CHANNEL_TRACELOGGING,
            Level: level as u8,
            Opcode: 0,
            Task: 0,
            Keyword: 0,
        };
        let mut data = [piece(&[], EVENT_DATA_DESCRIPTOR_TYPE_NONE); MOST];
        let pieces = [
            piece(self.metadata, EVENT_DATA_DESCRIPTOR_TYPE_PROVIDER_METADATA),
            piece(metadata, EVENT_DATA_DESCRIPTOR_TYPE_EVENT_METADATA),
        ];
        for (place, piece) in data.iter_mut().zip(pieces.into_iter().chain(values.map(|value| value.piece))) {
            *place = piece;
        }
        // SAFETY: registered, because the provider is borrowed; descriptor and data are valid for the call.
        let _ = unsafe {
            EtwWriteTransfer(
                self.handle,
                &raw const descriptor,
                null(),
                null(),
                (HEAD + N) as u32,
                (&raw const data).cast(),
            )
        };
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if self.handle != 0 {
            // SAFETY: registered once, unregistered once; nobody writes, because the provider is not borrowed. The kernel
            // waits for a callback that runs.
            let _ = unsafe { EtwUnregister(self.handle) };
        }
    }
}

unsafe extern "system-unwind" fn enabled(
    _source: *const Guid,
    code: u32,
    level: u8,
    _any: u64,
    _all: u64,
    _filter: *mut c_void,
    context: *mut c_void,
) {
    // SAFETY: `register` gave the word, which lives until the provider is unregistered.
    let levels = unsafe { &*context.cast::<AtomicU32>() };
    match code {
        EVENT_CONTROL_CODE_DISABLE_PROVIDER => levels.store(0, Ordering::Relaxed),
        // Level 0 asks for all.
        EVENT_CONTROL_CODE_ENABLE_PROVIDER if level == 0 => levels.store(u32::from(u8::MAX) + 1, Ordering::Relaxed),
        EVENT_CONTROL_CODE_ENABLE_PROVIDER => levels.store(u32::from(level) + 1, Ordering::Relaxed),
        _ => {}
    }
}

/// A value of an event.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    piece: EVENT_DATA_DESCRIPTOR,
    borrowed: PhantomData<&'a [u8]>,
}

impl<'a> Value<'a> {
    /// A value that lives elsewhere.
    pub fn of<T: Field + ?Sized>(value: &'a T) -> Self {
        Self { piece: piece(value.bytes(), EVENT_DATA_DESCRIPTOR_TYPE_NONE), borrowed: PhantomData }
    }
}

fn piece(bytes: &[u8], kind: u8) -> EVENT_DATA_DESCRIPTOR {
    let size = u32::try_from(bytes.len()).unwrap_or_default();
    EVENT_DATA_DESCRIPTOR { Ptr: bytes.as_ptr().cast(), Size: size, Type: kind, Reserved1: 0, Reserved2: 0 }
}

/// What a field of an event can be.
pub trait Field {
    /// Its type in the event's metadata.
    const KIND: u8;

    /// Its bytes in the event.
    fn bytes(&self) -> &[u8];
}

macro_rules! numbers {
    ($($number:ty = $kind:ident;)*) => {
        $(impl Field for $number {
            const KIND: u8 = $kind;

            fn bytes(&self) -> &[u8] {
                // SAFETY: a number is its bytes, all of them initialized.
                unsafe { core::slice::from_raw_parts(from_ref(self).cast(), size_of::<Self>()) }
            }
        })*
    };
}

numbers! {
    u8 = TlgInUINT8;
    u16 = TlgInUINT16;
    u32 = TlgInUINT32;
    u64 = TlgInUINT64;
}

impl Field for CStr {
    const KIND: u8 = TlgInANSISTRING;

    fn bytes(&self) -> &[u8] {
        self.to_bytes_with_nul()
    }
}

/// Puts metadata together, at compile time.
pub struct Metadata<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Metadata<N> {
    /// Begins with the place of the size, which [`Metadata::finish`] fills in.
    const fn new() -> Self {
        Self { bytes: [0; N], len: 2 }
    }

    const fn byte(mut self, byte: u8) -> Self {
        self.bytes[self.len] = byte;
        self.len += 1;
        self
    }

    /// A name, with its zero.
    const fn name(mut self, name: &str) -> Self {
        let name = name.as_bytes();
        let mut at = 0;
        while at < name.len() {
            self = self.byte(name[at]);
            at += 1;
        }
        self.byte(0)
    }

    const fn finish(mut self) -> [u8; N] {
        assert!(self.len == N && N <= u16::MAX as usize);
        let [low, high] = (N as u16).to_le_bytes();
        self.bytes[0] = low;
        self.bytes[1] = high;
        self.bytes
    }
}

/// Bytes of [`provider_metadata`].
pub const fn provider_metadata_len(name: &str) -> usize {
    2 + name.len() + 1
}

/// A provider's metadata.
pub const fn provider_metadata<const N: usize>(name: &str) -> [u8; N] {
    Metadata::new().name(name).finish()
}

/// Bytes of [`event_metadata`].
pub const fn event_metadata_len(name: &str, fields: &[(&str, u8)]) -> usize {
    let mut len = 2 + 1 + name.len() + 1;
    let mut at = 0;
    while at < fields.len() {
        len += fields[at].0.len() + 1 + 1;
        at += 1;
    }
    len
}

/// An event's metadata: its name, then name and type of each field.
pub const fn event_metadata<const N: usize>(name: &str, fields: &[(&str, u8)]) -> [u8; N] {
    let mut metadata = Metadata::new().byte(0).name(name);
    let mut at = 0;
    while at < fields.len() {
        metadata = metadata.name(fields[at].0).byte(fields[at].1);
        at += 1;
    }
    metadata.finish()
}

/// Describes a provider's events and makes a function of each, which takes the provider and a reference to each field:
///
/// ```no_run
/// nt::events! {
///     /// The metadata of all of them.
///     pub(crate) const METADATA = "Sample.Driver";
///
///     /// A door was opened.
///     Information pub(crate) fn opened = "DoorOpened" (door: u32 = "Door", by: core::ffi::CStr = "By");
/// }
/// fn tell(provider: &nt::trace::Provider) {
///     opened(provider, &7, c"wind");
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! events {
    (
        $(#[$provider_doc:meta])* $provider_vis:vis const $provider:ident = $provider_name:literal;
        $($(#[$doc:meta])* $level:ident $vis:vis fn $event:ident = $name:literal
            ($($field:ident: $kind:ty = $field_name:literal),* $(,)?);)*
    ) => {
        $(#[$provider_doc])*
        $provider_vis const $provider: &[u8] = {
            const NAME: &str = $provider_name;
            const BYTES: [u8; $crate::trace::provider_metadata_len(NAME)] = $crate::trace::provider_metadata(NAME);
            &BYTES
        };
        $(
            $(#[$doc])*
            #[inline]
            $vis fn $event(provider: &$crate::trace::Provider, $($field: &$kind),*) {
                const FIELDS: &[(&str, u8)] = &[$(($field_name, <$kind as $crate::trace::Field>::KIND)),*];
                const LEN: usize = $crate::trace::event_metadata_len($name, FIELDS);
                static METADATA: [u8; LEN] = $crate::trace::event_metadata($name, FIELDS);
                if provider.is_heard($crate::trace::Level::$level) {
                    provider.write($crate::trace::Level::$level, &METADATA, [$($crate::trace::Value::of($field)),*]);
                }
            }
        )*
    };
}
