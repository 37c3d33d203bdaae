//! SipHash-1-3, keyed: names programs and spreads keys over tables, so that nobody outside can choose what collides.
//!
//! Construction: Aumasson and Bernstein, "SipHash: a fast short-input PRF", with one compression round and three
//! finalization rounds. A whole number of words hashes as their little-endian bytes would.
//!
//! Neighbours: `flow` and `cache` hash words, `programs` hashes paths.

/// The secret key.
#[derive(Clone, Copy)]
pub(crate) struct SipKey([u64; 2]);

impl SipKey {
    pub(crate) const fn new(key: [u64; 2]) -> Self {
        Self(key)
    }

    /// Hashes bytes.
    pub(crate) fn bytes(self, bytes: &[u8]) -> u64 {
        let mut state = State::new(self);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            state.absorb(u64::from_le_bytes(*word));
        }
        let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u64::from(*byte));
        state.finish(tail, bytes.len())
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

struct State([u64; 4]);

impl State {
    #[inline]
    fn new(SipKey([k0, k1]): SipKey) -> Self {
        Self([
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ])
    }

    #[inline]
    fn absorb(&mut self, word: u64) {
        let [_, _, _, d] = &mut self.0;
        *d ^= word;
        self.round();
        let [a, ..] = &mut self.0;
        *a ^= word;
    }

    #[inline]
    fn finish(mut self, tail: u64, len: usize) -> u64 {
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
    use core::hash::{Hash, Hasher};

    const KEY: SipKey = SipKey::new([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);

    #[test]
    fn words_hash_as_their_bytes() {
        let words = [1, u64::MAX, 0x0123_4567_89ab_cdef];
        let mut bytes = [0; 24];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        assert_eq!(KEY.words(words), KEY.bytes(&bytes));
    }

    /// The standard library's default hasher is SipHash-1-3 with a zero key ("DefaultHasher").
    #[test]
    fn agrees_with_the_standard_library() {
        extern crate std;
        let data: [u8; 40] = core::array::from_fn(|i| (i * 7) as u8);
        for len in 0..data.len() {
            let mut theirs = std::hash::DefaultHasher::new();
            data.get(..len).into_iter().flatten().for_each(|byte| byte.hash(&mut theirs));
            assert_eq!(SipKey::new([0, 0]).bytes(&data[..len]), theirs.finish(), "{len} bytes");
        }
    }
}
