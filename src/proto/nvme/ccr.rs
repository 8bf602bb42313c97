//! Cross-Controller Reset (Base 2.3 clauses 5.4.3 and 5.2.12.3.1; TP8028): asks one controller of a
//! subsystem to reset another, the one the host has lost. When it is done no command of the lost
//! association acts any more.
//!
//! Status codes of its own: [`StatusCode::CCR_IN_PROGRESS`](super::StatusCode::CCR_IN_PROGRESS),
//! `CCR_LOG_PAGE_FULL`, `CCR_LIMIT_EXCEEDED`. The impacted controller is named by what its Identify
//! Controller said: CNTLID, CIU, CIRN. How many resets may run at once is CCRL of the asked one.
//!
//! Not seen in print, but taken from memory of the Linux series: IRS as bit 0 of the completion,
//! and the values 0, 1, 2 of CCRS.

use super::bytes::{get16, need, put16};
use super::error::{CodecError, Result};
use super::log::{GetLogPage, Lid};
use super::opcode::AdminOpcode;
use super::sqe::Sqe;

/// Cross-Controller Reset command, opcode 38h: CDW10 ICID 15:0, CIU 23:16; CDW12–13 CIRN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrossControllerReset {
    /// ICID: CNTLID of the impacted controller.
    pub icid: u16,
    /// CIU of the impacted controller.
    pub ciu: u8,
    /// CIRN of the impacted controller.
    pub cirn: u64,
}

impl CrossControllerReset {
    /// Reads a command.
    pub fn parse(sqe: &Sqe) -> Result<Self> {
        if sqe.opcode() != AdminOpcode::CROSS_CONTROLLER_RESET.0 {
            return Err(CodecError::BadValue {
                field: "OPC",
                value: u64::from(sqe.opcode()),
            });
        }
        Ok(Self {
            icid: sqe.cdw10() as u16,
            ciu: (sqe.cdw10() >> 16) as u8,
            cirn: u64::from(sqe.cdw12()) | u64::from(sqe.cdw13()) << 32,
        })
    }

    /// The command.
    pub fn to_sqe(&self) -> Sqe {
        let mut sqe = Sqe::new(AdminOpcode::CROSS_CONTROLLER_RESET.0);
        sqe.set_cdw10(u32::from(self.icid) | u32::from(self.ciu) << 16);
        sqe.set_cdw12(self.cirn as u32);
        sqe.set_cdw13((self.cirn >> 32) as u32);
        sqe
    }
}

/// DW0 of a successful completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CcrCompletion {
    /// IRS, bit 0: the reset is already done. Else the log entry will say, and an event will come.
    pub immediate: bool,
}

impl CcrCompletion {
    /// From DW0.
    pub const fn from_dw0(dw0: u32) -> Self {
        Self {
            immediate: dw0 & 1 != 0,
        }
    }

    /// To DW0.
    pub const fn to_dw0(self) -> u32 {
        self.immediate as u32
    }
}

/// Bytes of the log page's header: 0–1 NE number of entries, 2–7 reserved.
pub const CCR_LOG_HEADER_LEN: usize = 8;
/// Bytes of an entry.
pub const CCR_LOG_ENTRY_LEN: usize = 8;
/// Most entries of the log page.
pub const CCR_LOG_ENTRIES_MAX: usize = 511;
/// Bytes of a log page with every entry.
pub const CCR_LOG_LEN: usize = CCR_LOG_HEADER_LEN + CCR_LOG_ENTRIES_MAX * CCR_LOG_ENTRY_LEN;

/// CCRS, byte 6 of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CcrStatus {
    /// 0: under way.
    InProgress,
    /// 1: done.
    Successful,
    /// 2: it could not be done. Nothing is proven about the lost association.
    Failed,
    /// A value we do not know. Proves nothing either.
    Other(u8),
}

