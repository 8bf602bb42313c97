//! Controller properties that exist over fabrics (Base 2.3 clause 3.1.4), their bits, and the
//! commands that get and set them (clauses 6.6 and 6.7).

use super::bytes::{get32, get64, put32, put64};
use super::error::{CodecError, Result};
use super::fabrics::{command, expect};
use super::opcode::FabricsType;
use super::sqe::Sqe;

/// Offsets in both property commands: ATTRIB, OFST, and VALUE of Property Set.
const ATTRIB: usize = 40;
const OFST: usize = 44;
const VALUE: usize = 48;

/// Offsets for Property Get and Set, in bytes.
pub mod offset {
    /// Controller Capabilities, 8 bytes.
    pub const CAP: u32 = 0x00;
    /// Version, 4 bytes.
    pub const VS: u32 = 0x08;
    /// Controller Configuration, 4 bytes.
    pub const CC: u32 = 0x14;
    /// Controller Status, 4 bytes.
    pub const CSTS: u32 = 0x1c;
    /// NVM Subsystem Reset, 4 bytes.
    pub const NSSR: u32 = 0x20;
    /// Controller Ready Timeouts, 4 bytes.
    pub const CRTO: u32 = 0x68;
}

/// Controller Capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cap(pub u64);

impl Cap {
    /// A fabrics controller with the NVM command set: CQR, CSS bit 0, 4 KiB pages.
    /// `mqes0` is the largest queue, 0-based; `to_500ms` the worst case of getting ready.
    pub const fn new(mqes0: u16, to_500ms: u8) -> Self {
        Self(mqes0 as u64 | 1 << 16 | (to_500ms as u64) << 24 | 1 << 37)
    }

    /// MQES 15:0: entries of the largest queue, 0-based.
    pub const fn mqes0(self) -> u16 {
        self.0 as u16
    }

    /// CQR 16: queues are contiguous.
    pub const fn cqr(self) -> bool {
        self.0 & 1 << 16 != 0
    }

    /// TO 31:24: worst case time to CSTS.RDY, in units of 500 ms.
    pub const fn timeout_500ms(self) -> u8 {
        (self.0 >> 24) as u8
    }

    /// NSSRS 36: NVM Subsystem Reset is supported.
    pub const fn nssrs(self) -> bool {
        self.0 & 1 << 36 != 0
    }

    /// CSS 44:37: bit 0 NVM command set, 6 others by CC.CSS 110b, 7 no I/O command set.
    pub const fn css(self) -> u8 {
        (self.0 >> 37) as u8
    }

    /// MPSMIN 51:48: smallest memory page, `2^(12 + n)` bytes. The unit of MDTS.
    pub const fn mpsmin(self) -> u8 {
        (self.0 >> 48) as u8 & 0xf
    }

    /// MPSMAX 55:52: largest memory page, `2^(12 + n)` bytes.
    pub const fn mpsmax(self) -> u8 {
        (self.0 >> 52) as u8 & 0xf
    }
}

/// Version, also VER of Identify Controller: major 31:16, minor 15:8, tertiary 7:0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32);

impl Version {
    /// Puts a version together.
    pub const fn new(major: u16, minor: u8, tertiary: u8) -> Self {
        Self((major as u32) << 16 | (minor as u32) << 8 | tertiary as u32)
    }

    /// Major version.
    pub const fn major(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Minor version.
    pub const fn minor(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Tertiary version.
    pub const fn tertiary(self) -> u8 {
        self.0 as u8
    }
}

impl core::fmt::Display for Version {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}.{}", self.major(), self.minor(), self.tertiary())
    }
}

/// Controller Configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cc(pub u32);

impl Cc {
    /// SHN 01b: normal shutdown.
    pub const SHN_NORMAL: u8 = 1;
    /// SHN 10b: abrupt shutdown.
    pub const SHN_ABRUPT: u8 = 2;

    /// EN set, NVM command set, 4 KiB pages, queue entries of 64 and 16 bytes: 0046_0001h.
    pub const ENABLE: Self = Self(1 | 6 << 16 | 4 << 20);

    /// EN 0.
    pub const fn en(self) -> bool {
        self.0 & 1 != 0
    }

    /// CSS 6:4.
    pub const fn css(self) -> u8 {
        (self.0 >> 4) as u8 & 7
    }

    /// MPS 10:7: memory page of `2^(12 + n)` bytes.
    pub const fn mps(self) -> u8 {
        (self.0 >> 7) as u8 & 0xf
    }

    /// AMS 13:11: arbitration.
    pub const fn ams(self) -> u8 {
        (self.0 >> 11) as u8 & 7
    }

    /// SHN 15:14: shutdown notification.
    pub const fn shn(self) -> u8 {
        (self.0 >> 14) as u8 & 3
    }

