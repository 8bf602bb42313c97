//! Submission queue entry, 64 bytes (Base 2.3 clause 4.1.1).
//!
//! | bytes | field | bytes | field |
//! |---|---|---|---|
//! | 0 | OPC | 16–23 | MPTR |
//! | 1 | FUSE 1:0, PSDT 7:6 | 24–39 | SGL1: address 8, length 4, reserved 3, type 1 |
//! | 2–3 | CID | 40–63 | CDW10 to CDW15 |
//! | 4–7 | NSID (byte 4 is FCTYPE in Fabrics commands) | | |

use super::bytes::{get16, get32, get64, need, put16, put32, put64};
use super::error::{CodecError, Result};

/// Bytes of a submission queue entry.
pub const SQE_LEN: usize = 64;

/// NSID of "all namespaces".
pub const NSID_ALL: u32 = 0xffff_ffff;

mod field {
    pub(super) const FLAGS: usize = 1;
    pub(super) const CID: usize = 2;
    pub(super) const NSID: usize = 4;
    pub(super) const SGL_ADDRESS: usize = 24;
    pub(super) const SGL_LENGTH: usize = 32;
    pub(super) const SGL_TYPE: usize = 39;
    pub(super) const CDW10: usize = 40;
}

/// PSDT 01b: data by SGL, MPTR a plain address. The only form allowed over fabrics.
const PSDT_SGL: u8 = 0x40;

/// FUSE, bits 1:0 of byte 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fuse {
    /// 00b: a command of its own.
    None,
    /// 01b: first of a fused pair.
    First,
    /// 10b: second of a fused pair.
    Second,
    /// 11b: reserved.
    Reserved,
}

/// Type byte of an SGL descriptor: type in bits 7:4, subtype in 3:0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SglType(pub u8);

impl SglType {
    /// Data block at an offset in the capsule.
    pub const IN_CAPSULE: Self = Self(0x01);
    /// Transport data block: the transport moves the data (TCP: C2HData, or R2T and H2CData).
    pub const TRANSPORT: Self = Self(0x5a);
}

/// SGL1 of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sgl {
    /// Address, or offset into the capsule data for [`SglType::IN_CAPSULE`]. Bytes.
    pub address: u64,
    /// Length in bytes.
    pub length: u32,
    /// Type byte.
    pub kind: SglType,
}

/// A submission queue entry as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C, align(8))]
pub struct Sqe([u8; SQE_LEN]);

impl Default for Sqe {
    fn default() -> Self {
        Self::new(0)
    }
}

impl From<[u8; SQE_LEN]> for Sqe {
    fn from(bytes: [u8; SQE_LEN]) -> Self {
        Self(bytes)
    }
}

impl Sqe {
    /// A command without data: PSDT is SGL, SGL1 a transport data block of length 0.
    #[inline]
    pub const fn new(opcode: u8) -> Self {
        let mut bytes = [0; SQE_LEN];
        bytes[0] = opcode;
        bytes[field::FLAGS] = PSDT_SGL;
        bytes[field::SGL_TYPE] = SglType::TRANSPORT.0;
        Self(bytes)
    }

    /// The first 64 bytes of `buf`. Every content is accepted: judging it is the part of the
    /// command's own parser.
    #[inline]
    pub fn parse(buf: &[u8]) -> Result<Self> {
        need::<SQE_LEN>(buf).map(|bytes| Self(*bytes))
    }

    /// Writes 64 bytes.
    #[inline]
    pub fn emit(&self, buf: &mut [u8]) -> Result<()> {
        let got = buf.len();
        let Some(head) = buf.first_chunk_mut() else {
            return Err(CodecError::Truncated { need: SQE_LEN, got });
        };
        *head = self.0;
        Ok(())
    }

    /// The wire form.
    #[inline]
    pub const fn as_bytes(&self) -> &[u8; SQE_LEN] {
        &self.0
    }

    /// The wire form, to patch.
    #[inline]
    pub const fn as_mut_bytes(&mut self) -> &mut [u8; SQE_LEN] {
        &mut self.0
    }

    /// OPC, byte 0.
    #[inline]
    pub const fn opcode(&self) -> u8 {
        self.0[0]
    }

    /// Byte 1 as it stands.
    #[inline]
    pub const fn flags(&self) -> u8 {
        self.0[field::FLAGS]
    }

    /// FUSE.
    #[inline]
    pub const fn fuse(&self) -> Fuse {
        match self.0[field::FLAGS] & 3 {
            0 => Fuse::None,
            1 => Fuse::First,
            2 => Fuse::Second,
            _ => Fuse::Reserved,
        }
    }

