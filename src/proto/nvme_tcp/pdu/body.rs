//! What stands behind the common header, PDU by PDU.

use super::header::{emit_plain, emit_with_data, get_u16, get_u32, put_u16, put_u32};
use super::*;

/// Initialize Connection Request (3.6.2.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct IcReq {
    /// PDU format version; 0 is the only one.
    pub pfv: u16,
    /// Alignment of data sent to the host, in dwords, zero-based.
    pub hpda: u8,
    pub digests: Digests,
    /// R2Ts outstanding per command at most, zero-based.
    pub max_r2t: u32,
}

impl IcReq {
    /// Reads the PDU: `bytes` has [`IC_LEN`] or more.
    pub fn parse(bytes: &[u8]) -> Result<Self, PduError> {
        let pfv = get_u16(bytes, 8);
        if pfv != 0 {
            return Err(PduError::unsupported(
                PduType::IcReq,
                Field::Pfv,
                pfv.into(),
            ));
        }
        if bytes[10] > 31 {
            return Err(PduError::field(
                PduType::IcReq,
                Field::Pda,
                bytes[10].into(),
            ));
        }
        Ok(Self {
            pfv,
            hpda: bytes[10],
            digests: Digests::from_byte(bytes[11]),
            max_r2t: get_u32(bytes, 12),
        })
    }

    pub fn emit(&self, out: &mut [u8]) -> usize {
        emit_plain(PduType::IcReq, 0, Digests::NONE, out, |b| {
            b[COMMON_LEN..IC_LEN].fill(0);
            put_u16(b, 8, self.pfv);
            b[10] = self.hpda;
            b[11] = self.digests.to_byte();
            put_u32(b, 12, self.max_r2t);
        })
    }
}

/// Initialize Connection Response (3.6.2.2).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct IcResp {
    pub pfv: u16,
    /// Alignment of data sent to the controller, in dwords, zero-based.
    pub cpda: u8,
    pub digests: Digests,
    /// Data bytes in one H2CData PDU at most.
    pub max_h2c_data: u32,
}

impl IcResp {
    /// Reads the PDU: `bytes` has [`IC_LEN`] or more.
    pub fn parse(bytes: &[u8]) -> Result<Self, PduError> {
        let bad = |field, value| Err(PduError::field(PduType::IcResp, field, value));
        let r = Self {
            pfv: get_u16(bytes, 8),
            cpda: bytes[10],
            digests: Digests::from_byte(bytes[11]),
            max_h2c_data: get_u32(bytes, 12),
        };
        if r.pfv != 0 {
            return Err(PduError::unsupported(
                PduType::IcResp,
                Field::Pfv,
                r.pfv.into(),
            ));
        }
        if r.cpda > 31 {
            return bad(Field::Pda, r.cpda.into());
        }
        if r.max_h2c_data < MAXH2CDATA_MIN || !r.max_h2c_data.is_multiple_of(4) {
            return bad(Field::MaxH2cData, r.max_h2c_data);
        }
        Ok(r)
    }

    pub fn emit(&self, out: &mut [u8]) -> usize {
        emit_plain(PduType::IcResp, 0, Digests::NONE, out, |b| {
            b[COMMON_LEN..IC_LEN].fill(0);
            put_u16(b, 8, self.pfv);
            b[10] = self.cpda;
            b[11] = self.digests.to_byte();
            put_u32(b, 12, self.max_h2c_data);
        })
    }
}

/// H2CTermReq and C2HTermReq (3.6.2.3, 3.6.2.4): why the sender ends the connection.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TermReq {
    /// Raw fatal error status; [`Fes`] names the known ones.
    pub fes: u16,
    /// Fatal error information: an offset or a digest, by status.
    pub fei: u32,
}

impl TermReq {
    pub const fn new(fes: Fes, fei: u32) -> Self {
        Self {
            fes: fes as u16,
            fei,
        }
    }

    /// Reads the PDU: `bytes` has [`SHORT_LEN`] or more.
    pub fn parse(bytes: &[u8]) -> Self {
        Self {
            fes: get_u16(bytes, 8),
            fei: get_u32(bytes, 10),
        }
    }

    /// `kind` is one of the two; `offender` is the start of the PDU at fault. `out` has
    /// [`SHORT_LEN`] + [`TERM_DATA_MAX`] bytes.
    pub fn emit(&self, kind: PduType, offender: &[u8], out: &mut [u8]) -> usize {
        let data = &offender[..offender.len().min(TERM_DATA_MAX)];
        let len = SHORT_LEN + data.len();
        Header {
            kind,
            flags: 0,
            pdo: 0,
            plen: len as u32,
        }
        .emit(out);
        out[COMMON_LEN..SHORT_LEN].fill(0);
        put_u16(out, 8, self.fes);
        put_u32(out, 10, self.fei);
        out[SHORT_LEN..len].copy_from_slice(data);
        len
    }
}

/// Command capsule (3.6.2.5): the raw submission queue entry, data may follow.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct CapsuleCmd {
    pub sqe: [u8; 64],
}

