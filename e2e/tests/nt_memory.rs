//! The wrappers of `nt` that need a kernel and nothing more: pool and debug lines.

use nt::debug::{self, Level};
use nt::pool::{PoolBox, Slab, Tag};
use nt::status::Status;
use nt_sim::{Config, Kernel};
use nt_sys::dbg::{
    DPFLTR_ERROR_LEVEL, DPFLTR_IHVDRIVER_ID, DPFLTR_INFO_LEVEL, DPFLTR_TRACE_LEVEL, DPFLTR_WARNING_LEVEL,
};
use std::sync::Arc;

const TAG: Tag = Tag(*b"Test");

#[test]
fn a_box_frees_its_block_and_its_value() {
    let kernel = Kernel::boot(Config::default());
    let value = Arc::new(());
    let boxed = PoolBox::new(Arc::clone(&value), TAG).unwrap();
    assert_eq!((Arc::strong_count(&value), kernel.pool_bytes(TAG.0)), (2, size_of::<Arc<()>>()));
    let (pointer, tag) = boxed.into_raw();
    assert_eq!((Arc::strong_count(&value), tag), (2, TAG), "nothing is freed yet");
    // SAFETY: from `into_raw` above, once.
    #[expect(unsafe_code, reason = "the one way back from `into_raw`")]
    drop(unsafe { PoolBox::from_raw(pointer, tag) });
    assert_eq!((Arc::strong_count(&value), kernel.all_pool_bytes()), (1, 0));
}

#[test]
fn a_slab_frees_its_block_and_every_item() {
    let kernel = Kernel::boot(Config::default());
    let value = Arc::new(());
    let slab = Slab::new(10, TAG, |index| (index, Arc::clone(&value))).unwrap();
    assert!(slab.iter().enumerate().all(|(at, item)| at == item.0));
    assert_eq!(Arc::strong_count(&value), 11);
    drop(slab);
    assert_eq!((Arc::strong_count(&value), kernel.all_pool_bytes()), (1, 0));
}

#[test]
fn an_empty_slab_takes_no_pool() {
    let kernel = Kernel::boot(Config::default());
    let slab = Slab::new(0, TAG, |_| 0_u64).unwrap();
    assert_eq!((slab.len(), kernel.all_pool_bytes()), (0, 0));
}

#[test]
fn memory_that_is_not_there_is_an_error_and_leaks_nothing() {
    let kernel = Kernel::boot(Config::default());
    let value = Arc::new(());
    kernel.fail_nth_call(1);
    assert_eq!(PoolBox::new(Arc::clone(&value), TAG).err(), Some(Status::INSUFFICIENT_RESOURCES));
    kernel.fail_nth_call(1);
    let slab = Slab::new(10, TAG, |_| Arc::clone(&value));
    assert_eq!(slab.err(), Some(Status::INSUFFICIENT_RESOURCES));
    kernel.fail_nth_call(0);
    let slab = Slab::new(usize::MAX, TAG, |_| 0_u64);
    assert_eq!(slab.err(), Some(Status::INSUFFICIENT_RESOURCES), "the size does not wrap");
    assert_eq!((Arc::strong_count(&value), kernel.all_pool_bytes()), (1, 0));
}

/// learn.microsoft.com "ExAllocatePool2": pool is aligned to 16 bytes and no more.
#[test]
fn what_pool_cannot_align_is_refused() {
    #[repr(align(32))]
    struct Wide;
    let kernel = Kernel::boot(Config::default());
    assert_eq!(PoolBox::new(Wide, TAG).err(), Some(Status::INVALID_PARAMETER));
    assert_eq!(kernel.all_pool_bytes(), 0);
}

/// learn.microsoft.com "Reading and Filtering Debugging Messages".
#[test]
fn each_level_has_its_number() {
    let kernel = Kernel::boot(Config::default());
    let levels = [
        (Level::Error, DPFLTR_ERROR_LEVEL),
        (Level::Warning, DPFLTR_WARNING_LEVEL),
        (Level::Trace, DPFLTR_TRACE_LEVEL),
        (Level::Info, DPFLTR_INFO_LEVEL),
    ];
    for (level, number) in levels {
        debug::print(level, format_args!("a {level:?} and 100 %s"));
        let line = kernel.debug_lines().pop().unwrap();
        assert_eq!((line.component, line.level), (DPFLTR_IHVDRIVER_ID, number));
        assert_eq!(line.text, format!("a {level:?} and 100 %s\n"), "the text is no format");
    }
}

#[test]
fn a_long_debug_line_is_cut() {
    let kernel = Kernel::boot(Config::default());
    for len in [254, 255, 256, 257, 5_000] {
        debug::print(Level::Info, format_args!("{}{}", "x".repeat(len - 1), "y"));
        let text = kernel.debug_lines().pop().unwrap().text;
        let whole = format!("{}y", "x".repeat(len - 1));
        assert_eq!(text, format!("{}\n", &whole[..len.min(255)]));
    }
}
