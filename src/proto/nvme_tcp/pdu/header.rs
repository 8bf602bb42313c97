//! The common header, and where the parts of a PDU lie.

use super::*;
use crate::base::crc::crc32c;

/// The common header, with a known type and the right HLEN.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Header {
    pub kind: PduType,
    pub flags: u8,
    pub pdo: u8,
    pub plen: u32,
}

/// Where the parts of a PDU lie, counted from its first byte.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Header with its digest: what must be there before the PDU can be read.
    pub header: usize,
    /// First byte of data; equals `header` when there is none.
    pub data: usize,
    /// Bytes of data.
    pub data_len: usize,
    /// A data digest follows the data.
    pub data_digest: bool,
    /// The whole PDU.
    pub total: usize,
}

impl Header {
    /// Reads the common header: `bytes` has [`COMMON_LEN`] or more.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, PduError> {
        let Some(kind) = PduType::from_byte(bytes[0]) else {
            return Err(PduError::UnknownType(bytes[0]));
        };
        if usize::from(bytes[2]) != kind.hlen() {
            return Err(PduError::field(kind, Field::Hlen, u32::from(bytes[2])));
        }
        Ok(Self {
            kind,
            flags: bytes[1],
            pdo: bytes[3],
            plen: get_u32(bytes, 4),
        })
    }

    #[inline]
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Checks the header against the connection: digests as agreed, data aligned to `align` bytes
    /// and not longer than `data_max`, PLEN consistent (3.6.1). Reserved flag bits are ignored.
    #[inline]
    pub fn layout(
        &self,
        digests: Digests,
        align: usize,
        data_max: usize,
    ) -> Result<Layout, PduError> {
        let kind = self.kind;
        let plen = self.plen as usize;
        let want_digest = digests.header && kind.digested();
        if kind.digested() && self.has(FLAG_HDGST) != digests.header {
            return Err(self.bad(Field::Flags, u32::from(self.flags)));
        }
        let header = kind.hlen() + if want_digest { DIGEST_LEN } else { 0 };
        let none = Layout {
            header,
            data: header,
            data_len: 0,
            data_digest: false,
            total: header,
        };
        match kind {
            PduType::IcReq | PduType::IcResp | PduType::CapsuleResp | PduType::R2t => {
                if plen != header {
                    return Err(self.bad(Field::Plen, self.plen));
                }
                Ok(none)
            }
            PduType::H2cTermReq | PduType::C2hTermReq => {
                if plen < header || plen > header + TERM_DATA_MAX {
                    return Err(self.bad(Field::Plen, self.plen));
                }
                Ok(Layout {
                    data_len: plen - header,
                    total: plen,
                    ..none
                })
            }
            PduType::CapsuleCmd if plen == header => {
                if self.has(FLAG_DDGST) {
                    return Err(self.bad(Field::Flags, u32::from(self.flags)));
                }
                Ok(none)
            }
            PduType::CapsuleCmd | PduType::H2cData | PduType::C2hData => {
                if self.has(FLAG_DDGST) != digests.data {
                    return Err(self.bad(Field::Flags, u32::from(self.flags)));
                }
                let data = usize::from(self.pdo);
                if data < header || !data.is_multiple_of(align) {
                    return Err(self.bad(Field::Pdo, u32::from(self.pdo)));
                }
                let tail = if digests.data { DIGEST_LEN } else { 0 };
                // At least one byte of data: a data PDU without data is of no use to anyone.
                if plen <= data + tail || plen - data - tail > data_max {
                    return Err(self.bad(Field::Plen, self.plen));
                }
                Ok(Layout {
                    header,
                    data,
                    data_len: plen - data - tail,
                    data_digest: digests.data,
                    total: plen,
                })
            }
        }
    }

    const fn bad(&self, field: Field, value: u32) -> PduError {
        PduError::field(self.kind, field, value)
    }

    #[inline]
    pub(super) fn emit(&self, out: &mut [u8]) {
        out[0] = self.kind as u8;
        out[1] = self.flags;
        out[2] = self.kind.hlen() as u8;
        out[3] = self.pdo;
        put_u32(out, 4, self.plen);
    }
}

/// Checks the header digest of a PDU whose header and digest lie in `bytes`.
#[inline]
pub fn check_header_digest(kind: PduType, bytes: &[u8]) -> Result<(), PduError> {
    let received = get_u32(bytes, kind.hlen());
    let computed = crc32c(&bytes[..kind.hlen()]);
    if received == computed {
        Ok(())
    } else {
        Err(PduError::HeaderDigest {
            kind,
            received,
            computed,
        })
    }
}

/// Writes the digest behind a finished header.
#[inline]
pub(super) fn seal(kind: PduType, out: &mut [u8]) {
    let crc = crc32c(&out[..kind.hlen()]);
    put_u32(out, kind.hlen(), crc);
}

/// Writes the common header of a PDU without data, and after `body` its digest.
#[inline]
pub(super) fn emit_plain(
    kind: PduType,
    flags: u8,
    digests: Digests,
    out: &mut [u8],
    body: impl FnOnce(&mut [u8]),
) -> usize {
    let digest = digests.header && kind.digested();
    let len = kind.hlen() + if digest { DIGEST_LEN } else { 0 };
    Header {
        kind,
        flags: flags | (u8::from(digest) * FLAG_HDGST),
        pdo: 0,
        plen: len as u32,
    }
    .emit(out);
    body(out);
    if digest {
        seal(kind, out);
    }
    len
}

/// Writes header, digest and padding of a PDU with `data_len` bytes of data; the data and its
/// digest follow. Returns the offset of the data.
#[inline]
pub(super) fn emit_with_data(
    kind: PduType,
    flags: u8,
    digests: Digests,
    align: usize,
    data_len: u32,
    out: &mut [u8],
    body: impl FnOnce(&mut [u8]),
) -> usize {
    let pdo = data_offset(kind.hlen(), digests.header, align);
    let tail = if digests.data { DIGEST_LEN as u32 } else { 0 };
    Header {
        kind,
        flags: flags | digests.to_byte(),
        pdo: pdo as u8,
        plen: pdo as u32 + data_len + tail,
    }
    .emit(out);
    body(out);
    let mut end = kind.hlen();
    if digests.header {
        seal(kind, out);
        end += DIGEST_LEN;
    }
    out[end..pdo].fill(0);
    pdo
}

#[inline]
pub(super) fn get_u16(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([b[at], b[at + 1]])
}

#[inline]
pub(super) fn get_u32(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

#[inline]
pub(super) fn put_u16(b: &mut [u8], at: usize, v: u16) {
    b[at..at + 2].copy_from_slice(&v.to_le_bytes());
}

#[inline]
pub(super) fn put_u32(b: &mut [u8], at: usize, v: u32) {
    b[at..at + 4].copy_from_slice(&v.to_le_bytes());
}
