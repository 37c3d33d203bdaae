//! Net buffer lists: the packets that the engine lends to callouts and those that drivers make, with the records and
//! functions of NDIS (learn.microsoft.com "NET_BUFFER Architecture").
//!
//! * `block` is memory that is poisoned before it goes; `buffer` walks a net buffer's descriptor lists.
//! * `lists` knows every list there is, who made it and who uses it; `lend` makes the ones that callouts are shown.
//! * `symbols` are the `Ndis*` functions, and the `Fwps*` ones that make, clone and free lists.
//!
//! Invariants: a lent list is as it was when the classify returns, and poison after the indication; what a driver made is freed
//! once, by the function that belongs to it. The rules carry names:
//!
//! | rule | |
//! |---|---|
//! | V-NBL-01 | a lent list does not begin or end where it did: a retreat without its advance |
//! | V-NBL-02 | a lent list was freed or injected: it belongs to the stack |
//! | V-NBL-03 | a list was freed twice, by the wrong function, or never existed |
//! | V-NBL-04 | a list was freed while it is injected, cloned or referenced |
//! | V-NBL-05 | a list or net buffer was used that is not there, or is no longer |
//! | V-NBL-06 | a pool or generic object was used or freed wrongly |
//! | V-NBL-07 | warning: a clone or reference outlived the classify, so a packet of the stack waits (R19) |
//! | V-NBL-08 | the bytes of a lent packet were changed |
//! | V-NBL-09 | a list claims bytes that its descriptor lists do not have |
//! | V-NBL-10 | lists, pools or objects are left at shutdown |

mod block;
mod buffer;
mod lend;
mod lists;
mod symbols;

pub(crate) use lend::{Lent, Start};
pub(crate) use lists::{Injected, ListPtr, Lists, Travel};

/// A broken rule and who broke it.
pub(crate) type Broken = (&'static str, String);
