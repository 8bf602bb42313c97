//! Little-endian fields at byte offsets, and the one length check that comes before them.
//!
//! The `get` and `put` functions index plainly: each caller has first pinned the length, with an
//! array type or with [`need`] / [`need_mut`].

use super::error::{CodecError, Result};

/// The first `N` bytes as an array, or `Truncated`.
#[inline]
pub(super) const fn need<const N: usize>(buf: &[u8]) -> Result<&[u8; N]> {
    match buf.first_chunk() {
        Some(head) => Ok(head),
        None => Err(CodecError::Truncated {
            need: N,
            got: buf.len(),
        }),
    }
}

/// The first `N` bytes as a mutable array set to zero, or `Truncated`.
#[inline]
pub(super) fn need_mut<const N: usize>(buf: &mut [u8]) -> Result<&mut [u8; N]> {
    let got = buf.len();
    match buf.first_chunk_mut() {
        Some(head) => {
            *head = [0; N];
            Ok(head)
        }
        None => Err(CodecError::Truncated { need: N, got }),
    }
}

/// `N` bytes at `at`.
#[inline]
pub(super) fn get<const N: usize>(buf: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&buf[at..at + N]);
    out
}

/// 16 bits at `at`.
#[inline]
pub(super) fn get16(buf: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(get(buf, at))
}

/// 32 bits at `at`.
#[inline]
pub(super) fn get32(buf: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(get(buf, at))
}

/// 64 bits at `at`.
#[inline]
pub(super) fn get64(buf: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(get(buf, at))
}

/// Bytes to `at`.
#[inline]
pub(super) fn put<const N: usize>(buf: &mut [u8], at: usize, bytes: [u8; N]) {
    buf[at..at + N].copy_from_slice(&bytes);
}

/// 16 bits to `at`.
#[inline]
pub(super) fn put16(buf: &mut [u8], at: usize, v: u16) {
    put(buf, at, v.to_le_bytes());
}

/// 32 bits to `at`.
#[inline]
pub(super) fn put32(buf: &mut [u8], at: usize, v: u32) {
    put(buf, at, v.to_le_bytes());
}

/// 64 bits to `at`.
#[inline]
pub(super) fn put64(buf: &mut [u8], at: usize, v: u64) {
    put(buf, at, v.to_le_bytes());
}
