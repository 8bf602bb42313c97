//! Additional header segments of a SCSI command (RFC 7143, 11.2.2).

use super::header::{get16, get32, put16, put32};
use super::{Field, Opcode, PduError, pad};

/// AHSType (RFC 7143, 11.2.2.1).
const EXTENDED_CDB: u8 = 1;
const READ_LENGTH: u8 = 2;
/// Bytes of a CDB in the basic header segment.
const CDB_IN_BHS: usize = 16;
/// A variable-length CDB at most (SPC-4, 4.2.3: ADDITIONAL CDB LENGTH up to 252).
const CDB_MAX: usize = 260;

/// What the additional header segments of a SCSI command say.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Ahs<'a> {
    /// CDB bytes from the seventeenth on, with the padding the initiator gave them.
    pub extended_cdb: Option<&'a [u8]>,
    /// Expected read length of a bidirectional command.
    pub read_length: Option<u32>,
}

impl<'a> Ahs<'a> {
    pub const NONE: Self = Self {
        extended_cdb: None,
        read_length: None,
    };

    /// Reads the segments between the basic header segment and its digest. Unknown types are
    /// skipped; a known one twice, or a length that leads outside, is an error.
    pub fn parse(mut b: &'a [u8]) -> Result<Self, PduError> {
        let mut out = Self::NONE;
        while !b.is_empty() {
            let Some(head) = b.first_chunk::<4>() else {
                return Err(bad(b.len()));
            };
            let len = usize::from(get16(head, 0));
            // AHSLength counts from the third byte of the segment.
            let whole = 3 + len;
            let padded = whole + pad(whole);
            if len == 0 || padded > b.len() {
                return Err(bad(len));
            }
            match head[2] & 0x3f {
                EXTENDED_CDB => {
                    // One reserved byte, then CDBLength-16 bytes.
                    if out.extended_cdb.is_some() || len < 2 || len - 1 > CDB_MAX - CDB_IN_BHS {
                        return Err(bad(len));
                    }
                    out.extended_cdb = Some(&b[4..whole]);
                }
                READ_LENGTH => {
                    if out.read_length.is_some() || len != 5 {
                        return Err(bad(len));
                    }
                    out.read_length = Some(get32(b, 4));
                }
                _ => {}
            }
            b = &b[padded..];
        }
        Ok(out)
    }

    /// Bytes it takes, a multiple of four.
    pub const fn len(&self) -> usize {
        let cdb = match self.extended_cdb {
            Some(c) => 4 + c.len() + pad(c.len()),
            None => 0,
        };
        cdb + if self.read_length.is_some() { 8 } else { 0 }
    }

    /// There is none.
    pub const fn is_empty(&self) -> bool {
        self.extended_cdb.is_none() && self.read_length.is_none()
    }

    /// Writes it behind the basic header segment: `out` has at least [`Ahs::len`] bytes. An
    /// extended CDB has 1 to 244 bytes.
    ///
    /// # Panics
    /// The extended CDB is longer than any CDB, or empty.
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let mut at = 0;
        if let Some(cdb) = self.extended_cdb {
            assert!(!cdb.is_empty(), "an extended CDB has bytes");
            assert!(
                cdb.len() <= CDB_MAX - CDB_IN_BHS,
                "a CDB has 260 bytes at most"
            );
            let end = 4 + cdb.len();
            out[..end + pad(end)].fill(0);
            put16(out, 0, cdb.len() as u16 + 1);
            out[2] = EXTENDED_CDB;
            out[4..end].copy_from_slice(cdb);
            at = end + pad(end);
        }
        if let Some(len) = self.read_length {
            let out = &mut out[at..at + 8];
            put16(out, 0, 5);
            out[2] = READ_LENGTH;
            out[3] = 0;
            put32(out, 4, len);
            at += 8;
        }
        at
    }
}

const fn bad(len: usize) -> PduError {
    PduError::field(Opcode::ScsiCommand, Field::Ahs, len as u32)
}
