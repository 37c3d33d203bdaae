//! A map of bounded size that forgets what was not looked at for long.
//!
//! Two generations: what is looked at moves into the young one; when that is full it becomes the old one, and what was
//! still in the old one is forgotten. Each step is O(1). Invariants: at most `limit` entries; the last `limit / 2` that were
//! looked at are there. Neighbours: `identity` and `names` remember by it.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::hash::Hash;

/// The map.
#[derive(Debug)]
pub struct Recent<K, V> {
    young: HashMap<K, V, RandomState>,
    old: HashMap<K, V, RandomState>,
    half: usize,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    /// Empty, for at most `limit` entries: at least two.
    pub fn new(limit: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), half: (limit / 2).max(1) }
    }

    /// The value of `key`.
    pub fn get(&mut self, key: &K) -> Option<&mut V> {
        self.refresh(key);
        self.young.get_mut(key)
    }

    /// The value of `key`, made when there is none.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.refresh(&key);
        if !self.young.contains_key(&key) {
            self.make_room();
        }
        self.young.entry(key).or_insert_with(make)
    }

    fn refresh(&mut self, key: &K) {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.make_room();
            self.young.insert(key, value);
        }
    }

    fn make_room(&mut self) {
        if self.young.len() >= self.half {
            std::mem::swap(&mut self.old, &mut self.young);
            self.young.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at_stays_and_the_rest_goes() {
        let mut recent = Recent::new(8);
        recent.get_or_insert_with(0, || "kept");
        for key in 1..1_000 {
            recent.get_or_insert_with(key, || "new");
            assert_eq!(recent.get(&0).copied(), Some("kept"), "{key}");
            assert!(recent.young.len() + recent.old.len() <= 8, "{key}");
        }
        assert_eq!(recent.get(&1), None);
        assert_eq!(recent.get(&999).copied(), Some("new"));
    }

    #[test]
    fn a_value_is_made_once() {
        let mut recent = Recent::new(2);
        *recent.get_or_insert_with('a', || 1) += 1;
        assert_eq!(*recent.get_or_insert_with('a', || 1), 2);
    }
}
