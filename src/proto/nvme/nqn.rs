//! NVMe Qualified Name (Base 2.3 clause 4.7): at most 223 bytes of UTF-8 in a 256-byte field.

use core::fmt;

use super::error::{CodecError, Result};

/// Longest NQN in bytes, without the terminator.
pub const NQN_LEN_MAX: usize = 223;
/// Bytes of the field an NQN stands in: the name, then zeros.
pub const NQN_FIELD_LEN: usize = 256;
/// The well-known name of the discovery subsystem.
pub const DISCOVERY_NQN: &str = "nqn.2014-08.org.nvmexpress.discovery";

/// A name of the form `nqn.yyyy-mm.` and more. Held in place, so that parsing does not allocate.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Nqn {
    /// 13 to 223 bytes are in use.
    len: u8,
    /// UTF-8 up to `len`, zeros after.
    bytes: [u8; NQN_LEN_MAX],
}

impl Nqn {
    /// Checks a name: length, `nqn.yyyy-mm.` with a month, something after it, no control
    /// characters.
    pub fn new(name: &str) -> Result<Self> {
        let raw = name.as_bytes();
        if raw.len() > NQN_LEN_MAX {
            return Err(CodecError::TooLong {
                field: "NQN",
                len: raw.len(),
                max: NQN_LEN_MAX,
            });
        }
        if let Some(at) = first_bad(raw) {
            let value = raw.get(at).map_or(0, |b| u64::from(*b));
            return Err(CodecError::BadValue {
                field: "NQN",
                value,
            });
        }
        let mut bytes = [0; NQN_LEN_MAX];
        bytes[..raw.len()].copy_from_slice(raw);
        Ok(Self {
            len: raw.len() as u8,
            bytes,
        })
    }

    /// Reads a 256-byte field: the name ends at the first zero, which has to come by byte 223.
    pub fn parse_field(field: &[u8; NQN_FIELD_LEN]) -> Result<Self> {
        let len = field.iter().position(|b| *b == 0).unwrap_or(NQN_FIELD_LEN);
        if len > NQN_LEN_MAX {
            return Err(CodecError::TooLong {
                field: "NQN",
                len,
                max: NQN_LEN_MAX,
            });
        }
        match core::str::from_utf8(&field[..len]) {
            Ok(name) => Self::new(name),
            Err(e) => {
                let value = u64::from(field[e.valid_up_to()]);
                Err(CodecError::BadValue {
                    field: "NQN",
                    value,
                })
            }
        }
    }

    /// The 256-byte field.
    pub fn to_field(&self) -> [u8; NQN_FIELD_LEN] {
        let mut field = [0; NQN_FIELD_LEN];
        field[..NQN_LEN_MAX].copy_from_slice(&self.bytes);
        field
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        // Checked when built; an empty name is the harmless answer to the impossible.
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or("")
    }
}

/// Index of the first byte that an NQN cannot have there.
fn first_bad(raw: &[u8]) -> Option<usize> {
    const SHAPE: &[u8; 12] = b"nqn.dddd-dd.";
    for (at, want) in SHAPE.iter().enumerate() {
        let ok = raw.get(at).is_some_and(|b| match want {
            b'd' => b.is_ascii_digit(),
            _ => b == want,
        });
        if !ok {
            return Some(at);
        }
    }
    let month = (raw[9] - b'0') * 10 + (raw[10] - b'0');
    if !(1..=12).contains(&month) {
        return Some(9);
    }
    if raw.len() == SHAPE.len() {
        return Some(raw.len());
    }
    raw.iter().position(u8::is_ascii_control)
}

impl fmt::Display for Nqn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Nqn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nqn({:?})", self.as_str())
    }
}
