//! Get Log Page (Base 2.3 clause 5.2.12) and the small log pages. The ANA log is in [`super::ana`],
//! the Cross-Controller Reset log in [`super::ccr`]; the Changed Attached Namespace List is read
//! and written as an [`super::identify::NsList`].

use super::bytes::{need_mut, put16, put32};
use super::codes::codes;
use super::error::{CodecError, Result};
use super::identify::emit_ns_list;
use super::opcode::AdminOpcode;
use super::sqe::{NSID_ALL, Sqe};

codes! {
    /// Log page identifier (figure 206).
    Lid: u8 {
        SUPPORTED = 0x00 => "Supported Log Pages",
        ERROR = 0x01 => "Error Information",
        SMART = 0x02 => "SMART / Health Information",
        FIRMWARE_SLOT = 0x03 => "Firmware Slot Information",
        CHANGED_NAMESPACES = 0x04 => "Changed Attached Namespace List",
        COMMANDS_SUPPORTED = 0x05 => "Commands Supported and Effects",
        ANA = 0x0c => "Asymmetric Namespace Access",
        CROSS_CONTROLLER_RESET = 0x1e => "Cross-Controller Reset",
        LOST_HOST = 0x1f => "Lost Host Communication",
        DISCOVERY = 0x70 => "Discovery",
        RESERVATION = 0x80 => "Reservation Notification",
    }
}

/// Bytes of an Error Information entry.
pub const ERROR_ENTRY_LEN: usize = 64;
/// Bytes of the SMART / Health Information page.
pub const SMART_LEN: usize = 512;
/// Bytes of the Firmware Slot Information page.
pub const FIRMWARE_SLOT_LEN: usize = 512;
/// Bytes of the Changed Attached Namespace List.
pub const CHANGED_NAMESPACES_LEN: usize = 4096;

/// Get Log Page command.
///
/// CDW10: LID 7:0, LSP 14:8, RAE 15, NUMDL 31:16. CDW11: NUMDU 15:0, LSI 31:16. CDW12–13: LPO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetLogPage {
    /// Namespace; [`NSID_ALL`] (or 0) for pages of the controller.
    pub nsid: u32,
    /// Page.
    pub lid: Lid,
    /// Log specific parameter, 7 bits.
    pub lsp: u8,
    /// Log specific identifier.
    pub lsi: u16,
    /// Retain Asynchronous Event: reading does not clear the event that named this page.
    pub rae: bool,
    /// NUMD: dwords to return, 0-based.
    pub numd0: u32,
    /// LPO: where to start in the page, in bytes; a multiple of 4.
    pub offset: u64,
}

impl GetLogPage {
    /// The first `len` bytes of a page of the controller. `len` is rounded up to whole dwords.
    pub const fn new(lid: Lid, len: u32) -> Self {
        let numd0 = len.div_ceil(4).saturating_sub(1);
        Self {
            nsid: NSID_ALL,
            lid,
            lsp: 0,
            lsi: 0,
            rae: false,
            numd0,
            offset: 0,
        }
    }

    /// The same with LSP.
    #[must_use]
    pub const fn with_lsp(mut self, lsp: u8) -> Self {
        self.lsp = lsp & 0x7f;
        self
    }

    /// The same with RAE: for all but the last piece of a page.
    #[must_use]
    pub const fn with_rae(mut self, rae: bool) -> Self {
        self.rae = rae;
        self
    }

    /// The same from another offset, in bytes; the lowest two bits are dropped.
    #[must_use]
    pub const fn with_offset(mut self, offset: u64) -> Self {
        self.offset = offset & !3;
        self
    }

    /// Bytes to return, 4 to 16 GiB.
    pub const fn len_bytes(&self) -> u64 {
        (self.numd0 as u64 + 1) * 4
    }

