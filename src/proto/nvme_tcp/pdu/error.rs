//! What can be wrong with a PDU, and how a termination request says so.

use super::PduType;
use std::fmt;

/// Fatal error status of a termination request (figures "H2CTermReq", "C2HTermReq").
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
#[repr(u16)]
pub enum Fes {
    InvalidHeaderField = 1,
    SequenceError = 2,
    HeaderDigest = 3,
    OutOfRange = 4,
    /// From a host: more R2Ts than MAXR2T. From a controller: more data than MAXH2CDATA.
    LimitExceeded = 5,
    UnsupportedParameter = 6,
}

impl Fes {
    pub const fn from_u16(v: u16) -> Option<Self> {
        Some(match v {
            1 => Self::InvalidHeaderField,
            2 => Self::SequenceError,
            3 => Self::HeaderDigest,
            4 => Self::OutOfRange,
            5 => Self::LimitExceeded,
            6 => Self::UnsupportedParameter,
            _ => return None,
        })
    }

    /// The words for a raw status, known or not.
    pub const fn name(v: u16) -> &'static str {
        match Self::from_u16(v) {
            Some(Self::InvalidHeaderField) => "invalid PDU header field",
            Some(Self::SequenceError) => "PDU sequence error",
            Some(Self::HeaderDigest) => "header digest error",
            Some(Self::OutOfRange) => "data transfer out of range",
            Some(Self::LimitExceeded) => "transfer limit exceeded",
            Some(Self::UnsupportedParameter) => "unsupported parameter",
            None => "unknown status",
        }
    }
}

/// A header field that can be wrong.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
pub enum Field {
    Type,
    Flags,
    Hlen,
    Pdo,
    Plen,
    Pfv,
    Pda,
    Digest,
    MaxR2t,
    MaxH2cData,
    Cccid,
    Ttag,
    /// DATAO or R2TO.
    Offset,
    /// DATAL or R2TL.
    DataLen,
    /// The submission or completion queue entry in a capsule.
    Entry,
}

impl Field {
    /// Offset of the field in its PDU: the FEI of "invalid PDU header field".
    pub const fn offset(self) -> u32 {
        match self {
            Self::Type => 0,
            Self::Flags => 1,
            Self::Hlen => 2,
            Self::Pdo => 3,
            Self::Plen => 4,
            Self::Pfv | Self::Cccid | Self::Entry => 8,
            Self::Pda | Self::Ttag => 10,
            Self::Digest => 11,
            Self::MaxR2t | Self::MaxH2cData | Self::Offset => 12,
            Self::DataLen => 16,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Type => "PDU-Type",
            Self::Flags => "FLAGS",
            Self::Hlen => "HLEN",
            Self::Pdo => "PDO",
            Self::Plen => "PLEN",
            Self::Pfv => "PFV",
            Self::Pda => "PDA",
            Self::Digest => "DGST",
            Self::MaxR2t => "MAXR2T",
            Self::MaxH2cData => "MAXH2CDATA",
            Self::Cccid => "CCCID",
            Self::Ttag => "TTAG",
            Self::Offset => "offset",
            Self::DataLen => "length",
            Self::Entry => "queue entry",
        }
    }
}

/// Why a PDU cannot be accepted by its header alone.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum PduError {
    UnknownType(u8),
    BadField {
        kind: PduType,
        field: Field,
        value: u32,
    },
    Unsupported {
        kind: PduType,
        field: Field,
        value: u32,
    },
    HeaderDigest {
        kind: PduType,
        received: u32,
        computed: u32,
    },
}

impl PduError {
    pub const fn field(kind: PduType, field: Field, value: u32) -> Self {
        Self::BadField { kind, field, value }
    }

    pub const fn unsupported(kind: PduType, field: Field, value: u32) -> Self {
        Self::Unsupported { kind, field, value }
    }

    /// Status and information for a termination request.
    pub const fn term(&self) -> (Fes, u32) {
        match self {
            Self::UnknownType(_) => (Fes::InvalidHeaderField, Field::Type.offset()),
            Self::BadField { field, .. } => (Fes::InvalidHeaderField, field.offset()),
            Self::Unsupported { field, .. } => (Fes::UnsupportedParameter, field.offset()),
            Self::HeaderDigest { received, .. } => (Fes::HeaderDigest, *received),
        }
    }
}

impl fmt::Display for PduError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType(v) => write!(f, "unknown PDU type {v:#04x}"),
            Self::BadField { kind, field, value } => {
                write!(f, "{kind}: {} {value:#x} is not valid", field.name())
            }
            Self::Unsupported { kind, field, value } => {
                write!(f, "{kind}: {} {value:#x} is not supported", field.name())
            }
            Self::HeaderDigest {
                kind,
                received,
                computed,
            } => write!(
                f,
                "{kind}: header digest {received:#010x} received, {computed:#010x} computed"
            ),
        }
    }
}

impl std::error::Error for PduError {}
