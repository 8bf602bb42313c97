//! Identify Namespace data structure of the NVM command set, CNS 00h, 4096 bytes (NVM Command Set
//! 1.1 clause 4.1.5.1).

use super::bytes::{get, get16, get32, get64, need, need_mut, put, put16, put32, put64};
use super::error::Result;
use super::identify::IDENTIFY_LEN;

/// Entries of the LBA format table.
pub const LBA_FORMATS: usize = 64;

/// NSFEAT, byte 24.
pub mod nsfeat {
    /// Thin provisioning.
    pub const THIN: u8 = 1 << 0;
    /// NAWUN, NAWUPF and NACWU are defined for this namespace.
    pub const ATOMICS: u8 = 1 << 1;
    /// Bits 5:4 = 01b: NPWG, NPWA, NPDG, NPDA and NOWS are defined.
    pub const OPTPERF: u8 = 1 << 4;
}

/// NMIC bit 0, byte 30: the namespace may be attached to several controllers at once.
pub const NMIC_SHARED: u8 = 1;
/// DLFEAT bits 2:0 = 001b: deallocated blocks read as zeros.
pub const DLFEAT_READ_ZERO: u8 = 1;
/// DLFEAT bit 3: the Deallocate bit of Write Zeroes is supported.
pub const DLFEAT_WRITE_ZEROES: u8 = 1 << 3;
/// NSATTR bit 0, byte 99: write protected.
pub const NSATTR_WRITE_PROTECTED: u8 = 1;

/// One LBA format, 4 bytes: MS 15:0, LBADS 23:16, RP 25:24.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LbaFormat {
    /// Metadata bytes per block.
    pub ms: u16,
    /// Block of `2^n` bytes, n at least 9; 0 where the format is not available.
    pub lbads: u8,
    /// Relative performance, 0 best to 3.
    pub rp: u8,
}

/// The fields of Identify Namespace that we use; the rest is emitted as zero. All zeros stand for
/// an NSID that is valid but not active here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentifyNamespace {
    /// Bytes 0–7. Size in blocks.
    pub nsze: u64,
    /// Bytes 8–15. Capacity in blocks.
    pub ncap: u64,
    /// Bytes 16–23. Utilization in blocks.
    pub nuse: u64,
    /// Byte 24. Features, see [`nsfeat`].
    pub nsfeat: u8,
    /// Byte 25. Number of LBA formats, 0-based.
    pub nlbaf: u8,
    /// Byte 26. Formatted size: index 3:0 and 6:5, bit 4 metadata at the end of the data.
    pub flbas: u8,
    /// Byte 29. End-to-end protection in use: type in 2:0, 0 none.
    pub dps: u8,
    /// Byte 30. Sharing, see [`NMIC_SHARED`].
    pub nmic: u8,
    /// Byte 31. Reservation capabilities.
    pub rescap: u8,
    /// Byte 33. Deallocation, see [`DLFEAT_READ_ZERO`].
    pub dlfeat: u8,
    /// Bytes 34–35. Atomic write unit in blocks, 0-based.
    pub nawun: u16,
    /// Bytes 36–37. Atomic write unit under power failure in blocks, 0-based.
    pub nawupf: u16,
    /// Bytes 38–39. Atomic compare and write unit in blocks, 0-based.
    pub nacwu: u16,
    /// Bytes 46–47. Optimal I/O boundary in blocks, 0 none.
    pub noiob: u16,
    /// Bytes 64–65. Preferred write granularity in blocks, 0-based.
    pub npwg: u16,
    /// Bytes 66–67. Preferred write alignment in blocks, 0-based.
    pub npwa: u16,
    /// Bytes 68–69. Preferred deallocate granularity in blocks, 0-based.
    pub npdg: u16,
    /// Bytes 70–71. Preferred deallocate alignment in blocks, 0-based.
    pub npda: u16,
    /// Bytes 72–73. Optimal write size in blocks, 0-based.
    pub nows: u16,
    /// Bytes 92–95. ANA group, 0 where ANA is not reported.
    pub anagrpid: u32,
    /// Byte 99. Attributes, see [`NSATTR_WRITE_PROTECTED`].
    pub nsattr: u8,
    /// Bytes 104–119. Namespace Globally Unique Identifier, big-endian; zero where there is none.
    pub nguid: [u8; 16],
    /// Bytes 120–127. IEEE Extended Unique Identifier, big-endian; zero where there is none.
    pub eui64: [u8; 8],
    /// Bytes 128–383. LBA formats; those up to `nlbaf` count.
    pub lbaf: [LbaFormat; LBA_FORMATS],
}

