//! What the gate shares without a lock, in every order in which processors may see it.
//!
//! The gate's own files, over the atomics of `loom`, which runs a test once for each order of loads and stores that the
//! memory model allows, with at most two switches from one thread to another where none is needed.
//!
//! Neighbours: `src/atomic.rs` is what this file takes the place of.

#[path = "../../src/lanes.rs"]
mod lanes;
#[path = "../../src/memory.rs"]
#[expect(dead_code, reason = "the gate uses all of it")]
mod memory;
#[path = "../../src/seqlock.rs"]
#[expect(dead_code, reason = "the gate uses all of it")]
mod seqlock;

/// The atomics of the files above.
mod atomic {
    pub use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
}

use lanes::{Count, Lanes};
use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;
use memory::{Memory, Once, OutOfMemory};
use seqlock::Seqlock;

fn explore(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(test);
}

/// Two words that are always the same.
type Pair = Seqlock<2>;

fn write(pair: &Pair, value: u64) {
    pair.write(|words| {
        words.set(0, value);
        words.set(1, value);
    });
}

fn read(pair: &Pair) -> Option<(u64, u64)> {
    pair.read(|words| (words.get(0), words.get(1))).map(|(seen, _)| seen)
}

#[test]
fn an_entry_is_never_half_old_and_half_new() {
    explore(|| {
        let pair = Arc::new(Pair::new());
        let writer = {
            let pair = Arc::clone(&pair);
            thread::spawn(move || (1..=2).for_each(|value| write(&pair, value)))
        };
        let mut latest = 0;
        for _ in 0..2 {
            if let Some((one, other)) = read(&pair) {
                assert_eq!(one, other);
                assert!(one >= latest, "time goes forward");
                latest = one;
            }
        }
        writer.join().expect("no panic");
        assert_eq!(read(&pair), Some((2, 2)));
    });
}

#[test]
fn two_readers_do_not_disturb_each_other() {
    explore(|| {
        let pair = Arc::new(Pair::new());
        let readers = [(); 2].map(|()| {
            let pair = Arc::clone(&pair);
            thread::spawn(move || assert!(read(&pair).is_none_or(|(one, other)| one == other)))
        });
        write(&pair, 1);
        readers.into_iter().for_each(|reader| reader.join().expect("no panic"));
    });
}

/// How the front reads two entries: the second counts only if the first is still what it was.
#[test]
fn what_was_seen_first_still_holds_when_it_is_said_to() {
    explore(|| {
        let entries = Arc::new((Pair::new(), Pair::new()));
        let writer = {
            let entries = Arc::clone(&entries);
            thread::spawn(move || {
                write(&entries.0, 1);
                write(&entries.1, 1);
            })
        };
        let first = entries.0.read(|words| words.get(0));
        let second = read(&entries.1);
        if let (Some((0, version)), Some((1, _))) = (first, second) {
            assert!(!entries.0.is_still(version), "the second was written after the first");
        }
        writer.join().expect("no panic");
    });
}

/// How a predecessor is told of: what stands against an answer is in place before the answer can be read.
#[test]
fn whoever_reads_an_entry_sees_what_was_there_before_it() {
    use atomic::{AtomicU32, Ordering};
    explore(|| {
        let shared = Arc::new((AtomicU32::new(0), Pair::new()));
        let writer = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.0.store(1, Ordering::Release);
                write(&shared.1, 1);
            })
        };
        if read(&shared.1) == Some((1, 1)) {
            assert_eq!(shared.0.load(Ordering::Relaxed), 1);
        }
        writer.join().expect("no panic");
    });
}

#[test]
fn nothing_is_lost_or_counted_twice() {
    explore(|| {
        let lanes = Arc::new(Lanes::<Heap>::new(2).expect("memory"));
        // Two of them on one lane.
        let processors = [0, 2].map(|processor| {
            let lanes = Arc::clone(&lanes);
            thread::spawn(move || lanes.count(processor, Count::CachePermitted))
        });
        lanes.count(1, Count::CachePermitted);
        lanes.count(1, Count::Exempted);
        let meanwhile = lanes.sum(Count::CachePermitted);
        assert!((1..=3).contains(&meanwhile));
        processors.into_iter().for_each(|processor| processor.join().expect("no panic"));
        let sums = [Count::CachePermitted, Count::Exempted, Count::CacheBlocked].map(|count| lanes.sum(count));
        assert_eq!(sums, [3, 1, 0]);
    });
}

/// Memory from the heap.
enum Heap {}

impl Memory for Heap {
    type Slab<T> = Vec<T>;
    type Shared<T> = std::sync::Arc<T>;
    type Once<T> = Never;

    fn slab<T>(len: usize, mut make: impl FnMut() -> T) -> Result<Vec<T>, OutOfMemory> {
        Ok((0..len).map(|_| make()).collect())
    }

    fn shared<T>(value: T) -> Result<Self::Shared<T>, OutOfMemory> {
        Ok(std::sync::Arc::new(value))
    }
}

/// What is never filled: nothing here needs it.
struct Never;

impl<T> Once<T> for Never {
    fn new() -> Self {
        Self
    }

    fn get(&self) -> Option<&T> {
        None
    }

    fn set(&self, value: T) -> Result<(), T> {
        Err(value)
    }
}
