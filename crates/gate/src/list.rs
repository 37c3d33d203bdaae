//! Doubly linked lists threaded through slots: push and remove in constant time, no allocation.
//!
//! Invariants: a slot is in at most one list per [`Chain`]; a slot that is in none has both links [`NONE`] there.
//!
//! Neighbours: `slots` holds what is linked; `pending` and `questions` own lists; `index` is a table of them.

use crate::memory::Memory;
use crate::slots::{Node, Slots};

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

/// Which of a node's links a list uses.
#[derive(Clone, Copy)]
pub(crate) enum Chain {
    /// Order of time: when held, or when handed out.
    Time,
    /// Order of work: to deliver, or to complete.
    Work,
    /// Same bucket of the index by flow.
    Flow,
    /// Same bucket of the index by socket.
    Socket,
    /// Same bucket of the index by the socket's parent.
    Parent,
}

#[derive(Clone, Copy)]
pub(crate) struct Links {
    prev: u32,
    next: u32,
}

impl Links {
    pub(crate) const ALONE: Self = Self { prev: NONE, next: NONE };

    pub(crate) fn next(self) -> Option<u32> {
        (self.next != NONE).then_some(self.next)
    }

    pub(crate) fn prev(self) -> Option<u32> {
        (self.prev != NONE).then_some(self.prev)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct List {
    head: u32,
    tail: u32,
}

impl List {
    pub(crate) const EMPTY: Self = Self { head: NONE, tail: NONE };

    pub(crate) fn front(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    pub(crate) fn back(&self) -> Option<u32> {
        (self.tail != NONE).then_some(self.tail)
    }

    pub(crate) fn push_back<T: Node, M: Memory>(&mut self, slots: &mut Slots<T, M>, chain: Chain, slot: u32) {
        let Some(links) = slots.links(chain, slot) else { return };
        *links = Links { prev: self.tail, next: NONE };
        match slots.links(chain, self.tail) {
            Some(last) => last.next = slot,
            None => self.head = slot,
        }
        self.tail = slot;
    }

    pub(crate) fn push_front<T: Node, M: Memory>(&mut self, slots: &mut Slots<T, M>, chain: Chain, slot: u32) {
        let Some(links) = slots.links(chain, slot) else { return };
        *links = Links { prev: NONE, next: self.head };
        match slots.links(chain, self.head) {
            Some(first) => first.prev = slot,
            None => self.tail = slot,
        }
        self.head = slot;
    }

    /// Takes out a slot that is in this list.
    pub(crate) fn remove<T: Node, M: Memory>(&mut self, slots: &mut Slots<T, M>, chain: Chain, slot: u32) {
        let Some(links) = slots.links(chain, slot) else { return };
        let Links { prev, next } = core::mem::replace(links, Links::ALONE);
        match slots.links(chain, prev) {
            Some(before) => before.next = next,
            None => self.head = next,
        }
        match slots.links(chain, next) {
            Some(after) => after.prev = prev,
            None => self.tail = prev,
        }
    }
}
