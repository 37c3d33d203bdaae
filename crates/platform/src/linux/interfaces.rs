//! Network interfaces, as the kernel numbers them (man 7 netdevice, `SIOCGIFNAME`).
//!
//! Neighbours: `windows::interfaces` is the twin, with the same name.

use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};

/// The name of the interface with that index; `None` when there is none. There are no LUIDs here.
pub fn name(_luid: u64, index: u32) -> Option<String> {
    if index == 0 {
        return None;
    }
    // Any socket will do.
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).ok()?;
    netdevice::index_to_name(socket, index).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_a_name_and_one_that_is_not_there_has_none() {
        // The loopback device is made first in each network namespace (net/core/net_namespace.c of the kernel).
        assert_eq!(name(0, 1).as_deref(), Some("lo"));
        assert_eq!(name(7, 0), None);
        assert_eq!(name(7, u32::MAX >> 1), None);
    }
}
