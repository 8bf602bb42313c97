//! What can be wrong with a PDU, and the reason a Reject gives for it.

use super::Opcode;
use std::fmt;

/// Reasons of a Reject (RFC 7143, 11.17.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum RejectReason {
    DataDigest = 0x02,
    Snack = 0x03,
    ProtocolError = 0x04,
    CommandNotSupported = 0x05,
    TooManyImmediate = 0x06,
    TaskInProgress = 0x07,
    InvalidDataAck = 0x08,
    InvalidPduField = 0x09,
    /// No Target Transfer Tag left.
    LongOperation = 0x0a,
    /// Defined by RFC 3720 only.
    NegotiationReset = 0x0b,
    WaitingForLogout = 0x0c,
}

impl RejectReason {
    pub const fn from_byte(b: u8) -> Option<Self> {
        Some(match b {
            0x02 => Self::DataDigest,
            0x03 => Self::Snack,
            0x04 => Self::ProtocolError,
            0x05 => Self::CommandNotSupported,
            0x06 => Self::TooManyImmediate,
            0x07 => Self::TaskInProgress,
            0x08 => Self::InvalidDataAck,
            0x09 => Self::InvalidPduField,
            0x0a => Self::LongOperation,
            0x0b => Self::NegotiationReset,
            0x0c => Self::WaitingForLogout,
            _ => return None,
        })
    }

    /// The words for a raw reason, known or not.
    pub const fn name(b: u8) -> &'static str {
        match Self::from_byte(b) {
            Some(Self::DataDigest) => "data digest error",
            Some(Self::Snack) => "SNACK rejected",
            Some(Self::ProtocolError) => "protocol error",
            Some(Self::CommandNotSupported) => "command not supported",
            Some(Self::TooManyImmediate) => "too many immediate commands",
            Some(Self::TaskInProgress) => "task in progress",
            Some(Self::InvalidDataAck) => "invalid data acknowledgement",
            Some(Self::InvalidPduField) => "invalid PDU field",
            Some(Self::LongOperation) => "no target transfer tag left",
            Some(Self::NegotiationReset) => "negotiation reset",
            Some(Self::WaitingForLogout) => "waiting for logout",
            None => "unknown reason",
        }
    }
}

/// A header field that can be wrong.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
pub enum Field {
    Opcode,
    Flags,
    TotalAhsLength,
    DataSegmentLength,
    InitiatorTaskTag,
    TargetTransferTag,
    /// CSG, NSG, T and C of a login PDU.
    Stage,
    /// Task attribute of a SCSI command.
    TaskAttribute,
    LogoutReason,
    SnackType,
    /// An additional header segment.
    Ahs,
    ExpectedDataLength,
    DesiredDataLength,
    BufferOffset,
}

impl Field {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opcode => "opcode",
            Self::Flags => "flags",
            Self::TotalAhsLength => "TotalAHSLength",
            Self::DataSegmentLength => "DataSegmentLength",
            Self::InitiatorTaskTag => "Initiator Task Tag",
            Self::TargetTransferTag => "Target Transfer Tag",
            Self::Stage => "stage and transit bits",
            Self::TaskAttribute => "task attribute",
            Self::LogoutReason => "reason code",
            Self::SnackType => "SNACK type",
            Self::Ahs => "additional header segment",
            Self::ExpectedDataLength => "Expected Data Transfer Length",
            Self::DesiredDataLength => "Desired Data Transfer Length",
            Self::BufferOffset => "Buffer Offset",
        }
    }
}

/// Why a PDU cannot be accepted by its header alone.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum PduError {
    UnknownOpcode(u8),
    BadField {
        opcode: Opcode,
        field: Field,
        value: u32,
    },
    /// Nothing in the header can be trusted, its length neither: the connection is lost
    /// (RFC 7143, 7.7).
    HeaderDigest {
        received: u32,
        computed: u32,
    },
}

impl PduError {
    pub(super) const fn field(opcode: Opcode, field: Field, value: u32) -> Self {
        Self::BadField {
            opcode,
            field,
            value,
        }
    }

    /// The reason to reject the PDU with; none where the connection has to go instead.
    pub const fn reject(&self) -> Option<RejectReason> {
        match self {
            Self::UnknownOpcode(_) => Some(RejectReason::CommandNotSupported),
            Self::BadField { .. } => Some(RejectReason::InvalidPduField),
            Self::HeaderDigest { .. } => None,
        }
    }
}

impl fmt::Display for PduError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOpcode(v) => write!(f, "unknown opcode {v:#04x}"),
            Self::BadField {
                opcode,
                field,
                value,
            } => write!(f, "{opcode}: {} {value:#x} is not valid", field.name()),
            Self::HeaderDigest { received, computed } => write!(
                f,
                "header digest {received:#010x} received, {computed:#010x} computed"
            ),
        }
    }
}

impl std::error::Error for PduError {}
