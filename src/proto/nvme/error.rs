//! What can be wrong with bytes that claim to be an NVMe structure.

use core::fmt;

/// Why a structure could not be parsed or emitted. Never a panic: peers send anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// The buffer ends before the structure does (both in bytes).
    Truncated {
        /// Bytes the structure takes.
        need: usize,
        /// Bytes there are.
        got: usize,
    },
    /// A field holds a value that the specification does not allow, or that we do not support.
    BadValue {
        /// The field, by its name in the specification.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
    /// A field or list is longer than allowed.
    TooLong {
        /// The field, by its name in the specification.
        field: &'static str,
        /// Its length.
        len: usize,
        /// The longest allowed.
        max: usize,
    },
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { need, got } => write!(f, "truncated: {got} bytes of {need}"),
            Self::BadValue { field, value } => write!(f, "bad value {value:#x} in {field}"),
            Self::TooLong { field, len, max } => {
                write!(f, "{field} too long: {len}, at most {max}")
            }
        }
    }
}

impl core::error::Error for CodecError {}

/// Result of every `parse` and `emit` in this module.
pub type Result<T> = core::result::Result<T, CodecError>;