    /// Sets FUSE.
    #[inline]
    pub const fn set_fuse(&mut self, fuse: Fuse) {
        let bits = match fuse {
            Fuse::None => 0,
            Fuse::First => 1,
            Fuse::Second => 2,
            Fuse::Reserved => 3,
        };
        self.0[field::FLAGS] = self.0[field::FLAGS] & !3 | bits;
    }

    /// PSDT is 01b or 10b: data is described by an SGL. A fabrics controller refuses the rest.
    #[inline]
    pub const fn uses_sgl(&self) -> bool {
        matches!(self.0[field::FLAGS] >> 6, 1 | 2)
    }

    /// CID, bytes 2–3.
    #[inline]
    pub fn cid(&self) -> u16 {
        get16(&self.0, field::CID)
    }

    /// Sets CID.
    #[inline]
    pub fn set_cid(&mut self, cid: u16) {
        put16(&mut self.0, field::CID, cid);
    }

    /// The same command under another CID.
    #[inline]
    #[must_use]
    pub fn with_cid(mut self, cid: u16) -> Self {
        self.set_cid(cid);
        self
    }

    /// NSID, bytes 4–7.
    #[inline]
    pub fn nsid(&self) -> u32 {
        get32(&self.0, field::NSID)
    }

    /// Sets NSID.
    #[inline]
    pub fn set_nsid(&mut self, nsid: u32) {
        put32(&mut self.0, field::NSID, nsid);
    }

    /// SGL1, bytes 24–39.
    #[inline]
    pub fn sgl(&self) -> Sgl {
        Sgl {
            address: get64(&self.0, field::SGL_ADDRESS),
            length: get32(&self.0, field::SGL_LENGTH),
            kind: SglType(self.0[field::SGL_TYPE]),
        }
    }

    /// Sets SGL1; the three reserved bytes become zero.
    #[inline]
    pub fn set_sgl(&mut self, sgl: Sgl) {
        put64(&mut self.0, field::SGL_ADDRESS, sgl.address);
        put32(&mut self.0, field::SGL_LENGTH, sgl.length);
        put32(
            &mut self.0,
            field::SGL_LENGTH + 4,
            u32::from(sgl.kind.0) << 24,
        );
    }

    /// Data of `length` bytes follows in the capsule, `offset` bytes into its data part.
    #[inline]
    pub fn set_in_capsule(&mut self, offset: u64, length: u32) {
        self.set_sgl(Sgl {
            address: offset,
            length,
            kind: SglType::IN_CAPSULE,
        });
    }

    /// Data of `length` bytes is moved by the transport.
    #[inline]
    pub fn set_transport(&mut self, length: u32) {
        self.set_sgl(Sgl {
            address: 0,
            length,
            kind: SglType::TRANSPORT,
        });
    }

    /// CDW10 + `index`, for index 0 to 5.
    #[inline]
    fn cdw(&self, index: usize) -> u32 {
        get32(&self.0, field::CDW10 + 4 * index)
    }

    #[inline]
    fn set_cdw(&mut self, index: usize, v: u32) {
        put32(&mut self.0, field::CDW10 + 4 * index, v);
    }
}

/// Command dwords 10 to 15, bytes 40–63.
impl Sqe {
    /// CDW10.
    #[inline]
    pub fn cdw10(&self) -> u32 {
        self.cdw(0)
    }

    /// Sets CDW10.
    #[inline]
    pub fn set_cdw10(&mut self, v: u32) {
        self.set_cdw(0, v);
    }

    /// CDW11.
    #[inline]
    pub fn cdw11(&self) -> u32 {
        self.cdw(1)
    }

    /// Sets CDW11.
    #[inline]
    pub fn set_cdw11(&mut self, v: u32) {
        self.set_cdw(1, v);
    }

    /// CDW12.
    #[inline]
    pub fn cdw12(&self) -> u32 {
        self.cdw(2)
    }

    /// Sets CDW12.
    #[inline]
    pub fn set_cdw12(&mut self, v: u32) {
        self.set_cdw(2, v);
    }

    /// CDW13.
    #[inline]
    pub fn cdw13(&self) -> u32 {
        self.cdw(3)
    }

    /// Sets CDW13.
    #[inline]
    pub fn set_cdw13(&mut self, v: u32) {
        self.set_cdw(3, v);
    }

    /// CDW14.
    #[inline]
    pub fn cdw14(&self) -> u32 {
        self.cdw(4)
    }

    /// Sets CDW14.
    #[inline]
    pub fn set_cdw14(&mut self, v: u32) {
        self.set_cdw(4, v);
    }

    /// CDW15.
    #[inline]
    pub fn cdw15(&self) -> u32 {
        self.cdw(5)
    }

    /// Sets CDW15.
    #[inline]
    pub fn set_cdw15(&mut self, v: u32) {
        self.set_cdw(5, v);
    }
}
