//! Values of an indication, operands of conditions, and how the one is matched against the other.
//!
//! Invariant: an empty value matches only "equal to empty" (learn.microsoft.com "ALE Reauthorization").

use super::access;
use nt_sys::fwp::*;
use std::cmp::Ordering;

/// The type that a field has at every layer; addresses are integers for IPv4 and bytes for IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    U8,
    U16,
    U32,
    U64,
    Address,
    Blob,
    Sid,
    Token,
    Text,
}

/// A value as it is indicated.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Empty,
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    Bytes16([u8; 16]),
    Blob(&'a [u8]),
    Sid(&'a [u8]),
    /// The SIDs of a token, the user first.
    Token(&'a [Vec<u8>]),
}

/// What a condition compares with, in memory of the engine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Empty,
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    Bytes16([u8; 16]),
    Blob(Vec<u8>),
    Sid(Vec<u8>),
    Descriptor(Vec<u8>),
    Text(Vec<u16>),
    V4Net {
        address: u32,
        mask: u32,
    },
    V6Net {
        address: [u8; 16],
        prefix: u8,
    },
    Range(Box<(Operand, Operand)>),
    /// A type that no field here has.
    Foreign(FWP_DATA_TYPE),
}

impl Operand {
    /// Whether a field of `kind` can be compared with this.
    pub fn fits(&self, kind: Kind, is_v6: bool) -> bool {
        match self {
            Self::Empty => true,
            Self::U8(_) => kind == Kind::U8,
            Self::U16(_) => kind == Kind::U16,
            Self::U32(_) => kind == Kind::U32 || (kind == Kind::Address && !is_v6),
            Self::U64(_) => kind == Kind::U64,
            Self::Bytes16(_) => kind == Kind::Address && is_v6,
            Self::Blob(_) => kind == Kind::Blob,
            Self::Sid(_) => kind == Kind::Sid,
            Self::Descriptor(_) => kind == Kind::Token,
            Self::Text(_) => kind == Kind::Text,
            Self::V4Net { .. } => kind == Kind::Address && !is_v6,
            Self::V6Net { .. } => kind == Kind::Address && is_v6,
            Self::Range(ends) => {
                let (low, high) = ends.as_ref();
                low.is_ordered() && low.fits(kind, is_v6) && high.fits(kind, is_v6)
            }
            Self::Foreign(_) => false,
        }
    }

    /// Whether `match_type` is defined for this type (learn.microsoft.com "FWP_MATCH_TYPE").
    pub fn allows(&self, match_type: FWP_MATCH_TYPE) -> bool {
        match match_type {
            FWP_MATCH_EQUAL => !matches!(self, Self::Range(_)),
            FWP_MATCH_RANGE => matches!(self, Self::Range(_)),
            FWP_MATCH_NOT_EQUAL => {
                self.is_ordered() || matches!(self, Self::V4Net { .. } | Self::V6Net { .. } | Self::Sid(_))
            }
            FWP_MATCH_GREATER | FWP_MATCH_LESS | FWP_MATCH_GREATER_OR_EQUAL | FWP_MATCH_LESS_OR_EQUAL => {
                self.is_ordered()
            }
            FWP_MATCH_FLAGS_ALL_SET | FWP_MATCH_FLAGS_ANY_SET | FWP_MATCH_FLAGS_NONE_SET => self.bits().is_some(),
            FWP_MATCH_EQUAL_CASE_INSENSITIVE => matches!(self, Self::Text(_)),
            FWP_MATCH_PREFIX | FWP_MATCH_NOT_PREFIX => matches!(self, Self::Text(_) | Self::Blob(_)),
            _ => false,
        }
    }

    fn is_ordered(&self) -> bool {
        self.bits().is_some() || matches!(self, Self::Bytes16(_) | Self::Blob(_) | Self::Text(_))
    }

    fn bits(&self) -> Option<u64> {
        match *self {
            Self::U8(n) => Some(n.into()),
            Self::U16(n) => Some(n.into()),
            Self::U32(n) => Some(n.into()),
            Self::U64(n) => Some(n),
            _ => None,
        }
    }

    /// How this orders against `other`; nothing when their types differ or have no order.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bytes16(a), Self::Bytes16(b)) => Some(a.cmp(b)),
            (Self::Blob(a), Self::Blob(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            _ if std::mem::discriminant(self) == std::mem::discriminant(other) => {
                Some(self.bits()?.cmp(&other.bits()?))
            }
            _ => None,
        }
    }
}

impl Value<'_> {
    /// Whether the condition `self match_type operand` holds.
    pub fn matches(self, match_type: FWP_MATCH_TYPE, operand: &Operand) -> bool {
        if matches!(self, Self::Empty) {
            return match_type == FWP_MATCH_EQUAL && *operand == Operand::Empty;
        }
        match match_type {
            FWP_MATCH_EQUAL => self.equals(operand),
            FWP_MATCH_NOT_EQUAL => !self.equals(operand),
            FWP_MATCH_GREATER => self.order(operand) == Some(Ordering::Greater),
            FWP_MATCH_LESS => self.order(operand) == Some(Ordering::Less),
            FWP_MATCH_GREATER_OR_EQUAL => self.order(operand).is_some_and(Ordering::is_ge),
            FWP_MATCH_LESS_OR_EQUAL => self.order(operand).is_some_and(Ordering::is_le),
            FWP_MATCH_RANGE => match operand {
                Operand::Range(ends) => {
                    self.order(&ends.0).is_some_and(Ordering::is_ge) && self.order(&ends.1).is_some_and(Ordering::is_le)
                }
                _ => false,
            },
            FWP_MATCH_FLAGS_ALL_SET => self.flags(operand, |value, mask| value & mask == mask),
            FWP_MATCH_FLAGS_ANY_SET => self.flags(operand, |value, mask| value & mask != 0),
            FWP_MATCH_FLAGS_NONE_SET => self.flags(operand, |value, mask| value & mask == 0),
            FWP_MATCH_PREFIX => self.has_prefix(operand),
            FWP_MATCH_NOT_PREFIX => !self.has_prefix(operand),
            _ => false,
        }
    }

    fn equals(self, operand: &Operand) -> bool {
        match (self, operand) {
            (Self::U32(value), Operand::V4Net { address, mask }) => value & mask == address & mask,
            (Self::Bytes16(value), Operand::V6Net { address, prefix }) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(*prefix)).unwrap_or(0);
                u128::from_be_bytes(value) & mask == u128::from_be_bytes(*address) & mask
            }
            (Self::Sid(value), Operand::Sid(sid)) => value == sid,
            (Self::Token(sids), Operand::Descriptor(descriptor)) => access::grants_match(descriptor, sids),
            _ => self.order(operand) == Some(Ordering::Equal),
        }
    }

    fn order(self, operand: &Operand) -> Option<Ordering> {
        match (self, operand) {
            (Self::U8(value), Operand::U8(n)) => Some(value.cmp(n)),
            (Self::U16(value), Operand::U16(n)) => Some(value.cmp(n)),
            (Self::U32(value), Operand::U32(n)) => Some(value.cmp(n)),
            (Self::U64(value), Operand::U64(n)) => Some(value.cmp(n)),
            (Self::Bytes16(value), Operand::Bytes16(bytes)) => Some(value.cmp(bytes)),
            (Self::Blob(value), Operand::Blob(bytes)) => Some(value.cmp(bytes)),
            _ => None,
        }
    }

    fn flags(self, operand: &Operand, test: impl FnOnce(u64, u64) -> bool) -> bool {
        let value = match self {
            Self::U8(n) => n.into(),
            Self::U16(n) => n.into(),
            Self::U32(n) => n.into(),
            Self::U64(n) => n,
            _ => return false,
        };
        operand.bits().is_some_and(|mask| test(value, mask))
    }

    fn has_prefix(self, operand: &Operand) -> bool {
        matches!((self, operand), (Self::Blob(value), Operand::Blob(prefix)) if value.starts_with(prefix))
    }
}