impl Default for IdentifyNamespace {
    fn default() -> Self {
        Self::parse(&[0; IDENTIFY_LEN]).expect("all zeros are well formed")
    }
}

impl IdentifyNamespace {
    /// Reads 4096 bytes.
    pub fn parse(buf: &[u8]) -> Result<Self> {
        let b = need::<IDENTIFY_LEN>(buf)?;
        let mut lbaf = [LbaFormat::default(); LBA_FORMATS];
        for (i, format) in lbaf.iter_mut().enumerate() {
            let raw = get32(b, 128 + 4 * i);
            *format = LbaFormat {
                ms: raw as u16,
                lbads: (raw >> 16) as u8,
                rp: (raw >> 24) as u8 & 3,
            };
        }
        Ok(Self {
            nsze: get64(b, 0),
            ncap: get64(b, 8),
            nuse: get64(b, 16),
            nsfeat: b[24],
            nlbaf: b[25],
            flbas: b[26],
            dps: b[29],
            nmic: b[30],
            rescap: b[31],
            dlfeat: b[33],
            nawun: get16(b, 34),
            nawupf: get16(b, 36),
            nacwu: get16(b, 38),
            noiob: get16(b, 46),
            npwg: get16(b, 64),
            npwa: get16(b, 66),
            npdg: get16(b, 68),
            npda: get16(b, 70),
            nows: get16(b, 72),
            anagrpid: get32(b, 92),
            nsattr: b[99],
            nguid: get(b, 104),
            eui64: get(b, 120),
            lbaf,
        })
    }

    /// Writes 4096 bytes.
    pub fn emit(&self, buf: &mut [u8]) -> Result<()> {
        let b = need_mut::<IDENTIFY_LEN>(buf)?;
        put64(b, 0, self.nsze);
        put64(b, 8, self.ncap);
        put64(b, 16, self.nuse);
        b[24] = self.nsfeat;
        b[25] = self.nlbaf;
        b[26] = self.flbas;
        b[29] = self.dps;
        b[30] = self.nmic;
        b[31] = self.rescap;
        b[33] = self.dlfeat;
        put16(b, 34, self.nawun);
        put16(b, 36, self.nawupf);
        put16(b, 38, self.nacwu);
        put16(b, 46, self.noiob);
        put16(b, 64, self.npwg);
        put16(b, 66, self.npwa);
        put16(b, 68, self.npdg);
        put16(b, 70, self.npda);
        put16(b, 72, self.nows);
        put32(b, 92, self.anagrpid);
        b[99] = self.nsattr;
        put(b, 104, self.nguid);
        put(b, 120, self.eui64);
        for (i, format) in self.lbaf.iter().enumerate() {
            let raw = u32::from(format.ms)
                | u32::from(format.lbads) << 16
                | u32::from(format.rp & 3) << 24;
            put32(b, 128 + 4 * i, raw);
        }
        Ok(())
    }

    /// Index of the format in use. The upper two bits (6:5) count only where there are more than
    /// 16 formats. Always below [`LBA_FORMATS`].
    pub const fn format_index(&self) -> usize {
        let low = self.flbas & 0xf;
        if self.nlbaf < 16 {
            low as usize
        } else {
            (low | (self.flbas >> 5 & 3) << 4) as usize
        }
    }

    /// The format in use.
    pub const fn format(&self) -> LbaFormat {
        self.lbaf[self.format_index()]
    }

    /// log2 of the block size in bytes; `None` where it is not one we can serve (9 to 16).
    pub const fn block_shift(&self) -> Option<u8> {
        match self.format().lbads {
            shift @ 9..=16 => Some(shift),
            _ => None,
        }
    }

    /// Size in bytes; `None` without a block size or where it does not fit 64 bits.
    pub fn size_bytes(&self) -> Option<u64> {
        self.nsze.checked_mul(1 << self.block_shift()?)
    }

    /// The namespace is active on this controller.
    pub const fn is_active(&self) -> bool {
        self.nsze != 0
    }
}
