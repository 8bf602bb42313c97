//! CRC32C (Castagnoli), the digest of NVMe/TCP and iSCSI.

/// Digest of `bytes` alone.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// Continues a digest over further bytes; start with 0.
#[inline]
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}
