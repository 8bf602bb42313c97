//! NVM command set commands over an [`Sqe`] (NVM Command Set 1.1 clause 3.3).
//!
//! SLBA is CDW10–11; CDW12 holds NLB 15:0 (0-based), DEAC 25 (Write Zeroes), FUA 30, LR 31.
//! The constructors leave CID 0 and describe no data: set both when the command is placed.

use super::bytes::{get64, put64};
use super::opcode::NvmOpcode;
use super::sqe::Sqe;

/// Offset of SLBA.
const SLBA: usize = 40;
/// CDW12 bit 30: Force Unit Access.
const FUA: u32 = 1 << 30;
/// CDW12 bit 25 of Write Zeroes: Deallocate.
const DEAC: u32 = 1 << 25;
/// CDW11 bit 2 of Dataset Management: Attribute – Deallocate.
const AD: u32 = 1 << 2;

impl Sqe {
    #[inline]
    fn lba_command(opcode: NvmOpcode, nsid: u32, slba: u64, cdw12: u32) -> Self {
        let mut sqe = Self::new(opcode.0);
        sqe.set_nsid(nsid);
        sqe.set_slba(slba);
        sqe.set_cdw12(cdw12);
        sqe
    }

    /// Read of `nlb0 + 1` blocks from `slba`.
    #[inline]
    pub fn read(nsid: u32, slba: u64, nlb0: u16, fua: bool) -> Self {
        Self::lba_command(NvmOpcode::READ, nsid, slba, cdw12(nlb0, FUA, fua))
    }

    /// Write of `nlb0 + 1` blocks at `slba`.
    #[inline]
    pub fn write(nsid: u32, slba: u64, nlb0: u16, fua: bool) -> Self {
        Self::lba_command(NvmOpcode::WRITE, nsid, slba, cdw12(nlb0, FUA, fua))
    }

    /// Compare of `nlb0 + 1` blocks at `slba`.
    #[inline]
    pub fn compare(nsid: u32, slba: u64, nlb0: u16, fua: bool) -> Self {
        Self::lba_command(NvmOpcode::COMPARE, nsid, slba, cdw12(nlb0, FUA, fua))
    }

    /// Write Zeroes of `nlb0 + 1` blocks at `slba`; `deac` asks to deallocate them as well.
    #[inline]
    pub fn write_zeroes(nsid: u32, slba: u64, nlb0: u16, fua: bool, deac: bool) -> Self {
        let cdw12 = cdw12(nlb0, FUA, fua) | cdw12(0, DEAC, deac);
        Self::lba_command(NvmOpcode::WRITE_ZEROES, nsid, slba, cdw12)
    }

    /// Flush.
    #[inline]
    pub fn flush(nsid: u32) -> Self {
        let mut sqe = Self::new(NvmOpcode::FLUSH.0);
        sqe.set_nsid(nsid);
        sqe
    }

    /// Dataset Management of `nr0 + 1` ranges (see [`super::dsm`]).
    #[inline]
    pub fn dataset_management(nsid: u32, nr0: u8, deallocate: bool) -> Self {
        let mut sqe = Self::new(NvmOpcode::DATASET_MANAGEMENT.0);
        sqe.set_nsid(nsid);
        sqe.set_cdw10(u32::from(nr0));
        sqe.set_cdw11(if deallocate { AD } else { 0 });
        sqe
    }

    /// SLBA.
    #[inline]
    pub fn slba(&self) -> u64 {
        get64(self.as_bytes(), SLBA)
    }

    /// Sets SLBA.
    #[inline]
    pub fn set_slba(&mut self, slba: u64) {
        put64(self.as_mut_bytes(), SLBA, slba);
    }

    /// NLB as on the wire: one less than the number of blocks.
    #[inline]
    pub fn nlb0(&self) -> u16 {
        self.cdw12() as u16
    }

    /// Number of blocks, 1 to 65536.
    #[inline]
    pub fn blocks(&self) -> u32 {
        u32::from(self.nlb0()) + 1
    }

    /// FUA.
    #[inline]
    pub fn fua(&self) -> bool {
        self.cdw12() & FUA != 0
    }

    /// DEAC of Write Zeroes.
    #[inline]
    pub fn deac(&self) -> bool {
        self.cdw12() & DEAC != 0
    }

    /// Number of ranges of Dataset Management, 1 to 256.
    #[inline]
    pub fn dsm_ranges(&self) -> usize {
        (self.cdw10() & 0xff) as usize + 1
    }

    /// Dataset Management asks to deallocate. Without it the ranges are hints.
    #[inline]
    pub fn dsm_deallocate(&self) -> bool {
        self.cdw11() & AD != 0
    }
}

#[inline]
const fn cdw12(nlb0: u16, bit: u32, set: bool) -> u32 {
    nlb0 as u32 | if set { bit } else { 0 }
}
