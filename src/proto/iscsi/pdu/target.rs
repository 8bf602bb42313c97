//! PDUs that a target sends.

use super::header::*;
use super::initiator::{check_stages, stages};
use super::*;

/// Sequence numbers in a target's PDU.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct TargetSn {
    /// Of this status; for a PDU that carries none, the next number, which it does not take.
    pub stat_sn: u32,
    /// The next CmdSN wanted.
    pub exp_cmd_sn: u32,
    /// The last CmdSN that may be sent.
    pub max_cmd_sn: u32,
}

impl TargetSn {
    #[inline]
    pub(super) fn parse(b: &[u8; BHS_LEN]) -> Self {
        Self {
            stat_sn: get32(b, 24),
            exp_cmd_sn: get32(b, 28),
            max_cmd_sn: get32(b, 32),
        }
    }

    #[inline]
    fn emit(self, out: &mut [u8]) {
        put32(out, 24, self.stat_sn);
        put32(out, 28, self.exp_cmd_sn);
        put32(out, 32, self.max_cmd_sn);
    }
}

/// NOP-In (RFC 7143, 11.19). Ping data follows.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct NopIn {
    pub lun: u64,
    /// That of the NOP-Out it answers, else [`NO_TAG`].
    pub itt: u32,
    /// [`NO_TAG`]: no answer is wanted.
    pub ttt: u32,
    /// StatSN is taken only when it answers a NOP-Out.
    pub sn: TargetSn,
}

impl NopIn {
    pub fn parse(b: &[u8; BHS_LEN]) -> Self {
        Self {
            lun: get64(b, 8),
            itt: get32(b, 16),
            ttt: get32(b, 20),
            sn: TargetSn::parse(b),
        }
    }

    pub fn emit(&self, data_len: usize, out: &mut [u8]) {
        start(out, Opcode::NopIn as u8, FINAL, 0, data_len);
        put64(out, 8, self.lun);
        put32(out, 16, self.itt);
        put32(out, 20, self.ttt);
        self.sn.emit(out);
    }
}

/// How the data moved compares to what was expected (RFC 7143, 11.4.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash, Default)]
pub enum Residual {
    #[default]
    None,
    /// So many bytes were not transferred.
    Underflow(u32),
    /// So many bytes did not fit.
    Overflow(u32),
}

impl Residual {
    /// From the two bits of a direction and its count; both bits at once are an error.
    #[inline]
    fn from_bits(overflow: bool, underflow: bool, count: u32) -> Option<Self> {
        Some(match (overflow, underflow) {
            (false, false) => Self::None,
            (false, true) => Self::Underflow(count),
            (true, false) => Self::Overflow(count),
            (true, true) => return None,
        })
    }

    /// Overflow bit, underflow bit.
    const fn bits(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Underflow(_) => 1,
            Self::Overflow(_) => 2,
        }
    }

    /// Bytes.
    pub const fn count(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Underflow(n) | Self::Overflow(n) => n,
        }
    }
}

/// SCSI Response (RFC 7143, 11.4). A data segment has SenseLength (two bytes), sense data and
/// response data.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ScsiResponse {
    /// 0x00 command completed at target, 0x01 target failure, 0x80 and up vendor.
    pub response: u8,
    /// SCSI status, valid when `response` is 0.
    pub status: u8,
    pub itt: u32,
    pub snack_tag: u32,
    pub sn: TargetSn,
    /// Data-In PDUs and R2Ts sent for the command.
    pub exp_data_sn: u32,
    pub residual: Residual,
    /// Of the read of a bidirectional command.
    pub bidi_residual: Residual,
}

