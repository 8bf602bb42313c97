//! PDUs that an initiator sends.

use super::header::*;
use super::*;

/// Sequence numbers in an initiator's PDU.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct InitiatorSn {
    /// Of the command; for an immediate one the next number, which it does not take.
    pub cmd_sn: u32,
    /// The next StatSN wanted: all before are acknowledged.
    pub exp_stat_sn: u32,
}

impl InitiatorSn {
    fn parse(b: &[u8; BHS_LEN]) -> Self {
        Self {
            cmd_sn: get32(b, 24),
            exp_stat_sn: get32(b, 28),
        }
    }

    fn emit(self, out: &mut [u8]) {
        put32(out, 24, self.cmd_sn);
        put32(out, 28, self.exp_stat_sn);
    }
}

const fn immediate(b: &[u8; BHS_LEN]) -> bool {
    b[0] & IMMEDIATE != 0
}

/// A tag that names a task: the value for "none" is not valid there.
fn tag(b: &[u8; BHS_LEN], opcode: Opcode) -> Result<u32, PduError> {
    match get32(b, 16) {
        NO_TAG => Err(PduError::field(opcode, Field::InitiatorTaskTag, NO_TAG)),
        itt => Ok(itt),
    }
}

/// NOP-Out (RFC 7143, 11.18). Ping data follows.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct NopOut {
    pub immediate: bool,
    pub lun: u64,
    /// [`NO_TAG`]: no answer is wanted.
    pub itt: u32,
    /// [`NO_TAG`], or that of the NOP-In it answers.
    pub ttt: u32,
    pub sn: InitiatorSn,
}

impl NopOut {
    pub fn parse(b: &[u8; BHS_LEN]) -> Self {
        Self {
            immediate: immediate(b),
            lun: get64(b, 8),
            itt: get32(b, 16),
            ttt: get32(b, 20),
            sn: InitiatorSn::parse(b),
        }
    }

    pub fn emit(&self, data_len: usize, out: &mut [u8]) {
        let first = byte0(Opcode::NopOut, self.immediate);
        start(out, first, FINAL, 0, data_len);
        put64(out, 8, self.lun);
        put32(out, 16, self.itt);
        put32(out, 20, self.ttt);
        self.sn.emit(out);
    }
}

/// Task attributes (RFC 7143, 11.3.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash, Default)]
#[repr(u8)]
pub enum TaskAttr {
    Untagged = 0,
    #[default]
    Simple = 1,
    Ordered = 2,
    HeadOfQueue = 3,
    Aca = 4,
}

impl TaskAttr {
    pub const fn from_bits(b: u8) -> Option<Self> {
        Some(match b {
            0 => Self::Untagged,
            1 => Self::Simple,
            2 => Self::Ordered,
            3 => Self::HeadOfQueue,
            4 => Self::Aca,
            _ => return None,
        })
    }
}

/// SCSI Command (RFC 7143, 11.3). Additional header segments and immediate data may follow.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ScsiCommand {
    pub immediate: bool,
    /// No unsolicited Data-Out follows this PDU.
    pub is_final: bool,
    pub read: bool,
    pub write: bool,
    pub attr: TaskAttr,
    pub lun: u64,
    pub itt: u32,
    /// Expected Data Transfer Length in bytes; of the write where the command is bidirectional.
    pub expected: u32,
    pub sn: InitiatorSn,
    /// The first 16 bytes, the rest zero.
    pub cdb: [u8; 16],
}

impl ScsiCommand {
    #[inline]
    pub fn parse(b: &[u8; BHS_LEN]) -> Result<Self, PduError> {
        const OP: Opcode = Opcode::ScsiCommand;
        let Some(attr) = TaskAttr::from_bits(b[1] & 7) else {
            return Err(PduError::field(OP, Field::TaskAttribute, u32::from(b[1])));
        };
        let command = Self {
            immediate: immediate(b),
            is_final: b[1] & FINAL != 0,
            read: b[1] & 0x40 != 0,
            write: b[1] & 0x20 != 0,
            attr,
            lun: get64(b, 8),
            itt: tag(b, OP)?,
            expected: get32(b, 20),
            sn: InitiatorSn::parse(b),
            cdb: get(b, 32),
        };
        // More data cannot be announced for a command that writes nothing (11.3.1).
        if !command.is_final && !command.write {
            return Err(PduError::field(OP, Field::Flags, u32::from(b[1])));
        }
        Ok(command)
    }

