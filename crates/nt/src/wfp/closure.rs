//! ALE_ENDPOINT_CLOSURE: a socket goes away.
//!
//! The classify carries the endpoint in its metadata, the same handle as at ALE_AUTH_CONNECT (learn.microsoft.com "ALE
//! Endpoint Lifetime Management"). Its values are of no use to us.

use super::Guid;
use nt_sys::fwpm::{FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V4, FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V6};

/// The management key of the layer for IPv4.
pub const LAYER_V4: Guid = FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V4;
/// The management key of the layer for IPv6.
pub const LAYER_V6: Guid = FWPM_LAYER_ALE_ENDPOINT_CLOSURE_V6;
