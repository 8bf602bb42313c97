//! Fabrics commands (Base 2.3 clause 6): Connect and Disconnect. Property Get and Set are in
//! [`super::property`] and re-exported here.
//!
//! A Fabrics command is opcode 7Fh with the command type (FCTYPE) in byte 4; NSID does not exist.

use super::bytes::{get, get16, get32, need, need_mut, put, put16, put32};
use super::error::{CodecError, Result};
use super::nqn::Nqn;
use super::opcode::{AdminOpcode, FabricsType};
use super::sqe::Sqe;

pub use super::property::{PropertyGet, PropertySet, PropertySize};

/// Bytes of Connect data.
pub const CONNECT_DATA_LEN: usize = 1024;
/// CNTLID of Connect data in the dynamic controller model: "give me any".
pub const CNTLID_DYNAMIC: u16 = 0xffff;
/// CNTLID of Connect data in the static controller model: "give me any".
pub const CNTLID_STATIC: u16 = 0xfffe;
/// Largest CNTLID that a controller can have.
pub const CNTLID_MAX: u16 = 0xffef;

mod field {
    pub(super) const FCTYPE: usize = 4;
    // Connect command
    pub(super) const RECFMT: usize = 40;
    pub(super) const QID: usize = 42;
    pub(super) const SQSIZE: usize = 44;
    pub(super) const CATTR: usize = 46;
    pub(super) const KATO: usize = 48;
    // Connect data
    pub(super) const HOSTID: usize = 0;
    pub(super) const CNTLID: usize = 16;
    pub(super) const SUBNQN: usize = 256;
    pub(super) const HOSTNQN: usize = 512;
}

/// The command type of a Fabrics command, `None` for any other opcode.
#[inline]
pub const fn fabrics_type(sqe: &Sqe) -> Option<FabricsType> {
    if sqe.opcode() == AdminOpcode::FABRICS.0 {
        Some(FabricsType(sqe.as_bytes()[field::FCTYPE]))
    } else {
        None
    }
}

/// A Fabrics command of that type with nothing else in it.
pub(super) fn command(fctype: FabricsType) -> Sqe {
    let mut sqe = Sqe::new(AdminOpcode::FABRICS.0);
    sqe.as_mut_bytes()[field::FCTYPE] = fctype.0;
    sqe
}

/// Checks that it is a Fabrics command of that type.
pub(super) fn expect(sqe: &Sqe, fctype: FabricsType) -> Result<()> {
    match fabrics_type(sqe) {
        Some(got) if got == fctype => Ok(()),
        Some(got) => Err(CodecError::BadValue {
            field: "FCTYPE",
            value: u64::from(got.0),
        }),
        None => Err(CodecError::BadValue {
            field: "OPC",
            value: u64::from(sqe.opcode()),
        }),
    }
}

/// Connect command (clause 6.3): bytes 40 RECFMT, 42 QID, 44 SQSIZE, 46 CATTR, 48 KATO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Queue to make: 0 Admin, else I/O.
    pub qid: u16,
    /// SQSIZE: entries of the queue, 0-based. At least 1.
    pub sqsize0: u16,
    /// CATTR bits 1:0 priority class, 2 disable SQ flow control, 3 individual I/O queue deletion.
    pub cattr: u8,
    /// Keep Alive Timeout in milliseconds, Admin queue only; 0 turns it off.
    pub kato_ms: u32,
}

impl Connect {
    /// CATTR bit 2: do without SQ flow control (SQHD is not used).
    pub const DISABLE_SQFLOW: u8 = 1 << 2;

    /// Reads a command. RECFMT other than 0 is `BadValue`: answer Connect Incompatible Format.
    pub fn parse(sqe: &Sqe) -> Result<Self> {
        expect(sqe, FabricsType::CONNECT)?;
        let b = sqe.as_bytes();
        let recfmt = get16(b, field::RECFMT);
        if recfmt != 0 {
            return Err(CodecError::BadValue {
                field: "RECFMT",
                value: u64::from(recfmt),
            });
        }
        Ok(Self {
            qid: get16(b, field::QID),
            sqsize0: get16(b, field::SQSIZE),
            cattr: b[field::CATTR],
            kato_ms: get32(b, field::KATO),
        })
    }

    /// The command, with its 1024 bytes of data in the capsule.
    pub fn to_sqe(&self) -> Sqe {
        let mut sqe = command(FabricsType::CONNECT);
        sqe.set_in_capsule(0, CONNECT_DATA_LEN as u32);
        let b = sqe.as_mut_bytes();
        put16(b, field::QID, self.qid);
        put16(b, field::SQSIZE, self.sqsize0);
        b[field::CATTR] = self.cattr;
        put32(b, field::KATO, self.kato_ms);
        sqe
    }

    /// SQ flow control is asked to be off.
    pub const fn disables_sqflow(&self) -> bool {
        self.cattr & Self::DISABLE_SQFLOW != 0
    }
}

