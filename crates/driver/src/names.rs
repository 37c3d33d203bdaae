//! The names under which the kernel and the filter engine know us. None of them ever changes.

use nt::pool::Tag;
use nt::string::NameRef;
use nt::wfp::Guid;

/// The device.
pub(crate) const DEVICE: NameRef = nt::name!("\\Device\\Tollgate");
/// Its name for user mode, which opens it as `\\.\Tollgate`.
pub(crate) const LINK: NameRef = nt::name!("\\DosDevices\\Tollgate");
/// What our objects are called in `netsh wfp show state`.
pub(crate) const TITLE: NameRef = nt::name!("Tollgate");

/// Pool of the driver's own state.
pub(crate) const STATE_TAG: Tag = Tag(*b"TolS");

/// Pool of the gate's tables.
pub(crate) const GATE_TAG: Tag = Tag(*b"TolG");

/// Pool of packets that are kept.
pub(crate) const PACKET_TAG: Tag = Tag(*b"TolP");

/// Our provider of events: what TraceLogging makes of its name, `Tollgate.Driver`.
pub(crate) const EVENTS: Guid = Guid::from_u128(0xdcb4cc3e_6289_5f60_d558_5d4ef37f5e8c);

/// Our provider.
pub(crate) const PROVIDER: Guid = Guid::from_u128(wire::PROVIDER_KEY);
/// Our sublayer.
pub(crate) const SUBLAYER: Guid = Guid::from_u128(wire::SUBLAYER_KEY);
/// Below `FWPM_SUBLAYER_UNIVERSAL`, so that the system's own IPsec and ALE callouts come first (R24).
pub(crate) const SUBLAYER_WEIGHT: u16 = 0x100;

/// The callout at ALE_AUTH_CONNECT_V4, its filter, and the marker of that layer (`callouts`).
pub(crate) const CONNECT_V4: Guid = Guid::from_u128(0x6a4e4382_5fd2_4b5d_979f_0c9ebd957c18);
pub(crate) const CONNECT_V4_FILTER: Guid = Guid::from_u128(0xfde8f751_fccf_4ebc_b6c6_cc13ca7a8dab);
pub(crate) const CONNECT_V4_MARKER: Guid = Guid::from_u128(0x6400a7bb_cfb1_4b5a_acdc_81cb992da029);
/// The same at ALE_AUTH_CONNECT_V6.
pub(crate) const CONNECT_V6: Guid = Guid::from_u128(0x3c7ffc20_0fc3_47a8_9d75_2aef14d2b447);
pub(crate) const CONNECT_V6_FILTER: Guid = Guid::from_u128(0x63bb3ab7_3055_4421_b7e5_b00a53807211);
pub(crate) const CONNECT_V6_MARKER: Guid = Guid::from_u128(0x792d735d_3a80_4425_824b_5ec8e33b19af);
/// The same at ALE_AUTH_RECV_ACCEPT_V4.
pub(crate) const ACCEPT_V4: Guid = Guid::from_u128(0xcb902fc4_b16a_4cc1_9933_13c6060b23bb);
pub(crate) const ACCEPT_V4_FILTER: Guid = Guid::from_u128(0xa67cb749_e046_4a52_94a6_47189e9b51d5);
pub(crate) const ACCEPT_V4_MARKER: Guid = Guid::from_u128(0x7264d7ec_abc5_43fc_9bb9_2e1f5236469d);
/// The same at ALE_AUTH_RECV_ACCEPT_V6.
pub(crate) const ACCEPT_V6: Guid = Guid::from_u128(0xbb9afa89_78bd_489b_b602_d32d4a9bd795);
pub(crate) const ACCEPT_V6_FILTER: Guid = Guid::from_u128(0xfdb5b408_18af_4b0a_ac8b_fa67546defa1);
pub(crate) const ACCEPT_V6_MARKER: Guid = Guid::from_u128(0xbc05cb2d_d157_47ee_9462_efbeb7034568);
/// The callout at ALE_ENDPOINT_CLOSURE_V4, and its filter.
pub(crate) const CLOSURE_V4: Guid = Guid::from_u128(0x6f012fa6_3b2d_4fa4_952f_76dffd0bde37);
pub(crate) const CLOSURE_V4_FILTER: Guid = Guid::from_u128(0x446903bc_6ec8_427e_af10_25e14fe4e6e4);
/// The callout at ALE_ENDPOINT_CLOSURE_V6, and its filter.
pub(crate) const CLOSURE_V6: Guid = Guid::from_u128(0x0ad1cf5e_7f55_4b3c_8b4e_35c0f4f14d2a);
pub(crate) const CLOSURE_V6_FILTER: Guid = Guid::from_u128(0xd2c64b39_8a1f_4c0e_9b83_6a7a1d0c5e91);
