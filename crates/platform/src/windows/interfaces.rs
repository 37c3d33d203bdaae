//! Network interfaces, by the names that people see and change.
//!
//! Neighbours: `linux::interfaces` is the twin, with the same name.

use windows_sys::Win32::Foundation::NO_ERROR;
use windows_sys::Win32::NetworkManagement::IpHelper::{ConvertInterfaceIndexToLuid, ConvertInterfaceLuidToAlias};
use windows_sys::Win32::NetworkManagement::Ndis::{IF_MAX_STRING_SIZE, NET_LUID_LH};

/// The name of the interface with that LUID or, when that is `0`, with that index; `None` when there is none.
pub fn name(luid: u64, index: u32) -> Option<String> {
    let mut luid = NET_LUID_LH { Value: luid };
    // SAFETY: every member of the union is 64 bits that may have any value.
    if unsafe { luid.Value } == 0 {
        // SAFETY: `ConvertInterfaceIndexToLuid` needs room for a LUID.
        let code = unsafe { ConvertInterfaceIndexToLuid(index, &raw mut luid) };
        if index == 0 || code != NO_ERROR {
            return None;
        }
    }
    let mut text = [0; IF_MAX_STRING_SIZE as usize + 1];
    // SAFETY: `ConvertInterfaceLuidToAlias` needs
    // 1. a LUID;
    // 2. a buffer with room for as many characters as it is told.
    let code = unsafe { ConvertInterfaceLuidToAlias(&raw const luid, text.as_mut_ptr(), text.len()) };
    let name = text.split(|c| *c == 0).next().filter(|name| code == NO_ERROR && !name.is_empty())?;
    Some(String::from_utf16_lossy(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_has_no_name() {
        assert_eq!(name(0, 0), None);
        assert_eq!(name(u64::MAX, 0), None);
    }
}
