//! Sense data (SPC-4, 4.5): fixed and descriptor format.

use super::bytes::{byte, get16, get32, get64, put16, put32, put64};
use std::fmt;

/// Sense keys (SPC-4, table 48).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum Key {
    NoSense = 0,
    RecoveredError = 1,
    NotReady = 2,
    MediumError = 3,
    HardwareError = 4,
    IllegalRequest = 5,
    UnitAttention = 6,
    DataProtect = 7,
    BlankCheck = 8,
    VendorSpecific = 9,
    CopyAborted = 0xa,
    AbortedCommand = 0xb,
    Reserved = 0xc,
    VolumeOverflow = 0xd,
    Miscompare = 0xe,
    Completed = 0xf,
}

impl Key {
    pub const fn from_bits(b: u8) -> Self {
        match b & 0x0f {
            0 => Self::NoSense,
            1 => Self::RecoveredError,
            2 => Self::NotReady,
            3 => Self::MediumError,
            4 => Self::HardwareError,
            5 => Self::IllegalRequest,
            6 => Self::UnitAttention,
            7 => Self::DataProtect,
            8 => Self::BlankCheck,
            9 => Self::VendorSpecific,
            0xa => Self::CopyAborted,
            0xb => Self::AbortedCommand,
            0xc => Self::Reserved,
            0xd => Self::VolumeOverflow,
            0xe => Self::Miscompare,
            _ => Self::Completed,
        }
    }
}

/// Additional sense codes with their qualifiers, `ASC << 8 | ASCQ` (SPC-4, annex F).
pub mod asc {
    pub const NONE: u16 = 0x0000;
    pub const BECOMING_READY: u16 = 0x0401;
    pub const INITIALIZING_REQUIRED: u16 = 0x0402;
    pub const MANUAL_INTERVENTION: u16 = 0x0403;
    pub const TRANSITION: u16 = 0x040a;
    pub const STANDBY: u16 = 0x040b;
    pub const UNAVAILABLE: u16 = 0x040c;
    pub const SPACE_ALLOCATION: u16 = 0x0414;
    pub const CRC_ERROR: u16 = 0x0c0d;
    pub const WRITE_ERROR: u16 = 0x0c00;
    pub const READ_ERROR: u16 = 0x1100;
    pub const PARAMETER_LIST_LENGTH: u16 = 0x1a00;
    pub const MISCOMPARE: u16 = 0x1d00;
    pub const INVALID_OPCODE: u16 = 0x2000;
    pub const LBA_OUT_OF_RANGE: u16 = 0x2100;
    pub const INVALID_FIELD_IN_CDB: u16 = 0x2400;
    pub const LUN_NOT_SUPPORTED: u16 = 0x2500;
    pub const INVALID_FIELD_IN_PARAMETERS: u16 = 0x2600;
    pub const WRITE_PROTECTED: u16 = 0x2700;
    pub const SPACE_FAILED: u16 = 0x2707;
    pub const POWER_ON: u16 = 0x2901;
    pub const RESET_OCCURRED: u16 = 0x2900;
    pub const BUS_RESET: u16 = 0x2902;
    pub const DEVICE_RESET: u16 = 0x2903;
    pub const NEXUS_LOSS: u16 = 0x2907;
    pub const MODE_PARAMETERS_CHANGED: u16 = 0x2a01;
    pub const ACCESS_STATE_CHANGED: u16 = 0x2a06;
    pub const IMPLICIT_TRANSITION_FAILED: u16 = 0x2a07;
    pub const CAPACITY_CHANGED: u16 = 0x2a09;
    pub const COMMANDS_CLEARED: u16 = 0x2f00;
    pub const SAVING_NOT_SUPPORTED: u16 = 0x3900;
    pub const MEDIUM_NOT_PRESENT: u16 = 0x3a00;
    pub const INQUIRY_CHANGED: u16 = 0x3f03;
    pub const LUNS_CHANGED: u16 = 0x3f0e;
    pub const INTERNAL_FAILURE: u16 = 0x4400;
    pub const PROTOCOL_CRC: u16 = 0x4705;
    pub const INITIATOR_TIMEOUT: u16 = 0x4b06;
    pub const DATA_OFFSET: u16 = 0x4b05;
    pub const TOO_MUCH_DATA: u16 = 0x4b02;
    pub const STPG_FAILED: u16 = 0x670a;
    pub const UNEXPECTED_UNSOLICITED_DATA: u16 = 0x0c0c;
}

/// Which byte of a command or of its parameters is not valid (SPC-4, 4.5.2.4.2).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct FieldPointer {
    /// In the CDB; else in the parameter list.
    pub in_cdb: bool,
    pub byte: u16,
    /// The highest bit of the field, where it is not the whole byte.
    pub bit: Option<u8>,
}

/// What sense data say.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Sense {
    pub key: Key,
    /// `ASC << 8 | ASCQ`, see [`asc`].
    pub code: u16,
    /// INFORMATION: an LBA, or the offset of a miscompare.
    pub info: Option<u64>,
    pub field: Option<FieldPointer>,
    /// It is about an earlier command.
    pub deferred: bool,
}

impl Sense {
    /// Bytes of the longest form written here.
    pub const MAX: usize = 28;

