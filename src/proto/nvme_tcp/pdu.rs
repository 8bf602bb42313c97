//! PDUs of the NVMe/TCP transport specification, section 3.6: headers only, payload stays where it is.
//!
//! Reading a PDU takes two steps, so that a machine can act on a header long before its data is
//! there. [`Header::parse`] looks at the first [`COMMON_LEN`] bytes and [`Header::layout`] checks
//! them against what the connection negotiated and says where everything lies. Then, once
//! `layout.header` bytes are there, [`Repr::parse`] or the struct of that PDU reads the rest.
//!
//! Contract: no function panics on any bytes as long as slices have the lengths it names;
//! `emit` never panics on a buffer of at least [`HEADER_AREA`] bytes and returns what it wrote.

use std::fmt;

mod body;
mod error;
mod header;
#[cfg(test)]
mod tests;

pub use body::{CapsuleCmd, CapsuleResp, DataRange, IcReq, IcResp, Repr, TermReq};
pub use error::{Fes, Field, PduError};
pub use header::{Header, Layout, check_header_digest};

/// Bytes of the common header every PDU starts with (CH, 3.6.1).
pub const COMMON_LEN: usize = 8;
/// ICReq and ICResp.
pub const IC_LEN: usize = 128;
/// Command capsule without data and digests.
pub const CMD_LEN: usize = 72;
/// Response capsule, data, R2T and termination headers.
pub const SHORT_LEN: usize = 24;
/// A header or data digest.
pub const DIGEST_LEN: usize = 4;
/// Bytes of the offending PDU that a termination request may carry (3.6.2.3, 3.6.2.4).
pub const TERM_DATA_MAX: usize = 128;
/// Room for any header with its digest and padding: data starts at 128 at the latest, because the
/// largest alignment is 32 dwords and the longest header with digest is 76 bytes.
pub const HEADER_AREA: usize = 128;
/// Smallest MAXH2CDATA a controller may ask for (3.6.2.2).
pub const MAXH2CDATA_MIN: u32 = 4096;

/// HDGSTF: a header digest follows the header.
pub const FLAG_HDGST: u8 = 0x01;
/// DDGSTF: a data digest follows the data.
pub const FLAG_DDGST: u8 = 0x02;
/// LAST_PDU: the last data PDU of a transfer.
pub const FLAG_LAST: u8 = 0x04;
/// SUCCESS: no response capsule follows, the command was successful (C2HData only).
pub const FLAG_SUCCESS: u8 = 0x08;

/// PDU types (figure "PDU Types").
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum PduType {
    IcReq = 0x00,
    IcResp = 0x01,
    H2cTermReq = 0x02,
    C2hTermReq = 0x03,
    CapsuleCmd = 0x04,
    CapsuleResp = 0x05,
    H2cData = 0x06,
    C2hData = 0x07,
    R2t = 0x09,
}

impl PduType {
    pub const ALL: [Self; 9] = [
        Self::IcReq,
        Self::IcResp,
        Self::H2cTermReq,
        Self::C2hTermReq,
        Self::CapsuleCmd,
        Self::CapsuleResp,
        Self::H2cData,
        Self::C2hData,
        Self::R2t,
    ];

    #[inline]
    pub const fn from_byte(b: u8) -> Option<Self> {
        Some(match b {
            0x00 => Self::IcReq,
            0x01 => Self::IcResp,
            0x02 => Self::H2cTermReq,
            0x03 => Self::C2hTermReq,
            0x04 => Self::CapsuleCmd,
            0x05 => Self::CapsuleResp,
            0x06 => Self::H2cData,
            0x07 => Self::C2hData,
            0x09 => Self::R2t,
            _ => return None,
        })
    }

    /// The HLEN this type must have.
    #[inline]
    pub const fn hlen(self) -> usize {
        match self {
            Self::IcReq | Self::IcResp => IC_LEN,
            Self::CapsuleCmd => CMD_LEN,
            _ => SHORT_LEN,
        }
    }

    /// Connection set-up and termination never carry digests.
    #[inline]
    pub const fn digested(self) -> bool {
        !matches!(
            self,
            Self::IcReq | Self::IcResp | Self::H2cTermReq | Self::C2hTermReq
        )
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::IcReq => "ICReq",
            Self::IcResp => "ICResp",
            Self::H2cTermReq => "H2CTermReq",
            Self::C2hTermReq => "C2HTermReq",
            Self::CapsuleCmd => "CapsuleCmd",
            Self::CapsuleResp => "CapsuleResp",
            Self::H2cData => "H2CData",
            Self::C2hData => "C2HData",
            Self::R2t => "R2T",
        }
    }
}

impl fmt::Display for PduType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which digests a connection uses, as agreed by ICReq and ICResp.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Digests {
    pub header: bool,
    pub data: bool,
}

impl Digests {
    pub const NONE: Self = Self {
        header: false,
        data: false,
    };

    /// The DGST byte of ICReq and ICResp.
    pub const fn to_byte(self) -> u8 {
        self.header as u8 | (self.data as u8) << 1
    }

    pub const fn from_byte(b: u8) -> Self {
        Self {
            header: b & 1 != 0,
            data: b & 2 != 0,
        }
    }
}

/// Bytes that a PDA value (HPDA, CPDA: zero-based dwords) aligns data to.
pub const fn pda_bytes(pda: u8) -> usize {
    (pda as usize + 1) * 4
}

/// Where data starts behind a header of `hlen` bytes.
#[inline]
pub const fn data_offset(hlen: usize, header_digest: bool, align: usize) -> usize {
    let end = hlen + if header_digest { DIGEST_LEN } else { 0 };
    end.div_ceil(align) * align
}