impl ScsiResponse {
    #[inline]
    pub fn parse(b: &[u8; BHS_LEN]) -> Result<Self, PduError> {
        const OP: Opcode = Opcode::ScsiResponse;
        let f = b[1];
        let residual = Residual::from_bits(f & 0x04 != 0, f & 0x02 != 0, get32(b, 44));
        let bidi = Residual::from_bits(f & 0x10 != 0, f & 0x08 != 0, get32(b, 40));
        let (Some(residual), Some(bidi_residual)) = (residual, bidi) else {
            return Err(PduError::field(OP, Field::Flags, u32::from(f)));
        };
        Ok(Self {
            response: b[2],
            status: b[3],
            itt: get32(b, 16),
            snack_tag: get32(b, 20),
            sn: TargetSn::parse(b),
            exp_data_sn: get32(b, 36),
            residual,
            bidi_residual,
        })
    }

    #[inline]
    pub fn emit(&self, data_len: usize, out: &mut [u8]) {
        let flags = FINAL | self.residual.bits() << 1 | self.bidi_residual.bits() << 3;
        start(out, Opcode::ScsiResponse as u8, flags, 0, data_len);
        out[2] = self.response;
        out[3] = self.status;
        put32(out, 16, self.itt);
        put32(out, 20, self.snack_tag);
        self.sn.emit(out);
        put32(out, 36, self.exp_data_sn);
        put32(out, 40, self.bidi_residual.count());
        put32(out, 44, self.residual.count());
    }
}

/// Answers to a task management function (RFC 7143, 11.6.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum TaskResult {
    Complete = 0,
    NoTask = 1,
    NoLun = 2,
    StillAllegiant = 3,
    ReassignNotSupported = 4,
    NotSupported = 5,
    NotAuthorized = 6,
    Rejected = 255,
}

impl TaskResult {
    pub const fn from_byte(b: u8) -> Option<Self> {
        Some(match b {
            0 => Self::Complete,
            1 => Self::NoTask,
            2 => Self::NoLun,
            3 => Self::StillAllegiant,
            4 => Self::ReassignNotSupported,
            5 => Self::NotSupported,
            6 => Self::NotAuthorized,
            255 => Self::Rejected,
            _ => return None,
        })
    }

    /// The words for a raw response, known or not.
    pub const fn name(b: u8) -> &'static str {
        match Self::from_byte(b) {
            Some(Self::Complete) => "function complete",
            Some(Self::NoTask) => "task does not exist",
            Some(Self::NoLun) => "LUN does not exist",
            Some(Self::StillAllegiant) => "task still allegiant",
            Some(Self::ReassignNotSupported) => "task allegiance reassignment not supported",
            Some(Self::NotSupported) => "function not supported",
            Some(Self::NotAuthorized) => "function authorization failed",
            Some(Self::Rejected) => "function rejected",
            None => "unknown response",
        }
    }
}

/// Task Management Function Response (RFC 7143, 11.6).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TaskResponse {
    /// Raw; see [`TaskResult`].
    pub response: u8,
    pub itt: u32,
    pub sn: TargetSn,
}

impl TaskResponse {
    pub fn parse(b: &[u8; BHS_LEN]) -> Self {
        Self {
            response: b[2],
            itt: get32(b, 16),
            sn: TargetSn::parse(b),
        }
    }

    pub fn emit(&self, out: &mut [u8]) {
        start(out, Opcode::TaskResponse as u8, FINAL, 0, 0);
        out[2] = self.response;
        put32(out, 16, self.itt);
        self.sn.emit(out);
    }
}

/// Login Response (RFC 7143, 11.13). Text follows.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LoginResponse {
    pub transit: bool,
    pub cont: bool,
    /// Stages, raw: 0 security, 1 operational, 3 full feature.
    pub csg: u8,
    pub nsg: u8,
    pub version_max: u8,
    pub version_active: u8,
    pub isid: [u8; 6],
    /// Not zero in the last response of a login that made a session.
    pub tsih: u16,
    pub itt: u32,
    pub sn: TargetSn,
    pub status_class: u8,
    pub status_detail: u8,
}

