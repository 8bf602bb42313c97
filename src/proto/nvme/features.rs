//! Get Features and Set Features (Base 2.3 clauses 5.2.11 and 5.2.26) and the features we use.
//!
//! CDW10: FID 7:0; Get has SEL in 10:8, Set has SV in 31. CDW11 is the value of most features, and
//! DW0 of the completion answers it.

use super::bytes::{need, need_mut};
use super::codes::codes;
use super::error::{CodecError, Result};
use super::opcode::AdminOpcode;
use super::sqe::Sqe;

codes! {
    /// Feature identifier.
    Fid: u8 {
        VOLATILE_WRITE_CACHE = 0x06 => "Volatile Write Cache",
        NUMBER_OF_QUEUES = 0x07 => "Number of Queues",
        ASYNC_EVENT_CONFIG = 0x0b => "Asynchronous Event Configuration",
        KEEP_ALIVE_TIMER = 0x0f => "Keep Alive Timer",
        HOST_BEHAVIOR_SUPPORT = 0x16 => "Host Behavior Support",
        HOST_IDENTIFIER = 0x81 => "Host Identifier",
        RESERVATION_NOTIFICATION_MASK = 0x82 => "Reservation Notification Mask",
        RESERVATION_PERSISTENCE = 0x83 => "Reservation Persistence",
        NAMESPACE_WRITE_PROTECTION = 0x84 => "Namespace Write Protection Config",
    }
}

/// SEL of Get Features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// 000b: the value in force.
    Current = 0,
    /// 001b: the value after a reset.
    Default = 1,
    /// 010b: the saved value.
    Saved = 2,
    /// 011b: what can be done with the feature.
    Capabilities = 3,
}

/// Get Features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetFeatures {
    /// Feature.
    pub fid: Fid,
    /// Which of its values.
    pub select: Select,
    /// CDW11.
    pub cdw11: u32,
}

impl GetFeatures {
    /// Reads a command.
    pub fn parse(sqe: &Sqe) -> Result<Self> {
        expect(sqe, AdminOpcode::GET_FEATURES)?;
        let select = match sqe.cdw10() >> 8 & 7 {
            0 => Select::Current,
            1 => Select::Default,
            2 => Select::Saved,
            3 => Select::Capabilities,
            sel => {
                return Err(CodecError::BadValue {
                    field: "SEL",
                    value: u64::from(sel),
                });
            }
        };
        Ok(Self {
            fid: Fid(sqe.cdw10() as u8),
            select,
            cdw11: sqe.cdw11(),
        })
    }

    /// The command, without data.
    pub fn to_sqe(&self) -> Sqe {
        let mut sqe = Sqe::new(AdminOpcode::GET_FEATURES.0);
        sqe.set_cdw10(u32::from(self.fid.0) | (self.select as u32) << 8);
        sqe.set_cdw11(self.cdw11);
        sqe
    }
}

/// Set Features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetFeatures {
    /// Feature.
    pub fid: Fid,
    /// SV: keep the value over resets.
    pub save: bool,
    /// CDW11.
    pub cdw11: u32,
}

impl SetFeatures {
    /// A value that is not saved.
    pub const fn new(fid: Fid, cdw11: u32) -> Self {
        Self {
            fid,
            save: false,
            cdw11,
        }
    }

    /// Reads a command.
    pub fn parse(sqe: &Sqe) -> Result<Self> {
        expect(sqe, AdminOpcode::SET_FEATURES)?;
        let cdw10 = sqe.cdw10();
        Ok(Self {
            fid: Fid(cdw10 as u8),
            save: cdw10 >> 31 != 0,
            cdw11: sqe.cdw11(),
        })
    }

    /// The command, without data.
    pub fn to_sqe(&self) -> Sqe {
        let mut sqe = Sqe::new(AdminOpcode::SET_FEATURES.0);
        sqe.set_cdw10(u32::from(self.fid.0) | (self.save as u32) << 31);
        sqe.set_cdw11(self.cdw11);
        sqe
    }
}

fn expect(sqe: &Sqe, opcode: AdminOpcode) -> Result<()> {
    if sqe.opcode() == opcode.0 {
        Ok(())
    } else {
        Err(CodecError::BadValue {
            field: "OPC",
            value: u64::from(sqe.opcode()),
        })
    }
}