    /// Basic header segment of a command with `ahs_len` bytes of additional header segments, a
    /// multiple of four not above [`AHS_MAX`].
    #[inline]
    pub fn emit(&self, ahs_len: usize, data_len: usize, out: &mut [u8]) {
        assert!(ahs_len <= AHS_MAX, "TotalAHSLength is a byte of words");
        let flags = u8::from(self.is_final) << 7
            | u8::from(self.read) << 6
            | u8::from(self.write) << 5
            | self.attr as u8;
        let first = byte0(Opcode::ScsiCommand, self.immediate);
        start(out, first, flags, (ahs_len / 4) as u8, data_len);
        put64(out, 8, self.lun);
        put32(out, 16, self.itt);
        put32(out, 20, self.expected);
        self.sn.emit(out);
        put(out, 32, self.cdb);
    }
}

/// Task management functions (RFC 7143, 11.5.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum TaskFunction {
    AbortTask = 1,
    AbortTaskSet = 2,
    ClearAca = 3,
    ClearTaskSet = 4,
    LogicalUnitReset = 5,
    TargetWarmReset = 6,
    TargetColdReset = 7,
    TaskReassign = 8,
}

impl TaskFunction {
    pub const fn from_byte(b: u8) -> Option<Self> {
        Some(match b {
            1 => Self::AbortTask,
            2 => Self::AbortTaskSet,
            3 => Self::ClearAca,
            4 => Self::ClearTaskSet,
            5 => Self::LogicalUnitReset,
            6 => Self::TargetWarmReset,
            7 => Self::TargetColdReset,
            8 => Self::TaskReassign,
            _ => return None,
        })
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::AbortTask => "ABORT TASK",
            Self::AbortTaskSet => "ABORT TASK SET",
            Self::ClearAca => "CLEAR ACA",
            Self::ClearTaskSet => "CLEAR TASK SET",
            Self::LogicalUnitReset => "LOGICAL UNIT RESET",
            Self::TargetWarmReset => "TARGET WARM RESET",
            Self::TargetColdReset => "TARGET COLD RESET",
            Self::TaskReassign => "TASK REASSIGN",
        }
    }
}

/// Task Management Function Request (RFC 7143, 11.5).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TaskRequest {
    pub immediate: bool,
    /// Raw, seven bits: an unknown function is answered, not rejected.
    pub function: u8,
    pub lun: u64,
    pub itt: u32,
    /// The task to abort or reassign, else [`NO_TAG`].
    pub ref_itt: u32,
    pub sn: InitiatorSn,
    /// CmdSN of the task to abort.
    pub ref_cmd_sn: u32,
    /// For TASK REASSIGN only.
    pub exp_data_sn: u32,
}

impl TaskRequest {
    pub fn parse(b: &[u8; BHS_LEN]) -> Result<Self, PduError> {
        Ok(Self {
            immediate: immediate(b),
            function: b[1] & 0x7f,
            lun: get64(b, 8),
            itt: tag(b, Opcode::TaskRequest)?,
            ref_itt: get32(b, 20),
            sn: InitiatorSn::parse(b),
            ref_cmd_sn: get32(b, 32),
            exp_data_sn: get32(b, 36),
        })
    }

    pub fn emit(&self, out: &mut [u8]) {
        let first = byte0(Opcode::TaskRequest, self.immediate);
        start(out, first, FINAL | self.function & 0x7f, 0, 0);
        put64(out, 8, self.lun);
        put32(out, 16, self.itt);
        put32(out, 20, self.ref_itt);
        self.sn.emit(out);
        put32(out, 32, self.ref_cmd_sn);
        put32(out, 36, self.exp_data_sn);
    }
}

/// Login Request (RFC 7143, 11.12). Text follows. It is always immediate.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LoginRequest {
    /// T: ready to leave the current stage.
    pub transit: bool,
    /// C: the text goes on in the next PDU.
    pub cont: bool,
    /// Current and next stage, raw: 0 security, 1 operational, 3 full feature.
    pub csg: u8,
    pub nsg: u8,
    pub version_max: u8,
    pub version_min: u8,
    pub isid: [u8; 6],
    pub tsih: u16,
    pub itt: u32,
    pub cid: u16,
    pub sn: InitiatorSn,
}

