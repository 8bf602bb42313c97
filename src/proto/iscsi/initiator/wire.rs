//! Basic header segments as an initiator writes and reads them (RFC 7143, 11). Only offsets and
//! bits: what a value means is for the caller.

/// Bytes of a basic header segment.
pub(super) const BHS: usize = 48;
/// "No tag" (RFC 7143, 11.2.1.8 and 11.7.4).
pub(super) const NO_TAG: u32 = 0xffff_ffff;

pub(super) const FINAL: u8 = 0x80;
pub(super) const IMMEDIATE: u8 = 0x40;

/// Opcodes.
pub(super) mod op {
    pub(in super::super) const NOP_OUT: u8 = 0x00;
    pub(in super::super) const SCSI_COMMAND: u8 = 0x01;
    pub(in super::super) const TASK_REQUEST: u8 = 0x02;
    pub(in super::super) const DATA_OUT: u8 = 0x05;
    pub(in super::super) const LOGOUT_REQUEST: u8 = 0x06;
    pub(in super::super) const NOP_IN: u8 = 0x20;
    pub(in super::super) const SCSI_RESPONSE: u8 = 0x21;
    pub(in super::super) const TASK_RESPONSE: u8 = 0x22;
    pub(in super::super) const LOGIN_RESPONSE: u8 = 0x23;
    pub(in super::super) const DATA_IN: u8 = 0x25;
    pub(in super::super) const LOGOUT_RESPONSE: u8 = 0x26;
    pub(in super::super) const R2T: u8 = 0x31;
    pub(in super::super) const ASYNC: u8 = 0x32;
    pub(in super::super) const REJECT: u8 = 0x3f;
}

pub(super) fn be32(b: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

pub(super) fn be16(b: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([b[at], b[at + 1]])
}

pub(super) fn put32(b: &mut [u8], at: usize, v: u32) {
    b[at..at + 4].copy_from_slice(&v.to_be_bytes());
}

pub(super) fn put16(b: &mut [u8], at: usize, v: u16) {
    b[at..at + 2].copy_from_slice(&v.to_be_bytes());
}

/// DataSegmentLength.
pub(super) fn data_len(b: &[u8]) -> u32 {
    be32(b, 4) & 0x00ff_ffff
}

pub(super) fn put_data_len(b: &mut [u8], n: u32) {
    put32(b, 4, n & 0x00ff_ffff);
}

/// What to add to a length for it to end on a word.
pub(super) const fn pad(n: usize) -> usize {
    n.wrapping_neg() & 3
}

/// A clean header with opcode, flags, LUN and tag.
#[inline]
pub(super) fn header(b: &mut [u8], opcode: u8, flags: u8, lun: u64, itt: u32) {
    b[..BHS].fill(0);
    b[0] = opcode;
    b[1] = flags;
    b[8..16].copy_from_slice(&lun.to_be_bytes());
    put32(b, 16, itt);
}
