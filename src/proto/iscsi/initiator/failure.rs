//! Why a connection ended. Error recovery level 0: each of these ends the session, which is then
//! built anew (RFC 7143, 7.1.4.1).

use std::fmt;

/// Why the connection is of no use any more. Opcodes and tags as they came.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// An opcode that has no place here now.
    UnexpectedPdu {
        opcode: u8,
    },
    /// A digest over a header was wrong: where the next one starts is unknown.
    HeaderDigest {
        opcode: u8,
    },
    /// A digest over data without which the PDU means nothing was wrong.
    DataDigest {
        opcode: u8,
    },
    /// More data than we declared to take, or than such a PDU may carry.
    DataSegmentTooLong {
        opcode: u8,
        len: u32,
        max: u32,
    },
    /// An additional header segment where none belongs.
    UnexpectedAhs {
        opcode: u8,
        words: u8,
    },
    /// A tag that names no task that waits for an answer.
    UnknownTask {
        opcode: u8,
        itt: u32,
    },
    /// A status number was skipped or used twice: answers were lost.
    StatSn {
        expected: u32,
        got: u32,
    },
    /// Data or an R2T for a task that has none in that direction.
    WrongDirection {
        opcode: u8,
        itt: u32,
    },
    /// A Data-In or R2T out of sequence (DataPDUInOrder and DataSequenceInOrder are Yes).
    DataSn {
        itt: u32,
        expected: u32,
        got: u32,
    },
    DataOffset {
        itt: u32,
        expected: u32,
        got: u32,
    },
    DataRange {
        itt: u32,
        offset: u32,
        len: u32,
        size: u32,
    },
    R2tEmpty {
        itt: u32,
    },
    R2tTooLong {
        itt: u32,
        len: u32,
        max: u32,
    },
    R2tLimit {
        itt: u32,
        max: u32,
    },
    /// GOOD before all data was sent.
    GoodBeforeData {
        itt: u32,
        asked: u32,
        size: u32,
    },
    /// The target rejected a PDU of ours.
    Rejected {
        reason: u8,
        opcode: u8,
    },
    /// More pings of the target than answers fit.
    TooManyPings,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UnexpectedPdu { opcode } => write!(f, "unexpected PDU, opcode {opcode:#04x}"),
            Self::HeaderDigest { opcode } => {
                write!(f, "wrong header digest, opcode {opcode:#04x}")
            }
            Self::DataDigest { opcode } => write!(f, "wrong data digest, opcode {opcode:#04x}"),
            Self::DataSegmentTooLong { opcode, len, max } => write!(
                f,
                "data segment of {len} bytes, at most {max} may come, opcode {opcode:#04x}"
            ),
            Self::UnexpectedAhs { opcode, words } => write!(
                f,
                "additional header segment of {words} words, opcode {opcode:#04x}"
            ),
            Self::UnknownTask { opcode, itt } => {
                write!(f, "no task has tag {itt:#010x}, opcode {opcode:#04x}")
            }
            Self::StatSn { expected, got } => {
                write!(f, "StatSN {got}, expected {expected}: answers were lost")
            }
            Self::WrongDirection { opcode, itt } => write!(
                f,
                "task {itt:#010x} has no data in that direction, opcode {opcode:#04x}"
            ),
            Self::DataSn { itt, expected, got } => {
                write!(f, "task {itt:#010x}: DataSN {got}, expected {expected}")
            }
            Self::DataOffset { itt, expected, got } => write!(
                f,
                "task {itt:#010x}: buffer offset {got}, expected {expected}"
            ),
            Self::DataRange {
                itt,
                offset,
                len,
                size,
            } => write!(
                f,
                "task {itt:#010x}: {len} bytes at {offset}, the task has {size}"
            ),
            Self::R2tEmpty { itt } => write!(f, "task {itt:#010x}: R2T for no bytes"),
            Self::R2tTooLong { itt, len, max } => write!(
                f,
                "task {itt:#010x}: R2T for {len} bytes, MaxBurstLength is {max}"
            ),
            Self::R2tLimit { itt, max } => {
                write!(f, "task {itt:#010x}: more than {max} R2Ts outstanding")
            }
            Self::GoodBeforeData { itt, asked, size } => write!(
                f,
                "task {itt:#010x}: GOOD after {asked} of {size} bytes were asked for"
            ),
            Self::Rejected { reason, opcode } => write!(
                f,
                "the target rejected a PDU of ours: reason {reason:#04x} ({}), opcode {opcode:#04x}",
                reject_name(reason)
            ),
            Self::TooManyPings => f.write_str("more pings than answers fit"),
        }
    }
}

impl std::error::Error for Failure {}

/// Reject reasons (RFC 7143, 11.17.1).
pub(super) const fn reject_name(reason: u8) -> &'static str {
    match reason {
        0x02 => "data digest error",
        0x03 => "SNACK reject",
        0x04 => "protocol error",
        0x05 => "command not supported",
        0x06 => "too many immediate commands",
        0x07 => "task in progress",
        0x08 => "invalid data ack",
        0x09 => "invalid PDU field",
        0x0a => "long operation reject",
        0x0c => "waiting for logout",
        _ => "unknown reason",
    }
}
