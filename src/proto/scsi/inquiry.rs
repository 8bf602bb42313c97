//! Standard INQUIRY data (SPC-4, 6.6.2) and READ CAPACITY data (SBC-3, 5.15 and 5.16).

use super::bytes::{byte, get32, get64, put_ascii, put16, put32, put64};

/// Version descriptors: SAM-5, iSCSI, SPC-4, SBC-3 (SPC-4, 6.6.2.3).
const VERSIONS: [u16; 4] = [0x00a0, 0x0960, 0x0460, 0x04c0];

/// What standard INQUIRY data say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Inquiry {
    /// 0 a unit is there, 1 none now, 3 none ever.
    pub qualifier: u8,
    /// 0 for a block device, 1Fh for none.
    pub device_type: u8,
    pub version: u8,
    /// Target port group support: bit 0 implicit, bit 1 explicit.
    pub tpgs: u8,
    /// More than one port.
    pub multi_port: bool,
    pub vendor: String,
    pub product: String,
    pub revision: String,
}

impl Inquiry {
    /// Bytes written.
    pub const LEN: usize = 96;

    pub fn emit(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + Self::LEN, 0);
        let b = &mut out[start..];
        b[0] = self.qualifier << 5 | self.device_type & 0x1f;
        b[2] = self.version;
        // Response data format 2, HISUP.
        b[3] = 0x12;
        b[4] = (Self::LEN - 5) as u8;
        b[5] = (self.tpgs & 3) << 4;
        b[6] = u8::from(self.multi_port) << 4;
        // CMDQUE.
        b[7] = 0x02;
        put_ascii(&mut b[8..16], &self.vendor);
        put_ascii(&mut b[16..32], &self.product);
        put_ascii(&mut b[32..36], &self.revision);
        for (i, v) in VERSIONS.iter().enumerate() {
            put16(b, 58 + 2 * i, *v);
        }
    }

    /// Reads the 36 bytes that every device has.
    pub fn parse(b: &[u8]) -> Option<Self> {
        let b = b.get(..36)?;
        let text = |at: &[u8]| String::from_utf8_lossy(at).trim().to_owned();
        Some(Self {
            qualifier: b[0] >> 5,
            device_type: b[0] & 0x1f,
            version: b[2],
            tpgs: b[5] >> 4 & 3,
            multi_port: b[6] & 0x10 != 0,
            vendor: text(&b[8..16]),
            product: text(&b[16..32]),
            revision: text(&b[32..36]),
        })
    }
}

/// READ CAPACITY(10) data; a last LBA that does not fit is all ones.
pub fn capacity10(blocks: u64, block_size: u32) -> [u8; 8] {
    let mut b = [0; 8];
    let last = u32::try_from(blocks.saturating_sub(1)).unwrap_or(u32::MAX);
    put32(&mut b, 0, last);
    put32(&mut b, 4, block_size);
    b
}

/// READ CAPACITY(16) data. `thin`: LBPME; `zeroes`: LBPRZ, unmapped blocks read as zeroes.
pub fn capacity16(blocks: u64, block_size: u32, thin: bool, zeroes: bool) -> [u8; 32] {
    let mut b = [0; 32];
    put64(&mut b, 0, blocks.saturating_sub(1));
    put32(&mut b, 8, block_size);
    b[14] = u8::from(thin) << 7 | u8::from(zeroes) << 6;
    b
}

/// Blocks and bytes in a block.
pub fn read_capacity10(b: &[u8]) -> Option<(u64, u32)> {
    let b = b.get(..8)?;
    Some((u64::from(get32(b, 0)) + 1, get32(b, 4)))
}

/// Blocks, bytes in a block, LBPME, LBPRZ.
pub fn read_capacity16(b: &[u8]) -> Option<(u64, u32, bool, bool)> {
    b.get(..12)?;
    let thin = byte(b, 14);
    Some((
        get64(b, 0).checked_add(1)?,
        get32(b, 8),
        thin & 0x80 != 0,
        thin & 0x40 != 0,
    ))
}