    pub const fn new(key: Key, code: u16) -> Self {
        Self {
            key,
            code,
            info: None,
            field: None,
            deferred: false,
        }
    }

    pub const fn illegal(code: u16) -> Self {
        Self::new(Key::IllegalRequest, code)
    }

    /// INVALID FIELD IN CDB at a byte.
    pub const fn cdb_field(byte: u16) -> Self {
        Self::illegal(asc::INVALID_FIELD_IN_CDB).at(true, byte, None)
    }

    /// INVALID FIELD IN CDB at a bit field whose highest bit is `bit`.
    pub const fn cdb_bit(byte: u16, bit: u8) -> Self {
        Self::illegal(asc::INVALID_FIELD_IN_CDB).at(true, byte, Some(bit))
    }

    /// INVALID FIELD IN PARAMETER LIST at a byte.
    pub const fn parameter(byte: u16) -> Self {
        Self::illegal(asc::INVALID_FIELD_IN_PARAMETERS).at(false, byte, None)
    }

    pub const fn at(mut self, in_cdb: bool, byte: u16, bit: Option<u8>) -> Self {
        self.field = Some(FieldPointer { in_cdb, byte, bit });
        self
    }

    pub const fn with_info(mut self, info: u64) -> Self {
        self.info = Some(info);
        self
    }

    pub const fn asc(&self) -> u8 {
        (self.code >> 8) as u8
    }

    pub const fn ascq(&self) -> u8 {
        self.code as u8
    }

    /// The three sense key specific bytes, their first bit set where they are valid.
    fn specific(&self) -> [u8; 3] {
        let Some(f) = self.field else { return [0; 3] };
        let mut first = 0x80 | u8::from(f.in_cdb) << 6;
        if let Some(bit) = f.bit {
            first |= 0x08 | bit & 7;
        }
        let [hi, lo] = f.byte.to_be_bytes();
        [first, hi, lo]
    }

    /// Writes it in one of the two formats; returns its length.
    pub fn emit(&self, descriptor: bool, out: &mut [u8; Self::MAX]) -> usize {
        out.fill(0);
        let deferred = u8::from(self.deferred);
        if !descriptor {
            out[0] = 0x70 | deferred;
            out[2] = self.key as u8;
            out[7] = 10;
            out[12] = self.asc();
            out[13] = self.ascq();
            out[15..18].copy_from_slice(&self.specific());
            // The field has 32 bits: a larger value is left out (SPC-4, 4.5.3).
            if let Some(info) = self.info
                && let Ok(info) = u32::try_from(info)
            {
                out[0] |= 0x80;
                put32(out, 3, info);
            }
            return 18;
        }
        out[0] = 0x72 | deferred;
        out[1] = self.key as u8;
        put16(out, 2, self.code);
        let mut at = 8;
        if let Some(info) = self.info {
            out[at] = 0x00;
            out[at + 1] = 0x0a;
            out[at + 2] = 0x80;
            put64(out, at + 4, info);
            at += 12;
        }
        if self.field.is_some() {
            out[at] = 0x02;
            out[at + 1] = 0x06;
            out[at + 4..at + 7].copy_from_slice(&self.specific());
            at += 8;
        }
        out[7] = (at - 8) as u8;
        at
    }

    /// Reads either format.
    pub fn parse(b: &[u8]) -> Option<Self> {
        let kind = b.first()? & 0x7f;
        let deferred = kind & 1 != 0;
        let mut out = match kind {
            0x70 | 0x71 => Self::new(Key::from_bits(*b.get(2)?), get16(b, 12)),
            0x72 | 0x73 => Self::new(Key::from_bits(*b.get(1)?), get16(b.get(..4)?, 2)),
            _ => return None,
        };
        out.deferred = deferred;
        if kind < 0x72 {
            let end = (8 + usize::from(byte(b, 7))).min(b.len());
            let b = &b[..end];
            if byte(b, 0) & 0x80 != 0 {
                out.info = Some(u64::from(get32(b, 3)));
            }
            out.field = read_specific(out.key, b.get(15..18));
            return Some(out);
        }
        let end = (8 + usize::from(byte(b, 7))).min(b.len());
        let mut rest = b.get(8..end).unwrap_or(&[]);
        while rest.len() >= 2 {
            let len = 2 + usize::from(rest[1]);
            let Some(d) = rest.get(..len) else { break };
            match d[0] {
                0x00 if len >= 12 && d[2] & 0x80 != 0 => out.info = Some(get64(d, 4)),
                0x02 => out.field = read_specific(out.key, d.get(4..7)),
                _ => {}
            }
            rest = &rest[len..];
        }
        Some(out)
    }
}

fn read_specific(key: Key, b: Option<&[u8]>) -> Option<FieldPointer> {
    let b = b?;
    if b[0] & 0x80 == 0 || key != Key::IllegalRequest {
        return None;
    }
    Some(FieldPointer {
        in_cdb: b[0] & 0x40 != 0,
        byte: get16(b, 1),
        bit: (b[0] & 0x08 != 0).then_some(b[0] & 7),
    })
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, asc, ascq) = (self.key as u8, self.asc(), self.ascq());
        write!(f, "{key:x}/{asc:02x}/{ascq:02x} ({:?})", self.key)
    }
}