impl CcrStatus {
    const fn from_raw(raw: u8) -> Self {
        match raw {
            0 => Self::InProgress,
            1 => Self::Successful,
            2 => Self::Failed,
            other => Self::Other(other),
        }
    }

    const fn to_raw(self) -> u8 {
        match self {
            Self::InProgress => 0,
            Self::Successful => 1,
            Self::Failed => 2,
            Self::Other(raw) => raw,
        }
    }
}

/// An entry of the Cross-Controller Reset log: bytes 0–1 ICID, 2 CIU, 4–5 ACID, 6 CCRS, 7 CCRF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CcrLogEntry {
    /// CNTLID of the impacted controller.
    pub icid: u16,
    /// CIU it had.
    pub ciu: u8,
    /// ACID: CNTLID of the alternate controller. As it stands; nothing here depends on it.
    pub acid: u16,
    /// How it went.
    pub status: CcrStatus,
    /// CCRF: flags, as they stand.
    pub flags: u8,
}

impl CcrLogEntry {
    fn read(b: &[u8; CCR_LOG_ENTRY_LEN]) -> Self {
        Self {
            icid: get16(b, 0),
            ciu: b[2],
            acid: get16(b, 4),
            status: CcrStatus::from_raw(b[6]),
            flags: b[7],
        }
    }

    fn write(&self, b: &mut [u8]) {
        put16(b, 0, self.icid);
        b[2] = self.ciu;
        put16(b, 4, self.acid);
        b[6] = self.status.to_raw();
        b[7] = self.flags;
    }

    /// The entry tells of that command. CIRN is not in the log.
    pub const fn answers(&self, command: &CrossControllerReset) -> bool {
        self.icid == command.icid && self.ciu == command.ciu
    }
}

/// The entries of a log page.
pub fn parse_ccr_log(buf: &[u8]) -> Result<impl ExactSizeIterator<Item = CcrLogEntry>> {
    let count = usize::from(get16(need::<CCR_LOG_HEADER_LEN>(buf)?, 0));
    if count > CCR_LOG_ENTRIES_MAX {
        return Err(CodecError::TooLong {
            field: "NE",
            len: count,
            max: CCR_LOG_ENTRIES_MAX,
        });
    }
    let need = CCR_LOG_HEADER_LEN + count * CCR_LOG_ENTRY_LEN;
    let Some(page) = buf.get(..need) else {
        return Err(CodecError::Truncated {
            need,
            got: buf.len(),
        });
    };
    let (entries, _) = page[CCR_LOG_HEADER_LEN..].as_chunks();
    Ok(entries.iter().map(CcrLogEntry::read))
}

/// Writes a log page: the header and all entries; the rest of `buf` becomes zero. Returns the
/// length of the page.
pub fn emit_ccr_log(buf: &mut [u8], entries: &[CcrLogEntry]) -> Result<usize> {
    let len = entries.len();
    if len > CCR_LOG_ENTRIES_MAX {
        return Err(CodecError::TooLong {
            field: "NE",
            len,
            max: CCR_LOG_ENTRIES_MAX,
        });
    }
    let need = CCR_LOG_HEADER_LEN + len * CCR_LOG_ENTRY_LEN;
    if buf.len() < need {
        return Err(CodecError::Truncated {
            need,
            got: buf.len(),
        });
    }
    buf.fill(0);
    put16(buf, 0, len as u16);
    let slots = buf[CCR_LOG_HEADER_LEN..].chunks_exact_mut(CCR_LOG_ENTRY_LEN);
    for (slot, entry) in slots.zip(entries) {
        entry.write(slot);
    }
    Ok(need)
}

/// Get Log Page for the whole log. `remove_completed` is LSP bit 0 (RMC): entries that have come to
/// an end leave the log once they are read.
pub const fn get_ccr_log(remove_completed: bool) -> GetLogPage {
    GetLogPage::new(Lid::CROSS_CONTROLLER_RESET, CCR_LOG_LEN as u32)
        .with_lsp(remove_completed as u8)
}