impl CapsuleCmd {
    /// Reads the PDU: `bytes` has [`CMD_LEN`] or more.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut sqe = [0; 64];
        sqe.copy_from_slice(&bytes[COMMON_LEN..CMD_LEN]);
        Self { sqe }
    }

    /// Writes everything before the data (if `data_len` is not 0) and returns its length.
    #[inline]
    pub fn emit(
        sqe: &[u8; 64],
        data_len: u32,
        digests: Digests,
        align: usize,
        out: &mut [u8],
    ) -> usize {
        let body = |b: &mut [u8]| b[COMMON_LEN..CMD_LEN].copy_from_slice(sqe);
        if data_len == 0 {
            emit_plain(PduType::CapsuleCmd, 0, digests, out, body)
        } else {
            emit_with_data(PduType::CapsuleCmd, 0, digests, align, data_len, out, body)
        }
    }
}

/// Response capsule (3.6.2.6): the raw completion queue entry.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct CapsuleResp {
    pub cqe: [u8; 16],
}

impl CapsuleResp {
    /// Reads the PDU: `bytes` has [`SHORT_LEN`] or more.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut cqe = [0; 16];
        cqe.copy_from_slice(&bytes[COMMON_LEN..SHORT_LEN]);
        Self { cqe }
    }

    #[inline]
    pub fn emit(cqe: &[u8; 16], digests: Digests, out: &mut [u8]) -> usize {
        emit_plain(PduType::CapsuleResp, 0, digests, out, |b| {
            b[COMMON_LEN..SHORT_LEN].copy_from_slice(cqe);
        })
    }
}

/// H2CData, C2HData and R2T share one shape (3.6.2.7 to 3.6.2.9): a range of a command's data.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DataRange {
    /// Command capsule CID.
    pub cccid: u16,
    /// Transfer tag; reserved in C2HData.
    pub ttag: u16,
    /// Offset in the command's data (DATAO, R2TO).
    pub offset: u32,
    /// Length in bytes (DATAL, R2TL).
    pub len: u32,
}

impl DataRange {
    /// Reads the PDU: `bytes` has [`SHORT_LEN`] or more.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Self {
        Self {
            cccid: get_u16(bytes, 8),
            ttag: get_u16(bytes, 10),
            offset: get_u32(bytes, 12),
            len: get_u32(bytes, 16),
        }
    }

    #[inline]
    fn put(&self, b: &mut [u8]) {
        put_u16(b, 8, self.cccid);
        put_u16(b, 10, self.ttag);
        put_u32(b, 12, self.offset);
        put_u32(b, 16, self.len);
        b[20..SHORT_LEN].fill(0);
    }

    /// Writes an R2T.
    #[inline]
    pub fn emit_r2t(&self, digests: Digests, out: &mut [u8]) -> usize {
        emit_plain(PduType::R2t, 0, digests, out, |b| self.put(b))
    }

    /// Writes everything before the data of an H2CData or C2HData PDU; `flags` is of
    /// [`FLAG_LAST`] and [`FLAG_SUCCESS`]. Returns the offset of the data.
    #[inline]
    pub fn emit_data(
        &self,
        kind: PduType,
        flags: u8,
        digests: Digests,
        align: usize,
        out: &mut [u8],
    ) -> usize {
        emit_with_data(kind, flags, digests, align, self.len, out, |b| self.put(b))
    }

    /// A data PDU must carry as many bytes as it says.
    #[inline]
    pub fn check_len(&self, kind: PduType, layout: &Layout) -> Result<(), PduError> {
        if self.len as usize == layout.data_len {
            Ok(())
        } else {
            Err(PduError::field(kind, Field::DataLen, self.len))
        }
    }
}

/// Any PDU header, for whoever does not dispatch by type itself.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Repr {
    IcReq(IcReq),
    IcResp(IcResp),
    H2cTermReq(TermReq),
    C2hTermReq(TermReq),
    CapsuleCmd(CapsuleCmd),
    CapsuleResp(CapsuleResp),
    H2cData {
        range: DataRange,
        last: bool,
    },
    C2hData {
        range: DataRange,
        last: bool,
        success: bool,
    },
    R2t(DataRange),
}

impl Repr {
    /// Reads the PDU whose `layout.header` first bytes lie in `bytes`, digest included.
    pub fn parse(header: &Header, layout: &Layout, bytes: &[u8]) -> Result<Self, PduError> {
        if layout.header > header.kind.hlen() {
            check_header_digest(header.kind, bytes)?;
        }
        let last = header.has(FLAG_LAST);
        Ok(match header.kind {
            PduType::IcReq => Self::IcReq(IcReq::parse(bytes)?),
            PduType::IcResp => Self::IcResp(IcResp::parse(bytes)?),
            PduType::H2cTermReq => Self::H2cTermReq(TermReq::parse(bytes)),
            PduType::C2hTermReq => Self::C2hTermReq(TermReq::parse(bytes)),
            PduType::CapsuleCmd => Self::CapsuleCmd(CapsuleCmd::parse(bytes)),
            PduType::CapsuleResp => Self::CapsuleResp(CapsuleResp::parse(bytes)),
            PduType::H2cData => {
                let range = DataRange::parse(bytes);
                range.check_len(header.kind, layout)?;
                Self::H2cData { range, last }
            }
            PduType::C2hData => {
                let range = DataRange::parse(bytes);
                range.check_len(header.kind, layout)?;
                let success = header.has(FLAG_SUCCESS);
                // SUCCESS means that nothing follows, so it only makes sense on the last PDU.
                if success && !last {
                    return Err(PduError::field(
                        header.kind,
                        Field::Flags,
                        header.flags.into(),
                    ));
                }
                Self::C2hData {
                    range,
                    last,
                    success,
                }
            }
            PduType::R2t => Self::R2t(DataRange::parse(bytes)),
        })
    }
}