/// Byte 1 of a login PDU.
pub(super) fn stages(transit: bool, cont: bool, csg: u8, nsg: u8) -> u8 {
    u8::from(transit) << 7 | u8::from(cont) << 6 | (csg & 3) << 2 | nsg & 3
}

/// Stage 2 does not exist, nor does a transition that goes back, stays, or leaves text unfinished
/// (RFC 7143, 11.12.1 to 11.12.3).
pub(super) const fn check_stages(flags: u8, opcode: Opcode) -> Result<(), PduError> {
    let (csg, nsg) = (flags >> 2 & 3, flags & 3);
    let transit = flags & 0x80 != 0;
    let wrong = csg > 1 || (transit && (flags & 0x40 != 0 || nsg == 2 || nsg <= csg));
    if wrong {
        return Err(PduError::field(opcode, Field::Stage, flags as u32));
    }
    Ok(())
}

impl LoginRequest {
    pub fn parse(b: &[u8; BHS_LEN]) -> Result<Self, PduError> {
        check_stages(b[1], Opcode::LoginRequest)?;
        Ok(Self {
            transit: b[1] & 0x80 != 0,
            cont: b[1] & 0x40 != 0,
            csg: b[1] >> 2 & 3,
            nsg: b[1] & 3,
            version_max: b[2],
            version_min: b[3],
            isid: get(b, 8),
            tsih: get16(b, 14),
            itt: get32(b, 16),
            cid: get16(b, 20),
            sn: InitiatorSn::parse(b),
        })
    }

    pub fn emit(&self, data_len: usize, out: &mut [u8]) {
        let flags = stages(self.transit, self.cont, self.csg, self.nsg);
        let first = byte0(Opcode::LoginRequest, true);
        start(out, first, flags, 0, data_len);
        out[2] = self.version_max;
        out[3] = self.version_min;
        put(out, 8, self.isid);
        put16(out, 14, self.tsih);
        put32(out, 16, self.itt);
        put16(out, 20, self.cid);
        self.sn.emit(out);
    }
}

/// Text Request (RFC 7143, 11.10). Text follows.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TextRequest {
    pub immediate: bool,
    /// F: the initiator has no more to say.
    pub is_final: bool,
    /// C: the text goes on in the next PDU.
    pub cont: bool,
    pub lun: u64,
    pub itt: u32,
    /// [`NO_TAG`] to begin, else that of the answer it goes on from.
    pub ttt: u32,
    pub sn: InitiatorSn,
}

impl TextRequest {
    pub fn parse(b: &[u8; BHS_LEN]) -> Result<Self, PduError> {
        const OP: Opcode = Opcode::TextRequest;
        // Text that goes on is not final (11.10.1).
        if b[1] & 0xc0 == 0xc0 {
            return Err(PduError::field(OP, Field::Flags, u32::from(b[1])));
        }
        Ok(Self {
            immediate: immediate(b),
            is_final: b[1] & FINAL != 0,
            cont: b[1] & 0x40 != 0,
            lun: get64(b, 8),
            itt: tag(b, OP)?,
            ttt: get32(b, 20),
            sn: InitiatorSn::parse(b),
        })
    }

    pub fn emit(&self, data_len: usize, out: &mut [u8]) {
        let flags = u8::from(self.is_final) << 7 | u8::from(self.cont) << 6;
        let first = byte0(Opcode::TextRequest, self.immediate);
        start(out, first, flags, 0, data_len);
        put64(out, 8, self.lun);
        put32(out, 16, self.itt);
        put32(out, 20, self.ttt);
        self.sn.emit(out);
    }
}

/// SCSI Data-Out (RFC 7143, 11.7). Data follows.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DataOut {
    /// The last PDU of its sequence.
    pub is_final: bool,
    /// That of the R2T, when there is one.
    pub lun: u64,
    pub itt: u32,
    /// [`NO_TAG`] when unsolicited.
    pub ttt: u32,
    pub exp_stat_sn: u32,
    /// Counts from 0 in each sequence.
    pub data_sn: u32,
    /// Bytes from the start of the command's data.
    pub offset: u32,
}