/// Number of Queues: NSQR/NSQA 15:0 and NCQR/NCQA 31:16, both 0-based. The same form asks (CDW11)
/// and answers (DW0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberOfQueues {
    /// I/O submission queues, 1 to 65536 (65535 when asked for).
    pub submission: u32,
    /// I/O completion queues, 1 to 65536 (65535 when asked for).
    pub completion: u32,
}

impl NumberOfQueues {
    /// As many pairs.
    pub const fn pairs(count: u32) -> Self {
        Self {
            submission: count,
            completion: count,
        }
    }

    /// From CDW11 or DW0.
    pub const fn from_raw(raw: u32) -> Self {
        Self {
            submission: (raw & 0xffff) + 1,
            completion: (raw >> 16) + 1,
        }
    }

    /// To CDW11 or DW0; counts out of range are brought into 1 to 65536.
    pub const fn to_raw(self) -> u32 {
        zero_based(self.submission) | zero_based(self.completion) << 16
    }

    /// Pairs that both numbers allow.
    pub const fn usable(self) -> u32 {
        if self.submission < self.completion {
            self.submission
        } else {
            self.completion
        }
    }
}

const fn zero_based(count: u32) -> u32 {
    let count0 = count.saturating_sub(1);
    if count0 > 0xffff { 0xffff } else { count0 }
}

/// Asynchronous Event Configuration, CDW11. From bit 8 on the bits are those of OAES.
pub mod async_event_config {
    pub use super::super::id_ctrl::oaes::{ANA_CHANGE, CCR_COMPLETED, NAMESPACE_ATTRIBUTE};

    /// Bits 7:0: SMART / Health critical warnings.
    pub const CRITICAL_WARNINGS: u32 = 0xff;
}

/// Keep Alive Timer, CDW11: KATO in milliseconds, 0 off.
pub const fn keep_alive_timer(kato_ms: u32) -> SetFeatures {
    SetFeatures::new(Fid::KEEP_ALIVE_TIMER, kato_ms)
}

/// Volatile Write Cache, CDW11: WCE, bit 0.
pub const fn volatile_write_cache(enable: bool) -> SetFeatures {
    SetFeatures::new(Fid::VOLATILE_WRITE_CACHE, enable as u32)
}

/// Bytes of Host Behavior Support data.
pub const HOST_BEHAVIOR_LEN: usize = 512;

/// Host Behavior Support data, 512 bytes: 0 ACRE, 1 ETDAS, 2 LBAFEE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostBehavior {
    /// ACRE: the host takes Command Interrupted and acts on CRD.
    pub acre: bool,
    /// ETDAS: extended telemetry data area 4.
    pub etdas: bool,
    /// LBAFEE: extended LBA formats.
    pub lbafee: bool,
}

impl HostBehavior {
    /// Reads 512 bytes; the three may hold 0 or 1.
    pub fn parse(buf: &[u8]) -> Result<Self> {
        let b = need::<HOST_BEHAVIOR_LEN>(buf)?;
        let flag = |at: usize, field| match b[at] {
            0 => Ok(false),
            1 => Ok(true),
            v => Err(CodecError::BadValue {
                field,
                value: u64::from(v),
            }),
        };
        Ok(Self {
            acre: flag(0, "ACRE")?,
            etdas: flag(1, "ETDAS")?,
            lbafee: flag(2, "LBAFEE")?,
        })
    }

    /// Writes 512 bytes.
    pub fn emit(&self, buf: &mut [u8]) -> Result<()> {
        let b = need_mut::<HOST_BEHAVIOR_LEN>(buf)?;
        b[0] = self.acre as u8;
        b[1] = self.etdas as u8;
        b[2] = self.lbafee as u8;
        Ok(())
    }

    /// The command that sends it, 512 bytes in the capsule.
    pub fn to_sqe(&self) -> Sqe {
        let mut sqe = SetFeatures::new(Fid::HOST_BEHAVIOR_SUPPORT, 0).to_sqe();
        sqe.set_in_capsule(0, HOST_BEHAVIOR_LEN as u32);
        sqe
    }
}
