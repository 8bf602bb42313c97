//! Logical unit numbers on the wire (SAM-5, 4.7) and REPORT LUNS data (SPC-4, 6.33).

use super::bytes::{get32, put32};

/// The largest number that flat space addressing can say.
pub const LUN_MAX: u16 = 0x3fff;

/// The eight bytes of a number: peripheral device addressing below 256, flat space above.
pub const fn lun_to_wire(lun: u16) -> u64 {
    if lun < 256 {
        (lun as u64) << 48
    } else {
        ((0x4000 | (lun & LUN_MAX)) as u64) << 48
    }
}

/// The number in eight bytes, when it is of one level and of the two kinds above.
pub const fn lun_number(wire: u64) -> Option<u16> {
    if wire << 16 != 0 {
        return None;
    }
    let top = (wire >> 48) as u16;
    match top >> 14 {
        0 if top < 256 => Some(top),
        1 => Some(top & LUN_MAX),
        _ => None,
    }
}

/// REPORT LUNS data of these units.
pub fn report_luns(luns: impl Iterator<Item = u16>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    for lun in luns {
        out.extend_from_slice(&lun_to_wire(lun).to_be_bytes());
    }
    let len = (out.len() - start - 8) as u32;
    put32(&mut out[start..], 0, len);
}

/// Numbers in REPORT LUNS data, `max` of them at most; those of other kinds are left out.
pub fn read_luns(b: &[u8], max: usize) -> Vec<u16> {
    let end = (8 + get32(b, 0) as usize).min(b.len());
    let list = b.get(8..end).unwrap_or(&[]);
    list.chunks_exact(8)
        .filter_map(|c| lun_number(u64::from_be_bytes(c.try_into().ok()?)))
        .take(max)
        .collect()
}
