//! What the filter engine hands to a classify function at ALE_AUTH_CONNECT_V4, made by hand, so that calling the function
//! costs nothing but the function.

use nt_sys::fwps::*;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr};
use std::ptr::{self, null, null_mut};

/// The records of one indication. Values and metadata point into the boxes beside them.
pub struct Indication {
    values: FWPS_INCOMING_VALUES0,
    metadata: FWPS_INCOMING_METADATA_VALUES0,
    _fields: Box<[FWPS_INCOMING_VALUE0]>,
    _app_id: Blob,
    _user: Blob,
    _interface: Box<u64>,
}

/// Bytes behind a record that gives their length.
struct Blob {
    record: Box<FWP_BYTE_BLOB>,
    _words: Box<[u64]>,
}

impl Indication {
    /// The first authorization of a TCP connect from `program` to `remote`.
    pub fn new(program: &str, process_id: u64, remote: SocketAddr, endpoint: u64) -> Self {
        let SocketAddr::V4(remote) = remote else { panic!("an IPv4 address") };
        let units: Vec<u8> = program.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        let (mut app_id, mut user, mut interface) = (Blob::of(&units), Blob::token(), Box::new(0x0600_0000_0000_0000));
        let mut fields = vec![value(FWP_EMPTY, FWP_VALUE0_UNION { uint32: 0 }); FWPS_FIELD_ALE_AUTH_CONNECT_MAX];
        let uint32 = |number| value(FWP_UINT32, FWP_VALUE0_UNION { uint32: number });
        let uint16 = |number| value(FWP_UINT16, FWP_VALUE0_UNION { uint16: number });
        for (field, value) in [
            (
                FWPS_FIELD_ALE_AUTH_CONNECT_ALE_APP_ID,
                value(FWP_BYTE_BLOB_TYPE, FWP_VALUE0_UNION { byteBlob: &raw mut *app_id.record }),
            ),
            (
                FWPS_FIELD_ALE_AUTH_CONNECT_ALE_USER_ID,
                value(
                    FWP_TOKEN_ACCESS_INFORMATION_TYPE,
                    FWP_VALUE0_UNION { tokenAccessInformation: &raw mut *user.record },
                ),
            ),
            (FWPS_FIELD_ALE_AUTH_CONNECT_IP_LOCAL_ADDRESS, uint32(Ipv4Addr::new(10, 0, 0, 2).to_bits())),
            (FWPS_FIELD_ALE_AUTH_CONNECT_IP_LOCAL_PORT, uint16(50_000)),
            (FWPS_FIELD_ALE_AUTH_CONNECT_IP_PROTOCOL, value(FWP_UINT8, FWP_VALUE0_UNION { uint8: 6 })),
            (FWPS_FIELD_ALE_AUTH_CONNECT_IP_REMOTE_ADDRESS, uint32(remote.ip().to_bits())),
            (FWPS_FIELD_ALE_AUTH_CONNECT_IP_REMOTE_PORT, uint16(remote.port())),
            (
                FWPS_FIELD_ALE_AUTH_CONNECT_IP_LOCAL_INTERFACE,
                value(FWP_UINT64, FWP_VALUE0_UNION { uint64: &raw mut *interface }),
            ),
            (FWPS_FIELD_ALE_AUTH_CONNECT_FLAGS, uint32(0)),
            (FWPS_FIELD_ALE_AUTH_CONNECT_INTERFACE_INDEX, uint32(12)),
            (FWPS_FIELD_ALE_AUTH_CONNECT_REAUTHORIZE_REASON, uint32(0)),
            (FWPS_FIELD_ALE_AUTH_CONNECT_COMPARTMENT_ID, uint32(1)),
        ] {
            fields[field] = value;
        }
        let mut fields = fields.into_boxed_slice();
        let values = FWPS_INCOMING_VALUES0 {
            layerId: FWPS_LAYER_ALE_AUTH_CONNECT_V4,
            valueCount: fields.len() as u32,
            incomingValue: fields.as_mut_ptr(),
        };
        let metadata = metadata(process_id, endpoint);
        Self { values, metadata, _fields: fields, _app_id: app_id, _user: user, _interface: interface }
    }

    /// Calls a classify function, which must not pend; gives the action.
    pub fn classify(&self, function: FWPS_CALLOUT_CLASSIFY_FN3) -> FWP_ACTION_TYPE {
        let mut out = FWPS_CLASSIFY_OUT0 {
            actionType: FWP_ACTION_CONTINUE,
            outContext: 0,
            filterId: 0,
            rights: FWPS_RIGHT_ACTION_WRITE,
            flags: 0,
            reserved: 0,
        };
        // SAFETY: values, metadata and the answer are whole records that live for the call; there is no packet, and the
        // driver looks at the filter only if there is one.
        unsafe {
            function(&raw const self.values, &raw const self.metadata, null_mut(), null(), null(), 0, &raw mut out)
        };
        out.actionType
    }
}

fn metadata(process_id: u64, endpoint: u64) -> FWPS_INCOMING_METADATA_VALUES0 {
    let zeroed = MaybeUninit::<FWPS_INCOMING_METADATA_VALUES0>::zeroed();
    // SAFETY: the record is numbers and pointers, for which zero is a value.
    let zeroed = unsafe { zeroed.assume_init() };
    FWPS_INCOMING_METADATA_VALUES0 {
        currentMetadataValues: FWPS_METADATA_FIELD_PROCESS_ID
            | FWPS_METADATA_FIELD_TRANSPORT_ENDPOINT_HANDLE
            | FWPS_METADATA_FIELD_COMPARTMENT_ID
            | FWPS_METADATA_FIELD_COMPLETION_HANDLE,
        processId: process_id,
        transportEndpointHandle: endpoint,
        compartmentId: 1,
        completionHandle: ptr::without_provenance_mut(0x10),
        ..zeroed
    }
}

fn value(kind: FWP_DATA_TYPE, u: FWP_VALUE0_UNION) -> FWPS_INCOMING_VALUE0 {
    FWPS_INCOMING_VALUE0 { value: FWP_VALUE0 { r#type: kind, u } }
}

impl Blob {
    fn of(bytes: &[u8]) -> Self {
        let words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        });
        Self::of_words(words.collect(), bytes.len())
    }

    /// A `TOKEN_ACCESS_INFORMATION` with one SID: the record points to a list, which points to the SID, all in itself.
    fn token() -> Self {
        let mut blob = Self::of_words(vec![0; 8].into_boxed_slice(), 64);
        let start = blob.record.data.addr() as u64;
        // S-1-5-21-1-2-3-1001.
        let sid = [0x0500_0000_0000_0501, 21 | 1 << 32, 2 | 3 << 32, 1001];
        let words = [start + 8, 1, start + 24, start + 32];
        for (place, word) in words.into_iter().chain(sid).enumerate() {
            blob._words[place] = word;
        }
        blob.record.data = blob._words.as_mut_ptr().cast();
        blob
    }

    fn of_words(mut words: Box<[u64]>, size: usize) -> Self {
        let data = words.as_mut_ptr().cast::<c_void>().cast();
        Self { record: Box::new(FWP_BYTE_BLOB { size: size as u32, data }), _words: words }
    }
}