impl LoginResponse {
    pub fn parse(b: &[u8; BHS_LEN]) -> Result<Self, PduError> {
        // With a status other than success the stage bits mean nothing (11.13.5).
        if b[36] == 0 {
            check_stages(b[1], Opcode::LoginResponse)?;
        }
        Ok(Self {
            transit: b[1] & 0x80 != 0,
            cont: b[1] & 0x40 != 0,
            csg: b[1] >> 2 & 3,
            nsg: b[1] & 3,
            version_max: b[2],
            version_active: b[3],
            isid: get(b, 8),
            tsih: get16(b, 14),
            itt: get32(b, 16),
            sn: TargetSn::parse(b),
            status_class: b[36],
            status_detail: b[37],
        })
    }

    pub fn emit(&self, data_len: usize, out: &mut [u8]) {
        let flags = stages(self.transit, self.cont, self.csg, self.nsg);
        start(out, Opcode::LoginResponse as u8, flags, 0, data_len);
        out[2] = self.version_max;
        out[3] = self.version_active;
        put(out, 8, self.isid);
        put16(out, 14, self.tsih);
        put32(out, 16, self.itt);
        self.sn.emit(out);
        out[36] = self.status_class;
        out[37] = self.status_detail;
    }
}

/// Text Response (RFC 7143, 11.11). Text follows.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TextResponse {
    pub is_final: bool,
    pub cont: bool,
    pub lun: u64,
    pub itt: u32,
    /// [`NO_TAG`] when final, else what the next request has to name.
    pub ttt: u32,
    pub sn: TargetSn,
}

impl TextResponse {
    pub fn parse(b: &[u8; BHS_LEN]) -> Result<Self, PduError> {
        if b[1] & 0xc0 == 0xc0 {
            let flags = u32::from(b[1]);
            return Err(PduError::field(Opcode::TextResponse, Field::Flags, flags));
        }
        Ok(Self {
            is_final: b[1] & FINAL != 0,
            cont: b[1] & 0x40 != 0,
            lun: get64(b, 8),
            itt: get32(b, 16),
            ttt: get32(b, 20),
            sn: TargetSn::parse(b),
        })
    }

    pub fn emit(&self, data_len: usize, out: &mut [u8]) {
        let flags = u8::from(self.is_final) << 7 | u8::from(self.cont) << 6;
        start(out, Opcode::TextResponse as u8, flags, 0, data_len);
        put64(out, 8, self.lun);
        put32(out, 16, self.itt);
        put32(out, 20, self.ttt);
        self.sn.emit(out);
    }
}

/// SCSI Data-In (RFC 7143, 11.7). Data follows.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DataIn {
    /// The last PDU of its sequence.
    pub is_final: bool,
    /// A: the target wants a data acknowledgement (ErrorRecoveryLevel above 0).
    pub ack: bool,
    /// The status of a command that ends with this PDU: S bit, status, residual.
    pub status: Option<u8>,
    /// Valid with a status.
    pub residual: Residual,
    pub lun: u64,
    pub itt: u32,
    /// [`NO_TAG`] unless an acknowledgement is wanted.
    pub ttt: u32,
    /// StatSN is valid with a status only.
    pub sn: TargetSn,
    pub data_sn: u32,
    /// Bytes from the start of the command's data.
    pub offset: u32,
}

impl DataIn {
    #[inline]
    pub fn parse(b: &[u8; BHS_LEN]) -> Result<Self, PduError> {
        const OP: Opcode = Opcode::DataIn;
        let f = b[1];
        let with_status = f & 1 != 0;
        let (over, under) = (with_status && f & 4 != 0, with_status && f & 2 != 0);
        let residual = match Residual::from_bits(over, under, get32(b, 44)) {
            // A status comes with the last PDU only (11.7.3).
            Some(r) if !with_status || f & FINAL != 0 => r,
            _ => return Err(PduError::field(OP, Field::Flags, u32::from(f))),
        };
        Ok(Self {
            is_final: f & FINAL != 0,
            ack: f & 0x40 != 0,
            status: with_status.then_some(b[3]),
            residual,
            lun: get64(b, 8),
            itt: get32(b, 16),
            ttt: get32(b, 20),
            sn: TargetSn::parse(b),
            data_sn: get32(b, 36),
            offset: get32(b, 40),
        })
    }

