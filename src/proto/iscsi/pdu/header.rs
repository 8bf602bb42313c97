//! What every basic header segment has, and where the parts of a PDU lie.

use super::*;
use crate::base::crc::crc32c;

/// Byte 0: the command is immediate, outside of the CmdSN order.
pub(super) const IMMEDIATE: u8 = 0x40;
/// Byte 1: the F bit, T of login PDUs.
pub(super) const FINAL: u8 = 0x80;

/// The fields common to all PDUs (RFC 7143, 11.2.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Header {
    pub opcode: Opcode,
    pub immediate: bool,
    /// Byte 1 as it is.
    pub flags: u8,
    /// Additional header segments in bytes, a multiple of four.
    pub ahs_len: usize,
    /// Data segment in bytes without its padding.
    pub data_len: usize,
    /// Initiator Task Tag.
    pub itt: u32,
}

/// Where the parts of a PDU lie, counted from its first byte.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Basic and additional header segments: what the header digest covers.
    pub segments: usize,
    /// The segments with their digest: what must be there before the PDU can be read, and the first
    /// byte of data.
    pub header: usize,
    /// Bytes of data without padding.
    pub data_len: usize,
    /// Bytes of padding behind the data; the data digest covers them too.
    pub pad: usize,
    /// A data digest follows data and padding.
    pub data_digest: bool,
    /// The whole PDU.
    pub total: usize,
}

impl Header {
    /// Reads the common fields.
    #[inline]
    pub fn parse(b: &[u8; BHS_LEN]) -> Result<Self, PduError> {
        let Some(opcode) = Opcode::from_byte(b[0]) else {
            return Err(PduError::UnknownOpcode(b[0] & 0x3f));
        };
        Ok(Self {
            opcode,
            immediate: b[0] & IMMEDIATE != 0,
            flags: b[1],
            ahs_len: usize::from(b[4]) * 4,
            data_len: (get32(b, 4) & 0x00ff_ffff) as usize,
            itt: get32(b, 16),
        })
    }

    #[inline]
    pub const fn is_final(&self) -> bool {
        self.flags & FINAL != 0
    }

    /// Checks the lengths: data not longer than `data_max` (our MaxRecvDataSegmentLength), none and
    /// no additional header segments where the PDU has none.
    #[inline]
    pub const fn layout(&self, digests: Digests, data_max: usize) -> Result<Layout, PduError> {
        if self.ahs_len != 0 && !matches!(self.opcode, Opcode::ScsiCommand) {
            return Err(self.bad(Field::TotalAhsLength, self.ahs_len as u32 / 4));
        }
        if self.data_len > data_max || (self.data_len != 0 && !self.opcode.has_data()) {
            return Err(self.bad(Field::DataSegmentLength, self.data_len as u32));
        }
        let digested = self.opcode.digested();
        let segments = BHS_LEN + self.ahs_len;
        let header = header_len(self.ahs_len, digests.header && digested);
        let data_digest = digests.data && digested && self.data_len != 0;
        Ok(Layout {
            segments,
            header,
            data_len: self.data_len,
            pad: pad(self.data_len),
            data_digest,
            total: total_len(header, self.data_len, data_digest),
        })
    }

    const fn bad(&self, field: Field, value: u32) -> PduError {
        PduError::field(self.opcode, field, value)
    }
}

/// Bytes of all header segments with their digest.
#[inline]
pub const fn header_len(ahs_len: usize, header_digest: bool) -> usize {
    BHS_LEN + ahs_len + if header_digest { DIGEST_LEN } else { 0 }
}

/// Bytes of a PDU whose header takes `header` bytes. There is no digest of no data.
#[inline]
pub const fn total_len(header: usize, data_len: usize, data_digest: bool) -> usize {
    if data_len == 0 {
        return header;
    }
    header + data_len + pad(data_len) + if data_digest { DIGEST_LEN } else { 0 }
}

/// Checks the digest behind `segments` bytes of header; `bytes` has at least
/// `segments + DIGEST_LEN`.
#[inline]
pub fn check_header_digest(bytes: &[u8], segments: usize) -> Result<(), PduError> {
    let received = get_digest(bytes, segments);
    let computed = crc32c(&bytes[..segments]);
    if received == computed {
        Ok(())
    } else {
        Err(PduError::HeaderDigest { received, computed })
    }
}

/// Writes the digest behind `segments` bytes of a finished header, where headers have one, and
/// returns where data starts. `out` has at least `segments + DIGEST_LEN` bytes.
#[inline]
pub fn seal(out: &mut [u8], segments: usize, header_digest: bool) -> usize {
    if !header_digest {
        return segments;
    }
    let crc = crc32c(&out[..segments]);
    put_digest(out, segments, crc);
    segments + DIGEST_LEN
}

/// A digest at `at`. On the wire a CRC32C has its lowest byte first, as the examples of RFC 7143,
/// appendix A.4 show.
#[inline]
pub fn get_digest(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(get(b, at))
}

/// Writes a digest to `at`.
#[inline]
pub fn put_digest(b: &mut [u8], at: usize, crc: u32) {
    put(b, at, crc.to_le_bytes());
}

/// Clears the basic header segment and writes what all have.
///
/// # Panics
/// `data_len` does not fit 24 bits: negotiation never allows more.
#[inline]
pub(super) fn start(out: &mut [u8], opcode: u8, flags: u8, ahs_words: u8, data_len: usize) {
    assert!(
        data_len <= DATA_SEGMENT_MAX,
        "a data segment longer than any agreement"
    );
    out[..BHS_LEN].fill(0);
    put32(out, 4, data_len as u32);
    out[0] = opcode;
    out[1] = flags;
    out[4] = ahs_words;
}

/// The first byte of a request that can be immediate.
#[inline]
pub(super) const fn byte0(opcode: Opcode, immediate: bool) -> u8 {
    opcode as u8 | if immediate { IMMEDIATE } else { 0 }
}

#[inline]
pub(super) fn get<const N: usize>(b: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&b[at..at + N]);
    out
}

#[inline]
pub(super) fn put<const N: usize>(b: &mut [u8], at: usize, bytes: [u8; N]) {
    b[at..at + N].copy_from_slice(&bytes);
}

#[inline]
pub(super) fn get16(b: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(get(b, at))
}

#[inline]
pub(super) fn get32(b: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(get(b, at))
}

#[inline]
pub(super) fn get64(b: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(get(b, at))
}

#[inline]
pub(super) fn put16(b: &mut [u8], at: usize, v: u16) {
    put(b, at, v.to_be_bytes());
}

#[inline]
pub(super) fn put32(b: &mut [u8], at: usize, v: u32) {
    put(b, at, v.to_be_bytes());
}

#[inline]
pub(super) fn put64(b: &mut [u8], at: usize, v: u64) {
    put(b, at, v.to_be_bytes());
}
