//! Medians.

use std::hint::black_box;
use std::time::Instant;

/// Nanoseconds per call: the median over `batches` batches of one call per item.
pub fn p50<T, R>(batches: usize, items: &[T], mut call: impl FnMut(&T) -> R) -> f64 {
    median((0..batches).map(|_| {
        let start = Instant::now();
        for item in items {
            black_box(call(black_box(item)));
        }
        start.elapsed().as_nanos() as f64 / items.len() as f64
    }))
}

/// The middle one.
pub fn median(samples: impl Iterator<Item = f64>) -> f64 {
    let mut samples: Vec<f64> = samples.collect();
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
