//! iSCSI PDUs (RFC 7143, clause 11): headers only, payload stays where it is.
//!
//! Reading a PDU takes two steps, so that a machine can act on a header long before its data is
//! there. [`Header::parse`] looks at the basic header segment ([`BHS_LEN`] bytes) and
//! [`Header::layout`] checks it against what the connection agreed on and says where everything
//! lies. Then [`Repr::parse`] or the struct of that PDU reads the rest. Additional header segments
//! (of SCSI commands only) are read with [`Ahs`], the digests checked with [`check_header_digest`]
//! and, over data *and* its padding, against [`get_digest`].
//!
//! Writing: `emit` of a struct fills the basic header segment for a data segment of the given
//! length, then [`seal`] puts the header digest behind it where there is one. Data, [`pad`] zero
//! bytes and the data digest ([`put_digest`]) follow.
//!
//! Contract: no function panics on any bytes as long as slices have the lengths it names; `emit`
//! never panics on a buffer of at least [`BHS_LEN`] bytes. Reserved bits are written as zero and
//! ignored when read (RFC 7143, 11).

use std::fmt;

mod ahs;
mod error;
mod header;
mod initiator;
mod target;
#[cfg(test)]
mod tests;

pub use ahs::Ahs;
pub use error::{Field, PduError, RejectReason};
pub use header::{
    Header, Layout, check_header_digest, get_digest, header_len, put_digest, seal, total_len,
};
pub use initiator::{
    DataOut, InitiatorSn, LoginRequest, LogoutReason, LogoutRequest, NopOut, ScsiCommand, Snack,
    SnackType, TaskAttr, TaskFunction, TaskRequest, TextRequest,
};
pub use target::{
    Async, AsyncEvent, DataIn, LoginResponse, LogoutResponse, LogoutResult, NopIn, R2t, Reject,
    Residual, ScsiResponse, TargetSn, TaskResponse, TaskResult, TextResponse,
};

/// Bytes of the basic header segment.
pub const BHS_LEN: usize = 48;
/// A header or data digest.
pub const DIGEST_LEN: usize = 4;
/// Additional header segments at most: TotalAHSLength is a byte of words.
pub const AHS_MAX: usize = 255 * 4;
/// Room for any header with its additional segments and digest.
pub const HEADER_AREA: usize = BHS_LEN + AHS_MAX + DIGEST_LEN;
/// DataSegmentLength has 24 bits.
pub const DATA_SEGMENT_MAX: usize = (1 << 24) - 1;
/// The tag value that means "none" (ITT and TTT).
pub const NO_TAG: u32 = 0xffff_ffff;

/// Zero bytes that follow `len` bytes of a segment (RFC 7143, 11.1).
#[inline]
pub const fn pad(len: usize) -> usize {
    len.wrapping_neg() & 3
}

/// Opcodes (RFC 7143, 11.2.1.2).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum Opcode {
    NopOut = 0x00,
    ScsiCommand = 0x01,
    TaskRequest = 0x02,
    LoginRequest = 0x03,
    TextRequest = 0x04,
    DataOut = 0x05,
    LogoutRequest = 0x06,
    Snack = 0x10,
    NopIn = 0x20,
    ScsiResponse = 0x21,
    TaskResponse = 0x22,
    LoginResponse = 0x23,
    TextResponse = 0x24,
    DataIn = 0x25,
    LogoutResponse = 0x26,
    R2t = 0x31,
    Async = 0x32,
    Reject = 0x3f,
}

impl Opcode {
    pub const ALL: [Self; 18] = [
        Self::NopOut,
        Self::ScsiCommand,
        Self::TaskRequest,
        Self::LoginRequest,
        Self::TextRequest,
        Self::DataOut,
        Self::LogoutRequest,
        Self::Snack,
        Self::NopIn,
        Self::ScsiResponse,
        Self::TaskResponse,
        Self::LoginResponse,
        Self::TextResponse,
        Self::DataIn,
        Self::LogoutResponse,
        Self::R2t,
        Self::Async,
        Self::Reject,
    ];

    /// The opcode in the first byte of a header, whatever its immediate bit.
    #[inline]
    pub const fn from_byte(b: u8) -> Option<Self> {
        Some(match b & 0x3f {
            0x00 => Self::NopOut,
            0x01 => Self::ScsiCommand,
            0x02 => Self::TaskRequest,
            0x03 => Self::LoginRequest,
            0x04 => Self::TextRequest,
            0x05 => Self::DataOut,
            0x06 => Self::LogoutRequest,
            0x10 => Self::Snack,
            0x20 => Self::NopIn,
            0x21 => Self::ScsiResponse,
            0x22 => Self::TaskResponse,
            0x23 => Self::LoginResponse,
            0x24 => Self::TextResponse,
            0x25 => Self::DataIn,
            0x26 => Self::LogoutResponse,
            0x31 => Self::R2t,
            0x32 => Self::Async,
            0x3f => Self::Reject,
            _ => return None,
        })
    }

    /// An initiator sends it; else a target does.
    #[inline]
    pub const fn from_initiator(self) -> bool {
        (self as u8) < 0x20
    }