/// Connect data: bytes 0 HOSTID, 16 CNTLID, 256 SUBNQN, 512 HOSTNQN; 1024 in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectData {
    /// Host Identifier.
    pub hostid: [u8; 16],
    /// Controller asked for; [`CNTLID_DYNAMIC`] on an Admin queue, what it answered on I/O queues.
    pub cntlid: u16,
    /// NVM subsystem.
    pub subnqn: Nqn,
    /// Host.
    pub hostnqn: Nqn,
}

impl ConnectData {
    /// Reads 1024 bytes. Both names are checked; the error names SUBNQN or HOSTNQN.
    pub fn parse(buf: &[u8]) -> Result<Self> {
        let b = need::<CONNECT_DATA_LEN>(buf)?;
        Ok(Self {
            hostid: get(b, field::HOSTID),
            cntlid: get16(b, field::CNTLID),
            subnqn: Nqn::parse_field(&get(b, field::SUBNQN)).map_err(|e| name(e, "SUBNQN"))?,
            hostnqn: Nqn::parse_field(&get(b, field::HOSTNQN)).map_err(|e| name(e, "HOSTNQN"))?,
        })
    }

    /// Writes 1024 bytes.
    pub fn emit(&self, buf: &mut [u8]) -> Result<()> {
        let b = need_mut::<CONNECT_DATA_LEN>(buf)?;
        put(b, field::HOSTID, self.hostid);
        put16(b, field::CNTLID, self.cntlid);
        put(b, field::SUBNQN, self.subnqn.to_field());
        put(b, field::HOSTNQN, self.hostnqn.to_field());
        Ok(())
    }
}

/// The same error under the name of the field it is in.
fn name(e: CodecError, field: &'static str) -> CodecError {
    match e {
        CodecError::BadValue { value, .. } => CodecError::BadValue { field, value },
        CodecError::TooLong { len, max, .. } => CodecError::TooLong { field, len, max },
        CodecError::Truncated { .. } => e,
    }
}

/// DW0 of a successful Connect: CNTLID 15:0, AUTHREQ 31:16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectResponse {
    /// The controller.
    pub cntlid: u16,
    /// ATR, bit 17: an authentication transaction has to come next.
    pub authentication_required: bool,
    /// ASCR, bit 18: authentication followed by a secure channel.
    pub secure_channel_required: bool,
}

impl ConnectResponse {
    /// From DW0.
    pub const fn from_dw0(dw0: u32) -> Self {
        Self {
            cntlid: dw0 as u16,
            authentication_required: dw0 & 1 << 17 != 0,
            secure_channel_required: dw0 & 1 << 18 != 0,
        }
    }

    /// To DW0.
    pub const fn to_dw0(self) -> u32 {
        self.cntlid as u32
            | (self.authentication_required as u32) << 17
            | (self.secure_channel_required as u32) << 18
    }
}

/// DW0 of a Connect that failed with Connect Invalid Parameters: IPO 15:0, IATTR 23:16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidParameter {
    /// IPO: byte offset of the first bad parameter.
    pub offset: u16,
    /// IATTR bit 0: the offset is into the Connect data, else into the command.
    pub in_data: bool,
}

impl InvalidParameter {
    /// QID of the command.
    pub const QID: Self = Self {
        offset: field::QID as u16,
        in_data: false,
    };
    /// SQSIZE of the command.
    pub const SQSIZE: Self = Self {
        offset: field::SQSIZE as u16,
        in_data: false,
    };
    /// KATO of the command.
    pub const KATO: Self = Self {
        offset: field::KATO as u16,
        in_data: false,
    };
    /// HOSTID of the data.
    pub const HOSTID: Self = Self {
        offset: field::HOSTID as u16,
        in_data: true,
    };
    /// CNTLID of the data.
    pub const CNTLID: Self = Self {
        offset: field::CNTLID as u16,
        in_data: true,
    };
    /// SUBNQN of the data.
    pub const SUBNQN: Self = Self {
        offset: field::SUBNQN as u16,
        in_data: true,
    };
    /// HOSTNQN of the data.
    pub const HOSTNQN: Self = Self {
        offset: field::HOSTNQN as u16,
        in_data: true,
    };

    /// From DW0.
    pub const fn from_dw0(dw0: u32) -> Self {
        Self {
            offset: dw0 as u16,
            in_data: dw0 & 1 << 16 != 0,
        }
    }

    /// To DW0.
    pub const fn to_dw0(self) -> u32 {
        self.offset as u32 | (self.in_data as u32) << 16
    }

    /// The parameter's name in the specification, where the offset is the start of one.
    pub const fn name(self) -> Option<&'static str> {
        Some(match (self.in_data, self.offset) {
            (false, 40) => "RECFMT",
            (false, 42) => "QID",
            (false, 44) => "SQSIZE",
            (false, 46) => "CATTR",
            (false, 48) => "KATO",
            (true, 0) => "HOSTID",
            (true, 16) => "CNTLID",
            (true, 256) => "SUBNQN",
            (true, 512) => "HOSTNQN",
            _ => return None,
        })
    }
}

/// Disconnect of the I/O queue it is sent on (clause 6.4), RECFMT 0.
pub fn disconnect() -> Sqe {
    command(FabricsType::DISCONNECT)
}
