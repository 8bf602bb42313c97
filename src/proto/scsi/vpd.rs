//! Vital product data pages (SPC-4, 7.8; SBC-3, 6.5).

use super::bytes::{byte, get16, get32, get64, put16, put32, put64};

/// The body of a page, when it is the page asked for.
pub(super) fn page_body(b: &[u8], code: u8) -> Option<&[u8]> {
    if b.len() < 4 || b[1] != code {
        return None;
    }
    let end = (4 + usize::from(get16(b, 2))).min(b.len());
    Some(&b[4..end])
}

/// The body of a page as bytes: page codes of page 00h.
pub fn read_page(b: &[u8], code: u8) -> Vec<u8> {
    page_body(b, code).map(<[u8]>::to_vec).unwrap_or_default()
}

/// The serial number of page 80h without blanks around it.
pub fn read_serial(b: &[u8]) -> String {
    let text = page_body(b, 0x80).unwrap_or(&[]);
    String::from_utf8_lossy(text).trim().to_owned()
}

/// Appends a page: its header, and the body that `fill` appends. `first` is byte 0.
pub fn vpd_page(first: u8, code: u8, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[first, code, 0, 0]);
    fill(out);
    let len = (out.len() - start - 4) as u16;
    put16(&mut out[start..], 2, len);
}

/// Page B0h, block limits; in blocks, 0 where nothing is said.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct BlockLimits {
    /// WRITE SAME of no blocks is refused.
    pub write_same_non_zero: bool,
    pub compare_and_write: u8,
    pub granularity: u16,
    pub transfer_max: u32,
    pub transfer_optimal: u32,
    pub unmap_max: u32,
    pub unmap_descriptors: u32,
    pub unmap_granularity: u32,
    pub write_same_max: u64,
}

impl BlockLimits {
    pub fn emit(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + 60, 0);
        // Offsets of the standard count from the page's header.
        let b = &mut out[start - 4..];
        b[4] = u8::from(self.write_same_non_zero);
        b[5] = self.compare_and_write;
        put16(b, 6, self.granularity);
        put32(b, 8, self.transfer_max);
        put32(b, 12, self.transfer_optimal);
        put32(b, 20, self.unmap_max);
        put32(b, 24, self.unmap_descriptors);
        put32(b, 28, self.unmap_granularity);
        put64(b, 36, self.write_same_max);
    }

    pub fn parse(b: &[u8]) -> Option<Self> {
        let end = 4 + page_body(b, 0xb0)?.len();
        let b = &b[..end];
        Some(Self {
            write_same_non_zero: byte(b, 4) & 1 != 0,
            compare_and_write: byte(b, 5),
            granularity: get16(b, 6),
            transfer_max: get32(b, 8),
            transfer_optimal: get32(b, 12),
            unmap_max: get32(b, 20),
            unmap_descriptors: get32(b, 24),
            unmap_granularity: get32(b, 28),
            write_same_max: get64(b, 36),
        })
    }
}

/// Page B2h, logical block provisioning.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Provisioning {
    pub unmap: bool,
    pub write_same16: bool,
    pub write_same10: bool,
    /// Unmapped blocks read as zeroes.
    pub zeroes: bool,
    /// Thin, not resource provisioned.
    pub thin: bool,
}

impl Provisioning {
    pub fn emit(&self, out: &mut Vec<u8>) {
        let flags = u8::from(self.unmap) << 7
            | u8::from(self.write_same16) << 6
            | u8::from(self.write_same10) << 5
            | u8::from(self.zeroes) << 2;
        let kind = if self.thin { 2 } else { 0 };
        out.extend_from_slice(&[0, flags, kind, 0]);
    }

    pub fn parse(b: &[u8]) -> Option<Self> {
        let b = page_body(b, 0xb2)?;
        let flags = byte(b, 1);
        Some(Self {
            unmap: flags & 0x80 != 0,
            write_same16: flags & 0x40 != 0,
            write_same10: flags & 0x20 != 0,
            zeroes: flags & 0x1c != 0,
            thin: byte(b, 2) & 7 == 2,
        })
    }
}
