//! Dataset Management ranges (NVM Command Set 1.1 clause 3.3.3): up to 256, 16 bytes each.
//!
//! Bytes 0–3 context attributes (hints, ignored), 4–7 length in blocks, 8–15 SLBA.

use super::bytes::{get32, get64, put32, put64};
use super::error::{CodecError, Result};

/// Bytes of a range.
pub const DSM_RANGE_LEN: usize = 16;
/// Most ranges of a command.
pub const DSM_RANGES_MAX: usize = 256;

/// One range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DsmRange {
    /// First block.
    pub slba: u64,
    /// Number of blocks, not 0-based; 0 is allowed and means nothing.
    pub blocks: u32,
}

impl DsmRange {
    /// The first block after the range; `None` where that does not fit 64 bits.
    #[inline]
    pub const fn end(&self) -> Option<u64> {
        self.slba.checked_add(self.blocks as u64)
    }
}

/// The `count` ranges at the front of `buf`; take `count` from [`super::sqe::Sqe::dsm_ranges`].
pub fn parse_ranges(buf: &[u8], count: usize) -> Result<impl ExactSizeIterator<Item = DsmRange>> {
    check_count(count)?;
    let need = count * DSM_RANGE_LEN;
    let Some(list) = buf.get(..need) else {
        return Err(CodecError::Truncated {
            need,
            got: buf.len(),
        });
    };
    Ok(list.chunks_exact(DSM_RANGE_LEN).map(|b| DsmRange {
        slba: get64(b, 8),
        blocks: get32(b, 4),
    }))
}

/// Writes the ranges and returns their length in bytes.
pub fn emit_ranges(buf: &mut [u8], ranges: &[DsmRange]) -> Result<usize> {
    check_count(ranges.len())?;
    let need = ranges.len() * DSM_RANGE_LEN;
    let got = buf.len();
    let Some(list) = buf.get_mut(..need) else {
        return Err(CodecError::Truncated { need, got });
    };
    for (b, range) in list.chunks_exact_mut(DSM_RANGE_LEN).zip(ranges) {
        put32(b, 0, 0);
        put32(b, 4, range.blocks);
        put64(b, 8, range.slba);
    }
    Ok(need)
}

fn check_count(len: usize) -> Result<()> {
    match len {
        0 => Err(CodecError::BadValue {
            field: "NR",
            value: 0,
        }),
        1..=DSM_RANGES_MAX => Ok(()),
        _ => Err(CodecError::TooLong {
            field: "NR",
            len,
            max: DSM_RANGES_MAX,
        }),
    }
}
