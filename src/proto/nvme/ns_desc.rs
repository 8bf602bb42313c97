//! Namespace Identification Descriptor list, CNS 03h, 4096 bytes (Base 2.3 clause 5.2.13.2.3).
//!
//! Descriptors stand one after another: byte 0 NIDT, 1 NIDL, 2–3 reserved, then NIDL bytes of
//! identifier. A NIDL of 0 ends the list.

use super::bytes::{get, need_mut};
use super::error::{CodecError, Result};
use super::identify::IDENTIFY_LEN;

/// Bytes of a descriptor before its identifier.
const HEADER_LEN: usize = 4;

/// One identifier of a namespace. Identifiers are big-endian as they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NsDescriptor {
    /// NIDT 1.
    Eui64([u8; 8]),
    /// NIDT 2.
    Nguid([u8; 16]),
    /// NIDT 3.
    Uuid([u8; 16]),
    /// NIDT 4: Command Set Identifier; 0 is NVM.
    Csi(u8),
    /// A type we do not know.
    Other {
        /// NIDT.
        nidt: u8,
        /// NIDL in bytes.
        nidl: u8,
    },
}

impl NsDescriptor {
    /// NIDT and NIDL.
    const fn header(&self) -> (u8, u8) {
        match *self {
            Self::Eui64(_) => (1, 8),
            Self::Nguid(_) => (2, 16),
            Self::Uuid(_) => (3, 16),
            Self::Csi(_) => (4, 1),
            Self::Other { nidt, nidl } => (nidt, nidl),
        }
    }

    /// From a header and exactly NIDL bytes.
    fn parse(nidt: u8, nid: &[u8]) -> Result<Self> {
        let bad = CodecError::BadValue {
            field: "NIDL",
            value: nid.len() as u64,
        };
        Ok(match (nidt, nid.len()) {
            (1, 8) => Self::Eui64(get(nid, 0)),
            (2, 16) => Self::Nguid(get(nid, 0)),
            (3, 16) => Self::Uuid(get(nid, 0)),
            (4, 1) => Self::Csi(nid[0]),
            (1..=4, _) => return Err(bad),
            (nidt, len) => Self::Other {
                nidt,
                nidl: len as u8,
            },
        })
    }
}

/// Iterator over a list. After an error it is at its end.
#[derive(Clone, Debug)]
pub struct NsDescriptors<'a> {
    rest: &'a [u8],
}

impl<'a> NsDescriptors<'a> {
    /// Over the first 4096 bytes of a buffer, or less where there is less.
    pub fn new(buf: &'a [u8]) -> Self {
        Self {
            rest: &buf[..buf.len().min(IDENTIFY_LEN)],
        }
    }
}

impl Iterator for NsDescriptors<'_> {
    type Item = Result<NsDescriptor>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = core::mem::take(&mut self.rest);
        // A list that fills the buffer to the last bytes needs no terminator.
        let (header, body) = rest.split_first_chunk::<HEADER_LEN>()?;
        let [nidt, nidl, ..] = *header;
        if nidl == 0 {
            return None;
        }
        let Some((nid, rest)) = body.split_at_checked(usize::from(nidl)) else {
            let need = HEADER_LEN + usize::from(nidl);
            return Some(Err(CodecError::Truncated {
                need,
                got: HEADER_LEN + body.len(),
            }));
        };
        let descriptor = NsDescriptor::parse(nidt, nid);
        if descriptor.is_ok() {
            self.rest = rest;
        }
        Some(descriptor)
    }
}

/// Writes 4096 bytes with these descriptors; an `Other` has an identifier of zeros. One that no
/// longer fits is `TooLong`.
pub fn emit_ns_descriptors(buf: &mut [u8], descriptors: &[NsDescriptor]) -> Result<()> {
    let b = need_mut::<IDENTIFY_LEN>(buf)?;
    let mut at = 0;
    for descriptor in descriptors {
        let (nidt, nidl) = descriptor.header();
        let end = at + HEADER_LEN + usize::from(nidl);
        if end > IDENTIFY_LEN {
            return Err(CodecError::TooLong {
                field: "NID list",
                len: end,
                max: IDENTIFY_LEN,
            });
        }
        b[at] = nidt;
        b[at + 1] = nidl;
        let nid = &mut b[at + HEADER_LEN..end];
        match descriptor {
            NsDescriptor::Eui64(id) => nid.copy_from_slice(id),
            NsDescriptor::Nguid(id) | NsDescriptor::Uuid(id) => nid.copy_from_slice(id),
            NsDescriptor::Csi(csi) => nid[0] = *csi,
            NsDescriptor::Other { .. } => {}
        }
        at = end;
    }
    Ok(())
}