impl DataOut {
    #[inline]
    pub fn parse(b: &[u8; BHS_LEN]) -> Result<Self, PduError> {
        Ok(Self {
            is_final: b[1] & FINAL != 0,
            lun: get64(b, 8),
            itt: tag(b, Opcode::DataOut)?,
            ttt: get32(b, 20),
            exp_stat_sn: get32(b, 28),
            data_sn: get32(b, 36),
            offset: get32(b, 40),
        })
    }

    #[inline]
    pub fn emit(&self, data_len: usize, out: &mut [u8]) {
        let flags = u8::from(self.is_final) << 7;
        start(out, Opcode::DataOut as u8, flags, 0, data_len);
        put64(out, 8, self.lun);
        put32(out, 16, self.itt);
        put32(out, 20, self.ttt);
        put32(out, 28, self.exp_stat_sn);
        put32(out, 36, self.data_sn);
        put32(out, 40, self.offset);
    }
}

/// What a logout closes (RFC 7143, 11.14.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum LogoutReason {
    CloseSession = 0,
    CloseConnection = 1,
    /// Remove a connection for recovery: its tasks move to another one.
    Recovery = 2,
}

/// Logout Request (RFC 7143, 11.14).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LogoutRequest {
    pub immediate: bool,
    pub reason: LogoutReason,
    pub itt: u32,
    /// Reserved when the session is closed.
    pub cid: u16,
    pub sn: InitiatorSn,
}

impl LogoutRequest {
    pub fn parse(b: &[u8; BHS_LEN]) -> Result<Self, PduError> {
        const OP: Opcode = Opcode::LogoutRequest;
        let reason = match b[1] & 0x7f {
            0 => LogoutReason::CloseSession,
            1 => LogoutReason::CloseConnection,
            2 => LogoutReason::Recovery,
            other => {
                return Err(PduError::field(OP, Field::LogoutReason, u32::from(other)));
            }
        };
        Ok(Self {
            immediate: immediate(b),
            reason,
            itt: tag(b, OP)?,
            cid: get16(b, 20),
            sn: InitiatorSn::parse(b),
        })
    }

    pub fn emit(&self, out: &mut [u8]) {
        let first = byte0(Opcode::LogoutRequest, self.immediate);
        start(out, first, FINAL | self.reason as u8, 0, 0);
        put32(out, 16, self.itt);
        put16(out, 20, self.cid);
        self.sn.emit(out);
    }
}

/// What a SNACK asks for (RFC 7143, 11.16.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum SnackType {
    DataOrR2t = 0,
    Status = 1,
    DataAck = 2,
    RData = 3,
}

/// SNACK Request (RFC 7143, 11.16). At ErrorRecoveryLevel 0 nobody sends it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Snack {
    pub kind: SnackType,
    pub lun: u64,
    pub itt: u32,
    /// Target Transfer Tag or SNACK Tag.
    pub tag: u32,
    pub exp_stat_sn: u32,
    pub beg_run: u32,
    pub run_length: u32,
}

impl Snack {
    pub fn parse(b: &[u8; BHS_LEN]) -> Result<Self, PduError> {
        let kind = match b[1] & 0x0f {
            0 => SnackType::DataOrR2t,
            1 => SnackType::Status,
            2 => SnackType::DataAck,
            3 => SnackType::RData,
            other => {
                let other = u32::from(other);
                return Err(PduError::field(Opcode::Snack, Field::SnackType, other));
            }
        };
        Ok(Self {
            kind,
            lun: get64(b, 8),
            itt: get32(b, 16),
            tag: get32(b, 20),
            exp_stat_sn: get32(b, 28),
            beg_run: get32(b, 40),
            run_length: get32(b, 44),
        })
    }

    pub fn emit(&self, out: &mut [u8]) {
        start(out, Opcode::Snack as u8, FINAL | self.kind as u8, 0, 0);
        put64(out, 8, self.lun);
        put32(out, 16, self.itt);
        put32(out, 20, self.tag);
        put32(out, 28, self.exp_stat_sn);
        put32(out, 40, self.beg_run);
        put32(out, 44, self.run_length);
    }
}
