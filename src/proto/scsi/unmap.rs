//! UNMAP parameter list (SBC-3, 5.28.2).

use super::bytes::{get16, get32, get64, put16, put32, put64};
use super::sense::{Sense, asc};

/// Blocks to unmap.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct UnmapRange {
    pub lba: u64,
    pub blocks: u32,
}

/// Bytes before the descriptors, and of each.
const HEAD: usize = 8;
const DESCRIPTOR: usize = 16;

/// Writes a parameter list; as many bytes as 8 + 16 × ranges.
pub fn put_unmap(ranges: &[UnmapRange], out: &mut Vec<u8>) {
    let start = out.len();
    let len = HEAD + DESCRIPTOR * ranges.len();
    out.resize(start + len, 0);
    let b = &mut out[start..];
    put16(b, 0, (len - 2) as u16);
    put16(b, 2, (len - HEAD) as u16);
    for (i, r) in ranges.iter().enumerate() {
        put64(b, HEAD + i * DESCRIPTOR, r.lba);
        put32(b, HEAD + i * DESCRIPTOR + 8, r.blocks);
    }
}

/// Reads a parameter list; `max` descriptors at most. A list too short for its header means that
/// nothing is to be done only when it is empty.
pub fn read_unmap(b: &[u8], max: usize) -> Result<Vec<UnmapRange>, Sense> {
    if b.is_empty() {
        return Ok(Vec::new());
    }
    if b.len() < HEAD {
        return Err(Sense::illegal(asc::PARAMETER_LIST_LENGTH));
    }
    let len = usize::from(get16(b, 2));
    let end = (HEAD + len).min(b.len());
    let list = &b[HEAD..end];
    if list.len() / DESCRIPTOR > max {
        return Err(Sense::parameter(2));
    }
    Ok(list
        .chunks_exact(DESCRIPTOR)
        .map(|d| UnmapRange {
            lba: get64(d, 0),
            blocks: get32(d, 8),
        })
        .collect())
}