    #[inline]
    pub fn emit(&self, data_len: usize, out: &mut [u8]) {
        let mut flags = u8::from(self.is_final) << 7 | u8::from(self.ack) << 6;
        if self.status.is_some() {
            flags |= 1 | self.residual.bits() << 1;
        }
        start(out, Opcode::DataIn as u8, flags, 0, data_len);
        put64(out, 8, self.lun);
        put32(out, 16, self.itt);
        put32(out, 20, self.ttt);
        self.sn.emit(out);
        put32(out, 36, self.data_sn);
        put32(out, 40, self.offset);
        if let Some(status) = self.status {
            out[3] = status;
            put32(out, 44, self.residual.count());
        }
    }
}

/// Answers to a logout (RFC 7143, 11.15.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum LogoutResult {
    Closed = 0,
    NoCid = 1,
    RecoveryNotSupported = 2,
    CleanupFailed = 3,
}

impl LogoutResult {
    pub const fn from_byte(b: u8) -> Option<Self> {
        Some(match b {
            0 => Self::Closed,
            1 => Self::NoCid,
            2 => Self::RecoveryNotSupported,
            3 => Self::CleanupFailed,
            _ => return None,
        })
    }

    /// The words for a raw response, known or not.
    pub const fn name(b: u8) -> &'static str {
        match Self::from_byte(b) {
            Some(Self::Closed) => "closed",
            Some(Self::NoCid) => "CID not found",
            Some(Self::RecoveryNotSupported) => "connection recovery not supported",
            Some(Self::CleanupFailed) => "cleanup failed",
            None => "unknown response",
        }
    }
}

/// Logout Response (RFC 7143, 11.15).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LogoutResponse {
    /// Raw; see [`LogoutResult`].
    pub response: u8,
    pub itt: u32,
    pub sn: TargetSn,
    /// Seconds.
    pub time2wait: u16,
    /// Seconds.
    pub time2retain: u16,
}

impl LogoutResponse {
    pub fn parse(b: &[u8; BHS_LEN]) -> Self {
        Self {
            response: b[2],
            itt: get32(b, 16),
            sn: TargetSn::parse(b),
            time2wait: get16(b, 40),
            time2retain: get16(b, 42),
        }
    }

    pub fn emit(&self, out: &mut [u8]) {
        start(out, Opcode::LogoutResponse as u8, FINAL, 0, 0);
        out[2] = self.response;
        put32(out, 16, self.itt);
        self.sn.emit(out);
        put16(out, 40, self.time2wait);
        put16(out, 42, self.time2retain);
    }
}

/// Ready To Transfer (RFC 7143, 11.8).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct R2t {
    pub lun: u64,
    pub itt: u32,
    pub ttt: u32,
    /// StatSN is the next number, not taken.
    pub sn: TargetSn,
    pub r2t_sn: u32,
    /// Bytes from the start of the command's data.
    pub offset: u32,
    /// Bytes, not zero.
    pub desired: u32,
}

impl R2t {
    #[inline]
    pub fn parse(b: &[u8; BHS_LEN]) -> Result<Self, PduError> {
        const OP: Opcode = Opcode::R2t;
        let (ttt, desired) = (get32(b, 20), get32(b, 44));
        if ttt == NO_TAG {
            return Err(PduError::field(OP, Field::TargetTransferTag, ttt));
        }
        if desired == 0 {
            return Err(PduError::field(OP, Field::DesiredDataLength, desired));
        }
        Ok(Self {
            lun: get64(b, 8),
            itt: get32(b, 16),
            ttt,
            sn: TargetSn::parse(b),
            r2t_sn: get32(b, 36),
            offset: get32(b, 40),
            desired,
        })
    }

    #[inline]
    pub fn emit(&self, out: &mut [u8]) {
        start(out, Opcode::R2t as u8, FINAL, 0, 0);
        put64(out, 8, self.lun);
        put32(out, 16, self.itt);
        put32(out, 20, self.ttt);
        self.sn.emit(out);
        put32(out, 36, self.r2t_sn);
        put32(out, 40, self.offset);
        put32(out, 44, self.desired);
    }
}

