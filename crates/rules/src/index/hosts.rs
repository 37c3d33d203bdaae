//! Which classes of hosts an address and a name belong to.
//!
//! A class is what a rule or a set lists as hosts. All of them share one table: domain names are found by hashing the
//! name and each of its endings, addresses by hashing each prefix length that occurs. So the time depends on the number of
//! labels and of lengths, and not on that of entries or classes. Invariants: no allocation when asked.

use crate::model::Host;
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};
use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::ops::ControlFlow;

/// The table.
#[derive(Debug, Default)]
pub struct Hosts {
    hasher: RandomState,
    /// Lists of classes, linked by index.
    members: Vec<Member>,
    /// The names, one after the other.
    text: String,
    names: HashTable<Name>,
    v4: Nets<u32>,
    v6: Nets<u128>,
}

/// A class.
pub type Class = u32;

#[derive(Clone, Copy, Debug)]
struct Member {
    class: Class,
    next: u32,
}

/// The end of a list.
const END: u32 = u32::MAX;
/// Marks a list of one: the rest is the class itself, which saves the way to its members. There are fewer classes and
/// members than this.
const ONE: u32 = 1 << 31;

#[derive(Clone, Copy, Debug)]
struct Name {
    begin: u32,
    len: u16,
    /// Classes of the name alone.
    exact: u32,
    /// Classes of the name and every name below it.
    tree: u32,
}

#[derive(Debug, Default)]
struct Nets<A> {
    lists: HashMap<(u8, A), u32, RandomState>,
    /// The prefix lengths that occur.
    lengths: Vec<u8>,
}

impl Hosts {
    /// Makes a host a member of a class. Not for [`Host::Any`] and [`Host::Set`].
    pub fn add(&mut self, host: &Host, class: Class) {
        match host {
            Host::Net(IpNet::V4(net)) => self.add_v4(net.prefix_len(), net.network().to_bits(), class),
            Host::Net(IpNet::V6(net)) => self.add_v6(net.prefix_len(), net.network().to_bits(), class),
            Host::Range(IpAddr::V4(first), IpAddr::V4(last)) => {
                for net in Ipv4Subnets::new(*first, *last, 0) {
                    self.add_v4(net.prefix_len(), net.network().to_bits(), class);
                }
            }
            Host::Range(IpAddr::V6(first), IpAddr::V6(last)) => {
                for net in Ipv6Subnets::new(*first, *last, 0) {
                    self.add_v6(net.prefix_len(), net.network().to_bits(), class);
                }
            }
            Host::Domain(name) => self.add_name(name, class, |name| &mut name.exact),
            Host::DomainTree(name) => self.add_name(name, class, |name| &mut name.tree),
            Host::Range(..) | Host::Any | Host::Set(_) => {}
        }
    }

    /// Gives every class that an address or a name is a member of, until `found` breaks. A class may come twice. The name
    /// is lower case, without a final dot.
    pub fn find(
        &self,
        address: IpAddr,
        name: Option<&str>,
        mut found: impl FnMut(Class) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let heads = |address: IpAddr, found: &mut dyn FnMut(u32) -> ControlFlow<()>| match address {
            IpAddr::V4(v4) => {
                let bits = v4.to_bits();
                let masked = |length: u8| if length == 0 { 0 } else { bits >> (32 - length) << (32 - length) };
                self.v4.find(masked, found)
            }
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                let masked = |length: u8| if length == 0 { 0 } else { bits >> (128 - length) << (128 - length) };
                self.v6.find(masked, found)
            }
        };
        heads(address, &mut |head| self.members_of(head, &mut found))?;
        let Some(whole) = name.filter(|_| !self.names.is_empty()) else { return ControlFlow::Continue(()) };
        let mut ending = whole;
        loop {
            if let Some(name) = self.names.find(self.hasher.hash_one(ending), |name| self.text_of(name) == ending) {
                if ending.len() == whole.len() {
                    self.members_of(name.exact, &mut found)?;
                }
                self.members_of(name.tree, &mut found)?;
            }
            match ending.split_once('.') {
                Some((_, shorter)) => ending = shorter,
                None => return ControlFlow::Continue(()),
            }
        }
    }

    /// Whether an address or a name is a member of a class.
    pub fn is_member(&self, class: Class, address: IpAddr, name: Option<&str>) -> bool {
        let same = |found| if found == class { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        self.find(address, name, same).is_break()
    }

    fn members_of(&self, mut head: u32, found: &mut impl FnMut(Class) -> ControlFlow<()>) -> ControlFlow<()> {
        while head != END {
            if head & ONE != 0 {
                return found(head & !ONE);
            }
            let Member { class, next } = self.members[head as usize];
            found(class)?;
            head = next;
        }
        ControlFlow::Continue(())
    }

    fn text_of(&self, name: &Name) -> &str {
        &self.text[name.begin as usize..][..name.len.into()]
    }

    fn add_v4(&mut self, length: u8, bits: u32, class: Class) {
        self.v4.add(length, bits, class, &mut self.members);
    }

    fn add_v6(&mut self, length: u8, bits: u128, class: Class) {
        self.v6.add(length, bits, class, &mut self.members);
    }

    fn add_name(&mut self, name: &str, class: Class, list: fn(&mut Name) -> &mut u32) {
        let Self { hasher, members, text, names, .. } = self;
        let at = |known: &Name| known.begin as usize..known.begin as usize + usize::from(known.len);
        let entry = names.entry(
            hasher.hash_one(name),
            |known| &text[at(known)] == name,
            |known| hasher.hash_one(&text[at(known)]),
        );
        let mut entry =
            entry.or_insert_with(|| Name { begin: u32::MAX, len: name.len() as u16, exact: END, tree: END });
        if entry.get().begin == u32::MAX {
            entry.get_mut().begin = u32::try_from(text.len()).expect("fewer bytes than the files have");
            text.push_str(name);
        }
        push(members, list(entry.get_mut()), class);
    }
}

impl<A: Copy + Eq + std::hash::Hash> Nets<A> {
    fn add(&mut self, length: u8, bits: A, class: Class, members: &mut Vec<Member>) {
        if let Err(at) = self.lengths.binary_search(&length) {
            self.lengths.insert(at, length);
        }
        push(members, self.lists.entry((length, bits)).or_insert(END), class);
    }

    fn find(&self, masked: impl Fn(u8) -> A, found: &mut dyn FnMut(u32) -> ControlFlow<()>) -> ControlFlow<()> {
        for length in &self.lengths {
            if let Some(head) = self.lists.get(&(*length, masked(*length))) {
                found(*head)?;
            }
        }
        ControlFlow::Continue(())
    }
}

/// Puts a class before a list, unless it is its first already.
fn push(members: &mut Vec<Member>, head: &mut u32, class: Class) {
    let add = |members: &mut Vec<Member>, class, next| {
        members.push(Member { class, next });
        u32::try_from(members.len() - 1).expect("the entries are bounded")
    };
    *head = match *head {
        END => class | ONE,
        one if one & ONE != 0 && one & !ONE == class => return,
        one if one & ONE != 0 => {
            let last = add(members, one & !ONE, END);
            add(members, class, last)
        }
        first if members[first as usize].class == class => return,
        first => add(members, class, first),
    };
}
