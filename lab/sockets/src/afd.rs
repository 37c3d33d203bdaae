//! The AFD calls of Wine 8 to 10 that open a connection or send to an address.
//!
//! In Wine every `connect`, `WSAConnect`, `ConnectEx`, `sendto` and `WSASendTo` of every runtime ends in one
//! `NtDeviceIoControlFile` with one of these codes (observed with C, Go, libuv and Tokio programs).

use crate::address::{Address, array};

/// `connect` in all its forms.
pub const CONNECT: u32 = 0x0012_032C;
/// A send; with an address when the socket is not connected.
pub const SEND_MESSAGE: u32 = 0x0012_0338;
/// Family, type and protocol of a socket, as three 32-bit words.
pub const GET_INFO: u32 = (0x12 << 16) | (218 << 2);
/// The local address of a bound socket, as a sockaddr.
pub const GET_SOCKET_NAME: u32 = 0x0001_202F;

/// `SOCK_STREAM`.
const STREAM: u32 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// The remote address in the parameters of [`CONNECT`]: length, a flag, then the sockaddr.
#[must_use]
pub fn connect_address(parameters: &[u8]) -> Option<Address> {
    Address::from_sockaddr(parameters.get(8..)?)
}

/// Where [`SEND_MESSAGE`] keeps its address: pointer and length in the asking process; `None` on a connected socket.
#[must_use]
pub fn send_address(parameters: &[u8]) -> Option<(u64, usize)> {
    let pointer = u64::from_le_bytes(array(parameters, 0)?);
    let length = u32::from_le_bytes(array(parameters, 8)?);
    (pointer != 0).then_some((pointer, length as usize))
}

/// Puts another address where [`send_address`] found one.
pub fn set_send_address(parameters: &mut [u8], pointer: u64, length: usize) {
    if let Some((head, _)) = parameters.split_at_mut_checked(12) {
        head[..8].copy_from_slice(&pointer.to_le_bytes());
        head[8..].copy_from_slice(&(length as u32).to_le_bytes());
    }
}

/// The IP protocol in a reply to [`GET_INFO`]; sockets made with protocol 0 have the default of their type.
#[must_use]
pub fn protocol(info: [u32; 3]) -> u8 {
    let [_family, kind, protocol] = info;
    match u8::try_from(protocol) {
        Ok(0) | Err(_) if kind == STREAM => TCP,
        Ok(0) | Err(_) => UDP,
        Ok(protocol) => protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_names_its_remote_after_eight_bytes() {
        let mut parameters = [0; 24];
        parameters[8..16].copy_from_slice(&[2, 0, 1, 187, 1, 2, 3, 4]);
        let address = connect_address(&parameters).expect("an address");
        assert_eq!(address.ip.to_string(), "1.2.3.4");
        assert_eq!(address.port, 443);
        assert_eq!(connect_address(&parameters[..10]), None);
    }

    #[test]
    fn a_send_on_a_connected_socket_has_no_address() {
        assert_eq!(send_address(&[0; 40]), None);
        let mut parameters = [0; 40];
        parameters[0] = 0x10;
        parameters[8] = 16;
        assert_eq!(send_address(&parameters), Some((0x10, 16)));
        set_send_address(&mut parameters, 0x20, 28);
        assert_eq!(send_address(&parameters), Some((0x20, 28)));
    }

    #[test]
    fn protocol_zero_means_the_default_of_the_socket_type() {
        assert_eq!(protocol([2, 1, 0]), TCP);
        assert_eq!(protocol([2, 2, 0]), UDP);
        assert_eq!(protocol([2, 3, 1]), 1);
    }

    extern crate std;
    use std::string::ToString;
}
