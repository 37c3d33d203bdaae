//! Where another processor may come in between.
//!
//! With the feature `shuttle` the threads of a test are those of a scheduler that explores their orderings
//! (docs.rs `shuttle`): each runs until its next call of the kernel or of the filter engine, and there any other may go on.
//! Nothing of the driver runs on two of them without such a call in between, because all its locks are the kernel's.
//! Without the feature these functions are nothing.
//!
//! Invariant: no lock of the emulators is held at a point, or the one host thread would wait for itself.

/// A call of the kernel or of the filter engine: any thread may go on from here.
#[inline]
pub fn point() {
    #[cfg(feature = "shuttle")]
    {
        static ANY: shuttle::sync::atomic::AtomicBool = shuttle::sync::atomic::AtomicBool::new(false);
        ANY.load(std::sync::atomic::Ordering::SeqCst);
    }
}

/// The calling thread can not go on before another has.
#[inline]
pub(crate) fn give_way() {
    #[cfg(feature = "shuttle")]
    shuttle::thread::yield_now();
    #[cfg(not(feature = "shuttle"))]
    std::thread::yield_now();
}