    /// It may carry a data segment.
    #[inline]
    pub const fn has_data(self) -> bool {
        !matches!(
            self,
            Self::TaskRequest
                | Self::LogoutRequest
                | Self::Snack
                | Self::TaskResponse
                | Self::LogoutResponse
                | Self::R2t
        )
    }

    /// Login PDUs never carry digests (RFC 7143, 13.1).
    #[inline]
    pub const fn digested(self) -> bool {
        !matches!(self, Self::LoginRequest | Self::LoginResponse)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::NopOut => "NOP-Out",
            Self::ScsiCommand => "SCSI Command",
            Self::TaskRequest => "Task Management Function Request",
            Self::LoginRequest => "Login Request",
            Self::TextRequest => "Text Request",
            Self::DataOut => "SCSI Data-Out",
            Self::LogoutRequest => "Logout Request",
            Self::Snack => "SNACK Request",
            Self::NopIn => "NOP-In",
            Self::ScsiResponse => "SCSI Response",
            Self::TaskResponse => "Task Management Function Response",
            Self::LoginResponse => "Login Response",
            Self::TextResponse => "Text Response",
            Self::DataIn => "SCSI Data-In",
            Self::LogoutResponse => "Logout Response",
            Self::R2t => "R2T",
            Self::Async => "Asynchronous Message",
            Self::Reject => "Reject",
        }
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which digests a connection uses in full feature phase.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Digests {
    pub header: bool,
    pub data: bool,
}

impl Digests {
    pub const NONE: Self = Self {
        header: false,
        data: false,
    };
}

/// Any PDU.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Repr {
    NopOut(NopOut),
    ScsiCommand(ScsiCommand),
    TaskRequest(TaskRequest),
    LoginRequest(LoginRequest),
    TextRequest(TextRequest),
    DataOut(DataOut),
    LogoutRequest(LogoutRequest),
    Snack(Snack),
    NopIn(NopIn),
    ScsiResponse(ScsiResponse),
    TaskResponse(TaskResponse),
    LoginResponse(LoginResponse),
    TextResponse(TextResponse),
    DataIn(DataIn),
    LogoutResponse(LogoutResponse),
    R2t(R2t),
    Async(Async),
    Reject(Reject),
}

impl Repr {
    /// Reads the basic header segment in `b`.
    pub fn parse(b: &[u8; BHS_LEN]) -> Result<Self, PduError> {
        let header = Header::parse(b)?;
        Ok(match header.opcode {
            Opcode::NopOut => Self::NopOut(NopOut::parse(b)),
            Opcode::ScsiCommand => Self::ScsiCommand(ScsiCommand::parse(b)?),
            Opcode::TaskRequest => Self::TaskRequest(TaskRequest::parse(b)?),
            Opcode::LoginRequest => Self::LoginRequest(LoginRequest::parse(b)?),
            Opcode::TextRequest => Self::TextRequest(TextRequest::parse(b)?),
            Opcode::DataOut => Self::DataOut(DataOut::parse(b)?),
            Opcode::LogoutRequest => Self::LogoutRequest(LogoutRequest::parse(b)?),
            Opcode::Snack => Self::Snack(Snack::parse(b)?),
            Opcode::NopIn => Self::NopIn(NopIn::parse(b)),
            Opcode::ScsiResponse => Self::ScsiResponse(ScsiResponse::parse(b)?),
            Opcode::TaskResponse => Self::TaskResponse(TaskResponse::parse(b)),
            Opcode::LoginResponse => Self::LoginResponse(LoginResponse::parse(b)?),
            Opcode::TextResponse => Self::TextResponse(TextResponse::parse(b)?),
            Opcode::DataIn => Self::DataIn(DataIn::parse(b)?),
            Opcode::LogoutResponse => Self::LogoutResponse(LogoutResponse::parse(b)),
            Opcode::R2t => Self::R2t(R2t::parse(b)?),
            Opcode::Async => Self::Async(Async::parse(b)),
            Opcode::Reject => Self::Reject(Reject::parse(b)),
        })
    }

    /// Writes the basic header segment for a data segment of `data_len` bytes, which is zero where
    /// the PDU carries none. For a SCSI command without additional header segments.
    pub fn emit(&self, data_len: usize, out: &mut [u8]) {
        match self {
            Self::NopOut(p) => p.emit(data_len, out),
            Self::ScsiCommand(p) => p.emit(0, data_len, out),
            Self::TaskRequest(p) => p.emit(out),
            Self::LoginRequest(p) => p.emit(data_len, out),
            Self::TextRequest(p) => p.emit(data_len, out),
            Self::DataOut(p) => p.emit(data_len, out),
            Self::LogoutRequest(p) => p.emit(out),
            Self::Snack(p) => p.emit(out),
            Self::NopIn(p) => p.emit(data_len, out),
            Self::ScsiResponse(p) => p.emit(data_len, out),
            Self::TaskResponse(p) => p.emit(out),
            Self::LoginResponse(p) => p.emit(data_len, out),
            Self::TextResponse(p) => p.emit(data_len, out),
            Self::DataIn(p) => p.emit(data_len, out),
            Self::LogoutResponse(p) => p.emit(out),
            Self::R2t(p) => p.emit(out),
            Self::Async(p) => p.emit(data_len, out),
            Self::Reject(p) => p.emit(data_len, out),
        }
    }
}