    /// The same with another SHN.
    #[must_use]
    pub const fn with_shn(self, shn: u8) -> Self {
        Self(self.0 & !(3 << 14) | (shn as u32 & 3) << 14)
    }

    /// The same with EN set or cleared.
    #[must_use]
    pub const fn with_en(self, en: bool) -> Self {
        Self(self.0 & !1 | en as u32)
    }

    /// IOSQES 19:16: submission queue entry of `2^n` bytes.
    pub const fn iosqes(self) -> u8 {
        (self.0 >> 16) as u8 & 0xf
    }

    /// IOCQES 23:20: completion queue entry of `2^n` bytes.
    pub const fn iocqes(self) -> u8 {
        (self.0 >> 20) as u8 & 0xf
    }
}

/// SHST, bits 3:2 of CSTS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownStatus {
    /// 00b: no shutdown asked for.
    Normal,
    /// 01b: under way.
    Occurring,
    /// 10b: done.
    Complete,
    /// 11b: reserved.
    Reserved,
}

/// Controller Status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Csts(pub u32);

impl Csts {
    /// RDY alone.
    pub const READY: Self = Self(1);

    /// RDY 0.
    pub const fn rdy(self) -> bool {
        self.0 & 1 != 0
    }

    /// CFS 1: fatal, only a reset helps.
    pub const fn cfs(self) -> bool {
        self.0 & 2 != 0
    }

    /// SHST 3:2.
    pub const fn shst(self) -> ShutdownStatus {
        match self.0 >> 2 & 3 {
            0 => ShutdownStatus::Normal,
            1 => ShutdownStatus::Occurring,
            2 => ShutdownStatus::Complete,
            _ => ShutdownStatus::Reserved,
        }
    }

    /// NSSRO 4: an NVM Subsystem Reset has happened.
    pub const fn nssro(self) -> bool {
        self.0 & 1 << 4 != 0
    }

    /// The same with RDY set or cleared.
    #[must_use]
    pub const fn with_rdy(self, rdy: bool) -> Self {
        Self(self.0 & !1 | rdy as u32)
    }

    /// The same with CFS set.
    #[must_use]
    pub const fn with_cfs(self) -> Self {
        Self(self.0 | 2)
    }

    /// The same with another SHST.
    #[must_use]
    pub const fn with_shst(self, shst: ShutdownStatus) -> Self {
        Self(self.0 & !(3 << 2) | (shst as u32) << 2)
    }
}

/// Width of a property: ATTRIB bits 2:0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertySize {
    /// 000b: 4 bytes.
    Dword = 0,
    /// 001b: 8 bytes.
    Qword = 1,
}

impl PropertySize {
    fn parse(attrib: u8) -> Result<Self> {
        match attrib & 7 {
            0 => Ok(Self::Dword),
            1 => Ok(Self::Qword),
            _ => Err(CodecError::BadValue {
                field: "ATTRIB",
                value: u64::from(attrib),
            }),
        }
    }
}

/// Property Get: bytes 40 ATTRIB, 44 OFST. The value is the result of the completion, 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PropertyGet {
    /// Width.
    pub size: PropertySize,
    /// Offset of the property in bytes, see [`offset`].
    pub offset: u32,
}

impl PropertyGet {
    /// Reads a command.
    pub fn parse(sqe: &Sqe) -> Result<Self> {
        expect(sqe, FabricsType::PROPERTY_GET)?;
        let b = sqe.as_bytes();
        let size = PropertySize::parse(b[ATTRIB])?;
        Ok(Self {
            size,
            offset: get32(b, OFST),
        })
    }

    /// The command.
    pub fn to_sqe(&self) -> Sqe {
        let mut sqe = command(FabricsType::PROPERTY_GET);
        let b = sqe.as_mut_bytes();
        b[ATTRIB] = self.size as u8;
        put32(b, OFST, self.offset);
        sqe
    }
}

/// Property Set: bytes 40 ATTRIB, 44 OFST, 48 VALUE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PropertySet {
    /// Width; of a dword only the lower half of the value counts.
    pub size: PropertySize,
    /// Offset of the property in bytes, see [`offset`].
    pub offset: u32,
    /// The value.
    pub value: u64,
}

impl PropertySet {
    /// Reads a command.
    pub fn parse(sqe: &Sqe) -> Result<Self> {
        expect(sqe, FabricsType::PROPERTY_SET)?;
        let b = sqe.as_bytes();
        let size = PropertySize::parse(b[ATTRIB])?;
        Ok(Self {
            size,
            offset: get32(b, OFST),
            value: get64(b, VALUE),
        })
    }

    /// The command.
    pub fn to_sqe(&self) -> Sqe {
        let mut sqe = command(FabricsType::PROPERTY_SET);
        let b = sqe.as_mut_bytes();
        b[ATTRIB] = self.size as u8;
        put32(b, OFST, self.offset);
        put64(b, VALUE, self.value);
        sqe
    }
}
