//! Program ids: a keyed 64-bit hash of a path, fast enough for every classify.
//!
//! Two steps, as in Krovetz, "Message Authentication on 64-Bit Architectures" (VMAC): NH, which sums products of message
//! and secret key, compresses each block of the path; SipHash makes one number of the blocks and the length. Two paths
//! get the same id with a probability of about 2^-64 that nobody without the key can raise.
//!
//! Neighbours: `siphash` is the second step; `programs` names programs by these ids.

use crate::siphash::{SipKey, State};

/// Pairs of words in a block: more than most paths are long.
const PAIRS: usize = 16;

pub(crate) struct PathHash {
    sip: SipKey,
    key: [[u64; 2]; PAIRS],
}

impl PathHash {
    pub(crate) fn new(sip: SipKey) -> Self {
        let key = core::array::from_fn(|pair| [0, 1].map(|word| sip.words([pair as u64, word])));
        Self { sip, key }
    }

    /// The id of the program with this path; `0` for no path.
    #[inline]
    pub(crate) fn id(&self, path: &[u8]) -> u64 {
        if path.is_empty() { 0 } else { self.hash(path).max(1) }
    }

    fn hash(&self, path: &[u8]) -> u64 {
        let mut state = State::new(self.sip);
        for block in path.chunks(PAIRS * 16) {
            let sum = self.compress(block);
            state.absorb(sum as u64);
            state.absorb((sum >> 64) as u64);
        }
        state.finish(0, path.len())
    }

    #[inline]
    fn compress(&self, block: &[u8]) -> u128 {
        let (pairs, rest) = block.as_chunks::<16>();
        let sum = pairs.iter().zip(&self.key).fold(0_u128, |sum, (pair, key)| sum.wrapping_add(product(pair, key)));
        match self.key.get(pairs.len()) {
            Some(key) if !rest.is_empty() => sum.wrapping_add(product(&last(block, rest), key)),
            _ => sum,
        }
    }
}

/// The last sixteen bytes of a block, those that were summed already among them; of a shorter block all, and zeroes.
#[inline]
fn last(block: &[u8], rest: &[u8]) -> [u8; 16] {
    if let Some(whole) = block.last_chunk() {
        return *whole;
    }
    let mut last = [0; 16];
    if let Some(room) = last.get_mut(..rest.len()) {
        room.copy_from_slice(rest);
    }
    last
}

#[inline]
fn product(pair: &[u8; 16], [k0, k1]: &[u64; 2]) -> u128 {
    let pair = u128::from_le_bytes(*pair);
    u128::from((pair as u64).wrapping_add(*k0)) * u128::from(((pair >> 64) as u64).wrapping_add(*k1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_byte_and_the_length_count() {
        let hash = PathHash::new(SipKey::new([1, 2]));
        let mut seen = HashSet::new();
        for len in 0..=3 * PAIRS * 16 {
            let mut path = std::vec![0; len];
            assert!(seen.insert(hash.hash(&path)), "{len} zeroes");
            if let Some(last) = path.last_mut() {
                *last = 1;
                assert!(seen.insert(hash.hash(&path)), "{len} bytes, the last a one");
            }
        }
    }

    #[test]
    fn no_path_has_no_id() {
        assert_eq!(PathHash::new(SipKey::new([1, 2])).id(b""), 0);
    }

    #[test]
    fn the_key_counts() {
        let [one, other] = [[1, 2], [1, 3]].map(|key| PathHash::new(SipKey::new(key)).hash(b"path"));
        assert_ne!(one, other);
    }
}