/// What happened (RFC 7143, 11.9.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
pub enum AsyncEvent {
    /// Sense data follows.
    Scsi,
    /// Log out within so many seconds.
    LogoutRequest { seconds: u16 },
    /// The target drops this connection, or will.
    ConnectionDrop {
        cid: u16,
        time2wait: u16,
        time2retain: u16,
    },
    /// The target drops all connections of the session, or will.
    SessionDrop { time2wait: u16, time2retain: u16 },
    /// Negotiate parameters again within so many seconds.
    Negotiate { seconds: u16 },
    /// All tasks of the LUN are terminated; acknowledge with a NOP-Out (RFC 7143, 4.2.3.3).
    TasksTerminated,
    /// 255, or unknown.
    Other { event: u8, code: u8 },
}

/// Asynchronous Message (RFC 7143, 11.9). Sense and event data may follow.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Async {
    pub lun: u64,
    pub sn: TargetSn,
    pub event: AsyncEvent,
}

impl Async {
    pub fn parse(b: &[u8; BHS_LEN]) -> Self {
        let (p1, p2, p3) = (get16(b, 38), get16(b, 40), get16(b, 42));
        let event = match b[36] {
            0 => AsyncEvent::Scsi,
            1 => AsyncEvent::LogoutRequest { seconds: p3 },
            2 => AsyncEvent::ConnectionDrop {
                cid: p1,
                time2wait: p2,
                time2retain: p3,
            },
            3 => AsyncEvent::SessionDrop {
                time2wait: p2,
                time2retain: p3,
            },
            4 => AsyncEvent::Negotiate { seconds: p3 },
            5 => AsyncEvent::TasksTerminated,
            event => AsyncEvent::Other { event, code: b[37] },
        };
        Self {
            lun: get64(b, 8),
            sn: TargetSn::parse(b),
            event,
        }
    }

    pub fn emit(&self, data_len: usize, out: &mut [u8]) {
        start(out, Opcode::Async as u8, FINAL, 0, data_len);
        put64(out, 8, self.lun);
        put32(out, 16, NO_TAG);
        self.sn.emit(out);
        let (event, code, p1, p2, p3) = match self.event {
            AsyncEvent::Scsi => (0, 0, 0, 0, 0),
            AsyncEvent::LogoutRequest { seconds } => (1, 0, 0, 0, seconds),
            AsyncEvent::ConnectionDrop {
                cid,
                time2wait,
                time2retain,
            } => (2, 0, cid, time2wait, time2retain),
            AsyncEvent::SessionDrop {
                time2wait,
                time2retain,
            } => (3, 0, 0, time2wait, time2retain),
            AsyncEvent::Negotiate { seconds } => (4, 0, 0, 0, seconds),
            AsyncEvent::TasksTerminated => (5, 0, 0, 0, 0),
            AsyncEvent::Other { event, code } => (event, code, 0, 0, 0),
        };
        out[36] = event;
        out[37] = code;
        put16(out, 38, p1);
        put16(out, 40, p2);
        put16(out, 42, p3);
    }
}

/// Reject (RFC 7143, 11.17). The header of the rejected PDU follows.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Reject {
    /// Raw; see [`RejectReason`].
    pub reason: u8,
    pub sn: TargetSn,
    /// DataSN or R2TSN, for a rejected data SNACK.
    pub data_sn: u32,
}

impl Reject {
    pub fn parse(b: &[u8; BHS_LEN]) -> Self {
        Self {
            reason: b[2],
            sn: TargetSn::parse(b),
            data_sn: get32(b, 36),
        }
    }

    pub fn emit(&self, data_len: usize, out: &mut [u8]) {
        start(out, Opcode::Reject as u8, FINAL, 0, data_len);
        out[2] = self.reason;
        put32(out, 16, NO_TAG);
        self.sn.emit(out);
        put32(out, 36, self.data_sn);
    }
}
