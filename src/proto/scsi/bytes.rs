//! Big-endian fields at byte offsets. Callers have pinned the length; reading beyond gives zero,
//! as SPC has it for parameter data that is shorter than expected.

pub(super) fn get16(b: &[u8], at: usize) -> u16 {
    b.get(at..at + 2)
        .map_or(0, |s| u16::from_be_bytes([s[0], s[1]]))
}

pub(super) fn get32(b: &[u8], at: usize) -> u32 {
    u32::from(get16(b, at)) << 16 | u32::from(get16(b, at + 2))
}

pub(super) fn get64(b: &[u8], at: usize) -> u64 {
    u64::from(get32(b, at)) << 32 | u64::from(get32(b, at + 4))
}

pub(super) fn byte(b: &[u8], at: usize) -> u8 {
    b.get(at).copied().unwrap_or(0)
}

pub(super) fn put16(b: &mut [u8], at: usize, v: u16) {
    b[at..at + 2].copy_from_slice(&v.to_be_bytes());
}

pub(super) fn put32(b: &mut [u8], at: usize, v: u32) {
    b[at..at + 4].copy_from_slice(&v.to_be_bytes());
}

pub(super) fn put64(b: &mut [u8], at: usize, v: u64) {
    b[at..at + 8].copy_from_slice(&v.to_be_bytes());
}

/// ASCII, left-aligned, padded with blanks (SPC-4, 4.3.1).
pub(super) fn put_ascii(b: &mut [u8], text: &str) {
    b.fill(b' ');
    for (to, c) in b.iter_mut().zip(text.bytes()) {
        *to = if (0x20..0x7f).contains(&c) { c } else { b'?' };
    }
}
