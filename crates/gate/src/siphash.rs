//! SipHash-1-3, keyed: spreads keys over tables so that nobody outside can choose what collides.
//!
//! Construction: Aumasson and Bernstein, "SipHash: a fast short-input PRF", with one compression round and three
//! finalization rounds. Words hash as their little-endian bytes would.
//!
//! Neighbours: `flow`, `ids` and `processes` hash words; `pathhash` builds on it.

/// The secret key.
#[derive(Clone, Copy)]
pub(crate) struct SipKey([u64; 2]);

impl SipKey {
    pub(crate) const fn new(key: [u64; 2]) -> Self {
        Self(key)
    }

    /// Spreads one word that nobody outside chooses freely: a product folded together, much cheaper than a hash.
    #[inline]
    pub(crate) fn scatter(self, word: u64) -> u64 {
        let Self([k0, k1]) = self;
        let product = u128::from(word ^ k0) * u128::from(k1 | 1);
        product as u64 ^ (product >> 64) as u64
    }

    /// Hashes words.
    #[inline]
    pub(crate) fn words<const N: usize>(self, words: [u64; N]) -> u64 {
        let mut state = State::new(self);
        for word in words {
            state.absorb(word);
        }
        state.finish(0, N * 8)
    }
}

/// A hash under way.
pub(crate) struct State([u64; 4]);

impl State {
    #[inline]
    pub(crate) fn new(SipKey([k0, k1]): SipKey) -> Self {
        Self([
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ])
    }

    #[inline]
    pub(crate) fn absorb(&mut self, word: u64) {
        let [_, _, _, d] = &mut self.0;
        *d ^= word;
        self.round();
        let [a, ..] = &mut self.0;
        *a ^= word;
    }

    #[inline]
    pub(crate) fn finish(mut self, tail: u64, len: usize) -> u64 {
        self.absorb((len as u64) << 56 | tail);
        let [_, _, c, _] = &mut self.0;
        *c ^= 0xff;
        self.round();
        self.round();
        self.round();
        let [a, b, c, d] = self.0;
        a ^ b ^ c ^ d
    }

    #[inline]
    fn round(&mut self) {
        let [a, b, c, d] = &mut self.0;
        *a = a.wrapping_add(*b);
        *c = c.wrapping_add(*d);
        *b = b.rotate_left(13) ^ *a;
        *d = d.rotate_left(16) ^ *c;
        *a = a.rotate_left(32).wrapping_add(*d);
        *c = c.wrapping_add(*b);
        *d = d.rotate_left(21) ^ *a;
        *b = b.rotate_left(17) ^ *c;
        *c = c.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::SipKey;
    use std::hash::{DefaultHasher, Hasher};

    /// The standard library's default hasher is SipHash-1-3 with a zero key.
    #[test]
    fn agrees_with_the_standard_library() {
        let theirs = |words: &[u64]| {
            let mut hasher = DefaultHasher::new();
            words.iter().for_each(|word| hasher.write(&word.to_le_bytes()));
            hasher.finish()
        };
        let sip = SipKey::new([0, 0]);
        assert_eq!(sip.words([]), theirs(&[]));
        assert_eq!(sip.words([7]), theirs(&[7]));
        assert_eq!(sip.words([1, u64::MAX, 0x0123_4567_89ab_cdef]), theirs(&[1, u64::MAX, 0x0123_4567_89ab_cdef]));
    }
}
