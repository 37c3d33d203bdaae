//! Request ids: the slot of a record, and a generation that never comes again.
//!
//! Generations are the numbers 1, 2, 3, ... sent through a keyed permutation (a balanced Feistel network; Luby and
//! Rackoff, "How to construct pseudorandom permutations": four rounds). So no id is used twice, and none can be guessed
//! from others.
//!
//! Neighbours: `pending` asks for an id per record, `questions` for one per question.

use crate::siphash::SipKey;
use wire::verdict::RequestId;

/// Bits of an id that name the slot.
const SLOT_BITS: u32 = 18;
/// Slots from here on are those of questions.
const QUESTION: u32 = 1 << 17;
/// Bits of each half of a generation.
const HALF_BITS: u32 = (u64::BITS - SLOT_BITS) / 2;
const HALF: u64 = (1 << HALF_BITS) - 1;

const _: () = assert!(*wire::settings::Settings::PENDED.end() <= QUESTION);
const _: () = assert!(crate::questions::QUESTIONS <= ((1 << SLOT_BITS) - QUESTION) as usize);

pub(crate) struct Ids {
    sip: SipKey,
    serial: u64,
}

impl Ids {
    pub(crate) fn new(sip: SipKey) -> Self {
        Self { sip, serial: 0 }
    }

    /// A fresh id for `slot`; never 0.
    pub(crate) fn next(&mut self, slot: u32) -> RequestId {
        loop {
            self.serial = self.serial.wrapping_add(1);
            let generation = self.permute(self.serial);
            if generation != 0 {
                return RequestId(generation << SLOT_BITS | u64::from(slot));
            }
        }
    }

    /// A fresh id for a question in `slot`: never one that a record has.
    pub(crate) fn next_question(&mut self, slot: u32) -> RequestId {
        self.next(slot | QUESTION)
    }

    fn permute(&self, serial: u64) -> u64 {
        let (mut left, mut right) = (serial >> HALF_BITS & HALF, serial & HALF);
        for round in 0..4 {
            (left, right) = (right, left ^ self.sip.words([round, right]) & HALF);
        }
        left << HALF_BITS | right
    }
}

/// The slot of a question that an id names, if it is one of ours.
pub(crate) fn question_slot(id: RequestId) -> Option<u32> {
    let slot = slot(id);
    (slot & QUESTION != 0).then_some(slot & !QUESTION)
}

/// The slot an id names, if it is one of ours; those of questions are beyond those of records.
pub(crate) fn slot(id: RequestId) -> u32 {
    (id.0 & ((1 << SLOT_BITS) - 1)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_differ_even_in_one_slot() {
        let mut ids = Ids::new(SipKey::new([1, 2]));
        let count = if cfg!(miri) { 100 } else { 100_000 };
        let seen: HashSet<_> = (0..count).map(|_| ids.next(7)).collect();
        assert_eq!(seen.len(), count);
        assert!(seen.iter().all(|id| slot(*id) == 7));
    }

    #[test]
    fn ids_depend_on_the_key() {
        let [mut one, mut other] = [[1, 2], [1, 3]].map(|key| Ids::new(SipKey::new(key)));
        assert_ne!(one.next(0), other.next(0));
    }
}