    /// Reads a command. An LPO that is no multiple of 4 is `BadValue`.
    pub fn parse(sqe: &Sqe) -> Result<Self> {
        if sqe.opcode() != AdminOpcode::GET_LOG_PAGE.0 {
            return Err(CodecError::BadValue {
                field: "OPC",
                value: u64::from(sqe.opcode()),
            });
        }
        let (cdw10, cdw11) = (sqe.cdw10(), sqe.cdw11());
        let offset = u64::from(sqe.cdw12()) | u64::from(sqe.cdw13()) << 32;
        if offset & 3 != 0 {
            return Err(CodecError::BadValue {
                field: "LPO",
                value: offset,
            });
        }
        Ok(Self {
            nsid: sqe.nsid(),
            lid: Lid(cdw10 as u8),
            lsp: (cdw10 >> 8) as u8 & 0x7f,
            lsi: (cdw11 >> 16) as u16,
            rae: cdw10 & 1 << 15 != 0,
            numd0: cdw10 >> 16 | cdw11 << 16,
            offset,
        })
    }

    /// The command, with its data by the transport. A length of 4 GiB and more does not fit an SGL
    /// and is described as the 4 bytes less that do.
    pub fn to_sqe(&self) -> Sqe {
        let mut sqe = Sqe::new(AdminOpcode::GET_LOG_PAGE.0);
        sqe.set_nsid(self.nsid);
        let flags = u32::from(self.lsp & 0x7f) << 8 | u32::from(self.rae) << 15;
        sqe.set_cdw10(u32::from(self.lid.0) | flags | self.numd0 << 16);
        sqe.set_cdw11(self.numd0 >> 16 | u32::from(self.lsi) << 16);
        sqe.set_cdw12(self.offset as u32);
        sqe.set_cdw13((self.offset >> 32) as u32);
        sqe.set_transport(u32::try_from(self.len_bytes()).unwrap_or(u32::MAX - 3));
        sqe
    }
}

/// The Changed Attached Namespace List: 4096 bytes, overflow where there are more than 1024.
pub fn emit_changed_namespaces(buf: &mut [u8], nsids: &[u32]) -> Result<()> {
    let listed = if nsids.len() > super::identify::NS_LIST_MAX {
        &[NSID_ALL]
    } else {
        nsids
    };
    emit_ns_list(buf, listed.iter().copied())?;
    Ok(())
}

/// Error Information with no error in it: `entries` (ELPE + 1) of zeros. Returns the length.
pub fn emit_no_errors(buf: &mut [u8], entries: usize) -> Result<usize> {
    let need = entries.saturating_mul(ERROR_ENTRY_LEN);
    let got = buf.len();
    match buf.get_mut(..need) {
        Some(page) => page.fill(0),
        None => return Err(CodecError::Truncated { need, got }),
    }
    Ok(need)
}

/// SMART / Health of something that does not wear: 512 bytes, bytes 1–2 temperature in kelvin,
/// 3 available spare and 4 its threshold in percent, the rest zero.
pub fn emit_smart(buf: &mut [u8], kelvin: u16) -> Result<()> {
    let b = need_mut::<SMART_LEN>(buf)?;
    put16(b, 1, kelvin);
    b[3] = 100;
    b[4] = 10;
    Ok(())
}

/// Firmware Slot Information: 512 bytes, slot 1 active with that revision (ASCII, at byte 8).
pub fn emit_firmware_slot(buf: &mut [u8], revision: [u8; 8]) -> Result<()> {
    let b = need_mut::<FIRMWARE_SLOT_LEN>(buf)?;
    b[0] = 1;
    b[8..16].copy_from_slice(&revision);
    Ok(())
}

/// Commands Supported and Effects: 4096 bytes, an entry of 4 bytes per opcode, Admin from byte 0,
/// I/O from 1024. Bit 0 CSUPP supported, bit 1 LBCC changes blocks.
pub fn emit_effects(buf: &mut [u8], admin: &[u8], io: &[(u8, bool)]) -> Result<()> {
    let b = need_mut::<4096>(buf)?;
    for opcode in admin {
        put32(b, 4 * usize::from(*opcode), 1);
    }
    for (opcode, writes) in io {
        put32(
            b,
            1024 + 4 * usize::from(*opcode),
            1 | u32::from(*writes) << 1,
        );
    }
    Ok(())
}
