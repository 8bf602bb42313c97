//! Completion queue entry, 16 bytes (Base 2.3 clause 4.2).
//!
//! Bytes 0–7 command specific result (DW0 is 0–3), 8–9 SQHD, 10–11 SQID (reserved over fabrics),
//! 12–13 CID, 14–15 status.

use super::bytes::{get16, get64, need, need_mut, put16, put64};
use super::error::Result;
use super::status::{Status, StatusCode};

/// Bytes of a completion queue entry.
pub const CQE_LEN: usize = 16;

/// A completion queue entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cqe {
    /// Command specific result, dwords 0 and 1.
    pub result: u64,
    /// Submission queue head pointer.
    pub sqhd: u16,
    /// Submission queue identifier; reserved over fabrics.
    pub sqid: u16,
    /// The command this completes.
    pub cid: u16,
    /// How it went.
    pub status: Status,
}

impl Cqe {
    /// A completion of `cid`; success where `status` is [`StatusCode::SUCCESS`].
    #[inline]
    pub const fn new(cid: u16, status: Status) -> Self {
        Self {
            result: 0,
            sqhd: 0,
            sqid: 0,
            cid,
            status,
        }
    }

    /// A successful completion with a result.
    #[inline]
    pub const fn success(cid: u16, result: u64) -> Self {
        Self {
            result,
            sqhd: 0,
            sqid: 0,
            cid,
            status: Status::new(StatusCode::SUCCESS),
        }
    }

    /// DW0 of the result.
    #[inline]
    pub const fn dw0(&self) -> u32 {
        self.result as u32
    }

    /// The first 16 bytes of `buf`.
    #[inline]
    pub fn parse(buf: &[u8]) -> Result<Self> {
        let b = need::<CQE_LEN>(buf)?;
        Ok(Self {
            result: get64(b, 0),
            sqhd: get16(b, 8),
            sqid: get16(b, 10),
            cid: get16(b, 12),
            status: Status::from_raw(get16(b, 14)),
        })
    }

    /// Writes 16 bytes.
    #[inline]
    pub fn emit(&self, buf: &mut [u8]) -> Result<()> {
        let b = need_mut::<CQE_LEN>(buf)?;
        put64(b, 0, self.result);
        put16(b, 8, self.sqhd);
        put16(b, 10, self.sqid);
        put16(b, 12, self.cid);
        put16(b, 14, self.status.to_raw());
        Ok(())
    }
}
